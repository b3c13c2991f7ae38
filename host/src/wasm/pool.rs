//! Instances that are not in use: each worker's own, and the thread that makes new ones so that no
//! worker has to.
//!
//! A worker runs one guest call at a time, so it needs one instance of a filter and one spare for
//! the moment that the first is given up. The one that works stays with the worker, on its
//! [`Seat`], where nobody else reaches: a call takes no lock and touches no shared memory. The
//! spare is in a list behind a lock that only its worker and the instance maker take, for one push
//! or pop.

use std::cell::Cell;
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

use super::filter::{Filter, Idle};
use super::instance::Instance;

/// Instances that each worker has at hand: one that works and the spare.
pub const INSTANCES_PER_WORKER: usize = 2;

/// Of these, what waits in the list while the other works.
const SPARES_PER_WORKER: usize = 1;

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

    /// A spare instance of this worker.
    #[must_use]
    fn take(&self, worker: usize) -> Option<Box<Instance>> {
        self.lists.get(worker)?.lock().pop()
    }

    /// Give an instance to a worker's list as its spare; one too many is dropped.
    pub fn put(&self, worker: usize, instance: Box<Instance>) {
        let Some(list) = self.lists.get(worker) else {
            return;
        };
        let mut list = list.lock();
        if list.len() < SPARES_PER_WORKER {
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
            .is_none_or(|list| list.lock().len() >= SPARES_PER_WORKER)
    }
}

/// One worker's use of a filter, shared by all of its chains that name the filter.
pub struct Seat {
    filter: Arc<Filter>,
    worker: usize,
    /// The instance that worked last.
    instance: Cell<Option<Box<Instance>>>,
}

impl Seat {
    /// A seat without an instance.
    #[must_use]
    pub fn new(filter: Arc<Filter>, worker: usize) -> Self {
        Self {
            filter,
            worker,
            instance: Cell::new(None),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// The worker's index.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The instance that worked last, else the worker's spare.
    #[must_use]
    pub fn take(&self) -> Option<Box<Instance>> {
        match self.instance.take() {
            Some(instance) => Some(instance),
            None => self.filter.spares.take(self.worker),
        }
    }

    /// Keep an instance for the next call.
    pub fn keep(&self, instance: Box<Instance>) {
        self.instance.set(Some(instance));
    }
}

/// The filter may be in use by the next configuration too: its instance is not lost.
impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.filter.spares.put(self.worker, instance);
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("filter", &self.filter)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// Make the first instances of a filter: for each worker, the one that will work, and the spare.
///
/// # Errors
///
/// An instance could not be made.
pub fn fill(filter: &Arc<Filter>) -> Result<(), super::failure::CallFailure> {
    for list in &filter.spares.lists {
        for _ in 0..INSTANCES_PER_WORKER {
            let instance = filter.start_instance()?;
            list.lock().push(instance);
        }
    }
    Ok(())
}
