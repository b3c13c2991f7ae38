//! Threads with a runtime of their own, and tasks that end with their owner.

use std::io;
use std::sync::mpsc::sync_channel;
use std::task::Waker;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{AbortHandle, spawn_local};

/// Start a thread that runs this future on a runtime of its own.
///
/// # Errors
///
/// The system gives no thread or runtime.
pub(crate) fn start_thread<T, F>(
    thread: std::thread::Builder,
    run: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<T>>
where
    T: Default + Send + 'static,
    F: Future<Output = T>,
{
    // A local runtime cannot leave the thread that made it, so the thread makes it and reports the outcome here.
    let (report, outcome) = sync_channel(1);
    let thread = thread.spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        let (runtime, built) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // The starter waits for this.
        let _ = report.send(built);
        runtime.map_or_else(T::default, |runtime| runtime.block_on(run()))
    })?;
    let built = outcome.recv();
    built.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
    Ok(thread)
}

/// Keep the waker of the task that waits now.
pub(crate) fn keep_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(present) => present.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

/// A task of this thread that is aborted when this is dropped, unless it was detached.
#[derive(Debug, Default)]
pub(crate) struct TaskGuard(Option<AbortHandle>);

impl TaskGuard {
    pub(crate) fn spawn(run: impl Future<Output = ()> + 'static) -> Self {
        Self(Some(spawn_local(run).abort_handle()))
    }

    /// Let it go on by itself.
    pub(crate) fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
