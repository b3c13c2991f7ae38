//! Stops 1 to 3: listeners, workers, connections, heads.
//!
//! A worker is one OS thread with its own single-threaded runtime, its own listening sockets, upstream
//! connections and filter instances: a request never crosses threads. Control work sends messages to
//! the workers. Sockets are bound before the first thread starts. A reload binds those of new listeners
//! before it leaves the old configuration, and drains the connections of those that it removes. A drain
//! answers the requests that have begun. The meaning of a request is in [`crate::proxy`].

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config as model;
use crate::observe::access_log::AccessLogWriter;
use crate::proxy::gateway::Gateway;
use crate::runtime::sockets::activation::ActivatedSockets;
use crate::runtime::sockets::handover::{Duplicates, Predecessor};
use crate::runtime::worker_shared::WorkerShared;

mod accept;
mod client_connections;
mod client_io;
mod connection;
mod connections;
mod h2_guard;
mod handshake;
mod head;
mod http2;
mod listen;
mod listener_set;
mod message;
mod own_output;
mod proxied;
mod refusal;
mod thread;

pub(crate) use listen::BindError;
pub(crate) use listener_set::{NextListeners, PresentListeners};

use listen::Loads;
use listener_set::{BoundListener, ListenerSet, WorkerSockets};
use thread::{TransferredConnection, WorkerSetup};

/// Sockets that are bound, and not served yet.
#[derive(Debug)]
pub struct BoundListeners {
    listeners: Vec<BoundListener>,
    workers: usize,
}

/// A worker's thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start worker {index}")]
pub struct StartError {
    index: usize,
    #[source]
    cause: io::Error,
}

/// A command for the workers.
#[derive(Debug)]
enum WorkerCommand {
    /// Use this configuration from now on; confirm when it is in use.
    Use(NextConfiguration, oneshot::Sender<()>),
    /// A successor has the sockets of this listener: a drain leaves their queues alone.
    HandOver(usize),
    /// Drain: accept no new connection, finish the active requests, and end within this time. A second one
    /// changes the time.
    Drain(Duration),
}

/// A configuration, and what it changes for one worker.
#[derive(Debug)]
struct NextConfiguration {
    gateway: Arc<Gateway>,
    /// The numbers of its listeners, in their order.
    slots: Arc<[usize]>,
    /// The worker's sockets of listeners that are new, each with its listener's number.
    sockets: WorkerSockets,
}

/// The outcome of a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Connections that ended by themselves.
    pub(crate) finished: u64,
    /// Connections that were cut at the end of the time.
    pub(crate) cut: u64,
}

#[derive(Debug)]
pub struct Workers {
    listeners: ListenerSet,
    loads: Arc<Loads>,
    shared: Vec<Arc<WorkerShared>>,
    controls: Vec<mpsc::UnboundedSender<WorkerCommand>>,
    threads: Vec<JoinHandle<Drained>>,
}

/// Bind every listener for so many workers, or take its socket of the service manager.
///
/// # Errors
///
/// The first address that cannot be bound.
pub fn bind(
    listeners: &[model::Listener],
    workers: NonZeroUsize,
    predecessor: &mut Predecessor,
    activated: &mut ActivatedSockets,
) -> Result<BoundListeners, BindError> {
    let workers = workers.get();
    let mut bound = Vec::new();
    for (slot, listener) in listeners.iter().enumerate() {
        let address = listener.address;
        if slot >= listen::MAX_LISTENERS {
            return Err(BindError::TooMany { address });
        }
        bound.push(match activated.take(address) {
            Some(socket) => BoundListener::activated(slot, address, socket, workers)?,
            None => {
                let sockets = listen::bind(address, workers, predecessor)?;
                BoundListener::new(slot, address, sockets)
            }
        });
    }
    Ok(BoundListeners {
        listeners: bound,
        workers,
    })
}

impl BoundListeners {
    /// Start the workers with their first configuration.
    ///
    /// # Errors
    ///
    /// The system gives no thread or runtime. Threads that started end.
    pub fn start(
        self,
        gateway: &Arc<Gateway>,
        log: Option<&AccessLogWriter>,
    ) -> Result<Workers, StartError> {
        let mut shares: Vec<WorkerSockets> = (0..self.workers).map(|_| Vec::new()).collect();
        let listeners = ListenerSet::listen(self.listeners, &mut shares)
            .map_err(|cause| StartError { index: 0, cause })?;
        let loads = Loads::new(self.workers);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..self.workers)
            .map(|_| mpsc::unbounded_channel::<TransferredConnection>())
            .unzip();
        let slots = listeners.slots();
        let mut workers = Workers {
            listeners,
            loads: Arc::clone(&loads),
            shared: Vec::new(),
            controls: Vec::new(),
            threads: Vec::new(),
        };
        for (index, (sockets, transferred)) in shares.into_iter().zip(receivers).enumerate() {
            let (control, commands) = mpsc::unbounded_channel();
            let shared = WorkerShared::new();
            let setup = WorkerSetup {
                index,
                first: NextConfiguration {
                    gateway: Arc::clone(gateway),
                    slots: Arc::clone(&slots),
                    sockets,
                },
                shared: Arc::clone(&shared),
                loads: Arc::clone(&loads),
                transfer_senders: senders.clone(),
                transferred,
                commands,
                access: log.map(AccessLogWriter::buffer),
            };
            let thread = thread::start(setup).map_err(|cause| StartError { index, cause })?;
            workers.shared.push(shared);
            workers.controls.push(control);
            workers.threads.push(thread);
        }
        for slot in workers.listeners.activated() {
            // The service manager keeps the socket, and serves its queue by the next start.
            workers.hand_over(slot);
        }
        Ok(workers)
    }
}

impl Workers {
    /// The addresses of the listeners, in the order of the configuration. A port 0 is replaced by the one
    /// that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.numbered_addresses()
            .map(|(_, address)| address)
            .collect()
    }

    /// The numbers and addresses of the listeners.
    pub(crate) fn numbered_addresses(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        self.listeners.numbered_addresses()
    }

    /// The listeners, for the next configuration.
    #[must_use]
    pub(crate) fn present_listeners(&self) -> PresentListeners {
        self.listeners.present(self.controls.len())
    }

    /// The shared part of each worker, for metrics.
    #[must_use]
    pub(crate) fn shared(&self) -> &[Arc<WorkerShared>] {
        &self.shared
    }

    /// Use this configuration for all new requests, and these listeners for new connections. Returns when
    /// every worker does. Active requests end with the configuration that they began with. Connections of
    /// listeners that are gone drain.
    ///
    /// # Errors
    ///
    /// A new listener has no room, or the system gives no more files. Nothing has changed then.
    pub(crate) async fn put_in_use(
        &mut self,
        gateway: &Arc<Gateway>,
        next: NextListeners,
    ) -> Result<(), BindError> {
        let mut shares: Vec<WorkerSockets> = self.controls.iter().map(|_| Vec::new()).collect();
        let added = self.listeners.replace(next, &self.loads, &mut shares)?;
        let slots = self.listeners.slots();
        for address in added {
            tracing::info!(%address, "listening");
        }
        let mut done = Vec::new();
        for (control, sockets) in self.controls.iter().zip(shares) {
            let (confirm, confirmed) = oneshot::channel();
            let next = NextConfiguration {
                gateway: Arc::clone(gateway),
                slots: Arc::clone(&slots),
                sockets,
            };
            if control.send(WorkerCommand::Use(next, confirm)).is_ok() {
                done.push(confirmed);
            }
        }
        for confirmed in done {
            // A worker that has ended needs no configuration.
            let _ = confirmed.await;
        }
        Ok(())
    }

    /// Duplicates of all listening sockets, in the order of the listeners; once.
    pub(crate) fn take_duplicates(&mut self) -> Vec<Duplicates> {
        self.listeners.take_duplicates()
    }

    /// A successor has the sockets of this listener: a later drain stops accepting, and leaves queued clients
    /// to the successor.
    pub(crate) fn hand_over(&self, listener: usize) {
        for control in &self.controls {
            // A worker that has ended accepts nothing.
            let _ = control.send(WorkerCommand::HandOver(listener));
        }
    }

    /// Drain: accept queued clients, answer requests that have begun, and cut the rest after `limit`. A second
    /// call with a shorter time replaces it.
    pub fn drain(&self, limit: Duration) {
        for control in &self.controls {
            // A worker that has ended has nothing to drain.
            let _ = control.send(WorkerCommand::Drain(limit));
        }
    }

    /// Wait for the last worker to end, on a thread of its own, after a drain was started.
    #[must_use]
    pub(crate) fn wait_for_end(&mut self) -> oneshot::Receiver<Drained> {
        let (done, ended) = oneshot::channel();
        let threads = std::mem::take(&mut self.threads);
        let join = move || {
            // The receiver may have stopped waiting.
            let _ = done.send(join(threads));
        };
        let thread = std::thread::Builder::new().name("windlass-drain".into());
        if let Err(error) = thread.spawn(join) {
            tracing::error!("cannot start the thread that waits for the drain: {error}");
        }
        ended
    }
}

fn join(threads: Vec<JoinHandle<Drained>>) -> Drained {
    let mut all = Drained::default();
    for (index, thread) in threads.into_iter().enumerate() {
        match thread.join() {
            Ok(drained) => {
                all.finished += drained.finished;
                all.cut += drained.cut;
            }
            Err(_) => tracing::error!(
                worker = index,
                "a worker panicked and ended; report this as a bug"
            ),
        }
    }
    all
}
