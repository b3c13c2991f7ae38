//! Keeps what is in memory and what is in the [ledger](crate::store::ledger) in step.
//!
//! One thread. From the ledger come keys and plans: into the [`KeyIndex`] and the [`LivePlans`],
//! by asking a few times a second what was committed since. (A question also notices a connection
//! that is dead; a subscription alone does not.) To the ledger goes what was used: from the
//! counters, at most one interval late, and when keys were last used.
//!
//! It promises
//! - that a commit of this process is in force here when [`catch_up`](Keeper::catch_up) returns,
//!   and one of another gateway within a second;
//! - that a lost connection heals by itself, and that nothing used is lost by it: what could not
//!   be written is written later;
//! - that with a shared ledger out of reach for longer than `max_staleness` its keys are refused
//!   ([`Freshness`]), or believed on if the operator says so;
//! - that a shared ledger which is out of reach at the start stops nothing: its keys are refused
//!   until it was read, and it is tried again as at any other time.
//!
//! It deliberately is on no request's way, and changes nothing in the ledger but usage.

mod counted;
mod entry;
mod load;
mod schedule;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};

use super::storage::record::PlanRecord;
use super::storage::{Changes, LastUse, Revision, Storage, StoredKey};
use crate::keys::{Freshness, KeyIndex, LiveKeys};
use crate::limits::usage_rows::UsageDelta;
use crate::limits::{EnrolledPlan, LimitStore, LivePlans, TimestampClock, UsagePlan};
use crate::shared_store::StorageError;
use counted::CountedPeriods;
use entry::key_entry;
use schedule::SyncSchedule;

/// Between two questions for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Between two writings of when keys were last used.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);
/// Between two clearings of what is old.
const CLEANUP_INTERVAL: Duration = Duration::from_hours(1);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How it works.
#[derive(Debug, Clone, Copy)]
pub struct SyncSettings {
    /// Between two writings of what was used: what a crash may lose.
    pub flush_interval: Duration,
    /// For a ledger that is shared: how long its keys are believed without contact.
    pub max_staleness: Option<Duration>,
    /// Whether they are believed on after that.
    pub allow_stale: bool,
    /// How many days usage is kept.
    pub usage_days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncState {
    /// Whether the ledger's keys are as fresh as they must be.
    pub(crate) fresh: bool,
    /// Since the last answer of the ledger.
    pub(crate) since_contact: Duration,
    /// How many keys the index has.
    pub(crate) keys: usize,
    /// The commit that it is at.
    pub(crate) revision: Revision,
    /// Calls of the ledger that failed.
    pub(crate) failures: u64,
    /// Rows of usage that could not be written at the last try, and will be.
    pub(crate) unwritten_rows: u64,
}

/// The thread and what it looks after. It ends when this is dropped, with a last writing.
#[derive(Debug)]
pub struct StorageSync {
    shared: Arc<SyncShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct SyncShared {
    storage: Arc<dyn Storage>,
    limits: Arc<dyn LimitStore>,
    index: Arc<KeyIndex>,
    plans: Arc<LivePlans>,
    freshness: Option<Arc<Freshness>>,
    /// What look-ups go by: the same, or (where stale keys are believed) whether anything was read.
    lookup_freshness: Option<Arc<Freshness>>,
    /// Whether everything was read once.
    loaded: AtomicBool,
    clock: TimestampClock,
    settings: SyncSettings,
    /// The commit that index and plans are at. Held while they are brought up.
    applied_revision: Mutex<Revision>,
    /// The same for whoever only wants to know.
    revision: AtomicU64,
    /// Held while usage is written, with the periods in which usage counts.
    flush_state: Mutex<CountedPeriods>,
    started: Instant,
    /// Milliseconds since `started`.
    last_contact_ms: AtomicU64,
    reachable: AtomicBool,
    failures: AtomicU64,
    unwritten_rows: AtomicU64,
    /// Whether a successor may have the store. Changed while `flush_state` is held.
    released: AtomicBool,
    stop_requested: Mutex<bool>,
    stop_signal: Condvar,
}

impl std::fmt::Debug for SyncShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncShared")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system gives no thread.
    #[error("cannot start the thread that keeps keys fresh")]
    Thread(#[from] std::io::Error),
}

impl StorageSync {
    /// Read all keys and plans, and keep them fresh from then on. A shared ledger that is out of
    /// reach is read when it answers.
    ///
    /// # Errors
    /// The ledger cannot be read, or the system gives no thread.
    pub fn start(
        ledger: Arc<dyn Storage>,
        limits: Arc<dyn LimitStore>,
        clock: TimestampClock,
        settings: SyncSettings,
    ) -> Result<Self, SyncError> {
        let freshness = settings.max_staleness.map(|_| Arc::new(Freshness::none()));
        let trusted = match &freshness {
            Some(_) if settings.allow_stale => Some(Arc::new(Freshness::none())),
            freshness => freshness.clone(),
        };
        let shared = Arc::new(SyncShared {
            storage: ledger,
            limits,
            index: Arc::default(),
            plans: Arc::default(),
            freshness,
            lookup_freshness: trusted,
            loaded: AtomicBool::new(false),
            clock,
            settings,
            applied_revision: Mutex::new(0),
            revision: AtomicU64::new(0),
            flush_state: Mutex::default(),
            started: Instant::now(),
            last_contact_ms: AtomicU64::new(0),
            reachable: AtomicBool::new(true),
            failures: AtomicU64::new(0),
            unwritten_rows: AtomicU64::new(0),
            released: AtomicBool::new(false),
            stop_requested: Mutex::new(false),
            stop_signal: Condvar::new(),
        });
        let asked_ms = monotonic_ms();
        match shared.load() {
            Ok(revision) => {
                *shared.applied_revision.lock() = revision;
                shared.revision.store(revision, Ordering::Relaxed);
                shared.record_contact(asked_ms);
            }
            Err(error @ StorageError::Unreachable { .. }) if settings.max_staleness.is_some() => {
                shared.failures.fetch_add(1, Ordering::Relaxed);
                shared.reachable.store(false, Ordering::Relaxed);
                tracing::error!(
                    "keys of the store are refused and it is tried again until it answers: {error}"
                );
            }
            Err(error) => return Err(error.into()),
        }
        let looked_after = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("windlass-keeper".into())
            .spawn(move || looked_after.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The keys, for look-ups.
    #[must_use]
    pub fn live_keys(&self) -> LiveKeys {
        LiveKeys {
            index: Arc::clone(&self.shared.index),
            freshness: self.shared.lookup_freshness.clone(),
        }
    }

    #[must_use]
    pub(crate) fn index(&self) -> &Arc<KeyIndex> {
        &self.shared.index
    }

    #[must_use]
    pub(crate) fn plans(&self) -> &Arc<LivePlans> {
        &self.shared.plans
    }

    #[must_use]
    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.shared.storage
    }

    /// Give the counters what was used before the start. After the plans of the configuration were
    /// enrolled, before requests come.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn restore(&self) -> Result<(), StorageError> {
        if self.is_loaded() {
            self.shared.restore()
        } else {
            // It is done when the ledger is read.
            Ok(())
        }
    }

    /// Whether the ledger was read since the start.
    #[must_use]
    pub(crate) fn is_loaded(&self) -> bool {
        self.shared.loaded.load(Ordering::Relaxed)
    }

    /// Before a plan is in force: what its keys used since the period of its quota began counts,
    /// whatever the quota was then.
    ///
    /// # Errors
    /// The ledger is out of reach.
    pub(crate) fn prepare(&self, plan: &UsagePlan) -> Result<(), StorageError> {
        self.shared.prepare(plan)
    }

    /// Add what was used elsewhere, by key and day: to the ledger, and to the counters.
    ///
    /// # Errors
    /// The ledger or the counters are out of reach.
    pub(crate) fn add_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        self.shared.add_usage(used)
    }

    /// Put in force what was committed.
    ///
    /// # Errors
    /// The ledger is out of reach.
    pub(crate) fn catch_up(&self) -> Result<(), StorageError> {
        self.shared.catch_up()
    }

    /// Write what was used.
    ///
    /// # Errors
    /// The ledger is out of reach; what was used is written later.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        self.shared.flush(false)
    }

    #[must_use]
    pub(crate) fn state(&self) -> SyncState {
        let shared = &self.shared;
        let contact = Duration::from_millis(shared.last_contact_ms.load(Ordering::Relaxed));
        let freshness = shared.freshness.as_ref();
        SyncState {
            fresh: freshness.is_none_or(|freshness| freshness.is_fresh(monotonic_ms())),
            since_contact: shared.started.elapsed().saturating_sub(contact),
            keys: shared.index.len(),
            revision: shared.revision.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            unwritten_rows: shared.unwritten_rows.load(Ordering::Relaxed),
        }
    }

    /// End the thread, with a last writing. Once; later calls do nothing.
    pub(crate) fn stop(&self) {
        *self.shared.stop_requested.lock() = true;
        self.shared.stop_signal.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps keys fresh had failed");
        }
    }
}

impl Drop for StorageSync {
    fn drop(&mut self) {
        self.stop();
    }
}

impl SyncShared {
    fn run(&self) {
        let start = Instant::now();
        let mut due = SyncSchedule {
            poll: start + POLL_INTERVAL,
            flush: start + self.settings.flush_interval,
            last_used: start + LAST_USED_INTERVAL,
            cleanup: start + POLL_INTERVAL,
        };
        loop {
            let mut ending = self.stop_requested.lock();
            if !*ending {
                self.stop_signal.wait_until(&mut ending, due.next());
            }
            let last = *ending;
            drop(ending);
            let now = Instant::now();
            if last {
                self.record_result("write what was used", self.flush(true));
                return;
            }
            if now >= due.poll {
                due.poll = now + POLL_INTERVAL;
                self.record_result("be asked for changes", self.catch_up());
                if let Err(error) = self.apply_drain_usage() {
                    self.record_result("give what a gateway that drains has used", Err(error));
                }
            }
            if now >= due.flush {
                due.flush = now + self.settings.flush_interval;
                let touch = now >= due.last_used;
                if touch {
                    due.last_used = now + LAST_USED_INTERVAL;
                }
                // Where there was nothing to write its success says nothing of the store.
                if let Err(error) = self.flush(touch) {
                    self.record_result("take what was used", Err(error));
                }
            }
            if now >= due.cleanup && !self.released.load(Ordering::Relaxed) {
                due.cleanup = now + CLEANUP_INTERVAL;
                self.record_result("forget what is old", self.delete_expired());
            }
        }
    }

    /// Count and log, once for each turn of events.
    fn record_result(&self, what: &str, done: Result<(), StorageError>) {
        match done {
            Ok(()) => {
                if !self.reachable.swap(true, Ordering::Relaxed) {
                    tracing::info!("the store of keys and plans answers again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if self.reachable.swap(false, Ordering::Relaxed) {
                    tracing::error!("the store of keys and plans cannot {what}: {error}");
                } else {
                    tracing::debug!("the store of keys and plans cannot {what}: {error}");
                }
            }
        }
    }

    /// The ledger answered a question that was asked at this moment.
    fn record_contact(&self, asked_ms: u64) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_contact_ms.store(since, Ordering::Relaxed);
        if let (Some(freshness), Some(max)) = (&self.freshness, self.settings.max_staleness) {
            let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
            freshness.set(asked_ms.saturating_add(max));
            if let Some(trusted) = &self.lookup_freshness
                && self.settings.allow_stale
            {
                trusted.set(u64::MAX);
            }
        }
    }

    fn catch_up(&self) -> Result<(), StorageError> {
        let mut at = self.applied_revision.lock();
        let asked_ms = monotonic_ms();
        *at = if self.loaded.load(Ordering::Relaxed) {
            let changes = self.storage.changes(*at)?;
            if changes.reload_required {
                self.reload()?
            } else {
                self.apply(changes)?
            }
        } else {
            self.load_first_time()?
        };
        self.revision.store(*at, Ordering::Relaxed);
        self.record_contact(asked_ms);
        Ok(())
    }

    fn apply(&self, changes: Changes) -> Result<Revision, StorageError> {
        // Plans first: a new key may be on a new plan.
        for (name, plan) in &changes.plans {
            match plan.as_ref().map(|plan| self.enroll(plan)).transpose()? {
                Some(Some(plan)) => self.plans.upsert(plan),
                Some(None) | None => self.plans.remove(name),
            }
        }
        let mut gone = Vec::new();
        let mut put = Vec::new();
        for (id, record) in changes.keys {
            match record {
                Some(record) => put.push(key_entry(StoredKey {
                    record,
                    last_used_ms: None,
                })),
                None => gone.push(id),
            }
        }
        self.index.remove(gone.iter().map(String::as_str));
        self.index.put(put);
        Ok(changes.revision)
    }

    /// A plan that makes no sense was written by somebody else: keys on it have no plan.
    fn enroll(&self, record: &PlanRecord) -> Result<Option<EnrolledPlan>, StorageError> {
        let plan = UsagePlan::from(record);
        if plan.check().is_ok() {
            self.prepare(&plan)?;
        }
        Ok(match self.limits.enroll(plan) {
            Ok(plan) => Some(plan),
            Err(error) => {
                tracing::error!("the store holds a plan that cannot be used: {error}");
                None
            }
        })
    }

    fn delete_expired(&self) -> Result<(), StorageError> {
        let now_ms = self.clock.now().wall_ms;
        let today = u32::try_from(now_ms / DAY_MS).unwrap_or(u32::MAX);
        let before = today.saturating_sub(self.settings.usage_days);
        self.storage.delete_expired(before, now_ms)
    }
}

/// On the clock that look-ups go by.
fn monotonic_ms() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanoseconds / 1_000_000
}

#[cfg(test)]
mod tests;
