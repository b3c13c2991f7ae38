//! Instances that are not in use: each worker's own, and the threads that make new ones so that no
//! worker has to.
//!
//! A worker runs one call of most filters at a time, so it needs one instance of a filter and one
//! spare for the moment that the first is given up. The one that works stays with the worker, on
//! its [`WorkerFilter`](super::WorkerFilter), where nobody else reaches: a call takes no lock and touches no shared memory. The
//! spare is in a [`WorkerInstances`] behind a lock that only its worker and the makers take, for one push or
//! pop.
//!
//! Where there is none at hand, the request waits for one, while the worker goes on with others:
//! within the filter's `limits.wait`, and in the order that requests came.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::breaker::CircuitBreaker;
use super::failure::CallFailure;
use super::instance::Instance;
use super::instance_source::InstanceSource;
use super::job_queue::JobSender;

/// Instances of a filter that each worker has: those that work, and those at hand.
pub(crate) const INSTANCES_PER_WORKER: usize = 2;

/// Requests of one worker that may wait for an instance of one filter.
pub(super) const MAX_WAITING: usize = 1024;

/// Given-up instances that wait for a maker to drop them; further ones are dropped on the worker.
const MAX_DISCARDED: usize = 4;

/// What a request that waits is given.
pub(super) type InstanceResult = Result<DeliveredInstance, CallFailure>;

/// An instance on its way to a request that waited for it. Where that is gone, it goes to another.
pub(super) struct DeliveredInstance {
    instance: Option<Box<Instance>>,
    pool: Weak<InstancePool>,
    worker: usize,
}

impl DeliveredInstance {
    /// The instance, for the request that waited.
    pub(super) fn accept(mut self) -> Option<Box<Instance>> {
        self.instance.take()
    }
}

impl Drop for DeliveredInstance {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take()
            && let Some(pool) = self.pool.upgrade()
        {
            pool.put(self.worker, instance);
        }
    }
}

/// One worker's instances of one filter that are not in use.
#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "an instance is large, and moves for every call"
)]
struct WorkerInstances {
    idle: Vec<Box<Instance>>,
    waiting: VecDeque<oneshot::Sender<InstanceResult>>,
    /// To be dropped by a maker: unmapping their memory takes some microseconds.
    discarded: Vec<Box<Instance>>,
    /// Instances that were made, or are being made, and not given up.
    live: usize,
    /// Whether a maker will look at it.
    is_requested: bool,
}

impl WorkerInstances {
    /// To the request that has waited longest; else it is at hand. Gives it back where it is one
    /// too many.
    fn put(&mut self, handed: DeliveredInstance) -> Option<Box<Instance>> {
        let mut made = Ok(handed);
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(made) {
                Ok(()) => return None,
                // Its client has left.
                Err(back) => made = back,
            }
        }
        let instance = made.ok()?.instance.take()?;
        if self.idle.len() < INSTANCES_PER_WORKER {
            self.idle.push(instance);
            return None;
        }
        self.live = self.live.saturating_sub(1);
        Some(instance)
    }

    /// Tell the request that has waited longest; gives the failure back where none waits.
    fn fail(&mut self, failure: CallFailure) -> Option<CallFailure> {
        let mut made = Err(failure);
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(made) {
                Ok(()) => return None,
                Err(back) => made = back,
            }
        }
        made.err()
    }
}

/// The instances of one filter that are not in use.
pub(crate) struct InstancePool {
    workers: Box<[Mutex<WorkerInstances>]>,
    source: Arc<InstanceSource>,
    breaker: Arc<CircuitBreaker>,
    makers: JobSender<Self>,
    /// For instances on their way, and for jobs: neither keeps the pool alive.
    this: Weak<Self>,
}

impl InstancePool {
    /// A pool without an instance yet, for this many workers.
    #[must_use]
    pub(crate) fn new(
        workers: usize,
        source: Arc<InstanceSource>,
        breaker: Arc<CircuitBreaker>,
        makers: JobSender<Self>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            workers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            source,
            breaker,
            makers,
            this: this.clone(),
        })
    }

    /// Make the first instances: for each worker, the one that will work, and the spare.
    ///
    /// # Errors
    ///
    /// An instance could not be made.
    pub(crate) fn fill(&self) -> Result<(), CallFailure> {
        for (worker, slot) in self.workers.iter().enumerate() {
            for _ in 0..INSTANCES_PER_WORKER {
                let instance = self.source.start_instance()?;
                let mut slot = slot.lock();
                slot.live += 1;
                drop(slot.put(self.deliver(worker, instance)));
            }
        }
        Ok(())
    }

    /// Have the first instances made, and do not wait for them.
    pub(crate) fn prepare(&self) {
        for (worker, slot) in self.workers.iter().enumerate() {
            self.request_instances(&mut slot.lock(), worker);
        }
    }

    fn deliver(&self, worker: usize, instance: Box<Instance>) -> DeliveredInstance {
        DeliveredInstance {
            instance: Some(instance),
            pool: self.this.clone(),
            worker,
        }
    }

    pub(super) fn take(&self, worker: usize) -> Option<Box<Instance>> {
        self.workers.get(worker)?.lock().idle.pop()
    }

    pub(super) fn put(&self, worker: usize, instance: Box<Instance>) {
        if let Some(slot) = self.workers.get(worker) {
            let handed = self.deliver(worker, instance);
            let too_many = slot.lock().put(handed);
            // Without the lock: to unmap its memory takes some microseconds.
            drop(too_many);
        }
    }

    /// Give an instance up, and ask for a new one.
    pub(super) fn discard(&self, worker: usize, instance: Box<Instance>) {
        let Some(slot) = self.workers.get(worker) else {
            return;
        };
        let mut slot = slot.lock();
        slot.live = slot.live.saturating_sub(1);
        let here = match slot.discarded.len() < MAX_DISCARDED {
            true => {
                slot.discarded.push(instance);
                None
            }
            false => Some(instance),
        };
        self.request_instances(&mut slot, worker);
        drop(slot);
        drop(here);
    }

    /// Line up for an instance. One that was put since the worker looked is given at once.
    pub(super) fn queue_request(&self, worker: usize) -> Option<oneshot::Receiver<InstanceResult>> {
        let (give, given) = oneshot::channel();
        let mut slot = self.workers.get(worker)?.lock();
        if let Some(instance) = slot.idle.pop() {
            drop(slot);
            // The receiver is in our hands: it is taken.
            drop(give.send(Ok(self.deliver(worker, instance))));
            return Some(given);
        }
        slot.waiting.retain(|waiting| !waiting.is_closed());
        if slot.waiting.len() >= MAX_WAITING {
            return None;
        }
        slot.waiting.push_back(give);
        self.request_instances(&mut slot, worker);
        Some(given)
    }

    fn request_instances(&self, slot: &mut WorkerInstances, worker: usize) {
        if !slot.is_requested {
            slot.is_requested = true;
            self.makers.send(self.this.clone(), worker);
        }
    }

    /// Look after a worker's slot, on a maker's thread: drop what was given up, and make one
    /// instance where one is missing.
    pub(super) fn maintain(&self, worker: usize) {
        let Some(place) = self.workers.get(worker) else {
            return;
        };
        let mut slot = place.lock();
        slot.is_requested = false;
        let given_up = std::mem::take(&mut slot.discarded);
        let is_wanted = !slot.waiting.is_empty() || !self.breaker.is_open();
        let is_missing = slot.live < INSTANCES_PER_WORKER && is_wanted;
        // Counted before it is made, as the lock is not held meanwhile: another maker is not to make it too.
        slot.live += usize::from(is_missing);
        drop(slot);
        // Without the lock, as this takes the longest.
        drop(given_up);
        if !is_missing {
            return;
        }
        let made = self.source.start_instance();
        let mut slot = place.lock();
        let (too_many, failure) = match made {
            Ok(instance) => (slot.put(self.deliver(worker, instance)), None),
            Err(failure) => {
                slot.live = slot.live.saturating_sub(1);
                (None, slot.fail(failure))
            }
        };
        let is_missing = slot.live < INSTANCES_PER_WORKER;
        // After a failure, only a request that waits is reason enough for another try.
        if is_missing && (failure.is_none() || !slot.waiting.is_empty()) {
            self.request_instances(&mut slot, worker);
        }
        drop(slot);
        drop(too_many);
        if let Some(failure) = failure {
            let filter = &**self.source.name();
            tracing::warn!(
                filter,
                "filter `{filter}`: no spare instance could be made: {failure}"
            );
        }
    }
}
