#!/usr/bin/env bash
# Package: ziglang 0.17.1 (PyPI); ziglang 0.15.1 is as guessed.
#
# Likely guess: Zig code uses a C header with `@cImport(@cInclude("header.h"))`.
#
# Seen: 0.17.1 does not know `@cImport` any more: "invalid builtin function: '@cImport'". The same source compiles with
# 0.15.1. So bindings in C (of wit-bindgen-c, for one) need that version, or a build script that translates the header.
#
# Output seen: `0.15.1 compiles it` and `0.17.1: error: invalid builtin function: '@cImport'`.
# Exits 1 if 0.17.1 compiles it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
echo 'int answer(void);' > answer.h
cat > use.zig <<'ZIG'
const c = @cImport(@cInclude("answer.h"));
export fn ask() c_int {
    return c.answer();
}
ZIG
for version in 0.15.1 0.17.1; do
    python3 -m venv "env-$version"
    "env-$version/bin/pip" install --quiet "ziglang==$version"
done
compile() {
    "env-$1/bin/python" -m ziglang build-obj use.zig -target wasm32-freestanding -I . -femit-bin="use-$1.o"
}
compile 0.15.1 && echo "0.15.1 compiles it"
if compile 0.17.1 2> error; then
    echo "0.17.1 compiles it too"
    exit 1
fi
echo "0.17.1: $(grep -o "error: .*" error | head -n 1)"
