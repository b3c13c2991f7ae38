//! The pool of a filter: for each worker, the instances that are not in use.
//!
//! A worker runs one call of most filters at a time, so it needs one instance of a filter, and one
//! spare for the moment that the first is discarded. The one in use stays with the worker's
//! [`WorkerFilter`](super::WorkerFilter): a call takes no lock and touches no shared memory. The spare
//! is here, behind a lock that only its worker and the makers take, for one push or pop. The threads of
//! [`super::maker`] make new instances, so that no worker has to.
//!
//! If a worker has no instance left, the request waits for one, up to the filter's `limits.wait` and in
//! the order of arrival. The worker serves other requests meanwhile.

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

/// Discarded instances that wait for a maker to drop them; the worker drops further ones itself.
const MAX_DISCARDED: usize = 4;

/// The result that a waiting request gets.
pub(super) type InstanceResult = Result<DeliveredInstance, CallFailure>;

/// An instance on its way to a request that waited for it. If the request has gone, it goes to another.
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
    /// A maker drops them: unmapping their memory takes some microseconds.
    discarded: Vec<Box<Instance>>,
    /// Instances that exist or are being made.
    live: usize,
    /// Whether a maker will look at it.
    is_requested: bool,
}

impl WorkerInstances {
    /// Give it to the request that has waited longest, or keep it. Returns it if there is one too many.
    fn put(&mut self, delivered: DeliveredInstance) -> Option<Box<Instance>> {
        let mut made = Ok(delivered);
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

    /// Give the failure to the request that has waited longest. Returns it if none waits.
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

    /// Make the first instances: two for each worker.
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

    /// Ask for the first instances without a wait.
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
            let delivered = self.deliver(worker, instance);
            let too_many = slot.lock().put(delivered);
            // Without the lock: unmapping its memory takes some microseconds.
            drop(too_many);
        }
    }

    /// Discard an instance, and ask for a new one.
    pub(super) fn discard(&self, worker: usize, instance: Box<Instance>) {
        let Some(slot) = self.workers.get(worker) else {
            return;
        };
        let mut slot = slot.lock();
        slot.live = slot.live.saturating_sub(1);
        let dropped_here = if slot.discarded.len() < MAX_DISCARDED {
            slot.discarded.push(instance);
            None
        } else {
            Some(instance)
        };
        self.request_instances(&mut slot, worker);
        drop(slot);
        drop(dropped_here);
    }

    /// Queue for an instance. One that came since the worker looked is delivered at once.
    pub(super) fn queue_request(&self, worker: usize) -> Option<oneshot::Receiver<InstanceResult>> {
        let (give, given) = oneshot::channel();
        let mut slot = self.workers.get(worker)?.lock();
        if let Some(instance) = slot.idle.pop() {
            drop(slot);
            // This cannot fail: the receiver exists.
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

    /// Look after a worker's instances, on a maker's thread: drop those that were discarded, and make one
    /// if one is missing.
    pub(super) fn maintain(&self, worker: usize) {
        let Some(instances) = self.workers.get(worker) else {
            return;
        };
        let mut slot = instances.lock();
        slot.is_requested = false;
        let discarded = std::mem::take(&mut slot.discarded);
        let is_wanted = !slot.waiting.is_empty() || !self.breaker.is_open();
        let is_missing = slot.live < INSTANCES_PER_WORKER && is_wanted;
        // Counted before it is made, since the lock is free meanwhile: another maker must not make it too.
        slot.live += usize::from(is_missing);
        drop(slot);
        // Without the lock, since this takes the longest.
        drop(discarded);
        if !is_missing {
            return;
        }
        let made = self.source.start_instance();
        let mut slot = instances.lock();
        let (too_many, failure) = match made {
            Ok(instance) => (slot.put(self.deliver(worker, instance)), None),
            Err(failure) => {
                slot.live = slot.live.saturating_sub(1);
                (None, slot.fail(failure))
            }
        };
        let is_missing = slot.live < INSTANCES_PER_WORKER;
        // After a failure, Windlass tries again only if a request waits.
        if is_missing && (failure.is_none() || !slot.waiting.is_empty()) {
            self.request_instances(&mut slot, worker);
        }
        drop(slot);
        drop(too_many);
        if let Some(failure) = failure {
            let filter = &**self.source.name();
            tracing::warn!(
                filter,
                "filter `{filter}`: a spare instance could not be made: {failure}"
            );
        }
    }
}
