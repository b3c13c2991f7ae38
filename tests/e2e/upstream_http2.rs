//! HTTP/2 upstreams: many requests on few connections.

use std::sync::Arc;

use http::Response;
use windlass_tests::wait::Watched;
use windlass_tests::{Gateway, Request};

use crate::config::{all_to, start};
use crate::wire::{Endpoint, Speaks, empty, full, is_http2};

const HTTP2: &str = "protocol = \"http2\"\n";

fn clear(most: Option<u32>) -> Speaks {
    Speaks {
        http2: true,
        most,
        ..Speaks::default()
    }
}

fn to(endpoint: &Endpoint) -> Gateway {
    start(&["[server]\nworkers = 1\n", &all_to(endpoint.address), HTTP2])
}

#[test]
fn clear_text_is_spoken_with_prior_knowledge() {
    let endpoint = Endpoint::start(clear(None), |request| async move {
        use http_body_util::BodyExt as _;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    });
    let gateway = start(&[
        &all_to(endpoint.address),
        HTTP2,
        "connect_timeout = \"20s\"\n",
    ]);
    let begin = std::time::Instant::now();
    let answer = gateway.client().post("/a?b", "some");
    assert_eq!((answer.status, answer.text()), (200, "some"));
    // Windlass reads the endpoint's SETTINGS as soon as they arrive.
    assert!(begin.elapsed() < std::time::Duration::from_secs(10));
    endpoint.seen(|seen| {
        let request = &seen.requests[0];
        assert!(is_http2(request));
        assert_eq!(request.uri.path_and_query().unwrap(), "/a?b");
        assert_eq!(request.uri.authority().unwrap().as_str(), "gateway.test");
        for absent in ["connection", "transfer-encoding", "host"] {
            assert!(!request.headers.contains_key(absent), "{absent}");
        }
    });
}

/// An endpoint that responds to no request before this many have arrived.
fn together(speaks: Speaks, count: usize) -> Endpoint {
    let come: Arc<Watched<usize>> = Arc::new(Watched::new(0));
    let (tell, _) = tokio::sync::watch::channel(0_usize);
    let tell = Arc::new(tell);
    Endpoint::start(speaks, move |_| {
        let number = come.change(|come| {
            *come += 1;
            *come
        });
        tell.send_replace(number);
        let mut told = tell.subscribe();
        async move {
            told.wait_for(|come| *come >= count).await.unwrap();
            Response::new(empty())
        }
    })
}

fn at_once(gateway: &Gateway, count: usize) {
    let mut clients: Vec<_> = (0..count).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.read_response().status, 200);
    }
}

#[test]
fn many_requests_share_one_connection() {
    let endpoint = together(clear(None), 32);
    at_once(&to(&endpoint), 32);
    assert_eq!(endpoint.seen(|seen| seen.connections), 1);
}

#[test]
fn another_connection_is_made_when_the_endpoint_takes_no_more_on_one() {
    let endpoint = together(clear(Some(4)), 9);
    let gateway = to(&endpoint);
    at_once(&gateway, 9);
    assert_eq!(endpoint.seen(|seen| seen.connections), 3);
}

#[test]
fn requests_wait_for_room_where_all_connections_are_full() {
    let endpoint = together(clear(Some(1)), 16);
    let gateway = to(&endpoint);
    at_once(&gateway, 24);
    assert_eq!(endpoint.seen(|seen| seen.connections), 16);
}

/// Clients that do not read their responses hold up no other client on the connection.
#[test]
fn slow_clients_leave_the_connection_to_others() {
    let endpoint = Endpoint::start(clear(None), |request| async move {
        Response::new(match request.uri().path() {
            "/large" => full(vec![b'x'; 16 << 20]),
            _ => full("small"),
        })
    });
    let gateway = to(&endpoint);
    let mut slow: Vec<_> = (0..16).map(|_| gateway.client()).collect();
    for client in &mut slow {
        client.send_raw("GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
        client.read_head();
    }
    let began = std::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "small");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(endpoint.seen(|seen| seen.connections), 1);
}

#[test]
fn a_connection_that_was_closed_is_replaced() {
    let endpoint = Endpoint::version(clear(None));
    let address = endpoint.address;
    let gateway = to(&endpoint);
    assert_eq!(gateway.get("/").status, 200);
    drop(endpoint);
    let answer = gateway.get("/");
    assert_eq!(answer.status, 502, "nobody listens at {address}");
    assert!(["connect_failed", "upstream_closed"].contains(&&*answer.code()));
}

#[test]
fn trailers_pass_where_the_client_takes_them() {
    let endpoint = Endpoint::start(clear(None), |_| async {
        use http_body_util::BodyExt as _;
        let fields = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static("7"),
        )]);
        // The body has no length, because in HTTP/1.1 a body with a length cannot have trailers.
        let some = hyper::body::Frame::data(hyper::body::Bytes::from_static(b"some"));
        let frames = [Ok(some), Ok(hyper::body::Frame::trailers(fields))];
        let body = http_body_util::StreamBody::new(tokio_stream::iter(frames));
        let mut response = Response::new(body.boxed_unsync());
        let named = http::HeaderValue::from_static("x-sum");
        response.headers_mut().insert("trailer", named);
        response
    });
    let gateway = to(&endpoint);
    let request = Request::get("/")
        .header("te", "trailers")
        .header("connection", "te");
    let answer = gateway.send(&request);
    assert_eq!(answer.text(), "some");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    endpoint.seen(|seen| assert_eq!(seen.requests[0].headers["te"], "trailers"));
}

/// An endpoint that writes these bytes to each connection, and then closes it or keeps it open.
fn raw(bytes: &'static [u8], holds: bool) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut preface = [0; 24];
            let _ = stream.read_exact(&mut preface);
            let _ = stream.write_all(bytes);
            if holds {
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
    });
    address
}

#[test]
fn what_breaks_the_protocol_is_502_and_silence_504() {
    let settings = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (bytes, holds, status, codes) in [
        (&b""[..], false, 502, &["upstream_closed"][..]),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            false,
            502,
            &["upstream_protocol", "upstream_closed"],
        ),
        (settings, false, 502, &["upstream_closed"]),
        // A DATA frame before any head.
        (
            b"\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01x",
            true,
            502,
            &["upstream_protocol", "upstream_closed"],
        ),
        (settings, true, 504, &["first_byte_timeout"]),
    ] {
        let gateway = start(&[
            &all_to(raw(bytes, holds)),
            HTTP2,
            "first_byte_timeout = \"300ms\"\n",
        ]);
        let answer = gateway.get("/");
        let code = answer.code();
        assert_eq!(answer.status, status, "{bytes:?}: {code}");
        assert!(codes.contains(&&*code), "{bytes:?}: {code}");
    }
}

/// Endless interim heads (RFC 9110 section 15.2).
#[test]
fn endless_informational_heads_are_504() {
    use std::io::{Read as _, Write as _};
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = socket.accept().unwrap().0;
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
        // Read up to the request's head, a frame of type 1.
        let mut frame = [0; 9];
        while frame[3] != 1 {
            stream.read_exact(&mut frame).unwrap();
            let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
            stream.read_exact(&mut vec![0; length]).unwrap();
        }
        // `:status: 103`, on the same stream.
        let early = b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03103";
        while stream.write_all(early).is_ok() {}
    });
    let gateway = start(&[
        &all_to(address),
        HTTP2,
        "first_byte_timeout = \"300ms\"\nretries = { attempts = 1 }\n",
    ]);
    let begin = std::time::Instant::now();
    let answer = gateway.get("/");
    assert_eq!(
        (answer.status, &*answer.code()),
        (504, "first_byte_timeout")
    );
    assert!(begin.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_head_that_is_too_large_is_502_and_one_that_is_late_504() {
    let endpoint = Endpoint::start(clear(None), |request| async move {
        if request.uri().path() == "/late" {
            // This delay is what the endpoint simulates; no test waits by it.
            tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        }
        let mut response = Response::new(empty());
        if request.uri().path() == "/large" {
            let value = "x".repeat(9000).parse().unwrap();
            response.headers_mut().insert("x-large", value);
        }
        response
    });
    let gateway = start(&[
        &all_to(endpoint.address),
        HTTP2,
        "max_head = \"4KiB\"\nfirst_byte_timeout = \"300ms\"\nretries = { attempts = 1 }\n",
    ]);
    let large = gateway.get("/large");
    assert_eq!(large.status, 502, "{}", large.text());
    let late = gateway.get("/late");
    assert_eq!((late.status, &*late.code()), (504, "first_byte_timeout"));
    assert_eq!(gateway.get("/").status, 200, "others go on");
}

#[test]
fn a_body_that_is_reset_is_cut_and_others_go_on() {
    let endpoint = Endpoint::start(clear(None), |request| async move {
        use http_body_util::{BodyExt as _, StreamBody};
        if request.uri().path() == "/" {
            return Response::new(full("ok"));
        }
        let first = hyper::body::Frame::data(hyper::body::Bytes::from_static(b"some"));
        let broken = futures_util::stream::once(async {
            // This delay is what the endpoint simulates: the head is sent before it.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            Err(crate::wire::Fault::from("broken"))
        });
        let pieces = futures_util::stream::iter([Ok(first)]);
        let pieces = futures_util::StreamExt::chain(pieces, broken);
        Response::new(StreamBody::new(pieces).boxed_unsync())
    });
    let gateway = to(&endpoint);
    assert!(gateway.client().try_send(&Request::get("/broken")).is_err());
    assert_eq!(gateway.get("/").text(), "ok");
    assert_eq!(endpoint.seen(|seen| seen.connections), 1);
}

#[test]
fn a_stalled_request_body_is_the_clients_fault() {
    let endpoint = Endpoint::start(clear(None), |request| async move {
        use http_body_util::BodyExt as _;
        let _ = request.into_body().collect().await;
        Response::new(empty())
    });
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nbody_idle_timeout = \"200ms\"\n";
    let gateway = start(&[listener, &all_to(endpoint.address), HTTP2]);
    let mut client = gateway.client();
    client.send_raw("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nsome");
    assert_eq!(client.read_response().status, 408);
}

#[test]
fn no_request_waits_for_the_failures_of_others() {
    let port = windlass_tests::FullPort::new();
    let gateway = start(&[
        "[server]\nworkers = 1\n",
        &all_to(port.address()),
        HTTP2,
        "connect_timeout = \"500ms\"\nretries = { attempts = 1 }\n",
    ]);
    let begin = std::time::Instant::now();
    let mut clients: Vec<_> = (0..16).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.read_response().code(), "connect_timeout");
    }
    // One after another, they would take eight seconds.
    assert!(begin.elapsed() < std::time::Duration::from_secs(4));
}
