//! Upgrades: traffic after both sides agreed, and the response if they do not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};

use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use windlass_tests::{Client, Gateway, Upstream, http};

use crate::config::{all_to, filtered, stamp, start};
use crate::wire::{self, Authority, Endpoint, Speaks, client_tls, connect, run, server_tls};

/// A WebSocket server with TLS that echoes.
fn echo(authority: &Authority) -> SocketAddr {
    let tls = server_tls(&authority.issue(&["127.0.0.1"]), &["h2", "http/1.1"], None);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        run(async {
            let socket = tokio::net::TcpListener::from_std(socket).unwrap();
            let (stream, _) = socket.accept().await.unwrap();
            let stream = TlsAcceptor::from(tls).accept(stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut socket = accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        });
    });
    address
}

fn secure(authority: &Authority, endpoint: SocketAddr) -> Gateway {
    let identity = authority.issue(&["localhost"]);
    let config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"api.pem\", key = \"api.key\" }}\n{}tls = {{ ca = \"ca.pem\" }}\n{}",
        filtered(&["one"], endpoint),
        stamp("one"),
    );
    Gateway::with_config(config)
        .file("api.pem", identity.certificate)
        .file("api.key", identity.key)
        .file("ca.pem", &authority.pem)
        .start()
}

#[test]
fn a_websocket_passes_with_tls_on_both_sides() {
    let authority = Authority::new();
    let gateway = secure(&authority, echo(&authority));
    run(async {
        let tls = client_tls(&authority, &["http/1.1"]);
        let pipe = connect(gateway.address(), Some(&tls)).await.unwrap();
        let (mut socket, answer) = client_async("wss://localhost/chat", pipe).await.unwrap();
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()["x-order"], "one");
        assert!(answer.headers().contains_key("x-request-id"));
        for size in [1, 1000, 1_000_000] {
            let text = "x".repeat(size);
            socket.send(Message::text(text.clone())).await.unwrap();
            let answer = socket.next().await.unwrap().unwrap();
            assert_eq!(answer.into_text().unwrap().len(), size);
        }
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    });
    let metrics = gateway.metrics_when("the end of the exchange", |metrics| {
        metrics["windlass_requests_active"] == 0.0
    });
    assert!(metrics["windlass_response_bytes_total"] > 1_000_000.0);
}

#[test]
fn a_websocket_of_http2_reaches_an_endpoint_of_http1() {
    let authority = Authority::new();
    let gateway = secure(&authority, echo(&authority));
    run(async {
        let tls = client_tls(&authority, &["h2"]);
        let mut client = wire::http2(gateway.address(), Some(&tls)).await;
        let mut request = wire::get("/chat");
        *request.method_mut() = ::http::Method::CONNECT;
        *request.uri_mut() = "https://localhost/chat".parse().unwrap();
        let protocol = hyper::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
        let version = ::http::HeaderValue::from_static("13");
        request
            .headers_mut()
            .insert("sec-websocket-version", version);
        let mut socket = by_connect(&mut client, request).await;
        assert_eq!(said_back(&mut socket, "over two").await, "over two");
    });
}

/// Open a WebSocket over HTTP/2.
async fn by_connect(
    client: &mut hyper::client::conn::http2::SendRequest<wire::Body>,
    request: ::http::Request<wire::Body>,
) -> WebSocketStream<impl AsyncRead + AsyncWrite + Unpin> {
    // The client has the gateway's SETTINGS once it has a response.
    let first = client.send_request(wire::get("/..%00")).await.unwrap();
    assert_eq!(first.status(), 400);
    let mut answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let pipe = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    WebSocketStream::from_raw_socket(pipe, Role::Client, None).await
}

/// The reply to this message.
async fn said_back(
    socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>,
    text: &str,
) -> String {
    socket.send(Message::text(text)).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    answer.into_text().unwrap().as_str().to_owned()
}

/// A WebSocket server over HTTP/2 with prior knowledge that echoes. It refuses `/no`, and sends an ordinary response if
/// the client asks for no WebSocket.
fn echo_over_http2(connects: bool) -> Endpoint {
    let speaks = Speaks {
        http2: true,
        connects,
        ..Speaks::default()
    };
    Endpoint::start(speaks, |request| async move {
        if request.method() != ::http::Method::CONNECT {
            return ::http::Response::new(wire::full("ordinary"));
        }
        if request.uri().path() == "/no" {
            let mut answer = ::http::Response::new(wire::full("no"));
            *answer.status_mut() = ::http::StatusCode::FORBIDDEN;
            return answer;
        }
        tokio::task::spawn_local(async move {
            let pipe = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(pipe, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        ::http::Response::new(wire::empty())
    })
}

fn over_http2(endpoint: &Endpoint) -> Gateway {
    let protocol = "protocol = \"http2\"\n";
    start(&[
        "[server]\nworkers = 1\n",
        &all_to(endpoint.address),
        protocol,
    ])
}

#[test]
fn websockets_share_a_connection_to_an_endpoint_of_http2() {
    let endpoint = echo_over_http2(true);
    let gateway = over_http2(&endpoint);
    run(async {
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let pipe = connect(gateway.address(), None).await.unwrap();
            // The client verifies `Sec-WebSocket-Accept`.
            let (socket, answer) = client_async("ws://localhost/chat", pipe).await.unwrap();
            assert_eq!(answer.status(), 101);
            sockets.push(socket);
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            let text = format!("{number}").repeat(100_000);
            assert_eq!(said_back(socket, &text).await, text);
        }
        let active = |count: f64| {
            gateway.metrics_when("the tunnels", |metrics| {
                metrics["windlass_endpoint_requests_active"] == count
            });
        };
        active(3.0);
        for mut socket in sockets {
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
        active(0.0);
    });
    endpoint.seen(|seen| {
        assert_eq!(seen.connections, 1);
        for request in &seen.requests {
            let protocol = request.extensions.get::<hyper::ext::Protocol>().unwrap();
            assert_eq!(protocol.as_str(), "websocket");
            for absent in ["upgrade", "connection", "sec-websocket-key"] {
                assert!(!request.headers.contains_key(absent), "{absent}");
            }
            assert_eq!(request.headers["sec-websocket-version"], "13");
        }
    });
}

#[test]
fn a_websocket_passes_with_http2_on_both_sides() {
    let endpoint = echo_over_http2(true);
    let gateway = over_http2(&endpoint);
    run(async {
        let mut client = wire::http2(gateway.address(), None).await;
        let mut socket = by_connect(&mut client, chat()).await;
        assert_eq!(said_back(&mut socket, "over two").await, "over two");
    });
}

fn chat() -> ::http::Request<wire::Body> {
    let mut request = wire::get("/chat");
    *request.method_mut() = ::http::Method::CONNECT;
    let protocol = hyper::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    request
}

#[test]
fn the_total_time_out_ends_a_tunnel_of_a_client_of_http2() {
    let endpoint = echo_over_http2(true);
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[server]\nworkers = 1\n",
        &all_to(endpoint.address),
        "protocol = \"http2\"\ntotal_timeout = \"500ms\"\nidle_timeout = \"none\"\n",
    ]);
    run(async {
        let mut client = wire::http2(gateway.address(), None).await;
        let mut socket = by_connect(&mut client, chat()).await;
        assert_eq!(said_back(&mut socket, "over two").await, "over two");
        assert!(!matches!(socket.next().await, Some(Ok(_))));
    });
    let line = |line: &str| line.contains("/chat") && line.contains("\"total_timeout\"");
    gateway.output().wait_for_line(line);
}

#[test]
fn an_endpoint_of_http2_that_knows_or_wants_no_websocket_gives_an_ordinary_answer() {
    const WEBSOCKET: &str = "connection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (connects, path, status, text) in
        [(false, "/chat", 200, "ordinary"), (true, "/no", 403, "no")]
    {
        let endpoint = echo_over_http2(connects);
        let gateway = over_http2(&endpoint);
        let ask = format!("GET {path} HTTP/1.1\r\nhost: a\r\n{WEBSOCKET}");
        let answer = gateway.send_raw(ask);
        assert_eq!((answer.status, answer.text()), (status, text));
    }
    // Windlass translates only WebSockets, so it does not ask for this protocol.
    let endpoint = echo_over_http2(true);
    let answer = over_http2(&endpoint).send_raw(ASK);
    assert_eq!((answer.status, answer.text()), (200, "ordinary"));
}

const ASK: &str =
    "GET /x HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: shout\r\n\r\n";

/// An endpoint that agrees, sends a line at once, and returns each line in upper case.
pub(crate) fn shouting() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let Ok(Some(head)) = http::read_head(&mut stream) else {
                continue;
            };
            assert_eq!(head.all("upgrade").collect::<Vec<_>>(), ["shout"]);
            assert_eq!(head.all("connection").collect::<Vec<_>>(), ["upgrade"]);
            let agreed = "HTTP/1.1 101 Fine\r\nconnection: upgrade\r\nupgrade: shout\r\nx-own: 1\r\n\r\nHI\n";
            stream.get_mut().write_all(agreed.as_bytes()).unwrap();
            let mut line = String::new();
            while matches!(stream.read_line(&mut line), Ok(count) if count > 0) {
                let loud = line.to_uppercase();
                if stream.get_mut().write_all(loud.as_bytes()).is_err() {
                    break;
                }
                line.clear();
            }
        }
    });
    address
}

/// Ask for an upgrade. Returns the connection after the response's head.
pub(crate) fn agreed(gateway: &Gateway) -> BufReader<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    let limit = Some(windlass_tests::wait::DEADLINE);
    stream.set_read_timeout(limit).unwrap();
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(ASK.as_bytes()).unwrap();
    let head = http::read_head(&mut stream).unwrap().unwrap();
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{}", head.start);
    assert_eq!(head.all("upgrade").collect::<Vec<_>>(), ["shout"]);
    assert_eq!(head.all("x-own").collect::<Vec<_>>(), ["1"]);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "HI\n", "what comes with the head");
    stream
}

#[test]
fn any_protocol_passes_and_either_side_may_end_first() {
    let gateway = start(&[&all_to(shouting())]);
    let mut stream = agreed(&gateway);
    for _ in 0..3 {
        stream.get_mut().write_all(b"quiet\n").unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, "QUIET\n");
    }
    stream.get_mut().write_all(b"last").unwrap();
    stream.get_mut().shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "LAST");
}

#[test]
fn a_silent_tunnel_is_cut_after_the_idle_time_out() {
    let gateway = start(&[&all_to(shouting()), "idle_timeout = \"200ms\"\n"]);
    let mut stream = agreed(&gateway);
    assert!(http::is_closed(&mut stream));
    gateway.metrics_when("the cut answer", |metrics| {
        metrics["windlass_responses_cut_total"] >= 1.0
    });
}

#[test]
fn a_drain_waits_for_a_tunnel_and_cuts_it_at_its_end() {
    let gateway = start(&["[server]\ndrain_timeout = \"500ms\"\n", &all_to(shouting())]);
    let mut stream = agreed(&gateway);
    gateway.signal(rustix::process::Signal::TERM);
    stream.get_mut().write_all(b"still\n").unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "STILL\n");
    assert!(http::is_closed(&mut stream));
    let _ = gateway.wait_for_end();
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let upstream = Upstream::text("no");
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client: Client = gateway.client();
    for _ in 0..2 {
        client.send_raw(ASK);
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text()), (200, "no"));
    }
}

#[test]
fn http_inside_http_is_not_asked_for() {
    let upstream = Upstream::text("ok");
    let gateway = start(&[&all_to(upstream.address())]);
    let ask = ASK.replace("shout", "h2c");
    assert_eq!(gateway.send_raw(ask).status, 200);
    let request = upstream.only_request();
    assert_eq!(request.header("upgrade"), None);
    assert_eq!(request.header("connection"), None);
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_502() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let upstream = Upstream::raw(answer, windlass_tests::Then::Hold);
    let answer = start(&[&all_to(upstream.address())]).get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_protocol"));
}

/// Docker's API sends this for `exec` and `attach`. `early`: the endpoint agrees before it reads the body.
fn asks_with_a_body(body: &str, sent: &str, early: bool) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let whole = body.to_owned();
    let endpoint = std::thread::spawn(move || {
        let mut stream = BufReader::new(socket.accept().unwrap().0);
        let head = http::read_head(&mut stream).unwrap().unwrap();
        assert_eq!(head.all("upgrade").collect::<Vec<_>>(), ["shout"]);
        let mut read = Vec::new();
        let agreed = "HTTP/1.1 101 Fine\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
        if early {
            stream.get_mut().write_all(agreed.as_bytes()).unwrap();
        }
        let framing = head.framing().unwrap().unwrap();
        http::read_body(&mut stream, framing, |piece| read.extend_from_slice(piece)).unwrap();
        assert_eq!(String::from_utf8_lossy(&read), whole);
        if !early {
            stream.get_mut().write_all(agreed.as_bytes()).unwrap();
        }
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let loud = line.to_uppercase();
        stream.get_mut().write_all(loud.as_bytes()).unwrap();
    });
    let gateway = start(&[&all_to(address)]);
    let mut client = gateway.client();
    client.send_raw(format!(
        "POST /exec HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: shout\r\n{sent}"
    ));
    let head = client.read_head();
    assert!(head.start.starts_with("HTTP/1.1 101 "), "{}", head.start);
    client.send_raw("quiet\n");
    let mut answer = Vec::new();
    client.read_body(http::Framing::Length(6), |piece| {
        answer.extend_from_slice(piece);
    });
    assert_eq!(String::from_utf8_lossy(&answer), "QUIET\n");
    endpoint.join().unwrap();
}

#[test]
fn a_request_with_a_body_may_ask_for_an_upgrade() {
    let large = "x".repeat(60_000);
    for early in [false, true] {
        for body in ["{\"Tty\":true}", &large] {
            let length = body.len();
            asks_with_a_body(
                body,
                &format!("content-length: {length}\r\n\r\n{body}"),
                early,
            );
            let chunked =
                format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
            asks_with_a_body(body, &chunked, early);
        }
    }
}

#[test]
fn a_long_body_makes_it_an_ordinary_request() {
    let upstream = Upstream::echo();
    let gateway = start(&[&all_to(upstream.address())]);
    let body = "x".repeat(200_000);
    let length = body.len();
    for sent in [
        format!("content-length: {length}\r\n\r\n{body}"),
        format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let answer = gateway.send_raw(format!(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: shout\r\n{sent}"
        ));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["body"]["length"], length);
    }
    assert!(
        upstream
            .received()
            .iter()
            .all(|one| one.header("upgrade").is_none())
    );
}
