#!/usr/bin/env bash
# minijinja 3.1.0 (Rust) beside Jinja2 3.1.6 (Python), the engine that it follows.
#
# Likely guess: `int` of a number that no integer type holds is an error of the template, or (as in Jinja2, whose integers
# have no bound) the number.
#
# Seen: minijinja gives the largest integer of 128 bits, without an error, for a text of 40 digits and for `1e300` alike: two
# different numbers become one. Jinja2 gives each number. `default` is not used by either, since nothing failed.
#
# Output:
#   minijinja 3.1.0: 170141183460469231731687303715884105727 170141183460469231731687303715884105727
#   Jinja2 3.1.6: 9999999999999999999999999999999999999999 True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml << 'TOML'
[package]
name = "integers"
version = "0.1.0"
edition = "2021"
[workspace]
[dependencies]
minijinja = "=3.1.0"
TOML
cat > src/main.rs << 'RUST'
use minijinja::{context, Environment};

fn main() {
    let template = "{{ digits | int(default=7) }} {{ large | int(default=7) }}";
    let values = context! { digits => "9".repeat(40), large => 1e300 };
    let made = Environment::new().render_str(template, values).unwrap();
    println!("minijinja 3.1.0: {made}");
}
RUST
python3 -m venv python
python/bin/pip install --quiet jinja2==3.1.6
seen=$(
    cargo run --quiet
    python/bin/python - << 'PYTHON'
from jinja2 import Environment
template = "{{ digits | int(default=7) }} {{ large | int(default=7) == exact }}"
made = Environment().from_string(template).render(digits="9" * 40, large=1e300, exact=int(1e300))
print(f"Jinja2 3.1.6: {made}")
PYTHON
)
echo "$seen"
[ "$seen" = 'minijinja 3.1.0: 170141183460469231731687303715884105727 170141183460469231731687303715884105727
Jinja2 3.1.6: 9999999999999999999999999999999999999999 True' ]
