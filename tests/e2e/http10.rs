//! HTTP/1.0 clients, which cannot read chunks, can always find the end of a response.

use windlass_tests::{Gateway, Then, Upstream};

use crate::config::{all_to, start};

/// Everything that is sent until the connection ends.
fn ask(gateway: &Gateway, fields: &[&str]) -> String {
    let mut stream = gateway.client().sender();
    let requests = fields.iter();
    let requests = requests.map(|fields| format!("GET / HTTP/1.0\r\nhost: a\r\n{fields}\r\n"));
    let requests: String = requests.collect();
    std::io::Write::write_all(&mut stream, requests.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer.to_ascii_lowercase()
}

const KEEP: &str = "connection: keep-alive\r\n";

#[test]
fn rfc9112_6_3_an_answer_without_a_length_says_that_the_connection_ends() {
    for then in [Then::KeepAlive, Then::Close] {
        let upstream = Upstream::raw(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            then,
        );
        let gateway = start(&[&all_to(upstream.address())]);
        for fields in [KEEP, "connection: close\r\n", ""] {
            let answer = ask(&gateway, &[fields]);
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            assert!(!answer.contains("keep-alive"), "{answer}");
            assert!(!answer.contains("transfer-encoding"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
        }
    }
}

#[test]
fn rfc9112_9_3_an_answer_with_a_length_keeps_the_connection_if_it_was_asked_to() {
    let upstream = Upstream::text("abc");
    let gateway = start(&[&all_to(upstream.address())]);
    let answer = ask(&gateway, &[KEEP, ""]);
    assert_eq!(
        answer.matches("connection: keep-alive").count(),
        1,
        "{answer}"
    );
    assert_eq!(answer.matches("content-length: 3").count(), 2, "{answer}");
}
