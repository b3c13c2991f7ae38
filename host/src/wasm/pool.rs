//! Instances that are not in use: each worker's own, and the threads that make new ones so that no
//! worker has to.
//!
//! A worker runs one call of most filters at a time, so it needs one instance of a filter and one
//! spare for the moment that the first is given up. The one that works stays with the worker, on
//! its [`WorkerFilter`], where nobody else reaches: a call takes no lock and touches no shared memory. The
//! spare is in a [`WorkerInstances`] behind a lock that only its worker and the makers take, for one push or
//! pop.
//!
//! Where there is none at hand, the request waits for one, while the worker goes on with others:
//! within the filter's `limits.wait`, and in the order that requests came.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak as RcWeak};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::breaker::Permit;
use super::failure::CallFailure;
use super::filter::{Filter, FilterFigures};
use super::instance::Instance;
use super::maker::InstanceMaker;

use crate::model::filter::Isolation;

/// Instances of a filter that each worker has: those that work, and those at hand.
pub(crate) const INSTANCES_PER_WORKER: usize = 2;

/// Requests of one worker that may wait for an instance of one filter.
const MAX_WAITING: usize = 1024;

/// Given-up instances that wait for a maker to drop them; further ones are dropped on the worker.
const MAX_DISCARDED: usize = 4;

/// What a request that waits is given.
type InstanceResult = Result<DeliveredInstance, CallFailure>;

/// An instance on its way to a request that waited for it. Where that is gone, it goes to another.
struct DeliveredInstance {
    instance: Option<Box<Instance>>,
    filter: Weak<Filter>,
    worker: usize,
}

impl Drop for DeliveredInstance {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take()
            && let Some(filter) = self.filter.upgrade()
        {
            filter.pool().put(self.worker, instance);
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
    maker: InstanceMaker,
    /// The filter that these belong to.
    filter: Weak<Filter>,
}

impl InstancePool {
    /// None yet, for this many workers.
    #[must_use]
    pub(crate) fn new(workers: usize, maker: InstanceMaker, filter: Weak<Filter>) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            maker,
            filter,
        }
    }

    /// Make the first instances: for each worker, the one that will work, and the spare.
    ///
    /// # Errors
    ///
    /// An instance could not be made.
    pub(crate) fn fill(&self, filter: &Filter) -> Result<(), CallFailure> {
        for (worker, slot) in self.workers.iter().enumerate() {
            for _ in 0..INSTANCES_PER_WORKER {
                let instance = filter.start_instance()?;
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
            filter: self.filter.clone(),
            worker,
        }
    }

    fn take(&self, worker: usize) -> Option<Box<Instance>> {
        self.workers.get(worker)?.lock().idle.pop()
    }

    fn put(&self, worker: usize, instance: Box<Instance>) {
        if let Some(slot) = self.workers.get(worker) {
            let handed = self.deliver(worker, instance);
            let too_many = slot.lock().put(handed);
            // Without the lock: to unmap its memory takes some microseconds.
            drop(too_many);
        }
    }

    /// Give an instance up, and ask for a new one.
    fn discard(&self, worker: usize, instance: Box<Instance>) {
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
    fn queue_request(&self, worker: usize) -> Option<oneshot::Receiver<InstanceResult>> {
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
            self.maker.request_instances(self.filter.clone(), worker);
        }
    }

    /// Look after a worker's slot, on a maker's thread: drop what was given up, and make one
    /// instance where one is missing.
    pub(super) fn maintain(&self, filter: &Filter, worker: usize) {
        let Some(place) = self.workers.get(worker) else {
            return;
        };
        let mut slot = place.lock();
        slot.is_requested = false;
        let given_up = std::mem::take(&mut slot.discarded);
        let is_wanted = !slot.waiting.is_empty() || !filter.is_suspended();
        let is_missing = slot.live < INSTANCES_PER_WORKER && is_wanted;
        // Counted before it is made, as the lock is not held meanwhile: another maker is not to make it too.
        slot.live += usize::from(is_missing);
        drop(slot);
        // Without the lock, as this takes the longest.
        drop(given_up);
        if !is_missing {
            return;
        }
        let made = filter.start_instance();
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
            tracing::warn!(
                filter = &**filter.name(),
                "filter `{}`: no spare instance could be made: {failure}",
                filter.name()
            );
        }
    }
}

/// One worker's use of a filter, shared by all of its chains that name the filter.
pub(crate) struct WorkerFilter {
    filter: Arc<Filter>,
    worker: usize,
    /// Whether calls run on a fiber.
    runs_on_fiber: bool,
    /// The instance that worked last.
    instance: Cell<Option<Box<Instance>>>,
    /// Requests that wait for an instance.
    waiting: Cell<usize>,
}

/// An instance checked out for one call.
pub(crate) struct CheckedOut {
    pub(super) instance: Box<Instance>,
    /// What the breaker said.
    pub(super) permit: Permit,
}

/// Why a call cannot be made at once.
pub(crate) enum CheckOutError {
    /// It fails: the filter is suspended.
    Failed(CallFailure),
    /// An instance has to be waited for, with what the breaker said.
    Wait(Permit),
    /// It is to run on a fiber.
    OnFiber(CheckedOut),
}

thread_local! {
    /// The seats of this thread's worker.
    static WORKER_FILTERS: RefCell<Vec<RcWeak<WorkerFilter>>> = const { RefCell::new(Vec::new()) };
}

impl WorkerFilter {
    /// The worker's seat for a filter: one, also for configurations that live beside each other,
    /// so that none keeps instances from another.
    #[must_use]
    pub(crate) fn for_worker(filter: &Arc<Filter>, worker: usize) -> Rc<Self> {
        WORKER_FILTERS.with_borrow_mut(|seats| {
            seats.retain(|seat| seat.strong_count() > 0);
            let known = seats.iter().filter_map(RcWeak::upgrade);
            let mut known =
                known.filter(|seat| seat.worker == worker && Arc::ptr_eq(&seat.filter, filter));
            known.next().unwrap_or_else(|| {
                let seat = Rc::new(Self::new(Arc::clone(filter), worker));
                seats.push(Rc::downgrade(&seat));
                seat
            })
        })
    }

    /// A seat without an instance.
    fn new(filter: Arc<Filter>, worker: usize) -> Self {
        Self {
            runs_on_fiber: filter.runs_on_fiber(),
            filter,
            worker,
            instance: Cell::new(None),
            waiting: Cell::new(0),
        }
    }

    /// Whose it is.
    #[must_use]
    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    #[must_use]
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// Ask the breaker, and take the instance that worked last, else the worker's spare.
    ///
    /// # Errors
    ///
    /// The filter is suspended, there is no instance at hand, or the call is to run on a fiber.
    #[inline]
    pub(crate) fn check_out(&self) -> Result<CheckedOut, CheckOutError> {
        let permit = self.filter.permit();
        if permit == Permit::Suspended {
            self.filter
                .count(self.worker, |figures| &figures.suspended, 1);
            return Err(CheckOutError::Failed(CallFailure::Suspended));
        }
        let instance = self.instance.take();
        match instance.or_else(|| self.filter.pool.take(self.worker)) {
            Some(instance) if self.runs_on_fiber => {
                Err(CheckOutError::OnFiber(CheckedOut { instance, permit }))
            }
            Some(instance) => Ok(CheckedOut { instance, permit }),
            None => Err(CheckOutError::Wait(permit)),
        }
    }

    /// Whether calls run on a fiber, which the worker leaves at every tick of the epoch: those of
    /// a filter that may use more of the processor than others have to wait for.
    #[must_use]
    pub(crate) fn runs_on_fiber(&self) -> bool {
        self.runs_on_fiber
    }

    /// An instance, where a call could not be made at once.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) async fn wait_if_busy(
        &self,
        not_now: CheckOutError,
    ) -> Result<CheckedOut, CallFailure> {
        match not_now {
            CheckOutError::Failed(failure) => Err(failure),
            CheckOutError::Wait(permit) => self.wait(permit).await,
            CheckOutError::OnFiber(out) => Ok(out),
        }
    }

    /// Wait for an instance. The worker goes on meanwhile.
    ///
    /// # Errors
    ///
    /// None came in time, or none could be made.
    pub(crate) async fn wait(&self, permit: Permit) -> Result<CheckedOut, CallFailure> {
        let limit = self.filter.wait_limit();
        let Some(given) = self.filter.pool.queue_request(self.worker) else {
            return Err(self.busy(CallFailure::QueueFull(MAX_WAITING)));
        };
        let _waiting = WaitingCount::begin(&self.waiting);
        match timeout(limit, given).await {
            Ok(Ok(Ok(mut handed))) => match handed.instance.take() {
                Some(instance) => Ok(CheckedOut { instance, permit }),
                None => Err(self.busy(CallFailure::Busy(limit))),
            },
            Ok(Ok(Err(failure))) => {
                self.filter.failed(self.worker, permit, None, &failure);
                Err(failure)
            }
            Ok(Err(_)) | Err(_) => Err(self.busy(CallFailure::Busy(limit))),
        }
    }

    /// No fault of the filter's code: its breaker stays as it is.
    fn busy(&self, failure: CallFailure) -> CallFailure {
        let busy: fn(&FilterFigures) -> &_ = |figures| &figures.busy;
        if self.filter.count(self.worker, busy, 1) == 0 {
            let filter = &**self.filter.name();
            tracing::warn!(filter, "filter `{filter}`: {failure} (said once)");
        }
        failure
    }

    /// Keep an instance for the next call.
    #[inline]
    pub(crate) fn check_in(&self, instance: Box<Instance>) {
        // Those who wait go first. In the seat, the next request to come would find it before they do.
        if self.waiting.get() > 0 {
            self.filter.pool.put(self.worker, instance);
        } else if let Some(other) = self.instance.replace(Some(instance)) {
            // The filter's calls run beside each other: both go on.
            self.filter.pool.put(self.worker, other);
        }
    }

    /// Give an instance up: it must serve no more.
    pub(crate) fn discard(&self, instance: Box<Instance>) {
        self.filter.pool.discard(self.worker, instance);
    }

    /// Whether an instance that served a call may serve another.
    pub(super) fn is_shared(&self) -> bool {
        self.filter.isolation == Isolation::Shared
    }
}

/// Counts one request that waits, until it is dropped.
struct WaitingCount<'a>(&'a Cell<usize>);

impl<'a> WaitingCount<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for WaitingCount<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The filter may be in use by the next configuration too: its instance is not lost.
impl Drop for WorkerFilter {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.filter.pool.put(self.worker, instance);
        }
    }
}

impl fmt::Debug for WorkerFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerFilter")
            .field("filter", &self.filter)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
