#!/usr/bin/env bash
# check.sh LIBRARY [--update]: the shared library exports the names in symbols.list and no others,
# all of them tako_* functions that a header declares, under the soname that programs were linked with.
# --update writes the list anew, for the diff to be read before it is committed.
set -u
lib=$1
lib=$(realpath -s "$lib")
cd "$(dirname "$0")/../.." || exit
list=tests/abi/symbols.list
fail=0

bad() {
    echo "FAIL $*"
    fail=$((fail + 1))
}

# The absolute symbol is the version script's own node.
all=$(nm -D --defined-only --without-symbol-versions "$lib" | awk '$2 != "A" { print $2, $3 }' | LC_ALL=C sort -k2)
names=$(awk '{ print $2 }' <<<"$all")
if [[ ${2-} == --update ]]; then
    printf '%s\n' "$names" >"$list"
    exit 0
fi

[[ -s $list ]] || bad "there is no $list"
foreign=$(grep -vE '^tako_[a-z]' <<<"$names")
[[ -z $foreign ]] || bad "not ours to export:" $foreign
# An exported object's size would be frozen into every program by a copy relocation.
data=$(awk '$1 != "T" { print $2 }' <<<"$all")
[[ -z $data ]] || bad "exported data instead of a function:" $data
diff=$(diff -U0 "$list" <(printf '%s\n' "$names") | grep '^[+-][^+-]')
[[ -z $diff ]] || bad "names differ from tests/abi/symbols.list (make abi-update, if meant):"$'\n'"$diff"
# What the headers promise is what is there: a declaration without its function links nowhere.
declared=$(find include/tako -name '*.h' -printf '#include <tako/%P>\n' | "${CC:-gcc}" -Iinclude -E -P -xc - |
    tr '\n' ' ' | tr ';' '\n' | grep -F 'visibility("default")' |
    sed 's/__attribute__((\(visibility("default")\|warn_unused_result\))) *//g' |
    grep -oE 'tako_[a-z0-9_]+ ?\(.*' | sed 's/[ (].*//' | LC_ALL=C sort)
diff=$(diff -U0 <(printf '%s\n' "$declared") <(printf '%s\n' "$names") | grep '^[+-][^+-]')
[[ -z $diff ]] || bad "declared (-) and exported (+) differ:"$'\n'"$diff"
soname=$(readelf -d "$lib" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[[ $soname == libtako.so.0 ]] || bad "soname is '$soname'"
# In the static one every global name is ours too, or a library's that was built to be part of it, so
# that programs may link another copy of that.
static=$(nm -g --defined-only "${lib%/*}/libtako.a" 2>/dev/null | awk 'NF == 3 { print $3 }' |
    grep -vE '^(tako_|vendored_by_tako_|__asan_|__odr_asan)' | sort -u)
[[ -z $static ]] || bad "not ours to define in libtako.a:" $static
echo "$((7 - fail)) passed, $fail failed"
((fail == 0))
