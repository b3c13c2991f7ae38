#!/usr/bin/env bash
# The tools for plugins in C: `.ci/kits/c.sh FOLDER`. Debian's clang with its parts for WebAssembly, which is then
# in PATH: nothing is printed.
set -euo pipefail
version=14
if ! command -v "clang-$version" > /dev/null || [[ ! -e /usr/lib/wasm32-wasi/libc.a ]]; then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
        echo "missing: clang-$version, lld-$version, libclang-rt-$version-dev-wasm32, wasi-libc" >&2
        exit 1
    fi
    apt-get update >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "clang-$version" "lld-$version" \
        "libclang-rt-$version-dev-wasm32" wasi-libc >&2
fi
