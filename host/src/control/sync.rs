//! The sync: keeps memory and the [storage](crate::control::storage) in step, on one thread.
//!
//! Keys and plans come from the storage into the [`KeyIndex`] and the [`LivePlans`]: the thread
//! polls a few times a second for new commits. (A poll also notices a dead connection; a
//! subscription alone does not.) Usage goes from the counters to the storage, at most one interval
//! late, and so do the times when keys were last used.
//!
//! It promises
//! - that a commit of this process is in use here when [`catch_up`](SyncShared::catch_up)
//!   returns, and one of another gateway within a second;
//! - that it reconnects by itself, and that no usage is lost meanwhile: what could not be written
//!   is written later;
//! - that if a shared storage is out of reach for longer than `max_staleness`, its keys are
//!   refused ([`Freshness`]), or keep working if the operator says so;
//! - that a shared storage that is out of reach at the start stops nothing: its keys are refused
//!   until they are loaded, and the thread keeps trying.
//!
//! No request waits for it, and it writes nothing but usage.

mod counted;
mod load;
mod usage;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::storage::record::PlanRecord;
use super::storage::{Changes, LastUse, Revision, Storage, StoredKey};
use crate::keys::{Freshness, KeyEntry, KeyIndex, LiveKeys};
use crate::limits::{EnrolledPlan, LimitStore, LivePlans, UsagePlan};
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;
use counted::CountedPeriods;

/// Time between two polls for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time between two writes of when keys were last used.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);
/// Time between two deletions of expired rows.
const CLEANUP_INTERVAL: Duration = Duration::from_hours(1);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The settings of the sync.
#[derive(Debug, Clone, Copy)]
pub struct SyncSettings {
    /// Time between two writes of usage: a crash may lose this much.
    pub flush_interval: Duration,
    /// For a shared storage: how long its keys are used without contact.
    pub max_staleness: Option<Duration>,
    /// Whether they are used after that, too.
    pub allow_stale: bool,
    /// How many days of usage are kept.
    pub usage_days: u32,
}

/// How the sync and the storage are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncState {
    /// Whether the storage's keys are as fresh as they must be.
    pub(crate) fresh: bool,
    /// Time since the last answer of the storage.
    pub(crate) since_contact: Duration,
    /// Keys in the index.
    pub(crate) keys: usize,
    /// The last commit that was applied.
    pub(crate) revision: Revision,
    /// Calls to the storage that failed.
    pub(crate) failures: u64,
    /// Rows of usage that the last write failed for; they are written later.
    pub(crate) unwritten_rows: u64,
}

/// The thread, and its state as the target of `Deref`. Dropping this ends the thread, after a last write.
#[derive(Debug)]
pub struct StorageSync {
    shared: Arc<SyncShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state of the sync, which its thread and its callers share.
pub struct SyncShared {
    pub(crate) storage: Arc<dyn Storage>,
    limits: Arc<dyn LimitStore>,
    pub(crate) index: Arc<KeyIndex>,
    pub(crate) plans: Arc<LivePlans>,
    freshness: Option<Arc<Freshness>>,
    /// The freshness for look-ups: the same, or (if stale keys are allowed) whether anything was
    /// loaded.
    lookup_freshness: Option<Arc<Freshness>>,
    /// Whether everything was loaded once.
    loaded: AtomicBool,
    settings: SyncSettings,
    /// The commit that index and plans are at. Locked while they are updated.
    applied_revision: Mutex<Revision>,
    /// The same for readers that must not wait.
    revision: AtomicU64,
    /// The periods in which usage counts. Locked while usage is written.
    flush_state: Mutex<CountedPeriods>,
    started: Instant,
    /// Milliseconds since `started`.
    last_contact_ms: AtomicU64,
    reachable: AtomicBool,
    failures: AtomicU64,
    unwritten_rows: AtomicU64,
    /// Whether a successor may have the storage. Changed only under the lock of `flush_state`.
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

/// Why the sync does not start.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The storage cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system gives no thread.
    #[error("cannot start the thread that keeps keys fresh")]
    Thread(#[from] std::io::Error),
}

impl StorageSync {
    /// Loads all keys and plans, and keeps them fresh from then on. A shared storage that is out
    /// of reach is loaded when it answers.
    ///
    /// # Errors
    ///
    /// The storage cannot be read, or the system gives no thread.
    pub fn start(
        storage: Arc<dyn Storage>,
        limits: Arc<dyn LimitStore>,
        settings: SyncSettings,
    ) -> Result<Self, SyncError> {
        let freshness = settings.max_staleness.map(|_| Arc::<Freshness>::default());
        let lookup_freshness = match &freshness {
            Some(_) if settings.allow_stale => Some(Arc::<Freshness>::default()),
            freshness => freshness.clone(),
        };
        let shared = Arc::new(SyncShared {
            storage,
            limits,
            index: Arc::default(),
            plans: Arc::default(),
            freshness,
            lookup_freshness,
            loaded: AtomicBool::new(false),
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
        let asked_ms = Timestamp::now().monotonic_ms();
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
                    "the storage is out of reach, and its keys are refused until it answers: {error}; check `[store]` and the network"
                );
            }
            Err(error) => return Err(error.into()),
        }
        let sync = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("windlass-sync".into())
            .spawn(move || sync.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends the thread after a last write. Later calls do nothing.
    pub(crate) fn stop(&self) {
        *self.shared.stop_requested.lock() = true;
        self.shared.stop_signal.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(
                "the thread that keeps keys fresh had panicked; the usage of its last interval may be lost"
            );
        }
    }
}

impl Deref for StorageSync {
    type Target = SyncShared;

    fn deref(&self) -> &SyncShared {
        &self.shared
    }
}

impl Drop for StorageSync {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The times of the thread's next actions.
struct SyncSchedule {
    poll: Instant,
    flush: Instant,
    last_used: Instant,
    cleanup: Instant,
}

impl SyncSchedule {
    fn next(&self) -> Instant {
        self.poll.min(self.flush).min(self.cleanup)
    }
}

impl SyncShared {
    /// The keys, for look-ups.
    #[must_use]
    pub fn live_keys(&self) -> LiveKeys {
        LiveKeys {
            index: Arc::clone(&self.index),
            freshness: self.lookup_freshness.clone(),
        }
    }

    /// Adds the stored usage to the counters. To be called after the plans of the configuration
    /// were enrolled and before the first request.
    ///
    /// # Errors
    ///
    /// The storage cannot be read.
    pub(crate) fn restore(&self) -> Result<(), StorageError> {
        if self.is_loaded() {
            self.restore_usage()
        } else {
            // The first load does it.
            Ok(())
        }
    }

    /// Whether the storage was loaded since the start.
    #[must_use]
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Relaxed)
    }

    #[must_use]
    pub(crate) fn state(&self) -> SyncState {
        let contact = Duration::from_millis(self.last_contact_ms.load(Ordering::Relaxed));
        let freshness = self.freshness.as_ref();
        SyncState {
            fresh: freshness
                .is_none_or(|freshness| freshness.is_fresh(Timestamp::now().monotonic_ms())),
            since_contact: self.started.elapsed().saturating_sub(contact),
            keys: self.index.len(),
            revision: self.revision.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            unwritten_rows: self.unwritten_rows.load(Ordering::Relaxed),
        }
    }

    fn run(&self) {
        let start = Instant::now();
        let mut schedule = SyncSchedule {
            poll: start + POLL_INTERVAL,
            flush: start + self.settings.flush_interval,
            last_used: start + LAST_USED_INTERVAL,
            cleanup: start + POLL_INTERVAL,
        };
        loop {
            let mut stop_requested = self.stop_requested.lock();
            if !*stop_requested {
                self.stop_signal
                    .wait_until(&mut stop_requested, schedule.next());
            }
            let last = *stop_requested;
            drop(stop_requested);
            let now = Instant::now();
            if last {
                self.record_result("write usage", self.flush(true));
                return;
            }
            if now >= schedule.poll {
                schedule.poll = now + POLL_INTERVAL;
                self.record_result("poll for changes", self.catch_up());
                if let Err(error) = self.apply_drain_usage() {
                    self.record_result("read the usage of a draining gateway", Err(error));
                }
            }
            if now >= schedule.flush {
                schedule.flush = now + self.settings.flush_interval;
                let touch = now >= schedule.last_used;
                if touch {
                    schedule.last_used = now + LAST_USED_INTERVAL;
                }
                // If there was nothing to write, success would say nothing about the storage.
                if let Err(error) = self.flush(touch) {
                    self.record_result("write usage", Err(error));
                }
            }
            if now >= schedule.cleanup && !self.released.load(Ordering::Relaxed) {
                schedule.cleanup = now + CLEANUP_INTERVAL;
                self.record_result("delete expired rows", self.delete_expired());
            }
        }
    }

    /// Counts the result, and logs each change between failure and success once.
    fn record_result(&self, action: &str, done: Result<(), StorageError>) {
        match done {
            Ok(()) => {
                if !self.reachable.swap(true, Ordering::Relaxed) {
                    tracing::info!("the storage of keys and plans answers again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if self.reachable.swap(false, Ordering::Relaxed) {
                    tracing::error!(
                        "cannot {action} in the storage of keys and plans: {error}; check `[store]` and the network"
                    );
                } else {
                    tracing::debug!("cannot {action} in the storage of keys and plans: {error}");
                }
            }
        }
    }

    /// Records that the storage answered a call that began at this time.
    fn record_contact(&self, asked_ms: u64) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_contact_ms.store(since, Ordering::Relaxed);
        if let (Some(freshness), Some(max)) = (&self.freshness, self.settings.max_staleness) {
            let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
            freshness.set(asked_ms.saturating_add(max));
            if let Some(lookup_freshness) = &self.lookup_freshness
                && self.settings.allow_stale
            {
                lookup_freshness.set(u64::MAX);
            }
        }
    }

    /// Applies all commits.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn catch_up(&self) -> Result<(), StorageError> {
        let mut at = self.applied_revision.lock();
        let asked_ms = Timestamp::now().monotonic_ms();
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
                Some(record) => put.push(KeyEntry::from(StoredKey {
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

    /// Enrolls a plan. Another program may have written an invalid one: keys on it have no plan.
    fn enroll(&self, record: &PlanRecord) -> Result<Option<EnrolledPlan>, StorageError> {
        let plan = UsagePlan::from(record);
        if plan.check().is_ok() {
            self.prepare(&plan)?;
        }
        Ok(match self.limits.local().enroll(plan) {
            Ok(plan) => Some(plan),
            Err(error) => {
                tracing::error!(
                    "the storage has an invalid plan, and keys on it have no plan: {error}; correct the plan through the admin API"
                );
                None
            }
        })
    }

    fn delete_expired(&self) -> Result<(), StorageError> {
        let now_ms = Timestamp::now().wall_ms;
        let today = u32::try_from(now_ms / DAY_MS).unwrap_or(u32::MAX);
        let before = today.saturating_sub(self.settings.usage_days);
        self.storage.delete_expired(before, now_ms)
    }
}

#[cfg(test)]
mod tests;
