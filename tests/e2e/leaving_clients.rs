//! If a client leaves, its request ends, even if the client has sent more bytes or the endpoint
//! reads nothing.

use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use windlass_tests::{Gateway, Reply, Upstream};

use crate::config::{all_to, start};

/// Wait until no request is active.
fn wait_for_no_request(gateway: &Gateway) {
    gateway.metrics_when("the client to be gone", |metrics| {
        metrics["windlass_requests_active"] == 0.0
    });
}

#[test]
fn a_client_that_leaves_or_closes_its_side_is_noticed_whatever_it_has_sent() {
    let endpoint = Upstream::gated(Reply::status(200));
    let gateway = start(&[&all_to(endpoint.address())]);
    let get = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
    let sent = [
        get.to_owned(),
        // With a second request pipelined.
        get.repeat(2),
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc".to_owned(),
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            .to_owned(),
    ];
    let cases = sent.iter().flat_map(|sent| [(sent, false), (sent, true)]);
    for (before, (sent, closes_its_side)) in cases.enumerate() {
        let mut client = gateway.client();
        client.send_raw(sent);
        endpoint.wait_for_requests(before + 1);
        if closes_its_side {
            client.finish_sending();
        } else {
            drop(client);
        }
        wait_for_no_request(&gateway);
        assert_eq!(endpoint.count(), before + 1);
    }
}

#[test]
fn pipelined_requests_of_a_client_that_stays_are_answered_however_long_the_first_takes() {
    let after = Duration::from_millis(700);
    let endpoint = Upstream::slow(after, Reply::status(200));
    let gateway = start(&[&all_to(endpoint.address())]);
    let mut client = gateway.client();
    client.send_raw("GET /a HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2));
    for _ in 0..2 {
        assert_eq!(client.read_response().status, 200);
    }
}

#[test]
fn a_client_that_leaves_while_nobody_takes_its_body_is_noticed() {
    // The endpoint does not even accept the connection.
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = all_to(endpoint.local_addr().unwrap());
    let gateway = start(&[&route.replacen("[[route]]", "[[route]]\nmax_body = \"1GiB\"", 1)]);
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    let head = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    client
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // Write until all buffers on the way to the endpoint are full.
    let piece = vec![0; 64 * 1024];
    let stalled = loop {
        if let Err(error) = client.write_all(&piece) {
            break error.kind();
        }
    };
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&stalled));
    assert_eq!(gateway.metrics()["windlass_requests_active"], 1.0);
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    wait_for_no_request(&gateway);
}
