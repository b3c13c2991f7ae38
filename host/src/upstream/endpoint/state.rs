//! The state of one endpoint in the whole process, whatever configuration is in use.
//!
//! Its active requests, its health and its counts survive reloads that keep the endpoint. A good result
//! costs a request one load; only a fault takes a lock. Workers keep the connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

use super::health::{Change, Health};
use crate::balance::EndpointLoad;
use crate::config::EndpointLimits;
use crate::model::word::Word as _;
use crate::observe::histogram::{HistogramTotals, TimeHistogram};
use crate::observe::route_stats::{CLASSES, ClassCounters};
use crate::observe::stats::Counter;
use crate::upstream::hash_key::hash;
use crate::upstream::queue::{QueueError, QueueKey, RequestQueue};

/// One endpoint of one upstream.
#[derive(Debug)]
pub(crate) struct EndpointState {
    /// Its id in this process. Never 0.
    pub(crate) id: u64,
    /// Its name in logs, metrics and attributes: the address, or the configured name and the
    /// address that it resolves to.
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    /// Its active requests, and the share of its weight that counts.
    pub(crate) load: EndpointLoad,
    health: Mutex<Health>,
    faults_in_row: AtomicU32,
    connections: AtomicU32,
    waiting: RequestQueue,
    /// Requests that wait until another one has made a connection that they share.
    shared_waiters: AtomicUsize,
    counters: Mutex<Vec<Weak<EndpointCounters>>>,
    /// The counts of workers' views that have ended.
    retired_totals: Mutex<EndpointTotals>,
    ejections: AtomicU64,
    left: AtomicBool,
}

/// A permit for one connection to an endpoint, until dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<EndpointState>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
        self.0.waiting.wake_next();
    }
}

/// A request that waits for a connection of another request's, until this drops.
#[derive(Debug)]
pub(crate) struct SharedConnectionWait(Arc<EndpointState>);

impl Drop for SharedConnectionWait {
    fn drop(&mut self) {
        self.0.shared_waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker's counts of one endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct EndpointCounters {
    /// Requests sent to it, repeated ones included.
    pub(crate) attempts: Counter,
    /// Those that were faults of its.
    pub(crate) faults: Counter,
    pub(crate) connects: Counter,
    classes: ClassCounters,
    times: TimeHistogram,
}

/// The counts of one endpoint, summed over the workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndpointTotals {
    /// Requests sent to it.
    pub(crate) attempts: u64,
    /// Those that were faults of its.
    pub(crate) faults: u64,
    pub(crate) connects: u64,
    /// Its responses that were answers, by status class.
    pub(crate) classes: [u64; CLASSES.len()],
    /// From the start of an attempt to the head of the response.
    pub(crate) times: HistogramTotals,
}

impl EndpointCounters {
    /// Counts a response that is the answer, and the time of its attempt. Only the owning worker may do this.
    pub(crate) fn answered(&self, status: Option<StatusCode>, time_us: u64) {
        self.classes.count(status);
        self.times.observe_us(time_us);
    }
}

impl EndpointState {
    /// The state of a new endpoint.
    #[must_use]
    pub(crate) fn new(
        name: Arc<str>,
        address: SocketAddr,
        load: EndpointLoad,
        health: Health,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            address,
            load,
            health: Mutex::new(health),
            faults_in_row: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            waiting: RequestQueue::default(),
            shared_waiters: AtomicUsize::new(0),
            counters: Mutex::default(),
            retired_totals: Mutex::default(),
            ejections: AtomicU64::new(0),
            left: AtomicBool::new(false),
        }
    }

    /// Its identity for the balancer: the same in each process and on each machine.
    #[must_use]
    pub(crate) fn identity(&self) -> u64 {
        hash(self.name.as_bytes())
    }

    /// Read or change its health.
    pub(crate) fn health<T>(&self, look: impl FnOnce(&mut Health) -> T) -> T {
        look(&mut self.health.lock())
    }

    pub(crate) fn record_success(&self) {
        // Nearly always 0 already. A store after each response would take the cache line from the other workers.
        if self.faults_in_row.load(Ordering::Relaxed) != 0 {
            self.faults_in_row.store(0, Ordering::Relaxed);
        }
    }

    /// Whether its last result was a fault.
    #[must_use]
    pub(crate) fn has_failed_last(&self) -> bool {
        self.faults_in_row.load(Ordering::Relaxed) != 0
    }

    /// Record a fault. Gives how many there were in a row.
    pub(crate) fn record_fault(&self) -> u32 {
        let before = self.faults_in_row.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// It is ejected: its faults are counted from 0 when it is back.
    pub(crate) fn reset_faults(&self) {
        self.faults_in_row.store(0, Ordering::Relaxed);
        self.ejections.fetch_add(1, Ordering::Relaxed);
    }

    /// How often its faults ejected it.
    #[must_use]
    pub(crate) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Whether it has left: its active requests are cut.
    #[must_use]
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Set whether it has left.
    pub(crate) fn set_left(&self, left: bool) {
        self.left.store(left, Ordering::Relaxed);
    }

    /// A permit for one connection, of those of all workers. Waits for one, up to a limit.
    ///
    /// # Errors
    ///
    /// Too many wait, or it took too long.
    pub(crate) async fn acquire_connection(
        self: &Arc<Self>,
        limits: &EndpointLimits,
        longest: Duration,
    ) -> Result<ConnectionPermit, QueueError> {
        let most = limits.max_connections.unwrap_or(u32::MAX);
        if self.waiting.is_empty()
            && let Some(permit) = self.try_acquire_connection(most)
        {
            return Ok(permit);
        }
        // Requests of another configuration may have a higher limit.
        let want = QueueKey::from_hash(u64::from(most));
        self.waiting
            .wait(limits.queue, longest, want, || {
                self.try_acquire_connection(most)
            })
            .await
    }

    fn try_acquire_connection(self: &Arc<Self>, most: u32) -> Option<ConnectionPermit> {
        let count = &self.connections;
        let more = |count: u32| (count < most).then(|| count.saturating_add(1));
        count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()
            .map(|_| ConnectionPermit(Arc::clone(self)))
    }

    /// Connections to it, idle ones included.
    #[must_use]
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// A request waits for the connection that another one makes, until this drops.
    pub(crate) fn wait_for_shared_connection(self: &Arc<Self>) -> SharedConnectionWait {
        self.shared_waiters.fetch_add(1, Ordering::Relaxed);
        SharedConnectionWait(Arc::clone(self))
    }

    /// How many requests wait for a connection, or for one that another request makes.
    #[must_use]
    pub(crate) fn all_waiting(&self) -> usize {
        self.waiting.len() + self.shared_waiters.load(Ordering::Relaxed)
    }

    /// How many wait for a connection. While some do, idle ones are closed.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// New counts for one worker.
    #[must_use]
    pub(crate) fn register_counters(&self) -> Arc<EndpointCounters> {
        let counters = Arc::new(EndpointCounters::default());
        self.counters.lock().push(Arc::downgrade(&counters));
        counters
    }

    /// A worker's counts end.
    pub(crate) fn retire_counters(&self, counters: &EndpointCounters) {
        // Under one lock, so that no reader counts it twice.
        let mut active = self.counters.lock();
        self.retired_totals.lock().add(counters);
        active.retain(|other| !std::ptr::eq(other.as_ptr(), counters));
    }

    /// Its counts.
    #[must_use]
    pub(crate) fn totals(&self) -> EndpointTotals {
        let active = self.counters.lock();
        let mut totals = *self.retired_totals.lock();
        for counters in active.iter().filter_map(Weak::upgrade) {
            totals.add(&counters);
        }
        totals
    }

    /// Log a change of state, if there is one.
    pub(crate) fn log(&self, upstream: &str, change: Option<&Change>) {
        let Some(change) = change else { return };
        let (from, to) = (change.from.word(), change.to.word());
        let (endpoint, reason) = (&*self.name, &*change.reason);
        if change.to.is_available() {
            tracing::info!(
                upstream,
                endpoint,
                from,
                to,
                "an endpoint is available again: {reason}"
            );
        } else {
            tracing::warn!(
                upstream,
                endpoint,
                from,
                to,
                "an endpoint is unavailable: {reason}"
            );
        }
    }
}

impl EndpointTotals {
    fn add(&mut self, counters: &EndpointCounters) {
        self.attempts += counters.attempts.value();
        self.faults += counters.faults.value();
        self.connects += counters.connects.value();
        counters.classes.add_to(&mut self.classes);
        self.times.add(&counters.times);
    }
}
