//! The data of one worker: its configuration, its clock, its counts.
//!
//! [`crate::server`] makes it; the spine and the upstreams use it. Everything here belongs to one
//! thread; the part that other threads can see is in [`WorkerShared`]. Sockets are in the server.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::rand;
use tokio::sync::Notify;

use super::generation::Generation;
use crate::chain::Passage;
use crate::config::Listener;
use crate::error::Code;
use crate::exchange::KeyRejection;
use crate::http::client_connection::ClientConnection;
use crate::http::proxy_protocol::ProxiedClient;
use crate::http::tls::session::TlsSession;
use crate::http::watch::Watch;
use crate::model::limit::LimitKind;
use crate::model::request_id::RequestId;
use crate::model::word::Word as _;
use crate::observe::access_log::LogBuffer;
use crate::observe::log_rate_limit::LogRateLimit;
use crate::observe::stats::WorkerStats;
use crate::runtime::active_requests::SparePermits;
use crate::runtime::panics;
use crate::runtime::worker_shared::WorkerShared;

/// One worker. It stays on its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its index among the workers.
    pub(crate) index: usize,
    /// The part that other threads can see.
    pub(crate) shared: Arc<WorkerShared>,
    /// Whether it drains: every response closes its connection.
    pub(crate) draining: Cell<bool>,
    /// How often the deadlines are checked. Milliseconds.
    pub(crate) tick: Cell<u64>,
    /// Its input of the access log, if there is one.
    pub(crate) access: Option<LogBuffer>,
    /// Its permits for active requests that no request has.
    pub(crate) permits: SparePermits,
    /// Exchanges that have ended and whose log phases have not run.
    pub(crate) log_phases: LogPhaseQueue,
    /// How many lines of the log each code gets, in the order of [`Code::ALL`].
    log_limits: [LogRateLimit; Code::ALL.len()],
    /// How many lines each cause of a rejected key gets, in the order of [`KeyRejection`].
    key_log_limits: [LogRateLimit; KeyRejection::WORDS.len()],
    flood_log_limit: LogRateLimit,
    /// How many lines each limit gets, in the order of [`LimitKind::ALL`].
    limit_log_limits: [LogRateLimit; LimitKind::ALL.len()],
    generation: RefCell<Rc<Generation>>,
}

/// The most exchanges that wait for their log phases.
const MAX_LOG_PHASES: usize = 1024;

/// Exchanges that have ended and whose log phases have not run. The queue is bounded, so that slow log
/// filters lose lines and do not use up memory.
#[derive(Debug, Default)]
pub(crate) struct LogPhaseQueue {
    waiting: RefCell<VecDeque<Rc<Passage>>>,
    filled: Notify,
}

impl LogPhaseQueue {
    /// Queue the log phases of this exchange. False: the queue is full, and they do not run.
    fn push(&self, passage: Rc<Passage>) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let has_room = waiting.len() < MAX_LOG_PHASES;
        if has_room {
            waiting.push_back(passage);
            self.filled.notify_one();
        }
        has_room
    }

    /// Run queued log phases between the worker's other tasks, forever.
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

    /// Run all queued log phases, at the end of the worker.
    pub(crate) async fn finish(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for passage in waiting {
            log(&passage).await;
        }
    }
}

/// Run the log phases of one exchange. A panic of the gateway's code ends only these.
async fn log(passage: &Passage) {
    let mut logging = pin!(passage.log());
    let logged = poll_fn(|context| panics::poll_caught(logging.as_mut(), context)).await;
    if let Err(panic) = logged {
        tracing::error!(
            "the log phases of a request ended early: {}; report this as a bug",
            panic.message()
        );
    }
}

impl Worker {
    /// A worker that uses this configuration.
    #[must_use]
    pub(crate) fn new(
        index: usize,
        shared: Arc<WorkerShared>,
        generation: Rc<Generation>,
        access: Option<LogBuffer>,
    ) -> Self {
        Self {
            index,
            shared,
            draining: Cell::new(false),
            tick: Cell::new(generation.tick()),
            access,
            permits: SparePermits::default(),
            log_phases: LogPhaseQueue::default(),
            log_limits: std::array::from_fn(|_| LogRateLimit::default()),
            key_log_limits: std::array::from_fn(|_| LogRateLimit::for_strangers()),
            flood_log_limit: LogRateLimit::for_strangers(),
            limit_log_limits: std::array::from_fn(|_| LogRateLimit::for_strangers()),
            generation: RefCell::new(generation),
        }
    }

    /// Whether the log may have another line with this code now, with the number that were left out before.
    #[must_use]
    pub(crate) fn should_log(&self, code: Code) -> Option<u64> {
        self.log_limits
            .get(code as usize)?
            .take(self.shared.clock.now())
    }

    /// Whether the log may have another line about a key that was rejected for this cause now, with the
    /// number that were left out before.
    #[must_use]
    pub(crate) fn should_log_key(&self, why: KeyRejection) -> Option<u64> {
        let limit = self.key_log_limits.get(why as usize)?;
        limit.take(self.shared.clock.now())
    }

    /// Whether the log may have another line about a flooded connection now, with the number that were
    /// left out before.
    #[must_use]
    pub(crate) fn should_log_flood(&self) -> Option<u64> {
        self.flood_log_limit.take(self.shared.clock.now())
    }

    /// Whether the log may have another line about this limit now, with the number that were left out before.
    #[must_use]
    pub(crate) fn should_log_limit(&self, limit: LimitKind) -> Option<u64> {
        let lines = self.limit_log_limits.get(limit as usize)?;
        lines.take(self.shared.clock.now())
    }

    /// Queue the log phases of an exchange. If the queue is full, they do not run.
    pub(crate) fn queue_log_phases(&self, passage: Rc<Passage>) {
        if !self.log_phases.push(passage) {
            let dropped = &self.shared.log_phases_dropped;
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The configuration that new requests get.
    #[must_use]
    pub(crate) fn generation(&self) -> Rc<Generation> {
        Rc::clone(&self.generation.borrow())
    }

    /// Give new requests another configuration. The old one is dropped with its last request.
    pub(crate) fn put_in_use(&self, generation: Rc<Generation>) {
        self.tick.set(generation.tick());
        drop(self.generation.replace(generation));
    }
}

/// A client's connection, and the worker that serves it.
#[derive(Debug)]
pub(crate) struct WorkerConnection {
    pub(crate) worker: Rc<Worker>,
    client: ClientConnection,
}

impl WorkerConnection {
    /// A connection from `remote`. An IPv4 address that is mapped into IPv6 is taken as IPv4.
    #[must_use]
    pub(crate) fn new(
        worker: Rc<Worker>,
        watch: Arc<Watch>,
        listener: Rc<Listener>,
        remote: SocketAddr,
    ) -> Self {
        Self {
            worker,
            client: ClientConnection::new(watch, listener, remote),
        }
    }

    /// Its bytes are encrypted by this session. (They may be so only as far as a proxy that said it.)
    pub(crate) fn set_tls(&mut self, session: TlsSession) {
        self.client.set_tls(session);
    }

    /// The address that the client connected to, if anything needs it.
    pub(crate) fn set_local(&mut self, local: Option<SocketAddr>) {
        self.client.set_local(local);
    }

    /// A proxy has named the client of this connection.
    pub(crate) fn set_proxied(&mut self, client: ProxiedClient) {
        self.client.set_proxied(client);
    }

    /// The connection as one of its exchanges sees it, with timeouts of its own.
    #[must_use]
    pub(crate) fn exchange(&self) -> Self {
        Self {
            worker: Rc::clone(&self.worker),
            client: self.client.exchange(),
        }
    }

    #[must_use]
    pub(crate) fn stats(&self) -> &WorkerStats {
        &self.worker.shared.stats
    }
}

impl Deref for WorkerConnection {
    type Target = ClientConnection;

    fn deref(&self) -> &ClientConnection {
        &self.client
    }
}

/// Bytes of one id.
const ID_LENGTH: usize = 16;

/// Bytes that are made at once.
const ID_BUFFER: usize = 256 * ID_LENGTH;

thread_local! {
    static IDS: RefCell<Ids> = const { RefCell::new(Ids { bytes: [0; ID_BUFFER], left: 0 }) };
}

/// Request ids: 128 random bits each. A counter would show whoever asks twice how many requests came in between,
/// so the bits are those of the system's generator, as aws-lc-rs seeds and expands it. They are made a buffer at
/// a time: a request pays for a copy, and one in 256 for the next buffer. Each thread has its own.
struct Ids {
    bytes: [u8; ID_BUFFER],
    /// How many bytes of the end are unused.
    left: usize,
}

/// An id that nobody had before, and that nobody can guess.
#[must_use]
pub(crate) fn next_id() -> RequestId {
    IDS.with_borrow_mut(|ids| RequestId::new(ids.next()))
}

impl Ids {
    fn next(&mut self) -> [u8; ID_LENGTH] {
        if self.left < ID_LENGTH {
            self.fill();
        }
        let start = ID_BUFFER - self.left;
        self.left -= ID_LENGTH;
        let bytes = self.bytes.get(start..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or_default()
    }

    #[cold]
    fn fill(&mut self) {
        if rand::fill(&mut self.bytes).is_err() {
            // The generator has no way to fail once it is seeded; ids stay unique all the same.
            fastrand::fill(&mut self.bytes);
        }
        self.left = ID_BUFFER;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_across_buffers() {
        let ids: HashSet<String> = (0..2000).map(|_| next_id().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn the_distance_between_two_ids_tells_nothing() {
        let number = || u128::from_str_radix(next_id().as_str(), 16).unwrap();
        let mut close = 0;
        let mut before = number();
        for _ in 0..1000 {
            let id = number();
            // One in 2^63 by chance.
            close += usize::from(id.abs_diff(before) < 1 << 64);
            before = id;
        }
        assert_eq!(close, 0);
    }
}
