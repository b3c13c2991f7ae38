//! A successor takes over the listening sockets, together with the clients that wait in their
//! queues.

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use windlass_tests::{Builder, Client, Gateway, Reply, Request, Upstream, wait};

use crate::config::all_to;
use crate::log_files::make_pipe;

const OWN: &str = "[[route]]\npath = \"/own\"\nrespond = { body = \"ok\" }\n";
const LONG_DELAY: &str = "[server]\ndrain_delay = \"1h\"\n";

/// Connect as if the gateway were far away: the last packet of the handshake arrives late, together
/// with the request. (The system delays it by at most 200 ms.)
fn connect_slowly(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.set_tcp_quickack(false).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Clients whose handshakes are slow, so that some are always in progress.
struct SlowClients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl SlowClients {
    /// The number of handshakes in progress.
    const MANY: usize = 30;
    /// If the machine delays a client for this long, the old gateway may have closed its
    /// connection.
    const LATE: Duration = Duration::from_millis(900);

    fn of(to: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let answered = Arc::<AtomicUsize>::default();
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let mut connected = VecDeque::new();
            let mut failures = Vec::new();
            let request = Request::get("/own").header("connection", "close").bytes();
            loop {
                let is_over = stopped.load(Ordering::Relaxed);
                if !is_over {
                    connected.push_back((Instant::now(), connect_slowly(to)));
                    if connected.len() < Self::MANY {
                        continue;
                    }
                }
                let Some((began, stream)) = connected.pop_front() else {
                    return failures;
                };
                let mut client = Client::over(stream);
                let sent = client.try_send_raw(&request);
                // A draining gateway closes a connection that has sent nothing for a second.
                let was_late = began.elapsed() > Self::LATE;
                match sent.and_then(|()| client.try_read(false, true)) {
                    Ok(Some(response)) if response.status == 200 => {}
                    answer if !was_late => failures.push(format!("{answer:?}")),
                    _ => {}
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let clients = Self {
            stop,
            answered,
            thread,
        };
        clients.wait_for_more(100);
        clients
    }

    fn wait_for_more(&self, more: usize) {
        let answered = || self.answered.load(Ordering::Relaxed);
        let wanted = answered() + more;
        wait::until("more answers", || (answered() >= wanted).then_some(()));
    }

    /// Assert that every client got its response.
    fn are_answered(self) {
        self.wait_for_more(100);
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.thread.join().unwrap(), Vec::<String>::new());
    }
}

fn drains_soon(gateway: &Gateway) {
    gateway.signal(Signal::TERM);
    let log = gateway.log();
    log.wait_for_line(|line| line.contains("draining soon"));
}

/// A successor with `old` replaced by `new` in its configuration.
fn successor_with(gateway: &Gateway, old: &str, new: &str) -> Builder {
    let successor = gateway.successor();
    let file = gateway.folder().join("windlass.toml");
    let config = fs::read_to_string(&file).unwrap();
    assert!(config.contains(old), "{config}");
    fs::write(&file, config.replacen(old, new, 1)).unwrap();
    successor
}

/// The number of sockets that listen at this address (`/proc/net/tcp`).
fn sockets(address: SocketAddr) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", address.port());
    let lines = table.lines().map(str::split_whitespace);
    let listens = |mut words: std::str::SplitWhitespace<'_>| {
        words.nth(1).is_some_and(|own| own.ends_with(&port)) && words.nth(1) == Some("0A")
    };
    lines.filter(|words| listens(words.clone())).count()
}

#[test]
fn no_handshake_that_has_begun_is_lost() {
    let mut gateway = Gateway::with_config(format!("{LONG_DELAY}workers = 2\n{OWN}")).start();
    let clients = SlowClients::of(gateway.address());
    for _ in 0..3 {
        drains_soon(&gateway);
        let next = gateway.successor().start();
        assert_eq!(gateway.wait_for_end().code(), Some(0));
        gateway = next;
        clients.wait_for_more(100);
    }
    clients.are_answered();
}

#[test]
fn a_successor_has_the_sockets_of_all_workers_whether_it_has_more_of_them_or_fewer() {
    let mut gateway = Gateway::with_config(format!("{LONG_DELAY}workers = 1\n{OWN}")).start();
    let clients = SlowClients::of(gateway.address());
    assert_eq!(sockets(gateway.address()), 1);
    for (before, workers, listening) in [(1, 3, 3), (3, 1, 3), (1, 4, 4), (4, 2, 4)] {
        drains_soon(&gateway);
        let (old, new) = (
            format!("workers = {before}"),
            format!("workers = {workers}"),
        );
        let next = successor_with(&gateway, &old, &new).start();
        assert_eq!(gateway.wait_for_end().code(), Some(0));
        gateway = next;
        clients.wait_for_more(100);
        assert_eq!(sockets(gateway.address()), listening, "{workers} workers");
    }
    clients.are_answered();
}

#[test]
fn each_listener_is_handed_over_and_one_that_the_successor_has_not_is_closed() {
    // The system chose free ports.
    let free = |any: &str| TcpListener::bind(any).unwrap().local_addr().unwrap();
    let (six, gone, added) = (free("[::1]:0"), free("127.0.0.1:0"), free("127.0.0.1:0"));
    let listener = |address| format!("[[listener]]\naddress = \"{address}\"\n");
    let upstream = Upstream::gated(Reply::status(200).body("whole"));
    let config = format!(
        "{LONG_DELAY}{}{}{}{OWN}{}",
        listener("127.0.0.1:0".parse().unwrap()),
        listener(six),
        listener(gone),
        all_to(upstream.address())
    );
    let old = Gateway::with_config(config).start();
    let mut long = old.client();
    long.send_raw(Request::get("/long").bytes());
    upstream.wait_for_requests(1);
    let clients = [old.address(), six].map(SlowClients::of);
    drains_soon(&old);
    let new = successor_with(&old, &listener(gone), &listener(added)).start();
    let log = old.log();
    log.wait_for_line(|line| line.contains("a successor serves"));
    wait::until("a listener to be closed", || {
        TcpStream::connect(gone).is_err().then_some(())
    });
    assert_eq!(Client::connect(added).get("/own").text(), "ok");
    for _ in 0..20 {
        assert_eq!(new.admin("/readyz").text(), "ok\n");
    }
    clients.into_iter().for_each(SlowClients::are_answered);
    upstream.release(1);
    assert_eq!(long.read_response().text(), "whole");
    assert_eq!(old.wait_for_end().code(), Some(0));
}

const LATE: &str = "[filter.late]\nplugin = \"late.wasm\"\n";

/// A successor whose start stops halfway, after it got the sockets, until its plugin is written to
/// this pipe.
fn halting<T: Send + 'static>(old: &Gateway, run: fn(Builder) -> T) -> (JoinHandle<T>, fs::File) {
    let pipe = old.folder().join("late.wasm");
    make_pipe(&pipe);
    let successor = successor_with(old, "[[route]]\n", &format!("{LATE}[[route]]\n"));
    let runs = std::thread::spawn(move || run(successor));
    // Opening the pipe returns once the successor reads it.
    (runs, fs::File::create(pipe).unwrap())
}

/// Write the plugin that the successor waits for.
fn go_on(mut pipe: fs::File) {
    let plugin = fs::read(concat!(env!("OUT_DIR"), "/actor.wasm")).unwrap();
    pipe.write_all(&plugin).unwrap();
}

#[test]
fn clients_wait_for_a_successor_that_starts_when_the_old_gateway_ends() {
    let old = Gateway::with_config(format!("{LONG_DELAY}{OWN}")).start();
    drains_soon(&old);
    let (starts, pipe) = halting(&old, Builder::start);
    for _ in 0..20 {
        assert_eq!(old.get("/own").text(), "ok");
    }
    // This ends the delay.
    assert_eq!(old.terminate().code(), Some(0));
    let mut waits: Vec<_> = (0..20).map(|_| old.client()).collect();
    for client in &mut waits {
        client.send_raw(Request::get("/own").bytes());
    }
    go_on(pipe);
    let new = starts.join().unwrap();
    for client in &mut waits {
        assert_eq!(client.read_response().text(), "ok");
    }
    assert_eq!(new.get("/own").text(), "ok");
}

#[test]
fn of_two_successors_the_one_that_serves_first_has_the_sockets() {
    let old = Gateway::with_config(format!("{LONG_DELAY}{OWN}")).start();
    drains_soon(&old);
    let (late, pipe) = halting(&old, |builder| builder.run_refused());
    let new = successor_with(&old, LATE, "").start();
    assert_eq!(old.wait_for_end().code(), Some(0));
    go_on(pipe);
    let refused = late.join().unwrap();
    assert_eq!(refused.code, Some(1), "{}", refused.errors);
    let told = "another gateway has taken over";
    assert!(refused.errors.contains(told), "{}", refused.errors);
    for _ in 0..20 {
        assert_eq!(new.get("/own").text(), "ok");
    }
}

#[test]
fn of_two_successors_that_start_at_the_same_time_one_ends_and_the_other_answers() {
    for _ in 0..4 {
        let old = Gateway::with_config(format!("{LONG_DELAY}workers = 2\n{OWN}")).start();
        drains_soon(&old);
        let successors = [old.successor(), old.successor()]
            .map(|successor| std::thread::spawn(move || successor.start()));
        // The start of the one that ends panics in its thread.
        let started = successors.map(JoinHandle::join);
        let mut running = started.into_iter().flatten();
        let new = running.next().expect("one that goes on");
        assert!(running.next().is_none(), "both go on");
        assert_eq!(old.wait_for_end().code(), Some(0));
        for _ in 0..20 {
            assert_eq!(new.get("/own").text(), "ok");
        }
    }
}

#[test]
fn nobody_waits_at_the_sockets_of_a_gateway_that_has_no_successor() {
    let upstream = Upstream::gated(Reply::status(200).body("whole"));
    let old = Gateway::with_config(format!(
        "[server]\ndrain_delay = \"2s\"\n{OWN}{}",
        all_to(upstream.address())
    ))
    .start();
    let mut long = old.client();
    long.send_raw(Request::get("/long").bytes());
    upstream.wait_for_requests(1);
    drains_soon(&old);
    // The successor gets the sockets and then fails.
    let missing = "[filter.none]\nplugin = \"none.wasm\"\n[[route]]\n";
    let refused = successor_with(&old, "[[route]]\n", missing).run_refused();
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    let log = old.log();
    log.wait_for_line(|line| line.contains("draining:"));
    wait::until("connections to be refused", || {
        TcpStream::connect(old.address()).is_err().then_some(())
    });
    upstream.release(1);
    assert_eq!(long.read_response().text(), "whole");
    assert_eq!(old.wait_for_end().code(), Some(0));
}
