#!/usr/bin/env bash
# check.sh MAKE BUILD: installs into a directory of its own, builds and runs a program against it with
# pkg-config, shared and static, and sees that uninstall leaves nothing.  Then once more staged with
# DESTDIR, as a package is made.  The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit

make=$1 build=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
pass=0 fail=0

step() { # what, command...
    if "${@:2}" >"$dir/log" 2>&1 </dev/null; then
        pass=$((pass + 1))
    else
        fail=$((fail + 1))
        echo "FAIL $1"
        sed 's/^/    /' "$dir/log"
    fi
}
# CC, CFLAGS and the like come down through MAKEFLAGS; the places are this test's own.
mk() { "$make" --no-print-directory BUILD="$build" DEPS=no "$@"; }
compile() { # output, pkg-config's mode
    local flags
    # shellcheck disable=SC2086
    flags=$(env "${where[@]}" pkg-config $2 --cflags --libs tako) || return
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=c99 -Wall -Wextra -pedantic -Werror tests/install/client.c -o "$1" \
        -D_POSIX_C_SOURCE=200809L $flags
}
# The README's program by a C++ compiler, which reads the same headers.
compile_cxx() { # output
    local flags
    flags=$(env "${where[@]}" pkg-config --cflags --libs tako) || return
    # shellcheck disable=SC2086
    ${CXX:-g++} -x c++ -std=c++11 -Wall -Wextra -pedantic -Werror examples/hello.c -o "$1" $flags
}
is_linked() { readelf -d "$1" | grep -q 'NEEDED.*libtako\.so\.0'; }
is_static() { ! is_linked "$1"; }
nothing_left() { [[ -z $(find "$1" ! -type d -print | tee /dev/stderr) ]]; }
no_stray_path() { ! grep -F "$2" "$1"; }

prefix=$dir/prefix
# For pkg-config of the programs alone: make would take other places for other flags, and build all anew.
where=(PKG_CONFIG_PATH="$prefix/lib/pkgconfig")
step "install" mk install PREFIX="$prefix"
step "compile, shared" compile "$dir/shared" ""
step "uses the soname" is_linked "$dir/shared"
step "compile as C++" compile_cxx "$dir/cxx"
step "C++ uses the soname" is_linked "$dir/cxx"
step "run, shared" env LD_LIBRARY_PATH="$prefix/lib" "$dir/shared"
rm -f "$prefix"/lib/libtako.so*
step "compile, static" compile "$dir/static" --static
step "needs no shared library" is_static "$dir/static"
step "run, static" "$dir/static"
step "uninstall" mk uninstall PREFIX="$prefix"
step "uninstall leaves nothing" nothing_left "$prefix"

stage=$dir/stage
where=(PKG_CONFIG_PATH="$stage/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$stage")
step "install, staged" mk install PREFIX=/usr DESTDIR="$stage"
step "tako.pc does not know the stage" no_stray_path "$stage/usr/lib/pkgconfig/tako.pc" "$stage"
step "compile, staged" compile "$dir/staged" ""
step "run, staged" env LD_LIBRARY_PATH="$stage/usr/lib" "$dir/staged"

echo "$pass passed, $fail failed"
((fail == 0))
