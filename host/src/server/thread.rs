//! A worker's thread: its runtime, its listeners, and the commands that it gets. [`super::accept`] takes
//! connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

use super::connections::{self, Connections};
use super::listen::{ConnectionCount, Loads};
use super::{Drained, NextConfiguration, WorkerCommand, WorkerSockets, accept};
use crate::config::Listener;
use crate::http::tls::live::LiveTls;
use crate::http::watch::Watch;
use crate::observe::access_log::LogBuffer;
use crate::proxy::generation::Generation;
use crate::proxy::worker::Worker;
use crate::runtime::tasks;
use crate::runtime::worker_shared::WorkerShared;
use crate::upstream::Pools;

/// How long a draining worker waits for the request of a connection that it found in the accept
/// queue. Milliseconds.
pub(super) const DRAIN_GRACE: u64 = 1000;
/// How long a worker waits for connections that it has cut.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// A worker's stack: room for a guest's (512 KiB) and for the host's calls. Bytes.
const STACK: usize = 4 * 1024 * 1024;

/// The arguments of a worker's thread.
pub(crate) struct WorkerSetup {
    /// Its index among the workers.
    pub(crate) index: usize,
    /// Its first configuration, and all its sockets.
    pub(crate) first: NextConfiguration,
    /// The part that other threads see.
    pub(crate) shared: Arc<WorkerShared>,
    /// How many connections each worker has.
    pub(crate) loads: Arc<Loads>,
    /// The channels to give connections to the other workers.
    pub(crate) transfer_senders: Vec<mpsc::UnboundedSender<TransferredConnection>>,
    /// Connections from the other workers. The number of all connections bounds it.
    pub(crate) transferred: mpsc::UnboundedReceiver<TransferredConnection>,
    /// Its commands.
    pub(crate) commands: mpsc::UnboundedReceiver<WorkerCommand>,
    /// Its input of the access log, if there is one.
    pub(crate) access: Option<LogBuffer>,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct TransferredConnection {
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
    pub(super) listener: usize,
    pub(super) ticket: ConnectionCount,
}

/// Start the thread. `Err`: it, or its runtime, could not be made.
pub(crate) fn start(setup: WorkerSetup) -> io::Result<std::thread::JoinHandle<Drained>> {
    let name = format!("worker-{}", setup.index);
    let thread = std::thread::Builder::new().name(name).stack_size(STACK);
    tasks::start_thread(thread, move || run_worker(setup))
}

/// The data that a worker's tasks share.
pub(super) struct WorkerContext {
    pub(super) worker: Rc<Worker>,
    pools: Rc<Pools>,
    pub(super) connections: Rc<Connections>,
    pub(super) loads: Arc<Loads>,
    pub(super) transfer_senders: Vec<mpsc::UnboundedSender<TransferredConnection>>,
    pub(super) stop: Notify,
    /// The listeners whose sockets a successor has.
    pub(super) handed_over: RefCell<Vec<usize>>,
    /// The listeners by their numbers: also those that were removed, until another one has the number.
    listeners: RefCell<HashMap<usize, Rc<WorkerListener>>>,
    /// The tasks that accept connections.
    accepting: RefCell<Vec<JoinHandle<()>>>,
}

/// One worker's view of a listener.
pub(super) struct WorkerListener {
    /// Its number.
    pub(super) slot: usize,
    config: RefCell<ListenerConfig>,
    /// Whether a reload has removed it.
    is_removed: Cell<bool>,
    /// Wakes the task that accepts when it is removed.
    pub(super) removed: Notify,
}

/// The settings of the next connection of a listener.
#[derive(Clone)]
pub(super) struct ListenerConfig {
    pub(super) limits: Rc<Listener>,
    pub(super) tls: Option<Arc<LiveTls>>,
}

impl WorkerListener {
    pub(super) fn config(&self) -> ListenerConfig {
        self.config.borrow().clone()
    }

    pub(super) fn is_removed(&self) -> bool {
        self.is_removed.get()
    }
}

/// Run a worker, from its start to the end of its drain.
async fn run_worker(setup: WorkerSetup) -> Drained {
    let pools = Rc::default();
    let NextConfiguration {
        gateway,
        slots,
        sockets,
    } = setup.first;
    let generation = Generation::new(gateway, setup.index, &pools);
    let context = Rc::new(WorkerContext {
        worker: Rc::new(Worker::new(
            setup.index,
            setup.shared,
            Rc::clone(&generation),
            setup.access,
        )),
        pools,
        connections: Rc::default(),
        loads: setup.loads,
        transfer_senders: setup.transfer_senders,
        stop: Notify::new(),
        handed_over: RefCell::default(),
        listeners: RefCell::default(),
        accepting: RefCell::default(),
    });
    context.use_listeners(&generation, &slots, sockets);
    drop(generation);
    let watching = connections::watch_deadlines(
        Rc::clone(&context.worker),
        Rc::clone(&context.connections),
        Rc::clone(&context.pools),
        Arc::clone(&context.loads),
    );
    let watching = spawn_local(watching);
    let worker = Rc::clone(&context.worker);
    let logging = spawn_local(async move { worker.log_phases.run().await });
    let receiving = spawn_local(serve_transferred(Rc::clone(&context), setup.transferred));
    let mut commands = setup.commands;
    let limit = run_commands(&context, &mut commands).await;
    context.worker.draining.set(true);
    context.stop.notify_waiters();
    for task in context.accepting.take() {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task that accepts connections failed; report this as a bug");
        }
    }
    if let Err(error) = receiving.await {
        tracing::error!(%error, "the task that receives connections of other workers failed; report this as a bug");
    }
    let drained = drain(&context, limit, &mut commands).await;
    watching.abort();
    logging.abort();
    if timeout_at(
        Instant::now() + CUT_GRACE,
        context.worker.log_phases.finish(),
    )
    .await
    .is_err()
    {
        tracing::warn!("log phases did not end in time before the stop, and did not run");
    }
    drained
}

impl WorkerContext {
    /// Use these listeners for new connections. Those that are gone accept no more.
    fn use_listeners(
        self: &Rc<Self>,
        generation: &Generation,
        slots: &[usize],
        sockets: WorkerSockets,
    ) {
        for (index, slot) in slots.iter().enumerate() {
            if let Some(limits) = generation.listeners.get(index) {
                let tls = generation.gateway.tls.get(index).cloned().flatten();
                let limits = Rc::clone(limits);
                self.use_listener(*slot, ListenerConfig { limits, tls });
            }
        }
        let listeners = self.listeners.borrow().clone();
        let gone = listeners.values().filter(|one| !slots.contains(&one.slot));
        for listener in gone.filter(|one| !one.is_removed.replace(true)) {
            listener.removed.notify_waiters();
            let limit = generation.gateway.drain_timeout;
            spawn_local(drain_listener(Rc::clone(self), listener.slot, limit));
        }
        let mut accepting = self.accepting.borrow_mut();
        accepting.retain(|task| !task.is_finished());
        for (slot, socket) in sockets {
            if let Some(listener) = self.listener(slot) {
                let task = accept::accept(Rc::clone(self), listener, socket);
                accepting.push(spawn_local(task));
            }
        }
    }

    /// Use this configuration for a listener that stays, or for a new one.
    fn use_listener(&self, slot: usize, config: ListenerConfig) {
        let mut listeners = self.listeners.borrow_mut();
        match listeners.get(&slot).filter(|one| !one.is_removed()) {
            Some(present) => drop(present.config.replace(config)),
            None => {
                let listener = WorkerListener {
                    slot,
                    config: RefCell::new(config),
                    is_removed: Cell::new(false),
                    removed: Notify::new(),
                };
                self.handed_over.borrow_mut().retain(|other| *other != slot);
                listeners.insert(slot, Rc::new(listener));
            }
        }
    }

    /// The listener with this number.
    pub(super) fn listener(&self, slot: usize) -> Option<Rc<WorkerListener>> {
        self.listeners.borrow().get(&slot).cloned()
    }
}

/// Let the connections of a listener that was removed end, and cut those that do not end in time.
async fn drain_listener(context: Rc<WorkerContext>, listener: usize, limit: Duration) {
    let connections = &context.connections;
    connections.for_each_of(listener, |watch| watch.drain(DRAIN_GRACE));
    let ended = connections.wait_until_none_of(listener);
    if timeout_at(Instant::now() + limit, ended).await.is_err() {
        connections.for_each_of(listener, Watch::cut);
    }
}

/// Carry out commands, until one says to drain.
async fn run_commands(
    context: &Rc<WorkerContext>,
    commands: &mut mpsc::UnboundedReceiver<WorkerCommand>,
) -> Duration {
    loop {
        match commands.recv().await {
            Some(WorkerCommand::Use(next, done)) => {
                let index = context.worker.index;
                let generation = Generation::new(next.gateway, index, &context.pools);
                context.use_listeners(&generation, &next.slots, next.sockets);
                context.worker.put_in_use(generation);
                // The receiver may have stopped waiting.
                let _ = done.send(());
            }
            Some(WorkerCommand::HandOver(listener)) => {
                context.handed_over.borrow_mut().push(listener);
            }
            Some(WorkerCommand::Drain(limit)) => return limit,
            None => return Duration::ZERO,
        }
    }
}

/// Let the connections end, and cut those that do not end in time. A command can shorten the time.
async fn drain(
    context: &WorkerContext,
    limit: Duration,
    commands: &mut mpsc::UnboundedReceiver<WorkerCommand>,
) -> Drained {
    let connections = &context.connections;
    let all = connections.len();
    let mut deadline = Instant::now() + limit;
    connections.for_each(|watch| watch.drain(DRAIN_GRACE));
    let left = loop {
        tokio::select! {
            emptied = timeout_at(deadline, connections.wait_until_empty()) => match emptied {
                Ok(()) => break 0,
                Err(_) => break connections.len(),
            },
            Some(command) = commands.recv() => match command {
                WorkerCommand::Drain(limit) => deadline = deadline.min(Instant::now() + limit),
                // The sender notices the closed channel.
                WorkerCommand::Use(..) | WorkerCommand::HandOver(_) => {}
            },
        }
    };
    connections.for_each(Watch::cut);
    if timeout_at(Instant::now() + CUT_GRACE, connections.wait_until_empty())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "connections did not end after the drain cut them"
        );
    }
    Drained {
        finished: all.saturating_sub(left) as u64,
        cut: left as u64,
    }
}

/// Serve the connections of other workers until this one drains, and then those that came before.
async fn serve_transferred(
    context: Rc<WorkerContext>,
    mut transferred: mpsc::UnboundedReceiver<TransferredConnection>,
) {
    loop {
        if context.worker.draining.get() {
            // From here on the others get their connections back.
            transferred.close();
        }
        let received = tokio::select! {
            biased;
            () = context.stop.notified(), if !transferred.is_closed() => continue,
            received = transferred.recv() => received,
        };
        let Some(moved) = received else { return };
        let Some(listener) = context.listener(moved.listener) else {
            continue;
        };
        match tokio::net::TcpStream::from_std(moved.stream) {
            Ok(stream) => context.serve(stream, moved.remote, &listener, moved.ticket),
            Err(error) => tracing::warn!(%error, "a connection from another worker is lost"),
        }
    }
}
