//! Instances that are not in use: each worker's own, last in first out, and the thread that makes
//! new ones so that no worker has to.
//!
//! A worker runs one guest call at a time, so it needs one instance of a filter and one spare for
//! the moment that the first is given up. Its list is behind a lock that only it and the
//! instance maker take; a worker holds it for one push or pop.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

use super::filter::{Filter, Idle};
use super::instance::Instance;

/// Instances that each worker has at hand: one that works and one spare.
pub const INSTANCES_PER_WORKER: usize = 2;

/// Work that waits for the instance maker. When it is full, workers help themselves.
const QUEUE: usize = 256;

/// Asks the thread that makes instances.
#[derive(Debug, Clone)]
pub struct InstanceMaker {
    jobs: SyncSender<Job>,
}

/// What the thread does.
pub struct Job {
    filter: Weak<Filter>,
    worker: usize,
    /// Dropped on the thread: unmapping its memory takes some microseconds.
    given_up: Option<Box<Instance>>,
}

impl InstanceMaker {
    /// Start the thread. It ends when the last handle is gone.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("windlass-instances".into())
            .stack_size(4 * 1024 * 1024)
            .spawn(move || make(&waiting))?;
        Ok(Self { jobs })
    }
}

fn make(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        drop(job.given_up);
        let Some(filter) = job.filter.upgrade() else {
            continue;
        };
        if filter.is_suspended() || filter.spares.is_full(job.worker) {
            continue;
        }
        match filter.start_instance() {
            Ok(instance) => filter.spares.put(job.worker, instance),
            Err(failure) => tracing::warn!(
                filter = &**filter.name(),
                "filter `{}`: no spare instance could be made: {failure}",
                filter.name()
            ),
        }
    }
}

/// The instances of one filter that are not in use, a list for each worker.
pub struct Spares {
    lists: Box<[Idle]>,
    maker: InstanceMaker,
    /// The filter that these belong to.
    filter: Weak<Filter>,
}

impl Spares {
    /// Empty lists for this many workers.
    #[must_use]
    pub fn new(workers: usize, maker: InstanceMaker, filter: Weak<Filter>) -> Self {
        Self {
            lists: (0..workers.max(1)).map(|_| Idle::default()).collect(),
            maker,
            filter,
        }
    }

    /// The instance that this worker used last.
    #[must_use]
    pub fn take(&self, worker: usize) -> Option<Box<Instance>> {
        self.lists.get(worker)?.lock().pop()
    }

    /// Give an instance to a worker's list; one too many is dropped.
    pub fn put(&self, worker: usize, instance: Box<Instance>) {
        let Some(list) = self.lists.get(worker) else {
            return;
        };
        let mut list = list.lock();
        if list.len() < INSTANCES_PER_WORKER {
            list.push(instance);
        }
    }

    /// Give an instance up, and ask for a new one.
    pub fn give_up(&self, worker: usize, instance: Box<Instance>) {
        let job = Job {
            filter: self.filter.clone(),
            worker,
            given_up: Some(instance),
        };
        match self.maker.jobs.try_send(job) {
            // Full: the worker drops it itself, and makes one when it needs one.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn is_full(&self, worker: usize) -> bool {
        self.lists
            .get(worker)
            .is_none_or(|list| list.lock().len() >= INSTANCES_PER_WORKER)
    }
}

/// Fill all lists of a filter.
///
/// # Errors
///
/// An instance could not be made.
pub fn fill(filter: &Arc<Filter>) -> Result<(), super::failure::CallFailure> {
    for worker in 0..filter.spares.lists.len() {
        while !filter.spares.is_full(worker) {
            let instance = filter.start_instance()?;
            filter.spares.put(worker, instance);
        }
    }
    Ok(())
}
