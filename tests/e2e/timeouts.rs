//! Time-outs of an exchange with an endpoint, and exchanges that may last for ever.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use windlass_tests::wait::moment;
use windlass_tests::{Gateway, Request, Then, Upstream};

use crate::config::{all_to, start};

fn to(upstream: &Upstream, keys: &str) -> Gateway {
    start(&[&all_to(upstream.address()), keys, "\n"])
}

/// The same with further keys of the route.
fn by(upstream: &Upstream, keys: &str) -> Gateway {
    let config = all_to(upstream.address()).replacen("upstream", &format!("{keys}\nupstream"), 1);
    start(&[&config])
}

#[test]
fn the_whole_exchange_has_an_end() {
    let silent = Upstream::raw("", Then::Hold);
    for gateway in [
        to(&silent, "total_timeout = \"200ms\""),
        by(&silent, "total_timeout = \"200ms\""),
    ] {
        let answer = gateway.get("/");
        assert_eq!((answer.status, &*answer.code()), (504, "total_timeout"));
    }
}

/// An endpoint that sends an event every 50 ms, until the connection closes.
fn events() -> Upstream {
    Upstream::with(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        loop {
            stream.write_all(b"9\r\ndata: 1\n\n\r\n")?;
            moment(Instant::now() + Duration::from_millis(50));
        }
    })
}

#[test]
fn a_stream_that_goes_on_is_cut_at_the_total() {
    let upstream = events();
    let gateway = to(
        &upstream,
        "idle_timeout = \"5s\"\ntotal_timeout = \"400ms\"",
    );
    let begin = Instant::now();
    assert!(gateway.client().try_send(&Request::get("/")).is_err());
    assert!(begin.elapsed() >= Duration::from_millis(400));
    upstream.wait_for_no_connection();
}

#[test]
fn a_stream_outlives_every_time_out_but_its_own() {
    let upstream = events();
    let gateway = to(
        &upstream,
        "idle_timeout = \"500ms\"\nfirst_byte_timeout = \"500ms\"\nkeep_alive_timeout = \"500ms\"",
    );
    let mut stream = BufReader::new(std::net::TcpStream::connect(gateway.address()).unwrap());
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.get_mut().write_all(ask).unwrap();
    let mut line = String::new();
    for _ in 0..200 {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
}

#[test]
fn silence_may_last_where_it_is_allowed() {
    let upstream = Upstream::with(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsl";
        stream.write_all(head)?;
        // Ten ticks of the gateway's clock.
        moment(Instant::now() + Duration::from_millis(600));
        stream.write_all(b"ow")?;
        Ok(Then::KeepAlive)
    });
    let gateway = to(
        &upstream,
        "idle_timeout = \"none\"\nfirst_byte_timeout = \"200ms\"",
    );
    assert_eq!(gateway.get("/").text(), "slow");
    let gateway = by(&upstream, "idle_timeout = \"200ms\"");
    assert!(gateway.client().try_send(&Request::get("/")).is_err());
}

#[test]
fn endless_interim_answers_are_504() {
    let upstream = Upstream::with(|_, stream| {
        loop {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")?;
        }
    });
    let gateway = to(&upstream, "first_byte_timeout = \"200ms\"");
    let answer = gateway.get("/");
    assert_eq!(
        (answer.status, &*answer.code()),
        (504, "first_byte_timeout")
    );
    upstream.wait_for_no_connection();
}

#[test]
fn a_head_or_a_body_that_trickles_has_an_end() {
    let trickle = |start: &'static str| {
        Upstream::with(move |_, stream| {
            stream.write_all(start.as_bytes())?;
            loop {
                stream.write_all(b"x")?;
                moment(Instant::now() + Duration::from_millis(20));
            }
        })
    };
    let upstream = trickle("HTTP/1.1 200 OK\r\nx-slow: ");
    let answer = to(&upstream, "first_byte_timeout = \"300ms\"").get("/");
    assert_eq!(
        (answer.status, &*answer.code()),
        (504, "first_byte_timeout")
    );
    let upstream = trickle("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
    let gateway = to(&upstream, "total_timeout = \"300ms\"");
    let mut client = std::net::TcpStream::connect(gateway.address()).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut all = Vec::new();
    let _ = client.read_to_end(&mut all);
    assert!(all.starts_with(b"HTTP/1.1 200"));
    upstream.wait_for_no_connection();
}
