//! Interim responses (1xx) of an endpoint reach the client of the same request, before its final response. Windlass
//! sends `100 Continue` itself to a client that waits for it.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use windlass_tests::wait::DEADLINE;
use windlass_tests::{Gateway, Reply, Request, Then, Upstream};

use crate::config::{all_to, start};
use crate::wire;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n";

fn to(upstream: &Upstream) -> Gateway {
    start(&[&all_to(upstream.address())])
}

/// An endpoint that sends these interim responses before it responds with the target.
fn hinting(before: &'static str) -> Upstream {
    Upstream::with(move |request, stream| {
        stream.write_all(before.as_bytes())?;
        Reply::status(200)
            .body(request.target.clone())
            .write(stream)
    })
}

/// An endpoint that sends a hint, and responds when the test says so.
fn gated() -> (Upstream, mpsc::Sender<()>) {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::with(move |request, stream| {
        stream.write_all(HINT.as_bytes())?;
        let told = told.lock().unwrap();
        told.recv_timeout(DEADLINE)
            .map_err(|_| std::io::ErrorKind::TimedOut)?;
        Reply::status(200)
            .body(request.target.clone())
            .write(stream)
    });
    (upstream, go_on)
}

#[test]
fn rfc9110_15_2_a_hint_comes_before_the_answer_and_without_what_is_its_connection_s() {
    let (upstream, go_on) = gated();
    let gateway = to(&upstream);
    for request in [Request::get("/a"), Request::post("/a", "body")] {
        let mut client = gateway.client();
        client.send_raw(request.bytes());
        let hint = client.read_head();
        assert_eq!(hint.start, "HTTP/1.1 103 Early Hints");
        let link = ("link".to_owned(), "</a.css>; rel=preload".to_owned());
        assert_eq!(hint.fields, [link]);
        go_on.send(()).unwrap();
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text()), (200, "/a"));
        assert!(answer.interim.is_empty());
    }
}

#[test]
fn several_hints_come_in_order_and_continue_is_left_out() {
    let upstream = hinting(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 A\r\n\r\nHTTP/1.1 104 B\r\nx: 1\r\n\r\n",
    );
    let gateway = to(&upstream);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.interim), (200, vec![102, 103, 104]));
    }
}

#[test]
fn pipelined_requests_have_their_own_hints() {
    let upstream = Upstream::with(|request, stream| {
        if request.target.ends_with('1') {
            stream.write_all(HINT.as_bytes())?;
        }
        Reply::status(200)
            .body(request.target.clone())
            .write(stream)
    });
    let gateway = to(&upstream);
    let mut client = gateway.client();
    let request = |n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n");
    client.send_raw((0..6).map(|n| request(n % 2)).collect::<String>());
    for n in 0..6 {
        let answer = client.read_response();
        assert_eq!(answer.text(), format!("/{}", n % 2));
        assert_eq!(answer.interim, vec![103; n % 2]);
    }
}

#[test]
fn a_hint_and_then_a_slow_body() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::with(move |_, stream| {
        stream.write_all(HINT.as_bytes())?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n")?;
        let told = told.lock().unwrap();
        told.recv_timeout(DEADLINE)
            .map_err(|_| std::io::ErrorKind::TimedOut)?;
        stream.write_all(b"2\r\ncd\r\n0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = to(&upstream);
    let mut client = gateway.client();
    client.send_raw(Request::get("/").bytes());
    assert!(client.read_head().start.contains(" 103 "));
    let head = client.read_head();
    assert!(head.start.contains(" 200 "));
    let mut body = Vec::new();
    let mut go_on = Some(go_on);
    client.read_body(head.framing().unwrap().unwrap(), |piece| {
        body.extend_from_slice(piece);
        if let Some(go_on) = go_on.take() {
            go_on.send(()).unwrap();
        }
    });
    assert_eq!(body, b"abcd");
}

#[test]
fn a_client_of_http10_sees_none() {
    let upstream = hinting(HINT);
    let gateway = to(&upstream);
    let mut stream = gateway.client().sender();
    stream
        .write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
}

#[test]
fn a_client_that_left_harms_nobody() {
    let (upstream, go_on) = gated();
    let gateway = to(&upstream);
    let mut client = gateway.client();
    client.send_raw(Request::get("/").bytes());
    upstream.wait_for_requests(1);
    drop(client);
    upstream.wait_for_requests(1);
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    let answer = gateway.get("/next");
    assert_eq!((answer.text(), &*answer.interim), ("/next", &[103][..]));
}

#[test]
fn an_unasked_101_is_no_answer() {
    let upstream =
        hinting("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    let gateway = to(&upstream);
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_protocol"));
    assert!(answer.interim.is_empty());
}

#[test]
fn a_hint_with_a_line_that_is_none_is_no_answer() {
    let upstream = hinting("HTTP/1.1 103 Early Hints\r\nno field\r\n\r\n");
    let gateway = to(&upstream);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.interim), (502, vec![]));
}

#[test]
fn over_http2_each_stream_has_its_own_hints_and_the_tables_stay_as_they_are() {
    let upstream = Upstream::with(|request, stream| {
        let number: usize = request.target[1..].parse().unwrap();
        for _ in 0..number % 3 {
            stream.write_all(HINT.as_bytes())?;
        }
        Reply::status(200)
            .header("x-number", &number.to_string())
            .body(vec![b'x'; 40_000])
            .write(stream)
    });
    wire::run(each_stream_has_its_own_hints(&to(&upstream)));
}

/// An endpoint that speaks HTTP/2. Before it responds to `/{number}`, it sends `number % 3` hints, and a `100` and a
/// `101` that must reach no client. It responds to any other target when the test says so.
fn http2_endpoint() -> (SocketAddr, mpsc::Sender<()>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (go_on, told) = mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let told = Arc::clone(&told);
            std::thread::spawn(move || wire::run(serve_http2(stream.unwrap(), told)));
        }
    });
    (address, go_on)
}

async fn serve_http2(stream: std::net::TcpStream, told: Arc<Mutex<mpsc::Receiver<()>>>) {
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let target = request.uri().path();
        let number: Option<usize> = target[1..].parse().ok();
        let interim = |status| http::Response::builder().status(status).body(()).unwrap();
        for status in [100, 101] {
            respond.send_informational(interim(status)).unwrap();
        }
        for _ in 0..number.map_or(1, |number| number % 3) {
            let mut hint = interim(103);
            let link = http::HeaderValue::from_static("</a.css>; rel=preload");
            hint.headers_mut().insert("link", link);
            respond.send_informational(hint).unwrap();
        }
        if number.is_none() {
            // The hint is on its way to the client.
            std::future::poll_fn(|cx| {
                let _ = connection.poll_closed(cx);
                std::task::Poll::Ready(())
            })
            .await;
            told.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        }
        let answer = http::Response::builder().header("x-number", target[1..].to_owned());
        let mut body = respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap();
        body.send_data(vec![b'x'; 40_000].into(), true).unwrap();
    }
}

const HTTP2: &str = "protocol = \"http2\"\n";

#[test]
fn rfc9110_15_2_a_hint_of_an_http2_endpoint_comes_before_the_answer() {
    let (address, go_on) = http2_endpoint();
    let gateway = start(&[&all_to(address), HTTP2]);
    for request in [Request::get("/a"), Request::post("/a", "body")] {
        let mut client = gateway.client();
        client.send_raw(request.bytes());
        let hint = client.read_head();
        assert_eq!(hint.start, "HTTP/1.1 103 Early Hints");
        let link = ("link".to_owned(), "</a.css>; rel=preload".to_owned());
        assert_eq!(hint.fields, [link]);
        go_on.send(()).unwrap();
        let answer = client.read_response();
        assert_eq!((answer.status, answer.header("x-number")), (200, Some("a")));
        assert!(answer.interim.is_empty());
    }
}

#[test]
fn hints_of_an_http2_endpoint_reach_their_own_streams() {
    let (address, _) = http2_endpoint();
    let gateway = start(&[&all_to(address), HTTP2]);
    wire::run(each_stream_has_its_own_hints(&gateway));
}

#[test]
fn a_client_of_http10_sees_none_of_an_http2_endpoint() {
    let (address, _) = http2_endpoint();
    let gateway = start(&[&all_to(address), HTTP2]);
    let mut stream = gateway.client().sender();
    stream
        .write_all(b"GET /1 HTTP/1.0\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
}

#[test]
fn rfc9110_10_1_1_a_client_of_http2_that_waits_is_told_to_continue_when_its_body_is_read() {
    let upstream = Upstream::echo();
    let refused = "[[route]]\npath = \"/refused\"\nrespond = { status = 403, body = \"no\" }\n";
    let gateway = start(&[refused, &all_to(upstream.address())]);
    wire::run(async {
        let socket = tokio::net::TcpStream::connect(gateway.address()).await;
        let (client, connection) = h2::client::handshake(socket.unwrap()).await.unwrap();
        tokio::task::spawn_local(connection);
        for (target, status, told) in [("/", 200, 1), ("/refused", 403, 0)] {
            let mut client = client.clone().ready().await.unwrap();
            let request = http::Request::post(format!("http://a{target}"));
            let request = request.header("expect", "100-continue").body(()).unwrap();
            let (mut answer, mut body) = client.send_request(request, false).unwrap();
            let mut body = Some(&mut body);
            let mut count = 0;
            let head = std::future::poll_fn(|cx| {
                while let std::task::Poll::Ready(Some(interim)) = answer.poll_informational(cx) {
                    assert_eq!(interim.unwrap().status(), 100);
                    count += 1;
                    // The client sends the body only after the `100`.
                    if let Some(body) = body.take() {
                        body.send_data("some".into(), true).unwrap();
                    }
                }
                std::pin::Pin::new(&mut answer).poll(cx)
            });
            let head = head.await.unwrap();
            assert_eq!((head.status().as_u16(), count), (status, told), "{target}");
        }
    });
    let request = upstream.only_request();
    assert_eq!(
        (&*request.body, request.header("expect")),
        (&b"some"[..], None)
    );
}

/// Over HTTP/2, `number % 3` hints come before the response to `/{number}`.
async fn each_stream_has_its_own_hints(gateway: &Gateway) {
    let socket = tokio::net::TcpStream::connect(gateway.address())
        .await
        .unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::task::spawn_local(connection);
    let asked = (0..30).map(|number: usize| {
        let client = client.clone();
        tokio::task::spawn_local(async move {
            let mut client = client.ready().await.unwrap();
            let request = http::Request::get(format!("http://a/{number}"));
            let (mut answer, _) = client
                .send_request(request.body(()).unwrap(), true)
                .unwrap();
            let mut hints = 0;
            let head = loop {
                let next = std::future::poll_fn(|cx| {
                    match answer.poll_informational(cx) {
                        std::task::Poll::Ready(Some(hint)) => {
                            return std::task::Poll::Ready(Err(hint.unwrap()));
                        }
                        std::task::Poll::Ready(None) | std::task::Poll::Pending => {}
                    }
                    std::pin::Pin::new(&mut answer).poll(cx).map(Ok)
                });
                match next.await {
                    Err(hint) => {
                        assert_eq!(hint.status(), 103);
                        assert_eq!(hint.headers()["link"], "</a.css>; rel=preload");
                        assert_eq!(hint.headers().len(), 1);
                        hints += 1;
                    }
                    Ok(head) => break head.unwrap(),
                }
            };
            assert_eq!(head.headers()["x-number"], number.to_string());
            assert_eq!(hints, number % 3, "{number}");
            let mut body = head.into_body();
            let mut length = 0;
            while let Some(piece) = body.data().await {
                let piece = piece.unwrap();
                length += piece.len();
                body.flow_control().release_capacity(piece.len()).unwrap();
            }
            assert_eq!(length, 40_000);
        })
    });
    for one in asked.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}
