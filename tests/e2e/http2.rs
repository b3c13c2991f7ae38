//! HTTP/2 and TLS from clients: limits on one connection, and the reasons that end it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use windlass_tests::{Builder, Gateway, Reply, Upstream};

use crate::config::{all_to, start};
use crate::wire::{
    Authority, Body, Fault, Here, client_tls, connect, empty, get, http1, http2, read, run,
};

/// A gateway with TLS, further settings of its listener, and this upstream.
fn secure(authority: &Authority, listener: &str, upstream: &Upstream) -> Builder {
    let identity = authority.issue(&["localhost"]);
    let config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"api.pem\", key = \"api.key\" }}\n{listener}\n{}",
        all_to(upstream.address())
    );
    Gateway::with_config(config)
        .file("api.pem", identity.certificate)
        .file("api.key", identity.key)
}

fn clear(listener: &str, upstream: &Upstream) -> Gateway {
    start(&[
        "[[listener]]\naddress = \"127.0.0.1:0\"\n",
        listener,
        "\n",
        &all_to(upstream.address()),
    ])
}

fn offers(authority: &Authority) -> Arc<ClientConfig> {
    client_tls(authority, &["h2", "http/1.1"])
}

#[test]
fn alpn_decides_and_the_endpoint_is_told_of_tls() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let gateway = secure(&authority, "", &upstream).start();
    run(async {
        let mut client = http2(gateway.address(), Some(&offers(&authority))).await;
        let answer = client.send_request(get("/a?b")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.version(), http::Version::HTTP_2);
        let only = client_tls(&authority, &["http/1.1"]);
        let mut client = http1(gateway.address(), Some(&only)).await;
        let request = Request::get("/c").header("host", "localhost").body(empty());
        let answer = client.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_11);
        read(answer).await;
    });
    for (request, target) in upstream.received().iter().zip(["/a?b", "/c"]) {
        assert_eq!(request.target, target);
        assert_eq!(request.header("x-forwarded-proto"), Some("https"));
        assert_eq!(request.header("host"), Some("localhost"));
        assert_eq!(request.header("x-forwarded-host"), Some("localhost"));
    }
}

#[test]
fn a_clear_listener_takes_prior_knowledge_and_many_requests_at_once() {
    let upstream = Upstream::gated(Reply::status(200).body("ok"));
    let gateway = clear("", &upstream);
    run(async {
        let client = http2(gateway.address(), None).await;
        let answers = (0..20).map(|number| {
            let mut client = client.clone();
            tokio::task::spawn_local(async move {
                let answer = client
                    .send_request(get(&format!("/{number}")))
                    .await
                    .unwrap();
                read(answer).await
            })
        });
        let answers: Vec<_> = answers.collect();
        while upstream.count() < 20 {
            tokio::task::yield_now().await;
        }
        upstream.release(20);
        for answer in answers {
            let (head, text) = answer.await.unwrap();
            assert_eq!((head.status, &*text), (StatusCode::OK, "ok"));
        }
    });
    assert_eq!(gateway.metrics()["windlass_connections_total"], 1.0);
}

#[test]
fn the_rules_for_heads_hold() {
    let upstream = Upstream::echo();
    let gateway = clear("max_headers = 20\nmax_uri = \"256B\"", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let mut ask = async |change: &dyn Fn(&mut Request<Body>)| {
            let mut request = get("/");
            change(&mut request);
            let answer = client.send_request(request).await.unwrap();
            let (head, text) = read(answer).await;
            (head.status.as_u16(), text)
        };
        let header = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            move |request: &mut Request<Body>| {
                request.headers_mut().append(name, value.clone());
            }
        };
        let (status, text) = ask(&header("host", "other")).await;
        assert!(status == 400 && text.contains("bad_host"), "{text}");
        assert_eq!(ask(&header("host", "localhost")).await.0, 200);
        assert_eq!(ask(&header("expect", "miracles")).await.0, 417);
        let (status, text) = ask(&|request| *request.method_mut() = http::Method::TRACE).await;
        assert!(status == 501 && text.contains("not_implemented"), "{text}");
        let long = format!("http://localhost/{}", "a".repeat(300));
        let long: http::Uri = long.parse().unwrap();
        assert_eq!(
            ask(&|request| *request.uri_mut() = long.clone()).await.0,
            414
        );
        let many = |request: &mut Request<Body>| {
            for _ in 0..30 {
                request
                    .headers_mut()
                    .append("x-many", HeaderValue::from_static("1"));
            }
        };
        assert_eq!(ask(&many).await.0, 431);
        let bad: http::Uri = "http://a%20b/".parse().unwrap_or_default();
        assert_ne!(
            ask(&|request| *request.uri_mut() = bad.clone()).await.0,
            500
        );
        let crumbs = |request: &mut Request<Body>| {
            for crumb in ["a=1", "b=2"] {
                let crumb = HeaderValue::from_static(crumb);
                request.headers_mut().append("cookie", crumb);
            }
        };
        assert_eq!(ask(&crumbs).await.0, 200);
    });
    let last = upstream.received().pop().unwrap();
    assert_eq!(last.header("cookie"), Some("a=1; b=2"));
}

#[test]
fn bodies_stream_both_ways() {
    let upstream = Upstream::echo();
    let gateway = clear("", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let pieces = tokio_stream::iter(
            (0..100)
                .map(|_| Ok::<_, Fault>(Frame::data(hyper::body::Bytes::from(vec![7; 10_000])))),
        );
        let mut request = get("/");
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = StreamBody::new(pieces).boxed_unsync();
        let answer = client.send_request(request).await.unwrap();
        let (head, text) = read(answer).await;
        assert_eq!(head.status, 200);
        assert!(text.contains("1000000"), "{text}");
    });
    let request = upstream.only_request();
    assert_eq!(request.length, 1_000_000);
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
}

/// A reset that arrives while curl 7.88 to 8.2 sends hides the answer from its user.
#[test]
fn a_client_that_still_sends_gets_its_refusal_and_no_reset() {
    let upstream = Upstream::text("ok");
    let small = "[[route]]\npath = \"/small\"\nmax_body = \"1KiB\"\nupstream = \"app\"\n";
    let missing = "[[route]]\npath = \"/gone\"\nrespond = { status = 410, body = \"no\" }\n";
    let gateway = start(&[small, missing, &all_to(upstream.address())]);
    run(async {
        let socket = tokio::net::TcpStream::connect(gateway.address()).await;
        let (client, connection) = h2::client::handshake(socket.unwrap()).await.unwrap();
        tokio::task::spawn_local(connection);
        for (target, status) in [("/small", 413), ("/gone", 410)] {
            let mut client = client.clone().ready().await.unwrap();
            let request = http::Request::post(format!("http://a{target}"));
            let request = request.body(()).unwrap();
            let (answer, mut body) = client.send_request(request, false).unwrap();
            body.send_data(vec![7; 2000].into(), false).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{target}");
            let mut text = answer.into_body();
            while let Some(chunk) = text.data().await {
                text.flow_control()
                    .release_capacity(chunk.unwrap().len())
                    .unwrap();
            }
            // The answer is here whole, and more than a window of the body is still to come.
            for _ in 0..40 {
                body.reserve_capacity(16_000);
                while body.capacity() < 16_000 {
                    let more = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
                    more.expect("an open stream").expect("a window");
                }
                body.send_data(vec![7; 16_000].into(), false).unwrap();
            }
            body.send_data(vec![7].into(), true).unwrap();
        }
    });
}

/// A body that sends nothing and never ends.
fn silent() -> Body {
    let never = tokio_stream::pending::<Result<Frame<hyper::body::Bytes>, Fault>>();
    StreamBody::new(never).boxed_unsync()
}

#[test]
fn a_silent_body_ends_its_own_request_only() {
    let upstream = Upstream::text("ok");
    let gateway = clear("body_idle_timeout = \"200ms\"", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let mut request = get("/");
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = silent();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 408);
        let answer = client.send_request(get("/")).await.unwrap();
        assert_eq!(read(answer).await.1, "ok");
    });
    assert_eq!(gateway.metrics()["windlass_connections_total"], 1.0);
}

#[test]
fn a_client_that_takes_nothing_of_one_answer_loses_that_answer_only() {
    let upstream = Upstream::bytes(50_000_000);
    let gateway = clear("write_timeout = \"300ms\"", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let mut large = client
            .send_request(get("/large"))
            .await
            .unwrap()
            .into_body();
        // The client never opens the stream's window again. The other request opens the window of
        // the connection.
        gateway.metrics_when_async("the cut answer").await;
        let cut = loop {
            match large.frame().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert!(cut, "the whole answer came");
    });
}

#[test]
fn a_client_that_takes_nothing_of_an_answer_that_is_here_whole_loses_it_too() {
    let body = "b".repeat(300_000);
    let gateway = start(&[
        "[[listener]]\naddress = \"127.0.0.1:0\"\nwrite_timeout = \"300ms\"\n",
        &format!("[[route]]\npath = \"/\"\nrespond = {{ body = \"{body}\" }}\n"),
    ]);
    run(async {
        let pipe = connect(gateway.address(), None).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(Here);
        builder.initial_stream_window_size(65_535);
        let made = builder.handshake::<_, Body>(TokioIo::new(pipe)).await;
        let (mut client, drive) = made.unwrap();
        tokio::task::spawn_local(drive);
        let answer = client.send_request(get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        // The client never opens the stream's window again.
        gateway.metrics_when_async("the cut answer").await;
        drop(answer);
        // A response that the client reads arrives whole.
        let answer = client.send_request(get("/")).await.unwrap();
        assert_eq!(read(answer).await.1, body);
    });
}

trait WhenAsync {
    async fn metrics_when_async(&self, what: &str);
}

impl WhenAsync for Gateway {
    async fn metrics_when_async(&self, what: &str) {
        let end = tokio::time::Instant::now() + windlass_tests::wait::DEADLINE;
        while self.metrics()["windlass_responses_cut_total"] < 1.0 {
            assert!(tokio::time::Instant::now() < end, "waited for {what}");
            // The client's own connection makes progress meanwhile.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let upstream = Upstream::text("ok");
    let gateway = clear("keep_alive_timeout = \"200ms\"", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        read(client.send_request(get("/")).await.unwrap()).await;
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
    });
    // A connection that sends nothing more is closed too, and so is one that does not finish its
    // handshake.
    run(async {
        let mut pipe = connect(gateway.address(), None).await.unwrap();
        pipe.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut rest = Vec::new();
        pipe.read_to_end(&mut rest).await.unwrap();
    });
}

#[test]
fn a_handshake_that_is_not_finished_is_cut_off() {
    let (authority, upstream) = (Authority::new(), Upstream::text("ok"));
    let gateway = secure(&authority, "header_timeout = \"200ms\"", &upstream).start();
    run(async {
        let mut pipe = connect(gateway.address(), None).await.unwrap();
        pipe.write_all(b"\x16\x03\x01").await.unwrap();
        let mut rest = Vec::new();
        let _ = pipe.read_to_end(&mut rest).await;
        let mut client = http2(gateway.address(), Some(&offers(&authority))).await;
        assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200);
    });
}

#[test]
fn a_drain_answers_what_has_begun() {
    let (authority, upstream) = (
        Authority::new(),
        Upstream::gated(Reply::status(200).body("late")),
    );
    let gateway = secure(&authority, "", &upstream).start();
    run(async {
        let mut client = http2(gateway.address(), Some(&offers(&authority))).await;
        let answer = client.send_request(get("/"));
        let answer = tokio::task::spawn_local(answer);
        while upstream.count() < 1 {
            tokio::task::yield_now().await;
        }
        gateway.signal(rustix::process::Signal::TERM);
        gateway
            .log()
            .wait_for_line(|line| line.contains("draining"));
        upstream.release(1);
        let (head, text) = read(answer.await.unwrap().unwrap()).await;
        assert_eq!((head.status.as_u16(), &*text), (200, "late"));
        // The client got GOAWAY: the connection ends after its last response.
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
    });
    assert!(gateway.wait_for_end().success());
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let upstream = Upstream::gated(Reply::status(200));
    let gateway = clear("", &upstream);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for number in 0..2000 {
        let stream = 2 * number + 1;
        // GET, /, http, and the authority `a`; END_STREAM and END_HEADERS. Then RST_STREAM, CANCEL.
        bytes.extend(frame(1, 5, stream, b"\x82\x84\x86\x41\x01a"));
        bytes.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    run(async {
        let pipe = connect(gateway.address(), None).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(pipe);
        // The gateway closes the connection before all of this is written.
        tokio::task::spawn_local(async move {
            let _ = writer.write_all(&bytes).await;
            std::future::pending::<()>().await;
        });
        let mut read = Vec::new();
        let _ = reader.read_to_end(&mut read).await;
        // GOAWAY, ENHANCE_YOUR_CALM, if it arrived before the connection was reset.
        let calm = read.windows(4).any(|code| code == [0, 0, 0, 11]);
        assert!(calm, "{read:?}");
    });
    assert!(
        upstream.count() < 200,
        "{} requests passed",
        upstream.count()
    );
}

#[test]
fn long_connections_are_spread_over_the_workers() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["[server]\nworkers = 2\n", &all_to(upstream.address())]);
    run(async {
        let mut clients = Vec::new();
        for _ in 0..16 {
            let mut client = http2(gateway.address(), None).await;
            read(client.send_request(get("/")).await.unwrap()).await;
            clients.push(client);
        }
        let open = gateway.metrics().by("windlass_connections_open", "worker");
        assert_eq!(
            (open.len(), open.values().sum::<f64>()),
            (2, 16.0),
            "{open:?}"
        );
        assert!(open.values().all(|open| *open <= 16.0 * 0.6), "{open:?}");
        // Open connections stay with their worker and keep working.
        for client in &mut clients {
            read(client.send_request(get("/")).await.unwrap()).await;
        }
    });
}

#[test]
fn a_reload_takes_new_certificates_for_new_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let upstream = Upstream::text("ok");
    let gateway = secure(&old, "", &upstream).start();
    let ask = async |client: &mut hyper::client::conn::http2::SendRequest<Body>| {
        read(client.send_request(get("/")).await.unwrap()).await.1
    };
    run(async {
        let mut before = http2(gateway.address(), Some(&offers(&old))).await;
        assert_eq!(ask(&mut before).await, "ok");
        let identity = new.issue(&["localhost"]);
        let folder = gateway.folder();
        std::fs::write(folder.join("api.pem"), identity.certificate).unwrap();
        std::fs::write(folder.join("api.key"), identity.key).unwrap();
        let config = std::fs::read_to_string(folder.join("windlass.toml")).unwrap();
        gateway.reload(&config);
        let mut after = http2(gateway.address(), Some(&offers(&new))).await;
        assert_eq!(ask(&mut after).await, "ok");
        assert_eq!(ask(&mut before).await, "ok");
        assert!(
            connect(gateway.address(), Some(&offers(&old)))
                .await
                .is_err()
        );
    });
}

#[test]
fn a_head_over_the_bound_is_refused_and_the_connection_goes_on() {
    let upstream = Upstream::text("ok");
    let gateway = clear("max_head = \"8KiB\"", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let mut request = get("/");
        let large = HeaderValue::from_str(&"a".repeat(10_000)).unwrap();
        request.headers_mut().insert("x-large", large);
        // hyper refuses to send a head above the bound that Windlass announced; otherwise the
        // status is 431.
        if let Ok(answer) = client.send_request(request).await {
            assert_eq!(answer.status(), 431);
        }
        let answer = client.send_request(get("/")).await.unwrap();
        assert_eq!(read(answer).await.1, "ok");
    });
}

#[test]
fn trailers_pass_between_the_versions() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n4\r\nsome\r\n0\r\nx-sum: 7\r\n\r\n";
    let upstream = Upstream::raw(answer, windlass_tests::Then::KeepAlive);
    let gateway = clear("", &upstream);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let mut request = get("/");
        *request.method_mut() = http::Method::POST;
        let named = HeaderValue::from_static("x-own");
        request.headers_mut().insert("trailer", named);
        request
            .headers_mut()
            .insert("te", HeaderValue::from_static("trailers"));
        let fields = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("x-own"),
            HeaderValue::from_static("8"),
        )]);
        let pieces = tokio_stream::iter([
            Ok::<_, Fault>(Frame::data(hyper::body::Bytes::from_static(b"body"))),
            Ok(Frame::trailers(fields)),
        ]);
        *request.body_mut() = StreamBody::new(pieces).boxed_unsync();
        let answer = client.send_request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7");
        assert_eq!(body.to_bytes(), "some");
    });
    let request = upstream.only_request();
    assert_eq!(request.body, b"body");
    assert_eq!(request.trailers, [("x-own".to_owned(), "8".to_owned())]);
    assert_eq!(request.header("te"), Some("trailers"));
}
