# Sourced by the scripts that run tests: how sanitizers report, and how ThreadSanitizer gets the
# addresses that it needs.  Reads $SAN, sets the array $wrap to put before a command.
# shellcheck shell=bash disable=SC2034

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/scripts/tsan.supp}

wrap=()
# Its shadow memory sits at fixed addresses, which wide address randomisation does not leave free.
if [[ ${SAN-} == *thread* ]] && setarch -R true 2>/dev/null; then
    wrap=(setarch -R)
fi
