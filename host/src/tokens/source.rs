//! Keys that are fetched, kept fresh by a thread of their own for each place.
//!
//! Outlives reloads: a configuration that fetches as the one before does uses its keys and its thread. The thread ends
//! with the last configuration that uses it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};

use super::TokenTime;
use super::UsedProofs;
use super::fetch::{EntityTag, FetchError, FetchSettings, Fetched, Fetcher, without_query};
pub(crate) use super::freshness::Pace;
use super::waiters::{FetchSignal, Waiters};
use crate::verifier::KeySet;
use crate::verifier::key_set::LeftOut;

/// The identity of a source: two with the same settings are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceSettings {
    /// How its keys are fetched.
    pub(crate) fetch: FetchSettings,
    /// When.
    pub(crate) pace: Pace,
}

/// The sources in use. Outlives configurations.
#[derive(Debug, Default)]
pub(crate) struct KeySources {
    sources: Mutex<HashMap<SourceSettings, Weak<KeySource>>>,
    /// Proofs that were used, whichever keys signed their tokens.
    pub(crate) used_proofs: Arc<UsedProofs>,
}

impl KeySources {
    /// None yet, and room to remember so many proofs.
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
    /// The certificates to trust cannot be read, or the system gives no thread.
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

/// The keys of one place, and what keeps them fresh.
#[derive(Debug)]
pub(crate) struct KeySource {
    shared: Arc<SourceShared>,
}

#[derive(Debug)]
struct SourceShared {
    settings: SourceSettings,
    current: ArcSwapOption<CurrentKeys>,
    fetch_state: Mutex<FetchState>,
    /// The thread waits for orders, and the making of a configuration for the first fetch.
    changed: Condvar,
}

/// Keys, and when they were confirmed.
#[derive(Debug)]
pub(crate) struct CurrentKeys {
    pub(crate) keys: Arc<KeySet>,
    /// When the last good answer came.
    confirmed: Duration,
    /// Counts sets.
    revision: u64,
}

/// An order to the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum FetchOrder {
    /// To fetch when it is time.
    #[default]
    Wait,
    /// To fetch now.
    Fetch,
    /// To end: nobody uses the source any more.
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
    /// Whether the log said that the keys are not used any more.
    stale_reported: bool,
}

/// How a source stands, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SourceState {
    /// Keys that are used.
    pub(crate) keys: usize,
    /// Fetches that gave a good answer.
    pub(crate) good: u64,
    /// Fetches that did not.
    pub(crate) failed: u64,
    /// Since the last good answer. None: there was none.
    pub(crate) since_answer: Option<Duration>,
    /// Whether its keys are used still.
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

    /// Wait for the end of the first fetch. Blocks; not to be called on a worker.
    ///
    /// # Errors
    ///
    /// Why there are no keys.
    pub(crate) fn wait_for_first(&self) -> Result<(), String> {
        let mut desk = self.shared.fetch_state.lock();
        while desk.succeeded == 0 && desk.failed == 0 {
            self.shared.changed.wait(&mut desk);
        }
        match (self.shared.current.load().is_some(), &desk.last_error) {
            (false, Some(error)) => Err(error.clone()),
            (true | false, _) => Ok(()),
        }
    }

    /// The keys, where they may still be used.
    #[must_use]
    pub(crate) fn current_keys(&self, now: TokenTime) -> Option<Arc<CurrentKeys>> {
        let held = self.shared.current.load_full()?;
        self.is_usable(&held, now).then_some(held)
    }

    /// Which keys they are, where they may still be used: another number for other keys.
    #[must_use]
    pub(crate) fn revision(&self, now: TokenTime) -> Option<u64> {
        let held = self.shared.current.load();
        let held = held.as_ref()?;
        self.is_usable(held, now).then_some(held.revision)
    }

    fn is_usable(&self, held: &CurrentKeys, now: TokenTime) -> bool {
        let age = now.monotonic.saturating_sub(held.confirmed);
        age < self.shared.settings.pace.max_stale
    }

    /// Ask for newer keys, as a request with an unknown key id does. None: requests did so less than `cooldown` ago,
    /// and the keys are as new as they can be.
    #[must_use]
    pub(crate) fn ask_for_newer(&self, now: TokenTime) -> Option<FetchSignal> {
        let mut desk = self.shared.fetch_state.lock();
        if desk.order == FetchOrder::Wait && !desk.fetching {
            let cooldown = self.shared.settings.pace.cooldown;
            let is_soon = |last| now.monotonic.saturating_sub(last) < cooldown;
            if desk.last_caused.is_some_and(is_soon) {
                return None;
            }
            desk.order = FetchOrder::Fetch;
            desk.last_caused = Some(now.monotonic);
            self.shared.changed.notify_all();
        }
        desk.waiting.join()
    }

    #[must_use]
    pub(crate) fn state(&self, now: TokenTime) -> SourceState {
        let desk = self.shared.fetch_state.lock();
        let held = self.shared.current.load();
        let held = held.as_ref();
        SourceState {
            keys: held.map_or(0, |held| held.keys.keys().len()),
            good: desk.succeeded,
            failed: desk.failed,
            since_answer: held.map(|held| now.monotonic.saturating_sub(held.confirmed)),
            usable: held.is_some_and(|held| self.is_usable(held, now)),
        }
    }
}

/// Fetch when it is time, until nobody uses the source any more.
fn run(shared: &SourceShared, fetcher: &Fetcher) {
    let mut pause = Duration::ZERO;
    let mut tag = None;
    while shared.wait(pause) {
        let fetched = fetcher.fetch(tag.as_ref());
        pause = shared.record_fetch(fetched, &mut tag);
    }
}

impl SourceShared {
    /// Wait so long, or until somebody wants a fetch. False: nobody uses the source any more.
    fn wait(&self, pause: Duration) -> bool {
        let end = std::time::Instant::now() + pause;
        let mut desk = self.fetch_state.lock();
        while desk.order == FetchOrder::Wait {
            if self.changed.wait_until(&mut desk, end).timed_out() {
                break;
            }
        }
        if desk.order == FetchOrder::End {
            return false;
        }
        desk.order = FetchOrder::Wait;
        desk.fetching = true;
        true
    }

    /// Take the outcome of a fetch. Gives the time to the next one.
    fn record_fetch(
        &self,
        fetched: Result<Fetched, FetchError>,
        tag: &mut Option<EntityTag>,
    ) -> Duration {
        let now = TokenTime::coarse().monotonic;
        let pace = &self.settings.pace;
        let outcome = fetched.map(|fetched| {
            self.replace_keys(fetched.keys, now);
            *tag = fetched.tag;
            pace.after_answer(fetched.lifetime, fastrand::f64())
        });
        let mut desk = self.fetch_state.lock();
        let pause = match outcome {
            Ok(pause) => {
                if desk.failures_in_a_row > 0 {
                    let url = self.loggable_url();
                    tracing::info!(url, "the key set is fetched again");
                }
                desk.succeeded += 1;
                desk.failures_in_a_row = 0;
                desk.last_error = None;
                desk.stale_reported = false;
                pause
            }
            Err(error) => {
                desk.failed += 1;
                desk.failures_in_a_row += 1;
                let text = error.to_string();
                self.warn(&text, &mut desk, now);
                desk.last_error = Some(text);
                pace.after_failure(desk.failures_in_a_row, fastrand::f64())
            }
        };
        desk.fetching = false;
        let waiting = std::mem::take(&mut desk.waiting);
        drop(desk);
        self.changed.notify_all();
        waiting.wake_all();
        pause
    }

    fn replace_keys(&self, keys: Option<KeySet>, now: Duration) {
        let last = self.current.load_full();
        let revision = last.as_ref().map_or(0, |last| last.revision) + u64::from(keys.is_some());
        if let Some(keys) = &keys {
            let before = last.as_ref().map(|last| last.keys.left_out());
            self.warn_of_left_out(keys.left_out(), before.unwrap_or_default());
        }
        let keys = match (keys, last) {
            (Some(keys), Some(last)) => Arc::new(keys.succeed(&last.keys)),
            (Some(keys), None) => Arc::new(keys),
            (None, Some(last)) => Arc::clone(&last.keys),
            // A server that says that nothing changed to somebody who had nothing.
            (None, None) => return,
        };
        self.current.store(Some(Arc::new(CurrentKeys {
            keys,
            confirmed: now,
            revision,
        })));
    }

    /// Each once: a key that the last set left out as well was told of then, wherever it stands now.
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
            tracing::warn!(url, key_id, place = one.index, %defect, "a key of the set is not used");
        }
    }

    fn loggable_url(&self) -> &str {
        without_query(self.settings.fetch.location.url())
    }

    /// Once an outage, and once more when its keys are used no longer.
    fn warn(&self, error: &str, desk: &mut FetchState, now: Duration) {
        let url = self.loggable_url();
        let held = self.current.load();
        let Some(held) = held.as_ref() else {
            if desk.failures_in_a_row == 1 {
                tracing::warn!(
                    url,
                    error,
                    "the key set cannot be fetched: tokens are refused until it is there"
                );
            }
            return;
        };
        let age = now.saturating_sub(held.confirmed);
        if desk.failures_in_a_row == 1 {
            let seconds = self.settings.pace.max_stale.as_secs();
            tracing::warn!(
                url,
                error,
                "the key set cannot be fetched anew: the known keys are used until {seconds} s (`max_stale`) after the last answer"
            );
        } else if age >= self.settings.pace.max_stale && !desk.stale_reported {
            desk.stale_reported = true;
            tracing::error!(
                url,
                error,
                "the key set could not be fetched for `max_stale`: its keys are not used any more, and tokens are refused"
            );
        }
    }
}
