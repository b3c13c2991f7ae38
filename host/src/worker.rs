//! What one worker holds: the configuration in use, its clock, its numbers.
//!
//! Made by [`crate::server`], used by the spine and the upstream side. Promises: everything
//! here belongs to one thread; what other threads may see is in [`WorkerShared`]. Deliberately not
//! here: sockets, and anything that knows HTTP.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Notify;

use crate::chain::Passage;
use crate::config::Listener;
use crate::context::KeyRejection;
use crate::error::Code;
use crate::gateway::Generation;
use crate::interim;
use crate::observe::access_log::LogBuffer;
use crate::observe::log_rate_limit::LogRateLimit;
use crate::observe::stats::WorkerStats;
use crate::panics;
use crate::watch::{ExchangeRegistration, Watch};

mod ids;

pub(crate) use ids::next_id;

/// What a worker's connections share, and other threads may read.
#[derive(Debug)]
pub(crate) struct WorkerShared {
    /// The worker's coarse clock.
    pub(crate) clock: CoarseClock,
    pub(crate) stats: WorkerStats,
    /// Exchanges whose log phases did not run because too many waited.
    pub(crate) log_phases_dropped: Arc<AtomicU64>,
}

impl WorkerShared {
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: CoarseClock::new(),
            stats: WorkerStats::default(),
            log_phases_dropped: Arc::default(),
        })
    }
}

/// Milliseconds since the worker's start, as of its last look at the real clock. Time-outs are
/// set by it, so that a request asks no clock for them; it is behind by one tick of the watch
/// at most (and by what the worker itself is late).
#[derive(Debug)]
pub(crate) struct CoarseClock {
    start: Instant,
    now: AtomicU64,
}

impl CoarseClock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            now: AtomicU64::new(1),
        }
    }

    /// As of the last look. Never 0.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// As if it were so late.
    #[cfg(test)]
    pub(crate) fn set(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Look at the real clock.
    pub(crate) fn update(&self) -> u64 {
        let elapsed = self.start.elapsed().as_millis();
        let now = u64::try_from(elapsed).unwrap_or(u64::MAX).max(1);
        self.now.store(now, Ordering::Relaxed);
        now
    }
}

/// One worker. Lives on its thread only.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its place among the workers, from 0.
    pub(crate) index: usize,
    /// What others may see of it.
    pub(crate) shared: Arc<WorkerShared>,
    /// Whether it is draining: every answer closes its connection.
    pub(crate) draining: Cell<bool>,
    /// How often the deadlines are looked at. Milliseconds.
    pub(crate) tick: Cell<u64>,
    /// Its end of the access log, where there is one.
    pub(crate) access: Option<LogBuffer>,
    /// Exchanges that have ended and whose log phases have not run.
    pub(crate) log_phases: LogPhaseQueue,
    /// How many lines of the log each code gets, in the order of [`Code::ALL`].
    log_limits: [LogRateLimit; Code::ALL.len()],
    /// How many lines each cause of a rejected key gets, in the order of [`KeyRejection::ALL`].
    key_log_limits: [LogRateLimit; KeyRejection::ALL.len()],
    generation: RefCell<Rc<Generation>>,
}

/// The most exchanges that wait for their log phases.
const MAX_LOG_PHASES: usize = 1024;

/// Exchanges that have ended and whose log phases have not run: a bounded queue, so that slow log
/// filters cost lines and not memory.
#[derive(Debug, Default)]
pub(crate) struct LogPhaseQueue {
    waiting: RefCell<VecDeque<Rc<Passage>>>,
    filled: Notify,
    dropped: Arc<AtomicU64>,
}

impl LogPhaseQueue {
    /// Let the log phases of this exchange run soon. When too many wait, this one's do not.
    pub(crate) fn push(&self, passage: Rc<Passage>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MAX_LOG_PHASES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(passage);
        self.filled.notify_one();
    }

    /// Run log phases as they come, between the worker's other tasks. For ever.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            match next {
                Some(passage) => {
                    log(&passage).await;
                    tokio::task::yield_now().await;
                }
                None => self.filled.notified().await,
            }
        }
    }

    /// Run all that wait: the worker ends.
    pub(crate) async fn finish(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for passage in waiting {
            log(&passage).await;
        }
    }
}

/// Run the log phases of one exchange. A panic of our own code ends them, and not those of others.
async fn log(passage: &Passage) {
    let mut logging = pin!(passage.log());
    let logged = poll_fn(|context| panics::poll_caught(logging.as_mut(), context)).await;
    if let Err(panic) = logged {
        tracing::error!(
            "the log phases of an exchange ended early: {}",
            panic.message()
        );
    }
}

impl Worker {
    /// A worker that uses this configuration.
    #[must_use]
    pub(crate) fn new(
        index: usize,
        common: Arc<WorkerShared>,
        generation: Rc<Generation>,
        access: Option<LogBuffer>,
    ) -> Self {
        let common_dropped = Arc::clone(&common.log_phases_dropped);
        Self {
            index,
            shared: common,
            draining: Cell::new(false),
            tick: Cell::new(generation.tick()),
            access,
            log_phases: LogPhaseQueue {
                dropped: Arc::clone(&common_dropped),
                ..LogPhaseQueue::default()
            },
            log_limits: std::array::from_fn(|_| LogRateLimit::default()),
            key_log_limits: std::array::from_fn(|_| LogRateLimit::for_strangers()),
            generation: RefCell::new(generation),
        }
    }

    /// Whether the log gets one more line with this code now; with how many were left out before it.
    #[must_use]
    pub(crate) fn should_log(&self, code: Code) -> Option<u64> {
        self.log_limits
            .get(code as usize)?
            .take(self.shared.clock.now())
    }

    /// Whether the log gets one more line about a key that was rejected for this cause now; with how
    /// many were left out before it.
    #[must_use]
    pub(crate) fn should_log_key(&self, why: KeyRejection) -> Option<u64> {
        let limit = self.key_log_limits.get(why as usize)?;
        limit.take(self.shared.clock.now())
    }

    /// The configuration that new requests get.
    #[must_use]
    pub(crate) fn generation(&self) -> Rc<Generation> {
        Rc::clone(&self.generation.borrow())
    }

    /// Give new requests another configuration. The old one is gone with its last request.
    pub(crate) fn put_in_use(&self, generation: Rc<Generation>) {
        self.tick.set(generation.tick());
        drop(self.generation.replace(generation));
    }
}

/// A client's connection, as its requests know it.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Its time-outs and state.
    pub(crate) watch: Arc<Watch>,
    /// The listener that it came by.
    pub(crate) listener: Rc<Listener>,
    pub(crate) remote: SocketAddr,
    /// The remote IP as `X-Forwarded-For` names it, made once.
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) secure: bool,
    /// Where it carries many exchanges (HTTP/2), the place of this one.
    pub(crate) registration: Option<ExchangeRegistration>,
    /// The stream of this exchange, where it has one.
    stream: Option<u32>,
}

impl ClientConnection {
    /// A connection from `remote`. An IPv4 address that is mapped into IPv6 is taken as IPv4.
    #[must_use]
    pub(crate) fn new(
        worker: Rc<Worker>,
        watch: Arc<Watch>,
        listener: Rc<Listener>,
        remote: SocketAddr,
    ) -> Self {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        Self {
            worker,
            watch,
            listener,
            remote,
            forwarded_for: ip_value(remote.ip()),
            secure: false,
            registration: None,
            stream: None,
        }
    }

    /// As one of many exchanges on it knows it: with a watch of its own.
    #[must_use]
    pub(crate) fn exchange(&self) -> Self {
        let (watch, place) = self.watch.exchange();
        Self {
            worker: Rc::clone(&self.worker),
            watch,
            listener: Rc::clone(&self.listener),
            remote: self.remote,
            forwarded_for: self.forwarded_for.clone(),
            secure: self.secure,
            registration: Some(place),
            stream: self.watch.take_opened(),
        }
    }

    /// Whether it carries many exchanges at once.
    #[must_use]
    pub(crate) fn is_shared(&self) -> bool {
        self.registration.is_some()
    }

    /// Send the client an interim answer to the present request, if it takes one and the final answer
    /// has not begun. One that is too large is left out.
    pub(crate) fn send_interim(&self, status: StatusCode, headers: &HeaderMap) {
        if !self.watch.takes_interim() {
            return;
        }
        let (watch, bytes) = match (&self.registration, self.stream) {
            (None, _) => (&*self.watch, interim::http1(status, headers)),
            (Some(place), Some(stream)) => {
                let frame = interim::http2(stream, status, headers);
                (place.connection(), frame)
            }
            (Some(_), None) => return,
        };
        if let Some(bytes) = bytes {
            watch.send_interim(bytes);
        }
    }

    #[must_use]
    pub(crate) fn stats(&self) -> &WorkerStats {
        &self.worker.shared.stats
    }
}

fn ip_value(ip: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&ip.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
