//! Sources of keys: each fetches the keys of one location and keeps them fresh, on a thread of its
//! own.
//!
//! A source outlives reloads: a configuration with the same fetch settings as the one before uses
//! its keys and its thread. The thread ends with the last configuration that uses it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};

use super::UsedProofs;
use super::fetch::{EntityTag, FetchError, FetchSettings, Fetched, Fetcher, without_query};
pub(crate) use super::freshness::Pace;
use super::waiters::{FetchSignal, Waiters};
use crate::runtime::clock::Timestamp;
use crate::verifier::KeySet;
use crate::verifier::key_set::LeftOut;

/// The settings of a source. Two sources with the same settings are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceSettings {
    /// How to fetch its keys.
    pub(crate) fetch: FetchSettings,
    /// When to fetch them.
    pub(crate) pace: Pace,
}

/// The sources in use. They outlive configurations.
#[derive(Debug, Default)]
pub(crate) struct KeySources {
    sources: Mutex<HashMap<SourceSettings, Weak<KeySource>>>,
    /// Proofs that were used, whichever keys signed their tokens.
    pub(crate) used_proofs: Arc<UsedProofs>,
}

impl KeySources {
    /// No sources yet, and room for this many used proofs.
    #[must_use]
    pub(crate) fn new(max_used_proofs: usize) -> Self {
        Self {
            sources: Mutex::default(),
            used_proofs: Arc::new(UsedProofs::new(max_used_proofs)),
        }
    }

    /// The source with these settings, which begins to fetch if it is new.
    ///
    /// # Errors
    ///
    /// The trusted certificates cannot be read, or the system gives no thread.
    pub(crate) fn of(&self, settings: &SourceSettings) -> Result<Arc<KeySource>, FetchError> {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get(settings).and_then(Weak::upgrade) {
            return Ok(source);
        }
        sources.retain(|_, source| source.strong_count() > 0);
        let source = Arc::new(KeySource::start(settings.clone())?);
        sources.insert(settings.clone(), Arc::downgrade(&source));
        Ok(source)
    }
}

/// The keys of one location, and the thread that keeps them fresh.
#[derive(Debug)]
pub(crate) struct KeySource {
    shared: Arc<SourceShared>,
}

#[derive(Debug)]
struct SourceShared {
    settings: SourceSettings,
    current: ArcSwapOption<CurrentKeys>,
    fetch_state: Mutex<FetchState>,
    /// The thread waits here for orders, and the build of a configuration for the first fetch.
    changed: Condvar,
}

/// Keys, and the time of their confirmation.
#[derive(Debug)]
pub(crate) struct CurrentKeys {
    pub(crate) keys: Arc<KeySet>,
    /// When the last good answer arrived.
    confirmed: Duration,
    /// The number of the set.
    revision: u64,
}

/// An order to the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum FetchOrder {
    /// Fetch at the next scheduled time.
    #[default]
    Wait,
    /// To fetch now.
    Fetch,
    /// End: no configuration uses the source any more.
    End,
}

#[derive(Debug, Default)]
struct FetchState {
    order: FetchOrder,
    fetching: bool,
    /// When a request last caused a fetch.
    last_caused: Option<Duration>,
    waiting: Waiters,
    succeeded: u64,
    failed: u64,
    failures_in_a_row: u32,
    last_error: Option<String>,
    /// Whether the log has said that the keys are no longer used.
    stale_reported: bool,
}

/// The state of a source, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SourceState {
    /// Keys in use.
    pub(crate) keys: usize,
    /// Fetches with a good answer.
    pub(crate) good: u64,
    /// Fetches without one.
    pub(crate) failed: u64,
    /// Time since the last good answer. None: there was none.
    pub(crate) since_answer: Option<Duration>,
    /// Whether its keys may be used.
    pub(crate) usable: bool,
}

impl Drop for KeySource {
    fn drop(&mut self) {
        self.shared.fetch_state.lock().order = FetchOrder::End;
        self.shared.changed.notify_all();
    }
}

impl KeySource {
    fn start(settings: SourceSettings) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(settings.fetch.clone())?;
        let shared = Arc::new(SourceShared {
            settings,
            current: ArcSwapOption::empty(),
            fetch_state: Mutex::new(FetchState {
                order: FetchOrder::Fetch,
                ..FetchState::default()
            }),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("windlass-key-set".into());
        thread
            .spawn(move || run(&own, &fetcher))
            .map_err(FetchError::Thread)?;
        Ok(Self { shared })
    }

    /// Waits for the end of the first fetch. Blocks, so no worker may call it.
    ///
    /// # Errors
    ///
    /// The reason why there are no keys.
    pub(crate) fn wait_for_first(&self) -> Result<(), String> {
        let mut state = self.shared.fetch_state.lock();
        while state.succeeded == 0 && state.failed == 0 {
            self.shared.changed.wait(&mut state);
        }
        match (self.shared.current.load().is_some(), &state.last_error) {
            (false, Some(error)) => Err(error.clone()),
            (true | false, _) => Ok(()),
        }
    }

    /// The keys, if they may be used.
    #[must_use]
    pub(crate) fn current_keys(&self, now: Timestamp) -> Option<Arc<CurrentKeys>> {
        let current = self.shared.current.load_full()?;
        self.is_usable(&current, now).then_some(current)
    }

    /// The revision of the keys, if they may be used: another number means other keys.
    #[must_use]
    pub(crate) fn revision(&self, now: Timestamp) -> Option<u64> {
        let current = self.shared.current.load();
        let current = current.as_ref()?;
        self.is_usable(current, now).then_some(current.revision)
    }

    fn is_usable(&self, current: &CurrentKeys, now: Timestamp) -> bool {
        let age = now.monotonic().saturating_sub(current.confirmed);
        age < self.shared.settings.pace.max_stale
    }

    /// Asks for newer keys for a request with an unknown key id. None: requests did so less than
    /// `cooldown` ago, so the keys are as new as they may be.
    #[must_use]
    pub(crate) fn ask_for_newer(&self, now: Timestamp) -> Option<FetchSignal> {
        let mut state = self.shared.fetch_state.lock();
        if state.order == FetchOrder::Wait && !state.fetching {
            let cooldown = self.shared.settings.pace.cooldown;
            let is_soon = |last| now.monotonic().saturating_sub(last) < cooldown;
            if state.last_caused.is_some_and(is_soon) {
                return None;
            }
            state.order = FetchOrder::Fetch;
            state.last_caused = Some(now.monotonic());
            self.shared.changed.notify_all();
        }
        state.waiting.join()
    }

    #[must_use]
    pub(crate) fn state(&self, now: Timestamp) -> SourceState {
        let state = self.shared.fetch_state.lock();
        let current = self.shared.current.load();
        let current = current.as_ref();
        SourceState {
            keys: current.map_or(0, |current| current.keys.keys.len()),
            good: state.succeeded,
            failed: state.failed,
            since_answer: current.map(|current| now.monotonic().saturating_sub(current.confirmed)),
            usable: current.is_some_and(|current| self.is_usable(current, now)),
        }
    }
}

/// Fetches at each scheduled time, until no configuration uses the source.
fn run(shared: &SourceShared, fetcher: &Fetcher) {
    let mut pause = Duration::ZERO;
    let mut tag = None;
    while shared.wait(pause) {
        let fetched = fetcher.fetch(tag.as_ref());
        pause = shared.record_fetch(fetched, &mut tag);
    }
}

impl SourceShared {
    /// Waits this long, or until a request wants a fetch. False: no configuration uses the source
    /// any more.
    fn wait(&self, pause: Duration) -> bool {
        let end = std::time::Instant::now() + pause;
        let mut state = self.fetch_state.lock();
        while state.order == FetchOrder::Wait {
            if self.changed.wait_until(&mut state, end).timed_out() {
                break;
            }
        }
        if state.order == FetchOrder::End {
            return false;
        }
        state.order = FetchOrder::Wait;
        state.fetching = true;
        true
    }

    /// Records the result of a fetch. Returns the time to the next one.
    fn record_fetch(
        &self,
        fetched: Result<Fetched, FetchError>,
        tag: &mut Option<EntityTag>,
    ) -> Duration {
        let now = Timestamp::coarse().monotonic();
        let pace = &self.settings.pace;
        let outcome = fetched.map(|fetched| {
            self.replace_keys(fetched.keys, now);
            *tag = fetched.tag;
            pace.after_answer(fetched.lifetime, fastrand::f64())
        });
        let mut state = self.fetch_state.lock();
        let pause = match outcome {
            Ok(pause) => {
                if state.failures_in_a_row > 0 {
                    let url = self.loggable_url();
                    tracing::info!(url, "the key set can be fetched again");
                }
                state.succeeded += 1;
                state.failures_in_a_row = 0;
                state.last_error = None;
                state.stale_reported = false;
                pause
            }
            Err(error) => {
                state.failed += 1;
                state.failures_in_a_row += 1;
                let text = error.to_string();
                self.warn(&text, &mut state, now);
                state.last_error = Some(text);
                pace.after_failure(state.failures_in_a_row, fastrand::f64())
            }
        };
        state.fetching = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        waiting.wake_all();
        pause
    }

    fn replace_keys(&self, keys: Option<KeySet>, now: Duration) {
        let last = self.current.load_full();
        let revision = last.as_ref().map_or(0, |last| last.revision) + u64::from(keys.is_some());
        if let Some(keys) = &keys {
            let before = last.as_ref().map(|last| &*last.keys.left_out);
            self.warn_of_left_out(&keys.left_out, before.unwrap_or_default());
        }
        let keys = match (keys, last) {
            (Some(keys), Some(last)) => Arc::new(keys.succeed(&last.keys)),
            (Some(keys), None) => Arc::new(keys),
            (None, Some(last)) => Arc::clone(&last.keys),
            // The server answered 304 although there was nothing to confirm.
            (None, None) => return,
        };
        self.current.store(Some(Arc::new(CurrentKeys {
            keys,
            confirmed: now,
            revision,
        })));
    }

    /// Warns of each left-out key once: one that the last set left out too has had its warning,
    /// whatever its index is now.
    fn warn_of_left_out(&self, left_out: &[LeftOut], before: &[LeftOut]) {
        let url = self.loggable_url();
        for one in left_out {
            let is_same = |other: &LeftOut| {
                let is_there = one.key_id.is_some() || one.index == other.index;
                is_there && one.key_id == other.key_id && one.defect == other.defect
            };
            if before.iter().any(is_same) {
                continue;
            }
            let (key_id, defect) = (one.key_id.as_deref(), one.defect);
            tracing::warn!(url, key_id, place = one.index, %defect, "a key of the set is ignored; correct it at the issuer if tokens need it");
        }
    }

    fn loggable_url(&self) -> &str {
        without_query(self.settings.fetch.location.url())
    }

    /// Warns once for an outage, and once more when its keys are no longer used.
    fn warn(&self, error: &str, state: &mut FetchState, now: Duration) {
        let url = self.loggable_url();
        let current = self.current.load();
        let Some(current) = current.as_ref() else {
            if state.failures_in_a_row == 1 {
                tracing::warn!(
                    url,
                    error,
                    "the key set could not be fetched, and tokens are refused until it is; check `url`, the network and the issuer"
                );
            }
            return;
        };
        let age = now.saturating_sub(current.confirmed);
        if state.failures_in_a_row == 1 {
            let seconds = self.settings.pace.max_stale.as_secs();
            tracing::warn!(
                url,
                error,
                "the key set could not be fetched again; its last keys are used until {seconds} s (`max_stale`) after the last good answer; check the network and the issuer"
            );
        } else if age >= self.settings.pace.max_stale && !state.stale_reported {
            state.stale_reported = true;
            tracing::error!(
                url,
                error,
                "the key set could not be fetched for `max_stale`; its keys are no longer used, and tokens are refused; check the network and the issuer"
            );
        }
    }
}
