//! A worker's use of a filter: the instance that was used last, the breaker's permit, and the wait for
//! an instance if none is at hand.
//!
//! [`super::calls`] calls the instance that is checked out here. Instances that nobody uses are in the
//! filter's pool ([`super::pool`]).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak as RcWeak};
use std::sync::Arc;

use tokio::time::timeout;

use super::breaker::{CircuitBreaker, Permit};
use super::failure::CallFailure;
use super::filter::{Filter, FilterFigures};
use super::instance::{CallFault, Instance};
use super::pool::MAX_WAITING;
use crate::model::filter::Isolation;
use crate::runtime::clock::monotonic_ns;

/// One worker's use of a filter, shared by all of its chains that name the filter.
pub(crate) struct WorkerFilter {
    filter: Arc<Filter>,
    worker: usize,
    breaker: Arc<CircuitBreaker>,
    /// Whether calls run on a fiber.
    runs_on_fiber: bool,
    /// Whether an instance that served a call may serve another.
    is_shared: bool,
    /// The instance that was used last.
    instance: Cell<Option<Box<Instance>>>,
    /// Requests that wait for an instance.
    waiting: Cell<usize>,
}

/// An instance checked out for one call.
pub(crate) struct CheckedOut {
    pub(super) instance: Box<Instance>,
    /// The breaker's permit for the call.
    pub(super) permit: Permit,
}

/// The reason why a call cannot be made at once.
pub(crate) enum CheckOutError {
    /// The filter is suspended.
    Failed(CallFailure),
    /// No instance is idle: the request has to wait, with this permit.
    Wait(Permit),
    /// The call runs on a fiber.
    OnFiber(CheckedOut),
}

thread_local! {
    /// The filters that this thread's worker uses.
    static WORKER_FILTERS: RefCell<Vec<RcWeak<WorkerFilter>>> = const { RefCell::new(Vec::new()) };
}

impl WorkerFilter {
    /// The worker's use of a filter. Configurations that exist at the same time share it, so that none
    /// keeps instances from another.
    #[must_use]
    pub(crate) fn for_worker(filter: &Arc<Filter>, worker: usize) -> Rc<Self> {
        WORKER_FILTERS.with_borrow_mut(|uses| {
            uses.retain(|one| one.strong_count() > 0);
            let existing = uses
                .iter()
                .filter_map(RcWeak::upgrade)
                .find(|one| one.worker == worker && Arc::ptr_eq(&one.filter, filter));
            existing.unwrap_or_else(|| {
                let one = Rc::new(Self::new(Arc::clone(filter), worker));
                uses.push(Rc::downgrade(&one));
                one
            })
        })
    }

    /// A use without an instance yet.
    fn new(filter: Arc<Filter>, worker: usize) -> Self {
        Self {
            // Copied here: a call of a healthy filter then reads little of the filter, which is large.
            breaker: Arc::clone(&filter.breaker),
            runs_on_fiber: filter.runs_on_fiber(),
            is_shared: filter.isolation == Isolation::Shared,
            filter,
            worker,
            instance: Cell::new(None),
            waiting: Cell::new(0),
        }
    }

    /// The filter that is used.
    #[must_use]
    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    #[must_use]
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// Ask the breaker, and take the instance that was used last, or the worker's spare.
    ///
    /// # Errors
    ///
    /// The filter is suspended, no instance is idle, or the call runs on a fiber.
    #[inline]
    pub(crate) fn check_out(&self) -> Result<CheckedOut, CheckOutError> {
        let permit = self.breaker.permit(monotonic_ns);
        if permit == Permit::Suspended {
            self.filter
                .count(self.worker, |figures| &figures.suspended, 1);
            return Err(CheckOutError::Failed(CallFailure::Suspended));
        }
        let instance = self.instance.take();
        match instance.or_else(|| self.filter.pool().take(self.worker)) {
            Some(instance) if self.runs_on_fiber => {
                Err(CheckOutError::OnFiber(CheckedOut { instance, permit }))
            }
            Some(instance) => Ok(CheckedOut { instance, permit }),
            None => Err(CheckOutError::Wait(permit)),
        }
    }

    /// Whether calls run on a fiber, which yields to the worker at every tick of the epoch. Calls of a
    /// filter that may use much CPU time do.
    #[must_use]
    pub(crate) fn runs_on_fiber(&self) -> bool {
        self.runs_on_fiber
    }

    /// The instance for a call that could not be made at once.
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

    /// Wait for an instance. The worker serves other requests meanwhile.
    ///
    /// # Errors
    ///
    /// None came in time, or none could be made.
    pub(crate) async fn wait(&self, permit: Permit) -> Result<CheckedOut, CallFailure> {
        let limit = self.filter.wait_limit();
        let Some(given) = self.filter.pool().queue_request(self.worker) else {
            return Err(self.busy(CallFailure::QueueFull(MAX_WAITING)));
        };
        let _waiting = WaitingCount::begin(&self.waiting);
        match timeout(limit, given).await {
            Ok(Ok(Ok(delivered))) => match delivered.accept() {
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
            tracing::warn!(filter, "filter `{filter}`: {failure} (logged once)");
        }
        failure
    }

    /// Make the next calls fail, or take that back. For tests of plugins.
    pub(crate) fn set_fault(&self, fault: Option<CallFault>) {
        self.with_next_instance(|instance| instance.set_fault(fault));
    }

    /// The linear memory of the instance that the next call gets, if it is there. Bytes.
    #[must_use]
    pub(crate) fn instance_memory(&self) -> Option<u64> {
        self.with_next_instance(|instance| instance.memory())
    }

    fn with_next_instance<R>(&self, look: impl FnOnce(&mut Instance) -> R) -> Option<R> {
        let instance = self.instance.take();
        let instance = instance.or_else(|| self.filter.pool().take(self.worker));
        let mut instance = instance?;
        let seen = look(&mut instance);
        self.instance.set(Some(instance));
        Some(seen)
    }

    /// Keep an instance for the next call.
    #[inline]
    pub(crate) fn check_in(&self, instance: Box<Instance>) {
        // Requests that wait go first. Kept here, the next request would take the instance before them.
        if self.waiting.get() > 0 {
            self.filter.pool().put(self.worker, instance);
        } else if let Some(other) = self.instance.replace(Some(instance)) {
            // Calls of the filter ran at the same time: keep both instances.
            self.filter.pool().put(self.worker, other);
        }
    }

    /// Discard an instance that must not serve another call.
    pub(crate) fn discard(&self, instance: Box<Instance>) {
        self.filter.pool().discard(self.worker, instance);
    }

    /// Whether an instance that served a call may serve another.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
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

/// The next configuration may use the filter too, so the instance goes back to the pool.
impl Drop for WorkerFilter {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.filter.pool().put(self.worker, instance);
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
