#!/bin/sh
# Compiles the objects again; the tests use them as they are here.
cd "$(dirname "$0")" || exit 1
for c in bounds.c layering.c maps.c tc.c; do
	clang -O2 -g -ffile-prefix-map="$PWD"=. -target bpf "-I/usr/include/$(uname -m)-linux-gnu" -c "$c" -o "${c%.c}.o" || exit 1
	llvm-strip --strip-debug "${c%.c}.o" 2>/dev/null || true # BTF stays
done
