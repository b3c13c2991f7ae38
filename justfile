# The steps of .ci/run by name, and the two commands of the README. `just --list` shows them.

# The gateway with three small endpoints, and curl lines to try.
demo:
    cargo run --release -- demo

# The binary to ship, in target/dist: stripped, with its line numbers in `windlass.debug`. Backtraces use that
# file where it lies beside the binary. The licences of all that is in it go with it.
dist:
    CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --locked
    mkdir -p target/dist
    objcopy --only-keep-debug target/release/windlass target/dist/windlass.debug
    objcopy --strip-debug --add-gnu-debuglink=target/dist/windlass.debug target/release/windlass target/dist/windlass
    python3 .ci/notice.py --texts target/dist/LICENSES.txt
    cp LICENSE NOTICE target/dist

# Everything that a change must pass: all steps below, in order.
ci:
    .ci/run

# Programs that tests call, and the pinned Rust.
tools:
    .ci/run tools

# Formatting.
fmt:
    .ci/run fmt

# Lints, as errors.
clippy:
    .ci/run clippy

# The Rust documentation, without warnings.
doc:
    .ci/run doc

# All tests but the slow ones.
test:
    .ci/run test

# The slow tests.
slow:
    .ci/run slow

# `windlass check` on every example.
examples:
    .ci/run examples

# The admin API against its own description.
contract:
    .ci/run contract

# A new plugin in each language: made, built, tested, run, edited and reloaded.
kits:
    .ci/run kits

# The load script, once and shortly: does it run.
load:
    .ci/run load

# Bans, licences, sources and advisories of the dependency tree.
deny:
    .ci/run deny

# Dependencies that no code names.
unused:
    .ci/run unused

# Whether NOTICE names all that the binary is made of.
notice:
    .ci/run notice

# Write NOTICE anew.
update-notice:
    python3 .ci/notice.py

# The book in docs/, into target/book, with its links checked.
book:
    .ci/run book

# The plugin SDK as a package, built by itself.
sdk:
    .ci/run sdk

# The packages of the contract, encoded into target/wit.
wit:
    .ci/run wit

# The plugin SDK against the last release.
semver:
    .ci/run semver

# What a chain of filters costs.
bench:
    cargo bench -p windlass --bench chain

# Write the expected texts and reference pages anew.
update-expect:
    UPDATE_EXPECT=1 cargo test -p windlass --test bad_configs --test config_reference --test errors_reference --test cli_reference
    UPDATE_EXPECT=1 cargo test --workspace --test e2e book::

# The structure of the sources in figures: lines, circles, names defined twice. `just measure COMMIT` beside a commit's.
measure *arguments:
    python3 .ci/measure.py {{arguments}}
