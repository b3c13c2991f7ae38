//! The `windlass` command, as the tests start it. `cargo test --workspace` builds only the programs
//! of the package under test, so this package has a copy.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass::cli::main()
}
