#!/usr/bin/env bash
# tracing-subscriber 0.3.23 (crates.io).
#
# Likely guess: the calls of `fmt()`'s builder can stand in any order, so that `.json()` may follow
# `.with_filter_reloading()`.
#
# Seen: `.json()` then leaves a builder without `reload_handle`, whose `try_init` does not satisfy its trait bounds: the
# reloadable filter keeps the type of the text format. The errors do not mention the order. With `.json()` first, the same
# program compiles.
#
# Output:
#   json first: compiles
#   json last: error[E0599]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p src/bin
cat > Cargo.toml << 'TOML'
[package]
name = "ask"
version = "0.1.0"
edition = "2024"
[dependencies]
tracing-subscriber = { version = "=0.3.23", features = ["env-filter", "json"] }
TOML
program() {
    cat << RUST
use tracing_subscriber::EnvFilter;
fn main() {
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info"))$1;
    let handle = lines.reload_handle();
    lines.try_init().unwrap();
    handle.reload(EnvFilter::new("debug")).unwrap();
}
RUST
}
program '.json().with_filter_reloading()' > src/bin/first.rs
program '.with_filter_reloading().json()' > src/bin/last.rs
first=$(cargo check --quiet --bin first > /dev/null 2>&1 && echo compiles || echo fails)
last=$(cargo check --bin last 2>&1 | grep -o '^error\[E[0-9]*\]' | sort -u | head -n 1 || true)
echo "json first: $first"
echo "json last: $last"
[[ $first == compiles && $last == "error[E0599]" ]]
