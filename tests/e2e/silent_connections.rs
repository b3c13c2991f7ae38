//! Endpoint connections that go silent without being closed, while new ones work.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use windlass_tests::wait::Watched;
use windlass_tests::{Gateway, Reply, Request, Then, Upstream};

use crate::config::start;

/// Connections with a number below this one send nothing any more.
type Silent = Arc<Watched<usize>>;

/// An HTTP/2 endpoint that responds with 200 on connections that are not silent. It counts its
/// connections.
struct Endpoint {
    address: SocketAddr,
    made: Arc<Watched<usize>>,
    silent: Silent,
    /// The PINGs that it has answered.
    pings: Arc<Watched<usize>>,
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

fn frame(kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
    bytes.extend(stream);
    bytes.extend(payload);
    bytes
}

impl Endpoint {
    /// `answers`: whether it responds to requests, or only to PINGs.
    fn start(answers: bool) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Self {
            address: socket.local_addr().unwrap(),
            made: Arc::default(),
            silent: Arc::default(),
            pings: Arc::default(),
        };
        let (made, silent) = (Arc::clone(&endpoint.made), Arc::clone(&endpoint.silent));
        let pings = Arc::clone(&endpoint.pings);
        std::thread::spawn(move || {
            for (number, stream) in socket.incoming().enumerate() {
                made.change(|made| *made += 1);
                let (silent, pings) = (Arc::clone(&silent), Arc::clone(&pings));
                std::thread::spawn(move || {
                    // The thread ends when the gateway closes the connection.
                    let _ = serve(stream.unwrap(), answers, &pings, || {
                        silent.with(|silent| number < *silent)
                    });
                });
            }
        });
        endpoint
    }

    /// Make all current connections silent.
    fn go_silent(&self) -> usize {
        let made = self.made.with(|made| *made);
        self.silent.change(|silent| *silent = made);
        made
    }

    fn gateway(&self, lines: &str) -> Gateway {
        start(&[&format!(
            "[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
             protocol = \"http2\"\nendpoints = [{{ address = \"{}\" }}]\nejection = {{ faults = 0 }}\n{lines}\n",
            self.address
        )])
    }
}

fn serve(
    mut socket: TcpStream,
    answers: bool,
    pings: &Watched<usize>,
    is_silent: impl Fn() -> bool,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    socket.write_all(&frame(SETTINGS, 0, [0; 4], &[]))?;
    let mut preface = [0; 24];
    socket.read_exact(&mut preface)?;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        socket.read_exact(&mut payload)?;
        let stream = [head[5], head[6], head[7], head[8]];
        let answer = match (head[3], head[4]) {
            (HEADERS, _) if answers => frame(HEADERS, 5, stream, &[0x88]),
            (SETTINGS, 0) => frame(SETTINGS, 1, [0; 4], &[]),
            (PING, 0) => frame(PING, 1, [0; 4], &payload),
            _ => continue,
        };
        if is_silent() {
            continue;
        }
        if head[3] == PING {
            pings.change(|pings| *pings += 1);
        }
        socket.write_all(&answer)?;
    }
}

#[test]
fn after_one_request_timed_out_in_silence_the_next_go_to_a_new_connection() {
    let endpoint = Endpoint::start(true);
    let gateway = endpoint.gateway("first_byte_timeout = \"200ms\"");
    assert_eq!(gateway.get("/").status, 200);
    let made = endpoint.go_silent();
    assert_eq!(gateway.get("/").status, 504);
    for _ in 0..20 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!(endpoint.made.with(|made| *made), made + 1);
}

/// This happens long before the request's own time-out, and the silent connection is closed.
#[test]
fn a_request_that_waits_on_a_silent_connection_is_moved_to_another() {
    let endpoint = Endpoint::start(true);
    let gateway = endpoint.gateway("first_byte_timeout = \"10m\"");
    assert_eq!(gateway.get("/").status, 200);
    endpoint.go_silent();
    assert_eq!(gateway.get("/").status, 200);
    let line = |line: &str| line.contains("went silent and was closed");
    gateway.log().wait_for_line(line);
    gateway.metrics_when("the silent connection to be closed", |metrics| {
        metrics["windlass_endpoint_connections"] == 1.0
    });
}

/// The endpoint answers PINGs, so its connection stays in use.
#[test]
fn an_endpoint_that_is_only_slow_keeps_its_connection() {
    let endpoint = Endpoint::start(false);
    let gateway = endpoint.gateway("first_byte_timeout = \"4s\"");
    let waiting = std::thread::spawn({
        let mut client = gateway.client();
        move || client.get("/").status
    });
    let asked = endpoint
        .pings
        .find(windlass_tests::wait::DEADLINE, |pings| {
            (*pings > 0).then_some(())
        });
    assert!(asked.is_some(), "no PING came");
    assert_eq!(waiting.join().unwrap(), 504);
    assert_eq!(gateway.get("/").status, 504);
    assert_eq!(endpoint.made.with(|made| *made), 1);
}

/// If the network dropped one unused connection, it has probably dropped all of them.
#[test]
fn unused_connections_of_http1_go_with_the_one_that_timed_out() {
    let silent: Silent = Arc::default();
    let known = Arc::clone(&silent);
    let endpoint = Upstream::with(move |request, stream| {
        if request.connection < known.with(|silent| *silent) {
            return Ok(Then::Hold);
        }
        Reply::status(200).body("ok").write(stream)
    });
    let gateway = start(&[&format!(
        "[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         endpoints = [{{ address = \"{}\" }}]\nfirst_byte_timeout = \"200ms\"\nejection = {{ faults = 0 }}\n",
        endpoint.address()
    )]);
    let report = gateway.load(Request::get("/")).connections(8).run(200);
    assert_eq!(report.status(200), 200, "{report:?}");
    assert!(endpoint.connections() > 1, "there are some to be forgotten");
    silent.change(|silent| *silent = endpoint.connections());
    let statuses: Vec<u16> = (0..20).map(|_| gateway.get("/").status).collect();
    assert_eq!(statuses[0], 504);
    assert!(
        statuses[1..].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
}
