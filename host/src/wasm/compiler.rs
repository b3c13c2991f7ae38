//! Compiles components, on as many threads as the machine has cores.
//!
//! The threads end with the compilation. They inherit the priority of the thread that asks: during a
//! reload it is below that of requests.

use std::num::NonZeroUsize;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::component::ComponentError;

/// More threads than this do not help: few components have that many large functions.
const MAX_THREADS: usize = 16;

/// Compiles a component.
///
/// # Errors
///
/// It is not valid, or the system has no threads left.
pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Component, ComponentError> {
    threads()?
        .install(|| Component::new(engine, wasm))
        .map_err(|error| ComponentError::Invalid(format!("{error:#}")))
}

/// Threads for one compilation. Without them, wasmtime would use rayon's own, which keep the priority of the first
/// compilation, and panic if they cannot start.
fn threads() -> Result<ThreadPool, ComponentError> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    ThreadPoolBuilder::new()
        .num_threads(cores.min(MAX_THREADS))
        .thread_name(|_| "windlass-compile".into())
        .build()
        .map_err(|error| ComponentError::Threads(error.to_string()))
}

#[cfg(test)]
mod tests {
    use rustix::process::{getpriority_process, setpriority_process};
    use rustix::thread::gettid;

    use super::*;

    #[test]
    fn a_compilation_has_the_priority_of_the_thread_that_asks_for_it() {
        let of_threads = thread::spawn(|| {
            setpriority_process(Some(gettid()), 7).unwrap();
            let threads = threads().unwrap();
            threads.broadcast(|_| getpriority_process(Some(gettid())).unwrap())
        });
        let of_threads = of_threads.join().unwrap();
        assert!(of_threads.iter().all(|nice| *nice == 7), "{of_threads:?}");
    }
}
