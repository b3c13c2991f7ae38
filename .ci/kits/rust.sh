#!/usr/bin/env bash
# The tools for plugins in Rust: `.ci/kits/rust.sh FOLDER`. The compiler is the one that rust-toolchain.toml pins. What is
# there is left alone: to install it again would pull it from under other builds.
set -euo pipefail
toolchain=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$(dirname "$0")/../../rust-toolchain.toml")
if ! libraries=$(rustc "+$toolchain" --print target-libdir --target wasm32-wasip2) 2> /dev/null; then
    rustup toolchain install "$toolchain" --profile minimal --component rustfmt --target wasm32-wasip2 >&2
elif [[ ! -d $libraries ]]; then
    rustup target add --toolchain "$toolchain" wasm32-wasip2 >&2
fi
# A plugin's folder has no rust-toolchain.toml: the compiler itself comes first in PATH.
dirname "$(rustup which cargo --toolchain "$toolchain")"
