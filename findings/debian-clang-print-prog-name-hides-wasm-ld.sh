#!/usr/bin/env bash
# clang 14.0.6 and lld 14.0.6 of Debian 12 (clang-14, lld-14, libclang-rt-14-dev-wasm32, wasi-libc).
#
# Likely guess: `clang --target=wasm32-wasi -print-prog-name=wasm-ld` prints the linker that clang will run, so a bare
# name means that no linker is installed.
#
# Seen: it prints the bare name `wasm-ld`, and linking works. Debian's clang runs `wasm-ld-14`, which is the name that
# lld-14 installs; nothing in PATH is called `wasm-ld`. To find out whether the linker is there, link an empty file.
#
# Output:
#   printed: wasm-ld
#   linking an empty file: works
set -euo pipefail
printed=$(clang-14 --target=wasm32-wasi -print-prog-name=wasm-ld)
echo "printed: $printed"
clang-14 --target=wasm32-wasi -nostdlib -Wl,--no-entry -x c /dev/null -o /dev/null
echo "linking an empty file: works"
[[ $printed == wasm-ld ]] && ! command -v wasm-ld
