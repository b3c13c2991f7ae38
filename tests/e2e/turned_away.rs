//! HTTP/2 upstreams: requests that an endpoint turns away unread, and streams that it resets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use windlass_tests::wait::{Watched, until};
use windlass_tests::{Gateway, Request};

use crate::config::start;

/// An endpoint's reaction to a request.
#[derive(Clone, Copy)]
enum Does {
    /// Respond with 200 and no body.
    Answer,
    /// Respond with 200 and three bytes, as `content-length` says, without ending the stream.
    Dangle,
    /// Begin a response, and reset the stream with this code.
    Break(u8),
    /// Announce a graceful end of the connection, with the previous stream as the last one processed.
    GoAway,
    /// Reset the stream with this code.
    Reset(u8),
}

const INTERNAL_ERROR: u8 = 2;
const REFUSED_STREAM: u8 = 7;

/// A request that arrived whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Came {
    connection: usize,
    stream: u32,
    /// The length of its body in bytes.
    length: usize,
}

/// An endpoint that follows a script, frame by frame.
struct Scripted {
    address: SocketAddr,
    connections: Arc<Watched<usize>>,
    came: Arc<Watched<Vec<Came>>>,
}

impl Scripted {
    /// `does` gets the number of the connection and of the request on it, both from 0.
    fn start(does: impl Fn(usize, usize) -> Does + Send + Sync + 'static) -> Self {
        Self::after_silent(0, does)
    }

    /// The same; the first `silent` connections get no reply at all.
    fn after_silent(
        silent: usize,
        does: impl Fn(usize, usize) -> Does + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let came: Arc<Watched<Vec<Came>>> = Arc::new(Watched::new(Vec::new()));
        let connections: Arc<Watched<usize>> = Arc::new(Watched::new(0));
        let (seen, does) = (Arc::clone(&came), Arc::new(does));
        let accepted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for (connection, stream) in socket.incoming().enumerate() {
                let mut stream = stream.unwrap();
                accepted.change(|accepted| *accepted += 1);
                let (seen, does) = (Arc::clone(&seen), Arc::clone(&does));
                std::thread::spawn(move || {
                    // The thread ends when the gateway closes the connection.
                    let _ = match connection < silent {
                        true => stream.read_to_end(&mut Vec::new()).map(|_| ()),
                        false => serve(stream, connection, &seen, &*does),
                    };
                });
            }
        });
        Self {
            address,
            connections,
            came,
        }
    }

    fn came(&self) -> Vec<Came> {
        self.came.with(Clone::clone)
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn serve(
    mut socket: TcpStream,
    connection: usize,
    came: &Watched<Vec<Came>>,
    does: &dyn Fn(usize, usize) -> Does,
) -> std::io::Result<()> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;
    const STATUS_200: u8 = 0x88;
    let mut preface = [0; 24];
    socket.read_exact(&mut preface)?;
    socket.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let mut last = 0_u32;
    let mut length = 0;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head)?;
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        socket.read_exact(&mut payload)?;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match kind {
            SETTINGS if flags == 0 => socket.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            HEADERS => length = 0,
            DATA => length += payload.len(),
            _ => {}
        }
        if !matches!(kind, HEADERS | DATA) || flags & END_STREAM == 0 {
            continue;
        }
        came.change(|came| {
            came.push(Came {
                connection,
                stream,
                length,
            });
        });
        match does(connection, usize::try_from(stream / 2).unwrap()) {
            Does::Answer => {
                last = stream;
                socket.write_all(&frame(HEADERS, 0x4 | END_STREAM, stream, &[STATUS_200]))?;
            }
            Does::Dangle => {
                // `content-length: 3`, as a literal with a name of the static table (RFC 7541 section 6.2.2).
                let head = [STATUS_200, 0x0f, 0x0d, 1, b'3'];
                socket.write_all(&frame(HEADERS, 0x4, stream, &head))?;
                socket.write_all(&frame(DATA, 0, stream, b"all"))?;
            }
            Does::Break(code) => {
                socket.write_all(&frame(HEADERS, 0x4, stream, &[STATUS_200]))?;
                socket.write_all(&frame(DATA, 0, stream, b"some"))?;
                socket.write_all(&frame(3, 0, stream, &[0, 0, 0, code]))?;
            }
            Does::GoAway => {
                let last = last.to_be_bytes();
                socket.write_all(&frame(7, 0, 0, &[last, [0; 4]].concat()))?;
            }
            Does::Reset(code) => socket.write_all(&frame(3, 0, stream, &[0, 0, 0, code]))?,
        }
    }
}

fn to(endpoints: &[&Scripted], lines: &str) -> Gateway {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|endpoint| format!("{{ address = \"{}\" }}", endpoint.address))
        .collect();
    start(&[
        "[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n",
        &format!("[upstream.app]\nendpoints = [{}]\n", endpoints.join(", ")),
        "protocol = \"http2\"\nejection = { faults = 1, max_share = 100 }\n",
        lines,
    ])
}

/// An endpoint that takes one request a connection, and says so when the second one is on its way.
fn one_each() -> Scripted {
    Scripted::start(|_, request| match request {
        0 => Does::Answer,
        _ => Does::GoAway,
    })
}

fn post(length: usize) -> Request {
    Request::post("/", vec![b'x'; length]).chunked()
}

fn faults(gateway: &Gateway) -> f64 {
    gateway.metrics()["windlass_endpoint_faults_total"]
}

#[test]
fn what_a_goaway_turns_away_is_sent_on_another_connection_whatever_the_method() {
    let endpoint = one_each();
    // The resend counts neither as an attempt nor against the budget, because the endpoint did not process the request.
    let gateway = to(
        &[&endpoint],
        "retries = { attempts = 1, budget = 0, budget_rate = 0 }",
    );
    for _ in 0..3 {
        assert_eq!(gateway.send(&post(4)).status, 200);
    }
    assert_eq!(gateway.send(&Request::post("/", "")).status, 200);
    let came = endpoint.came();
    let answered: Vec<Came> = came.into_iter().filter(|came| came.stream == 1).collect();
    let lengths: Vec<usize> = answered.iter().map(|came| came.length).collect();
    assert_eq!(lengths, [4, 4, 4, 0]);
    assert!((faults(&gateway) - 0.0).abs() < f64::EPSILON);
}

/// If connections take few requests each, an endpoint keeps turning most of many concurrent requests away.
#[test]
fn few_requests_a_connection_cost_none_of_many_at_once() {
    let endpoint = Scripted::start(|_, request| match request {
        0..4 => Does::Answer,
        _ => Does::GoAway,
    });
    let gateway = to(&[&endpoint], "");
    let report = gateway.load(post(4)).connections(64).run(1000);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (1000, 0),
        "{report:?}"
    );
}

/// This works even with a limit of one connection: a spent one frees its permit for the next.
#[test]
fn a_spent_connection_gives_its_place_to_the_next() {
    let endpoint = Scripted::start(|_, request| match request {
        0..4 => Does::Answer,
        _ => Does::GoAway,
    });
    let limits = "limits = { max_connections = 1, queue_timeout = \"20s\" }";
    let gateway = to(&[&endpoint], limits);
    let report = gateway.load(post(4)).connections(16).run(200);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (200, 0),
        "{report:?}"
    );
}

/// Windlass learned how many requests a connection takes, but the endpoint may have changed. Connections that count as
/// spent are closed.
#[test]
fn spent_connections_are_closed_though_the_endpoint_keeps_them() {
    let endpoint = Scripted::start(|connection, request| match (connection, request) {
        // As many connections as Windlass opens before it has learned the number.
        (0..16, 4..) => Does::GoAway,
        _ => Does::Answer,
    });
    let gateway = to(&[&endpoint], "");
    let report = gateway.load(post(4)).connections(8).run(1000);
    assert_eq!(report.status(200), 1000, "{report:?}");
    let made = endpoint.connections.with(|connections| *connections);
    assert!(made > 100, "{made}: it was learned");
    gateway.metrics_when("the spent ones to be closed", |metrics| {
        metrics["windlass_endpoint_connections"] <= 10.0
    });
}

#[test]
fn a_body_that_was_not_kept_is_turned_away_for_good_and_the_endpoint_stays() {
    let endpoint = one_each();
    let gateway = to(&[&endpoint], "retries = { max_body = \"1KiB\" }");
    assert_eq!(gateway.send(&post(4000)).status, 200);
    let answer = gateway.send(&post(4000));
    assert_eq!(
        (answer.status, &*answer.code()),
        (502, "upstream_closed"),
        "{}",
        answer.text()
    );
    let line = |line: &str| {
        line.contains("refused the request without reading it: it closes the connection")
    };
    gateway.log().wait_for_line(line);
    assert_eq!(gateway.send(&post(4)).status, 200);
    assert!((faults(&gateway) - 0.0).abs() < f64::EPSILON);
}

/// This includes the first request of a connection.
#[test]
fn a_connection_that_ends_before_its_first_request_costs_none() {
    let endpoint = Scripted::start(|connection, _| match connection {
        0 => Does::GoAway,
        _ => Does::Answer,
    });
    let gateway = to(&[&endpoint], "retries = { attempts = 1 }");
    assert_eq!(gateway.send(&post(4)).status, 200);
}

/// A response is complete with its last byte, even if the stream does not end.
#[test]
fn an_answer_of_a_known_length_is_whole_with_its_last_byte() {
    let endpoint = Scripted::start(|_, _| Does::Dangle);
    let gateway = to(&[&endpoint], "[log]\naccess = \"stdout\"");
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "all");
    }
    gateway.metrics_when("the answers", |metrics| {
        metrics["windlass_requests_active"] == 0.0
    });
    assert_eq!(gateway.metrics()["windlass_responses_cut_total"], 0.0);
    let errors = gateway.metrics().by("windlass_errors_total", "code");
    assert_eq!(errors.get("client_gone"), Some(&0.0));
}

/// A reset before the end cuts the response, even with the code for no error. The client does not get the endpoint's
/// code.
#[test]
fn a_stream_that_is_reset_before_its_end_is_cut_and_its_code_stays_here() {
    use http_body_util::BodyExt as _;
    for code in [0, REFUSED_STREAM, INTERNAL_ERROR, 13] {
        let endpoint = Scripted::start(move |_, _| Does::Break(code));
        let gateway = to(&[&endpoint], "[log]\naccess = \"stdout\"");
        assert!(gateway.client().try_send(&Request::get("/")).is_err());
        crate::wire::run(async {
            let mut client = crate::wire::http2(gateway.address(), None).await;
            let answer = client.send_request(crate::wire::get("/")).await.unwrap();
            let mut body = answer.into_body();
            let ended = loop {
                match body.frame().await {
                    Some(Ok(_)) => {}
                    other => break other,
                }
            };
            let error = ended.expect("an error").unwrap_err();
            let error = std::error::Error::source(&error).unwrap();
            let error = error.downcast_ref::<h2::Error>().unwrap();
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{code}");
        });
        let line = |line: &str| line.contains("\"response_broken\"");
        gateway.output().wait_for_line(line);
    }
}

/// If a filter ends a request's body, the endpoint is not at fault.
#[test]
fn a_body_that_a_filter_ends_is_no_fault_of_the_endpoint() {
    let endpoint = Scripted::start(|_, _| Does::Answer);
    let plugin = concat!(env!("OUT_DIR"), "/actor.wasm");
    let gateway = to(
        &[&endpoint],
        &format!(
            "[filter.actor]\nplugin = \"{plugin}\"\nsettings = {{ request = [\"chunks\"], \
             request-body = [{{ respond = {{ status = 422, reason = \"no_good\" }} }}] }}\n\
             [[route]]\npath = \"/filtered\"\nfilters = [\"actor\"]\nupstream = \"app\"\n"
        ),
    );
    let request = Request::post("/filtered", "some").chunked();
    assert_eq!(gateway.send(&request).status, 422);
    assert!((faults(&gateway) - 0.0).abs() < f64::EPSILON);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_refused_stream_goes_elsewhere_free_of_the_budget() {
    let refuses = Scripted::start(|_, _| Does::Reset(REFUSED_STREAM));
    let good = Scripted::start(|_, _| Does::Answer);
    let gateway = to(
        &[&refuses, &good],
        "retries = { budget = 0, budget_rate = 0 }",
    );
    for _ in 0..4 {
        assert_eq!(gateway.send(&post(4)).status, 200);
    }
    assert!(!refuses.came().is_empty());
    assert_eq!(good.came().len(), 4);
}

#[test]
fn a_reset_stream_is_no_stale_connection() {
    let endpoint = Scripted::start(|_, request| match request {
        0 => Does::Answer,
        _ => Does::Reset(INTERNAL_ERROR),
    });
    let gateway = to(&[&endpoint], "retries = { attempts = 1 }");
    assert_eq!(gateway.get("/").status, 200);
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_closed"));
    let came = endpoint.came();
    assert_eq!(came.len(), 2, "it was sent once: {came:?}");
    assert!(came.iter().all(|came| came.connection == 0));
}

/// A connection attempt that is abandoned is not a failure either: one of the requests that waited for it makes the
/// next.
#[test]
fn whoever_waited_for_a_connection_that_was_given_up_shares_the_next() {
    let endpoint = Scripted::after_silent(1, |_, _| Does::Answer);
    let gateway = to(&[&endpoint], "connect_timeout = \"1m\"");
    let ask = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = gateway.client();
    first.send_raw(ask);
    until("a connection", || {
        endpoint
            .connections
            .with(|connections| (*connections == 1).then_some(()))
    });
    let mut others: Vec<_> = (0..8).map(|_| gateway.client()).collect();
    for other in &mut others {
        other.send_raw(ask);
    }
    gateway.metrics_when("all to wait", |metrics| {
        metrics["windlass_requests_active"] == 9.0
    });
    drop(first);
    for other in &mut others {
        assert_eq!(other.read_response().status, 200);
    }
    assert_eq!(endpoint.connections.with(|connections| *connections), 2);
}
