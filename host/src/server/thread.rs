//! A worker's thread: its runtime, its accept loops, and the commands that it gets.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout_at};

use super::connections::{self, Connections};
use super::listen::{ConnectionCount, Loads};
use super::proxied::{self, ProxyHeaderRule};
use super::{Drained, WorkerCommand, connection};
use crate::http::watch::Watch;
use crate::observe::access_log::LogBuffer;
use crate::proxy::gateway::Gateway;
use crate::proxy::generation::Generation;
use crate::proxy::worker::{Worker, WorkerConnection};
use crate::runtime::worker_shared::WorkerShared;
use crate::runtime::{descriptors, sockets, tasks};
use crate::upstream::Pools;

/// How long accepting pauses if the system is out of sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A listener that was full is no longer full when this share of its connections is free, as a divisor.
const FREE_SHARE: usize = 10;
/// How long a draining worker waits for the request of a connection that it found in the accept
/// queue. Milliseconds.
const DRAIN_GRACE: u64 = 1000;
/// How long a worker waits for connections that it has cut.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// How many idle connections are closed at once if open files run out.
const MAX_CLOSED_IDLE: usize = 16;
/// How long a connection must be idle before it can be closed for another. Milliseconds.
const MIN_IDLE_MS: u64 = 500;

/// A worker's stack: room for a guest's (512 KiB) and for the host's calls. Bytes.
const STACK: usize = 4 * 1024 * 1024;

/// The arguments of a worker's thread.
pub(crate) struct WorkerSetup {
    /// Its index among the workers.
    pub(crate) index: usize,
    /// Its sockets, each with its listener.
    pub(crate) sockets: Vec<(usize, TcpListener)>,
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
    /// Its first configuration.
    pub(crate) gateway: Arc<Gateway>,
    /// Its input of the access log, if there is one.
    pub(crate) access: Option<LogBuffer>,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct TransferredConnection {
    stream: TcpStream,
    remote: SocketAddr,
    listener: usize,
    ticket: ConnectionCount,
}

/// Start the thread. `Err`: it, or its runtime, could not be made.
pub(crate) fn start(setup: WorkerSetup) -> io::Result<JoinHandle<Drained>> {
    let name = format!("worker-{}", setup.index);
    let thread = std::thread::Builder::new().name(name).stack_size(STACK);
    tasks::start_thread(thread, move || run_worker(setup))
}

/// The data that a worker's tasks share.
struct WorkerContext {
    worker: Rc<Worker>,
    pools: Rc<Pools>,
    connections: Rc<Connections>,
    loads: Arc<Loads>,
    transfer_senders: Vec<mpsc::UnboundedSender<TransferredConnection>>,
    stop: Notify,
    /// The listeners whose sockets a successor has.
    handed_over: RefCell<Vec<usize>>,
}

/// Run a worker, from its start to the end of its drain.
async fn run_worker(setup: WorkerSetup) -> Drained {
    let pools = Rc::default();
    let generation = Generation::new(setup.gateway, setup.index, &pools);
    let context = Rc::new(WorkerContext {
        worker: Rc::new(Worker::new(
            setup.index,
            setup.shared,
            generation,
            setup.access,
        )),
        pools,
        connections: Rc::default(),
        loads: setup.loads,
        transfer_senders: setup.transfer_senders,
        stop: Notify::new(),
        handed_over: RefCell::default(),
    });
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
    let accepting = setup.sockets.into_iter();
    let accepting: Vec<_> = accepting
        .map(|(listener, socket)| spawn_local(accept(Rc::clone(&context), listener, socket)))
        .collect();
    let mut commands = setup.commands;
    let limit = run_commands(&context, &mut commands).await;
    context.worker.draining.set(true);
    context.stop.notify_waiters();
    for task in accepting {
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

/// Carry out commands, until one says to drain.
async fn run_commands(
    context: &WorkerContext,
    commands: &mut mpsc::UnboundedReceiver<WorkerCommand>,
) -> Duration {
    loop {
        match commands.recv().await {
            Some(WorkerCommand::Use(gateway, done)) => {
                let generation = Generation::new(gateway, context.worker.index, &context.pools);
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
        match tokio::net::TcpStream::from_std(moved.stream) {
            Ok(stream) => context.serve(stream, moved.remote, moved.listener, moved.ticket),
            Err(error) => tracing::warn!(%error, "a connection from another worker is lost"),
        }
    }
}

/// Accept on one socket until the worker drains, and then the queued clients.
async fn accept(context: Rc<WorkerContext>, listener: usize, socket: TcpListener) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used; restart the gateway");
            return;
        }
    };
    let mut short = false;
    while !context.worker.draining.get() {
        if short {
            context.connections.close_idle(MAX_CLOSED_IDLE, MIN_IDLE_MS);
            context.wait_for_room().await;
            short = !descriptors::has_room_for_clients(&socket);
            continue;
        }
        let accepted = tokio::select! {
            biased;
            () = context.stop.notified() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                short = !descriptors::leaves_room_for_clients(&stream);
                if short {
                    context.report_pause(None);
                }
                context.make_room(listener).await;
                context.serve_or_transfer(stream, remote, listener);
            }
            Err(error) => context.pause_accepting(&error).await,
        }
    }
    if context.handed_over.borrow().contains(&listener) {
        // A socket filter would apply to the successor's socket, too.
        return;
    }
    if let Ok(socket) = socket.into_std() {
        sockets::close_queue(&socket);
        while let Ok((stream, remote)) = socket.accept() {
            context.serve_queued(stream, remote, listener);
        }
    }
}

impl WorkerContext {
    /// After a failed accept: a client that left needs nothing; a lack of sockets or memory needs a pause.
    async fn pause_accepting(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted => {}
            _ => {
                self.report_pause(Some(error));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Log that accepting pauses, for lack of files or of memory.
    fn report_pause(&self, error: Option<&io::Error>) {
        if let Some(times) = descriptors::count_pause(self.worker.shared.clock.now()) {
            tracing::warn!(
                times,
                limit = descriptors::limit(),
                error = error.map(tracing::field::display),
                "accepting pauses: the remaining open files are reserved for endpoints, health checks and the admin listener; raise the limit (`LimitNOFILE=`, `ulimit -Hn`), or lower `max_connections`"
            );
        }
    }

    fn is_full(&self, listener: usize) -> bool {
        let generation = self.worker.generation();
        let Some(limits) = generation.listeners.get(listener) else {
            return false;
        };
        // There is no lock between this look and the count: two workers may both accept the last connection.
        let (open, most) = (self.loads.on_listener(listener), limits.max_connections);
        if open >= most {
            return true;
        }
        if open < most - (most / FREE_SHARE).max(1) && self.loads.should_report(listener, false) {
            tracing::info!(listener = %limits.address, "the listener is no longer full");
        }
        false
    }

    /// Make room for a new connection. If its listener is full, the connection that has idled longest is
    /// closed. If none is idle, the new one waits here, and later ones wait in the kernel's queue.
    async fn make_room(&self, listener: usize) {
        if !self.is_full(listener) {
            return;
        }
        let stats = &self.worker.shared.stats;
        stats.connections_at_limit.add(1);
        self.report_full(listener);
        let _wanting = self.loads.request_room(listener);
        while self.is_full(listener) && !self.worker.draining.get() {
            let closed = self.connections.close_longest_idle(listener);
            stats.connections_gave_way.add(u64::from(closed));
            // If none of this worker's is idle, the others look among theirs.
            self.connections.makes_room.set(closed);
            self.wait_for_room().await;
        }
        self.connections.makes_room.set(false);
    }

    fn report_full(&self, listener: usize) {
        let generation = self.worker.generation();
        if let Some(limits) = generation.listeners.get(listener)
            && self.loads.should_report(listener, true)
        {
            tracing::warn!(
                listener = %limits.address,
                max_connections = limits.max_connections,
                "the listener is full: each new connection closes an idle one, and waits if none is idle; raise `max_connections` if the machine can serve more"
            );
        }
    }

    /// Wait until one of this worker's connections ends, or for a moment, since another worker's may end.
    async fn wait_for_room(&self) {
        tokio::select! {
            () = self.stop.notified() => {}
            () = self.connections.wait_for_end() => {}
            () = sleep(ACCEPT_PAUSE) => {}
        }
    }

    /// Serve a connection here, or give it to a worker that has far fewer.
    fn serve_or_transfer(
        &self,
        stream: tokio::net::TcpStream,
        remote: SocketAddr,
        listener: usize,
    ) {
        let own = self.worker.index;
        let chosen = self.loads.choose(own);
        // Counted before the other worker has it, since the next choice uses these counts.
        let ticket = self.loads.count_connection(chosen, listener);
        let sender = if chosen == own {
            None
        } else {
            self.transfer_senders.get(chosen)
        };
        let Some(sender) = sender else {
            return self.serve(stream, remote, listener, ticket);
        };
        match stream.into_std() {
            Ok(stream) => {
                self.worker.shared.stats.connections_handed_over.add(1);
                let handed = TransferredConnection {
                    stream,
                    remote,
                    listener,
                    ticket,
                };
                // A worker that drains accepts no more.
                if let Err(SendError(handed)) = sender.send(handed) {
                    self.serve_queued(handed.stream, remote, listener);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was closed: it could not be given to another worker");
            }
        }
    }

    /// Serve a connection that was still queued when a drain began.
    fn serve_queued(&self, stream: TcpStream, remote: SocketAddr, listener: usize) {
        let ticket = self.loads.count_connection(self.worker.index, listener);
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpStream::from_std(stream));
        match stream {
            Ok(stream) => self.serve(stream, remote, listener, ticket),
            Err(error) => tracing::warn!(%error, "a queued connection could not be served"),
        }
    }

    fn serve(
        &self,
        stream: tokio::net::TcpStream,
        remote: SocketAddr,
        listener: usize,
        ticket: ConnectionCount,
    ) {
        let worker = Rc::clone(&self.worker);
        let generation = worker.generation();
        let Some(limits) = generation.listeners.get(listener).cloned() else {
            return;
        };
        let rule = proxied::rule(&limits, &generation.gateway.trusted_proxies, remote.ip());
        if rule == ProxyHeaderRule::Stranger {
            worker.shared.stats.proxy_headers_refused.add(1);
            tracing::debug!(%remote, listener = %limits.address, "a connection was closed: only the proxies in `proxy_protocol` may connect");
            return;
        }
        let local = generation.sends_clients.then(|| stream.local_addr().ok());
        let tls = generation.gateway.tls.get(listener).cloned().flatten();
        if limits.tls.is_some() && tls.is_none() {
            // A successful build has one for each. Windlass never serves clear text instead.
            tracing::error!(listener = %limits.address, "a connection was closed: the listener has no certificate");
            return;
        }
        drop(generation);
        let shared = Arc::clone(&worker.shared);
        let watch = Watch::new(Arc::clone(&shared), &limits, worker.tick.get());
        if worker.draining.get() {
            watch.drain(DRAIN_GRACE);
        }
        let registration = self.connections.add(Arc::clone(&watch), listener);
        shared.stats.connections.add(1);
        shared.stats.connections_open.add(1);
        let mut connection = WorkerConnection::new(worker, watch, limits, remote);
        connection.set_local(local.flatten());
        spawn_local(async move {
            connection::serve(connection, stream, rule, tls).await;
            shared.stats.connections_open.subtract(1);
            drop((registration, ticket));
        });
    }
}
