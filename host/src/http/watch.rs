//! The time-outs of one client connection and of the exchange on it.
//!
//! A request only writes deadlines (coarse milliseconds, one store each). One watch task of each worker
//! reads the deadlines of all connections a few times a second. If one has passed, the task sets a signal
//! and wakes the connection's task, which then ends the wait. So no request
//! pays for a timer. A deadline passes at its time at the earliest and two ticks later at the
//! latest. Everything is an atomic so that the connection's I/O, which holds this, can be moved
//! between threads; in fact one worker writes and reads it.
//!
//! Deliberately not here: the effect of a passed deadline on the client ([`crate::server`]) or
//! on an attempt ([`crate::upstream`]).

mod exchange;
mod exchanges;
mod rate;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

pub(crate) use exchanges::ExchangeRegistration;

use exchanges::Exchanges;
use rate::{MinRates, RateSamples};

use crate::config::Listener;
use crate::http::interim::InterimQueue;
use crate::runtime::worker_shared::WorkerShared;

/// The longest tick of the watch task. Milliseconds.
const MAX_TICK: u64 = 250;
/// The shortest.
const MIN_TICK: u64 = 5;
/// The length of a body in chunks.
const CHUNKED: u64 = u64::MAX;

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ConnectionPhase {
    /// Waiting for a request's first byte.
    Idle,
    /// A head has begun and is not complete.
    Head,
    /// A request is being answered.
    Busy,
    /// The whole answer is written by the exchange, and not yet by the socket.
    Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeoutKind {
    /// The client's next request, or the rest of its head.
    Client,
    /// The next chunk of the request's body.
    Body,
    /// The client, to read a part of the response.
    Write,
    /// The endpoint, to read a part of the request's body.
    Upload,
    /// The endpoint's response: its head, or the next piece of its body.
    Answer,
    /// The end of the exchange with the endpoint.
    Total,
    /// The rest of a head of HTTP/2, whatever else passes on its connection.
    Head,
}

impl TimeoutKind {
    const ALL: [Self; 7] = [
        Self::Client,
        Self::Body,
        Self::Write,
        Self::Upload,
        Self::Answer,
        Self::Total,
        Self::Head,
    ];

    fn signal(self) -> u16 {
        1 << self as u16
    }
}

/// Set when the worker drains.
const DRAIN: u16 = 1 << 7;
/// Set when the drain's time is over.
const CUT: u16 = 1 << 8;
/// Set when the endpoint's time to leave is over.
const ENDPOINT_LEFT: u16 = 1 << 9;

/// Set by a drain where the next request is probably on its way.
const EXPECTS_REQUEST: u16 = 1 << 10;
/// Set where the connection's I/O must check whether the client has left.
const CHECK_CLIENT: u16 = 1 << 11;

/// No endpoint: none has this number.
const NO_ENDPOINT: u64 = 0;

/// How long each [`TimeoutKind`] on the client's side may take. Milliseconds.
#[derive(Debug, Clone, Copy)]
struct ClientTimeouts {
    head: u64,
    idle: u64,
    /// None: for ever.
    body: Option<u64>,
    write: u64,
    min_rates: MinRates,
}

/// A flag that one task sets and others read.
#[derive(Debug, Default)]
pub(crate) struct SharedFlag(AtomicBool);

impl SharedFlag {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Relaxed);
    }

    /// Whether it was set. It is not any more.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// The facts of the present exchange.
#[derive(Debug, Default)]
pub(crate) struct ExchangeFacts {
    /// Whether the head has a `Content-Length`, as its bytes say. HTTP/1.1 only.
    pub(crate) names_length: SharedFlag,
    body_length: AtomicU64,
    /// Whether more of the request's body is to come.
    pub(crate) body_open: SharedFlag,
    /// Whether the request's body was given up before its end.
    pub(crate) body_abandoned: SharedFlag,
    /// Whether the endpoint, which has answered, reads no more of the request's body.
    pub(crate) body_refused: SharedFlag,
    body_fault: AtomicU8,
    request_bytes: AtomicU64,
    /// How long its client was waited for, and how much the client has read.
    rates: RateSamples,
    first_byte: AtomicU32,
    upload_idle: AtomicU32,
    /// The number of the endpoint that it is with.
    endpoint: AtomicU64,
    /// Whether an interim response may be sent now: until the final response is given to the connection.
    pub(crate) takes_interim: SharedFlag,
}

/// The time-outs and the state of one client connection.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The data that the worker's connections share.
    pub(crate) shared: Arc<WorkerShared>,
    limits: ClientTimeouts,
    tick: u64,
    phase: AtomicU8,
    deadlines: [AtomicU64; 7],
    signals: AtomicU16,
    pub(crate) exchange: ExchangeFacts,
    waker: OnceLock<Waker>,
    /// Since when it waits for a request; 0: it does not. Milliseconds.
    idle_since: AtomicU64,
    served: AtomicU64,
    /// Whether hyper's own response to a head was replaced by the gateway's.
    pub(crate) refused: SharedFlag,
    /// The exchanges on it, where there are many at once: HTTP/2.
    exchanges: Exchanges,
    is_stream: bool,
    body_waker: Mutex<Option<Waker>>,
    /// Interim responses that wait to be written.
    pub(crate) interim: InterimQueue,
    /// The stream of HTTP/2 that was opened last, until its request is taken.
    opened: AtomicU32,
    /// Whether hyper must wait, so that it takes a request before it reads on. Until it reads.
    pub(crate) paused: SharedFlag,
    /// Whether more bytes of the client, or its end, would not wake the connection's task.
    pub(crate) misses_client: SharedFlag,
}

impl Watch {
    /// For a new connection. `tick` is that of the worker's watch task, see [`tick`].
    #[must_use]
    pub(crate) fn new(shared: Arc<WorkerShared>, listener: &Listener, tick: u64) -> Arc<Self> {
        let limits = ClientTimeouts {
            head: milliseconds(listener.header_timeout),
            idle: milliseconds(listener.keep_alive_timeout),
            body: listener.body_idle_timeout.map(milliseconds),
            write: milliseconds(listener.write_timeout),
            min_rates: MinRates {
                body: listener.min_body_rate,
                response: listener.min_response_rate,
            },
        };
        let watch = Self::unarmed(shared, limits, tick, false);
        watch.begin_first_wait();
        Arc::new(watch)
    }

    fn unarmed(
        shared: Arc<WorkerShared>,
        limits: ClientTimeouts,
        tick: u64,
        is_stream: bool,
    ) -> Self {
        Self {
            shared,
            limits,
            tick,
            phase: AtomicU8::new(ConnectionPhase::Idle as u8),
            deadlines: Default::default(),
            signals: AtomicU16::new(0),
            exchange: ExchangeFacts::default(),
            waker: OnceLock::new(),
            idle_since: AtomicU64::new(0),
            served: AtomicU64::new(0),
            refused: SharedFlag::default(),
            exchanges: Exchanges::default(),
            is_stream,
            body_waker: Mutex::new(None),
            interim: InterimQueue::default(),
            opened: AtomicU32::new(0),
            paused: SharedFlag::default(),
            misses_client: SharedFlag::default(),
        }
    }

    /// The phase that the connection is in.
    #[must_use]
    pub(crate) fn phase(&self) -> ConnectionPhase {
        match self.phase.load(Relaxed) {
            0 => ConnectionPhase::Idle,
            1 => ConnectionPhase::Head,
            2 => ConnectionPhase::Busy,
            _ => ConnectionPhase::Answered,
        }
    }

    fn enter(&self, phase: ConnectionPhase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Requests begun on this connection.
    #[must_use]
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    fn count_served(&self) {
        self.served.store(self.served() + 1, Relaxed);
    }

    fn cell(&self, wait: TimeoutKind) -> Option<&AtomicU64> {
        self.deadlines.get(wait as usize)
    }

    /// Begin to wait, for so many milliseconds at the most.
    pub(crate) fn arm(&self, wait: TimeoutKind, limit: u64) {
        if let Some(cell) = self.cell(wait) {
            let deadline = self.shared.clock.now().saturating_add(limit + self.tick);
            cell.store(deadline, Relaxed);
        }
    }

    /// The wait is over.
    pub(crate) fn disarm(&self, wait: TimeoutKind) {
        if let Some(cell) = self.cell(wait) {
            cell.store(0, Relaxed);
        }
    }

    pub(crate) fn is_armed(&self, wait: TimeoutKind) -> bool {
        self.cell(wait).is_some_and(|cell| cell.load(Relaxed) != 0)
    }

    /// Whether this was waited for too long.
    #[must_use]
    pub(crate) fn expired(&self, wait: TimeoutKind) -> bool {
        self.signals.load(Relaxed) & wait.signal() != 0
    }

    /// The attempt that took too long is given up, and the exchange goes on: another attempt begins.
    pub(crate) fn begin_retry(&self) {
        let mut waits = self.signals.load(Relaxed);
        for wait in [TimeoutKind::Answer, TimeoutKind::Upload] {
            self.disarm(wait);
            waits &= !wait.signal();
        }
        self.set_endpoint(NO_ENDPOINT);
        self.signals.store(waits & !ENDPOINT_LEFT, Relaxed);
    }

    /// Whether any signal is set.
    #[must_use]
    pub(crate) fn has_signals(&self) -> bool {
        self.signals.load(Relaxed) != 0
    }

    /// Whether the worker drains.
    #[must_use]
    pub(crate) fn draining(&self) -> bool {
        self.signals.load(Relaxed) & DRAIN != 0
    }

    /// Whether the drain's time is over.
    #[must_use]
    pub(crate) fn is_cut(&self) -> bool {
        self.signals.load(Relaxed) & CUT != 0
    }

    /// Whether the exchange's endpoint has left: the time to end its active requests is over.
    #[must_use]
    pub(crate) fn has_endpoint_left(&self) -> bool {
        self.signals.load(Relaxed) & ENDPOINT_LEFT != 0
    }

    /// Check the deadlines. The watch task gives the time, and the numbers of the endpoints that have left.
    pub(crate) fn check(&self, now: u64, left: &[u64]) {
        self.check_rates();
        for wait in TimeoutKind::ALL {
            let passed = self.cell(wait).is_some_and(|cell| {
                let deadline = cell.load(Relaxed);
                deadline != 0 && deadline <= now
            });
            if passed {
                self.disarm(wait);
                self.set_signal(wait.signal());
            }
        }
        if !left.is_empty() && left.contains(&self.endpoint()) && !self.has_endpoint_left() {
            self.set_signal(ENDPOINT_LEFT);
        }
        // The connection's I/O checks whether the client has left, if the socket would not wake it.
        if self.misses_client.get() && self.phase() == ConnectionPhase::Busy {
            self.set_signal(CHECK_CLIENT);
        }
        self.exchanges
            .for_each(|exchange| exchange.check(now, left));
    }

    /// Whether it has carried a request and waits for another one, which a drain does not wait for.
    #[must_use]
    pub(crate) fn is_idle_after_request(&self) -> bool {
        let expects = self.signals.load(Relaxed) & EXPECTS_REQUEST != 0;
        self.phase() == ConnectionPhase::Idle && self.served() > 0 && !expects
    }

    /// The worker drains. A connection whose request may be on the way is given `grace` milliseconds:
    /// one that has not asked for anything yet (it was in the accept queue), and one that was answered
    /// within that time. Its client would otherwise send the request to nobody.
    pub(crate) fn drain(&self, grace: u64) {
        let mut signals = DRAIN;
        if self.phase() == ConnectionPhase::Idle {
            let since = self.idle_since();
            let now = self.shared.clock.now();
            if self.served() == 0 || since.is_some_and(|since| now <= since.saturating_add(grace)) {
                self.arm(TimeoutKind::Client, grace.min(self.limits.idle));
                signals |= EXPECTS_REQUEST;
            }
        }
        self.set_signal(signals);
    }

    /// The drain's time is over.
    pub(crate) fn cut(&self) {
        self.set_signal(CUT);
        self.exchanges.for_each(Self::cut);
    }

    fn set_signal(&self, signal: u16) {
        let signals = self.signals.load(Relaxed);
        self.signals.store(signals | signal, Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        if self.is_stream {
            self.wake_body();
        }
    }

    /// The task to wake: the connection's, which stays the same.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    // The client's side, which its I/O reports.

    /// Bytes of a head came in: it begins or goes on.
    pub(crate) fn begin_head(&self) {
        if self.phase() == ConnectionPhase::Idle {
            self.enter(ConnectionPhase::Head);
            self.arm(TimeoutKind::Client, self.limits.head);
        }
    }

    /// Note how long the present request's body is; none: it is in chunks.
    pub(crate) fn set_body_length(&self, length: Option<u64>) {
        let length = length.unwrap_or(CHUNKED);
        self.exchange.body_length.store(length, Relaxed);
    }

    /// The length of the present request's body; none: it is in chunks.
    #[must_use]
    pub(crate) fn body_length(&self) -> Option<u64> {
        let length = self.exchange.body_length.load(Relaxed);
        Some(length).filter(|length| *length != CHUNKED)
    }

    /// The write to the client did not go on.
    pub(crate) fn begin_write_wait(&self) {
        if !self.is_armed(TimeoutKind::Write) {
            self.arm(TimeoutKind::Write, self.limits.write);
        }
    }

    /// All is written. After an answer this begins the wait for the next request.
    pub(crate) fn on_flushed(&self) {
        if self.phase() == ConnectionPhase::Answered {
            self.enter(ConnectionPhase::Idle);
            self.arm(TimeoutKind::Client, self.limits.idle);
            self.idle_since.store(self.shared.clock.now(), Relaxed);
        }
    }
}

/// A duration in whole milliseconds, at least one.
#[must_use]
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn to_u32_ms(duration: Duration) -> u32 {
    u32::try_from(milliseconds(duration)).unwrap_or(u32::MAX)
}

/// The tick that suits the shortest of these time-outs: a quarter of it, from 5 to 250 ms.
#[must_use]
pub(crate) fn tick(timeouts: impl Iterator<Item = Duration>) -> u64 {
    let shortest = timeouts.map(milliseconds).min().unwrap_or(u64::MAX);
    (shortest / 4).clamp(MIN_TICK, MAX_TICK)
}

#[cfg(test)]
mod tests;
