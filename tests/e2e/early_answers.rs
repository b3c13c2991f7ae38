//! Responses that come before the request's body has ended: if the connection will be closed, the
//! response says so.

use std::io::{BufReader, Write as _, copy, sink};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use windlass_tests::http::{self, Framing};
use windlass_tests::{Gateway, Reply, Upstream};

use crate::config::{all_to, api_key, filtered, start};

/// More than all buffers between the client and the endpoint hold.
const LARGE: usize = 8 << 20;

const DEADLINE: Duration = Duration::from_secs(30);

/// An endpoint that responds with this head once it has the request's head, and with the body when
/// the test says so. Then it reads until the gateway closes the connection.
fn hasty(head: &'static str) -> (SocketAddr, Sender<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            // The gateway may have closed the connection.
            let _ = serve(stream.unwrap(), head, &told);
        }
    });
    (address, tell)
}

fn serve(stream: TcpStream, head: &str, told: &Receiver<()>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    if http::read_head(&mut stream)?.is_some() {
        stream.get_mut().write_all(head.as_bytes())?;
        told.recv_timeout(DEADLINE)
            .map_err(|_| std::io::ErrorKind::TimedOut)?;
        stream.get_mut().write_all(b"no")?;
        stream.get_mut().shutdown(Shutdown::Write)?;
        copy(&mut stream, &mut sink())?;
    }
    Ok(())
}

/// Assert that a request whose body has only begun gets this status, and that the response
/// announces that the connection closes, which it then does.
fn assert_closes(gateway: &Gateway, framing: &str, begun: &str, status: u16) {
    let mut client = gateway.client();
    client.send_raw(format!(
        "POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{begun}"
    ));
    let answer = client.read_response();
    assert_eq!(answer.status, status, "{framing}");
    assert_eq!(answer.header("connection"), Some("close"), "{framing}");
    assert!(client.is_closed(), "{framing}");
}

fn length() -> String {
    format!("content-length: {LARGE}")
}

#[test]
fn rfc9112_9_6_an_endpoint_that_answers_early_and_closes_closes_the_client_s_connection() {
    for head in [
        "HTTP/1.1 413 Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 413 Large\r\nconnection: x-a, Close\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.0 413 Large\r\ncontent-length: 2\r\n\r\n",
    ] {
        let (address, tell) = hasty(head);
        let gateway = start(&[&all_to(address)]);
        for (framing, begun) in [
            (&*length(), "begun"),
            ("transfer-encoding: chunked", "5\r\nbegun\r\n"),
        ] {
            let mut client = gateway.client();
            client.send_raw(format!(
                "POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{begun}"
            ));
            let answer = client.read_head();
            assert!(answer.start.contains("413"), "{head:?}: {answer:?}");
            let connection: Vec<_> = answer.all("connection").collect();
            assert_eq!(connection, ["close"], "{head:?}");
            tell.send(()).unwrap();
            let mut body = Vec::new();
            client.read_body(Framing::Length(2), |piece| body.extend_from_slice(piece));
            assert_eq!(body, b"no");
            assert!(client.is_closed(), "{head:?}");
        }
    }
}

#[test]
fn rfc9112_9_6_a_body_that_the_gateway_refuses_closes_the_client_s_connection() {
    let upstream = Upstream::echo();
    let bounded =
        all_to(upstream.address()).replacen("upstream", "max_body = \"1KiB\"\nupstream", 1);
    let gateway = start(&[&bounded]);
    assert_closes(&gateway, &length(), "begun", 413);
    let long = format!("800\r\n{}", "a".repeat(0x800));
    assert_closes(&gateway, "transfer-encoding: chunked", &long, 413);
}

#[test]
fn rfc9112_9_6_a_body_that_a_filter_refuses_closes_the_client_s_connection() {
    let upstream = Upstream::echo();
    let gateway = start(&[&filtered(&["keys"], upstream.address()), &api_key("{}")]);
    assert_closes(&gateway, &length(), "begun", 401);
    assert_closes(
        &gateway,
        "transfer-encoding: chunked",
        "5\r\nbegun\r\n",
        401,
    );
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_endpoint_that_closes_after_the_whole_body_leaves_the_client_s_connection_open() {
    let upstream = Upstream::fixed(Reply::status(413).header("connection", "close"));
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.post("/", "whole");
        assert_eq!((answer.status, answer.header("connection")), (413, None));
    }
}
