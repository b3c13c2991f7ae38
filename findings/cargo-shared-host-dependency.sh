#!/usr/bin/env bash
# cargo 1.95.0, with the crates serde 1.0.229, unicode-ident 1.0.24, proc-macro2 1.0.107 and quote 1.0.47.
#
# Likely guess: in one workspace and profile, `cargo build -p app` after `cargo build --workspace` compiles no
# registry crate again, if both resolve to the same features.
#
# Seen: it compiles unicode-ident, proc-macro2, quote, syn, serde_derive and serde again. Another member uses
# unicode-ident as an ordinary dependency. If that member is built too, Cargo builds unicode-ident once for proc
# macros and for the target, with the debug information of the target. Without that member, the one for proc
# macros has none. Both are other units, and so is all that stands on them; here that was wasmtime.
# The cure: set `debug` in `[profile.dev.build-override]`, and both builds agree.
#
# Output:
#   -p after --workspace compiles: proc-macro2 quote serde serde_derive syn unicode-ident
#   the same with build-override.debug set: nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p app/src other/src
echo 'fn main() {}' > app/src/main.rs
echo 'fn main() {}' > other/src/main.rs
cat > app/Cargo.toml << 'TOML'
[package]
name = "app"
version = "0.1.0"
edition = "2024"
[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
TOML
cat > other/Cargo.toml << 'TOML'
[package]
name = "other"
version = "0.1.0"
edition = "2024"
[dependencies]
unicode-ident = "=1.0.24"
TOML
workspace() {
    printf '[workspace]\nresolver = "3"\nmembers = ["app", "other"]\n%s\n' "$1" > Cargo.toml
    rm -rf target
    cargo update --quiet -p proc-macro2 --precise 1.0.107
    cargo update --quiet -p quote --precise 1.0.47
    cargo build --quiet --workspace
    cargo build -p app 2>&1 | sed -n 's/^ *Compiling \([^ ]*\) v.*/\1/p' | grep -v '^app$' | sort | tr '\n' ' ' || true
}
default=$(workspace '')
set_alike=$(workspace '[profile.dev.build-override]
debug = true')
echo "-p after --workspace compiles: ${default:-nothing}"
echo "the same with build-override.debug set: ${set_alike:-nothing}"
[[ $default == *serde* && -z $set_alike ]]
