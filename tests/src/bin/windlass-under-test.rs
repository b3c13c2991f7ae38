//! The `windlass` command, as the tests start it: `cargo test --workspace` builds the programs of
//! the package under test only, so the tests have one of their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass::cli::main()
}
