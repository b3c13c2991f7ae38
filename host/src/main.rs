//! The `windlass` command.

use std::process::ExitCode;

/// Half the time of the system's own, on a request's way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    windlass::cli::main()
}
