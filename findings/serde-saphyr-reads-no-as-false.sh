#!/usr/bin/env bash
# serde-saphyr 2.2.0 (YAML reader for serde).
#
# Likely guess: a reader of YAML 1.2 gives the plain word `no` as a text, so that a description in YAML reads as its JSON twin.
#
# Seen: into a value whose type is open (`serde_json::Value`) it reads `no`, `off`, `yes` and `on` as booleans, as YAML 1.1
# does, by default; `strict_booleans: true` leaves them texts. Keys are texts in both cases, so `200:` and `no:` of an OpenAPI
# document keep their names.
#
# Output:
#   default: {"no":1,"summary":false}
#   strict: {"no":1,"summary":"no"}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml << 'TOML'
[package]
name = "words"
version = "0.1.0"
edition = "2021"
[workspace]
[dependencies]
serde-saphyr = { version = "=2.2.0", default-features = false, features = ["deserialize"] }
serde_json = "1"
TOML
cat > src/main.rs << 'RUST'
use serde_json::Value;

fn main() {
    let text = "summary: no\nno: 1\n";
    let default: Value = serde_saphyr::from_str(text).unwrap();
    let options = serde_saphyr::options! { strict_booleans: true };
    let strict: Value = serde_saphyr::from_str_with_options(text, options).unwrap();
    println!("default: {default}\nstrict: {strict}");
}
RUST
seen=$(cargo run --quiet)
echo "$seen"
[ "$seen" = 'default: {"no":1,"summary":false}
strict: {"no":1,"summary":"no"}' ]
