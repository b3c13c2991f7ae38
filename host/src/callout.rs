//! The targets of a configuration that filters may call (`[callout.<name>]`).
//!
//! Above it the `callout` interface builds a request from a guest's call; below it one thread
//! moves the bytes of all calls ([`CalloutThread`]), so that no worker waits.
//!
//! It promises
//! - that a call ends within its target's `timeout`, the time in the queue included, whatever the
//!   server does;
//! - that at most `max_concurrent` calls of a target are in flight and `max_waiting` wait;
//! - that calls that may share one answer are one while it is in flight, and only a limited number
//!   of requests wait for it;
//! - that a call that nobody waits for any more is cancelled;
//! - that an address that only the gateway's machine or its cloud can reach is connected to only
//!   if the URL names it literally, or the operator allows it ([`address`]).
//!
//! It deliberately caches no answers: the filter knows what an answer means, and for how long.

mod address;
mod client;
mod pending;
mod request;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

pub(crate) use pending::PendingCall;
pub(crate) use request::{CalloutRequest, CalloutRequestError, Credential, RequestDigest};

use crate::config::Callout;
use client::CalloutClient;

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CalloutAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CalloutError {
    /// The limits on calls in flight and waiting calls are reached.
    #[error("its queue is full; raise `max_concurrent` or `max_waiting`")]
    Busy,
    #[error("it did not answer completely within its `timeout`")]
    Timeout,
    /// The server could not be reached, or its answer was cut short.
    #[error("{0}")]
    Unreachable(Arc<str>),
    /// The answer is too large.
    #[error("its answer is larger than its `max_response`")]
    TooLarge,
}

/// The outcome of a call.
pub(crate) type CalloutOutcome = Result<Arc<CalloutAnswer>, CalloutError>;

/// Counts of calls by their outcome.
#[derive(Debug, Default)]
pub(crate) struct CalloutFigures {
    pub(crate) answered: AtomicU64,
    /// Calls that got the answer of another.
    pub(crate) shared: AtomicU64,
    /// Calls whose answer nobody waited for any more.
    pub(crate) abandoned: AtomicU64,
    /// Calls that failed, by [`CalloutError`], in the order of [`CalloutFigures::failures`].
    failed: [AtomicU64; 4],
    /// Calls in flight, those in the queue included.
    pub(crate) active: AtomicU64,
}

impl CalloutFigures {
    /// The numbers of failures, by reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
        let words = ["busy", "timeout", "unreachable", "too_large"];
        words.into_iter().zip(&self.failed)
    }

    fn count(&self, outcome: Result<(), &CalloutError>) {
        let [busy, timeout, unreachable, too_large] = &self.failed;
        let count = match outcome {
            Ok(()) => &self.answered,
            Err(CalloutError::Busy) => busy,
            Err(CalloutError::Timeout) => timeout,
            Err(CalloutError::Unreachable(_)) => unreachable,
            Err(CalloutError::TooLarge) => too_large,
        };
        count.fetch_add(1, Relaxed);
    }
}

/// The thread that moves the bytes of all calls. It outlives configurations.
#[derive(Debug)]
pub(crate) struct CalloutThread {
    handle: Handle,
    /// Dropping this ends the thread.
    _stop: oneshot::Sender<()>,
}

impl CalloutThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system gives no thread, or no event queue for sockets.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new()
            .name("windlass-callout".into())
            .spawn(move || {
                let _ = runtime.block_on(stopped);
                // A DNS look-up may be stuck, so the runtime must not wait for it.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }
}

/// One target of a configuration.
#[derive(Debug)]
pub(crate) struct CalloutTarget {
    /// Its table in the configuration.
    pub(crate) settings: Callout,
    /// Counts of its calls.
    pub(crate) figures: CalloutFigures,
    client: CalloutClient,
    runtime: Handle,
    permits: Semaphore,
    in_flight: Mutex<HashMap<RequestDigest, Weak<PendingCall>>>,
    /// Whether the last call failed: the log reports only the change.
    failing: AtomicBool,
}

impl CalloutTarget {
    /// A target with these settings and its TLS configuration.
    #[must_use]
    pub(crate) fn new(
        settings: Callout,
        tls: Option<Arc<ClientConfig>>,
        thread: &CalloutThread,
    ) -> Self {
        Self {
            client: CalloutClient::new(&settings, tls, &thread.handle),
            runtime: thread.handle.clone(),
            permits: Semaphore::new(settings.max_concurrent),
            in_flight: Mutex::default(),
            figures: CalloutFigures::default(),
            failing: AtomicBool::new(false),
            settings,
        }
    }

    /// Begins a call, or joins one in flight. `digest` distinguishes it from calls that may not
    /// have its answer.
    #[must_use]
    pub(crate) fn call(
        self: &Arc<Self>,
        request: CalloutRequest,
        digest: RequestDigest,
        share: bool,
    ) -> Arc<PendingCall> {
        if !share {
            return self.begin(request, None);
        }
        let mut under_way = self.in_flight.lock();
        if let Some(pending) = under_way.get(&digest).and_then(Weak::upgrade) {
            self.figures.shared.fetch_add(1, Relaxed);
            return pending;
        }
        let pending = self.begin(request, Some(digest));
        under_way.insert(digest, Arc::downgrade(&pending));
        pending
    }

    fn begin(
        self: &Arc<Self>,
        request: CalloutRequest,
        digest: Option<RequestDigest>,
    ) -> Arc<PendingCall> {
        let most = self.settings.max_concurrent + self.settings.max_waiting;
        let active = self.figures.active.fetch_add(1, Relaxed);
        if usize::try_from(active).is_ok_and(|active| active >= most) {
            self.figures.active.fetch_sub(1, Relaxed);
            self.record_outcome(Err(&CalloutError::Busy));
            return PendingCall::finished(Err(CalloutError::Busy));
        }
        let (pending, abandoned) = PendingCall::new();
        let (target, waited_for) = (Arc::clone(self), Arc::downgrade(&pending));
        self.runtime.spawn(async move {
            let outcome = tokio::select! {
                _ = abandoned => None,
                outcome = target.exchange(request) => Some(outcome),
            };
            target.figures.active.fetch_sub(1, Relaxed);
            if let Some(digest) = digest {
                let mut under_way = target.in_flight.lock();
                // Another call may have begun since this one was cancelled.
                let is_own = |one: &Weak<PendingCall>| Weak::ptr_eq(one, &waited_for);
                if under_way.get(&digest).is_some_and(is_own) {
                    under_way.remove(&digest);
                }
            }
            match outcome {
                Some(outcome) => {
                    target.record_outcome(outcome.as_ref().map(|_| ()));
                    if let Some(pending) = waited_for.upgrade() {
                        pending.finish(outcome);
                    }
                }
                None => {
                    target.figures.abandoned.fetch_add(1, Relaxed);
                }
            }
        });
        pending
    }

    async fn exchange(&self, request: CalloutRequest) -> CalloutOutcome {
        let call = async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            self.client.send(request).await
        };
        match tokio::time::timeout(self.settings.timeout, call).await {
            Ok(outcome) => outcome.map(Arc::new),
            Err(_) => Err(CalloutError::Timeout),
        }
    }

    /// Counts a request that may not wait for a call.
    pub(crate) fn count_refused(&self, error: &CalloutError) {
        self.record_outcome(Err(error));
    }

    /// Records the outcome of a call. Logs when the target begins to fail, and when it works
    /// again.
    fn record_outcome(&self, outcome: Result<(), &CalloutError>) {
        self.figures.count(outcome);
        let callout = &*self.settings.name;
        match outcome {
            Ok(()) if self.failing.swap(false, Relaxed) => {
                tracing::info!(callout, "callout `{callout}` answers again");
            }
            Ok(()) => {}
            Err(error) if !self.failing.swap(true, Relaxed) => {
                let url = loggable_url(&self.settings.url);
                tracing::warn!(
                    callout,
                    url,
                    "callout `{callout}` fails: {error}; the filters that use it decide what clients get; check the target"
                );
            }
            Err(error) => tracing::debug!(callout, %error, "a call failed"),
        }
    }
}

/// A URL for the log, without its query, which may hold a secret.
fn loggable_url(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}{}", url.path())
}

/// The targets of a configuration, in its order.
#[derive(Debug, Default)]
pub(crate) struct Callouts(pub(crate) Vec<Arc<CalloutTarget>>);

impl Callouts {
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<CalloutTarget>> {
        self.0.iter().find(|one| &*one.settings.name == name)
    }
}
