#!/usr/bin/env bash
# docker_credential 1.4.0 (crates.io).
#
# Likely guess: without Docker's `config.json`, `get_credential` returns `ConfigNotFound`, which one takes for "no login".
#
# Seen: it returns `ConfigReadError`, as for a file that is not JSON. `ConfigNotFound` only means that neither
# DOCKER_CONFIG nor HOME is set. Who takes all but `ConfigNotFound` and `NoCredentialConfigured` for errors cannot pull
# from public registries (which answer 401 first) on a machine without Docker. The cure: open the file oneself, and call
# `get_credential_from_reader`.
#
# Output:
#   no file: ConfigReadError
#   not JSON: ConfigReadError
#   another server: NoCredentialConfigured
#   no folder known: ConfigNotFound
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src junk other
cat > Cargo.toml << 'TOML'
[package]
name = "ask"
version = "0.1.0"
edition = "2024"
[dependencies]
docker_credential = "=1.4.0"
TOML
cat > src/main.rs << 'RUST'
fn main() {
    println!("{:?}", docker_credential::get_credential("registry.example").unwrap_err());
}
RUST
cargo build --quiet
ask=target/debug/ask
echo junk > junk/config.json
echo '{"auths":{"elsewhere.example":{"auth":"YTpi"}}}' > other/config.json
echo "no file: $(DOCKER_CONFIG=$folder/none $ask)"
echo "not JSON: $(DOCKER_CONFIG=$folder/junk $ask)"
echo "another server: $(DOCKER_CONFIG=$folder/other $ask)"
echo "no folder known: $(env -u DOCKER_CONFIG -u HOME $ask)"
