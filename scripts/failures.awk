# failures.awk: of the log of a phase of check.sh, one line for each test that failed and why, so that
# the end of a long output is enough to know.  It reads what pytest, cmocka (through run-unit.sh),
# libFuzzer (run-fuzz.sh), the sanitizers, our other scripts, compilers and make say.

function tell(text) {
    gsub(/[^[:print:]]/, "?", text)
    # The same location is in every build of a source, and in pytest's summary after each mode.
    if (text in told || ++count > 20) return
    told[text]
    print substr(text, 1, 240)
}

{ sub(/^[ \t]+/, "") }

/^(FAILED|ERROR) tests\// { tell($0); next }

/^FAIL / {
    if (pending != "") tell(pending)
    program = $0
    test = reason = line = ""
    gsub(/[ \t]+/, " ", program)
    # Told with its test, if it says which; else with the line that follows.
    pending = program
    next
}
pending != "" && pending == program && NF && !/^(\[|#|=|ok )/ { pending = pending ": " $0 }
/^\[ RUN      \]/ { test = $NF; reason = line = ""; next }
/^\[  ERROR   \] ---/ && reason == "" { reason = substr($0, index($0, "---") + 4); next }
/^\[   LINE   \] ---/ { line = $5; sub(/:$/, "", line); next }
/^\[  FAILED  \] / && !/test\(s\)/ && program != "" {
    if (test != "") tell(program " " $NF ": " reason " (" line ")")
    test = pending = ""
    next
}
/^(SUMMARY: [A-Za-z]+Sanitizer|SUMMARY: libFuzzer|[^ ]+: runtime error:|.*: runtime error:)/ {
    tell((program != "" ? program (test != "" ? " " test : "") ": " : "") $0)
    pending = ""
    next
}
/^stopped( after|: it took)/ {
    tell((program != "" ? program (test != "" ? " in " test : "") ": " : "") $0)
    pending = ""
    next
}
/^(ok |[0-9]+ passed)/ { if (pending != "") tell(pending); pending = program = test = ""; next }
/: (fatal )?error: / && pending == "" && !/Failure!$/ { tell($0); next }
/^make(\[[0-9]+\])?: \*\*\* / { last = $0 }

END {
    if (pending != "") tell(pending)
    if (count > 20) print "... and " count - 20 " more"
    if (!count && last != "") print last
}
