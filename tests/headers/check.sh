#!/usr/bin/env bash
# check.sh: every public header compiles alone, twice in one file, in each language that its users
# may have it in.  -Wpadded for C: a hole in a struct would be bytes that nobody can check for zero,
# and the size-first structs rely on checking.  One line for what fails, then "N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit

pass=0 fail=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

try() { # compiler, language, standard, header, further flags
    local file=$dir/one.$2
    printf '#define X mine\n#include <%s>\n#include <%s>\nextern int tako_test_header;\n' "$4" "$4" >"$file"
    if "$1" -std="$3" -Wall -Wextra -pedantic -Wshadow -Werror "${@:5}" -Iinclude -fsyntax-only \
        "$file" 2>"$dir/err"; then
        pass=$((pass + 1))
    else
        fail=$((fail + 1))
        echo "FAIL $1 -std=$3 $4"
        sed 's/^/    /' "$dir/err"
    fi
}

headers=$(cd include && find tako -name '*.h' | sort)
for h in $headers; do
    for cc in gcc clang; do
        command -v $cc >/dev/null || continue
        for std in c99 c11; do try $cc c $std "$h" -Wpadded -Wstrict-prototypes; done
    done
    for cc in g++ clang++; do
        command -v $cc >/dev/null || continue
        for std in c++11 c++17; do try $cc cc $std "$h"; done
    done
done
# Programs written against the interface, those included whose feature this build refuses.
for program in tests/headers/programs/*.c; do
    if gcc -std=c11 -Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only "$program"; then
        pass=$((pass + 1))
    else
        fail=$((fail + 1))
        echo "FAIL $program"
    fi
done
echo "$pass passed, $fail failed"
((fail == 0))
