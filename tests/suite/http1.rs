//! HTTP/1.0 and HTTP/1.1 as clients speak it (RFC 9110, RFC 9112).

use std::io::{Read as _, Write as _};

use windlass_tests::Received;

use crate::table;
use crate::wire::Wire;

/// The name, the bytes to send, the statuses of the responses, and the targets that the endpoint gets.
struct Case(
    &'static str,
    &'static str,
    &'static [u16],
    &'static [&'static str],
);

fn run(cases: &[Case]) {
    let wire = Wire::start("");
    table::run(
        cases,
        |case| case.0,
        |Case(_, bytes, answers, targets)| {
            wire.expect(bytes.as_bytes(), answers, targets).map(drop)
        },
    );
}

#[test]
fn request_lines() {
    run(&[
        Case(
            "rfc9112-3.2.1 origin-form",
            "GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a?b"],
        ),
        Case(
            "rfc9112-3.2.2 absolute-form",
            "GET http://b/a?b HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a?b"],
        ),
        Case(
            "rfc9112-3.2.2 absolute-form without a path",
            "GET http://b HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/"],
        ),
        Case(
            "rfc9112-3.2.2 absolute-form without a path, with a query",
            "GET http://b?q=1 HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/?q=1"],
        ),
        Case(
            "rfc9112-3.2.2 absolute-form with a port and a query",
            "GET http://b:80?q HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/?q"],
        ),
        Case(
            "rfc9112-3.2.1 a query without a path",
            "GET ?q HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2.2 absolute-form with a user",
            "GET http://u@b/ HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2.2 absolute-form without a host",
            "GET http:///a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2.3 authority-form",
            "GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2.4 asterisk-form",
            "GET * HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2 no slash",
            "GET a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2 a space in the target",
            "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2 a fragment",
            "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9112-3 two spaces",
            "GET  /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3 a tab",
            "GET\t/a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3 no version",
            "GET /a\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.3 version 1.2",
            "GET /a HTTP/1.2\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.3 version 2.0",
            "GET /a HTTP/2.0\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.3 a version in small letters",
            "GET /a http/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.3 a version with more digits",
            "GET /a HTTP/1.10\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-9.1 a method that nobody knows",
            "BREW /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-9.1 a method in small letters",
            "get /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-5.6.2 a method that is no token",
            "G@T /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.2 empty lines before",
            "\r\n\r\nGET /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9112-2.2 space before",
            " GET /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.2 lines that end with LF",
            "GET /a HTTP/1.1\nhost: a\n\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9112-2.2 a bare CR ends no line",
            "GET /a HTTP/1.1\rhost: a\r\r",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-9.3 no host in HTTP/1.1",
            "GET /a HTTP/1.1\r\n\r\n",
            &[400],
            &[],
        ),
    ]);
}

#[test]
fn fields() {
    run(&[
        Case(
            "rfc9112-3.2 two hosts",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-3.2 the same host twice",
            "GET / HTTP/1.1\r\nhost: a\r\nHOST: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 an empty host",
            "GET / HTTP/1.1\r\nhost:\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 a path in a host",
            "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 a user in a host",
            "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 a list of hosts",
            "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 a port that is none",
            "GET / HTTP/1.1\r\nhost: a:b\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 an escape in a host",
            "GET / HTTP/1.1\r\nhost: a%2eb\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.2 an address of IPv6",
            "GET /a HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-7.2 half an address of IPv6",
            "GET / HTTP/1.1\r\nhost: [::1\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-5 no colon",
            "GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-5 no name",
            "GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-5.1 a space before the colon",
            "GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-5.1 a space in a name",
            "GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-5.2 a folded line",
            "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-5.2 a folded line with a tab",
            "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\tz\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9112-2.2 a space before the first field",
            "GET / HTTP/1.1\r\n host: a\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-5.5 a NUL in a value",
            "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-5.5 a bare CR in a value",
            "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-5.5 DEL in a value",
            "GET / HTTP/1.1\r\nhost: a\r\nx: \x7f\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-5.5 an empty value",
            "GET /a HTTP/1.1\r\nhost: a\r\nx:\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-5.5 bytes beyond ASCII in a value",
            "GET /a HTTP/1.1\r\nhost: a\r\nx: é\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-10.1.1 another expectation",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: a-miracle\r\ncontent-length: 0\r\n\r\n",
            &[417],
            &[],
        ),
        Case(
            "rfc9110-10.1.1 another one beside 100-continue",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue, more\r\ncontent-length: 0\r\n\r\n",
            &[417],
            &[],
        ),
        Case(
            "rfc9110-10.1.1 another one on a line of its own",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: more\r\ncontent-length: 0\r\n\r\n",
            &[417],
            &[],
        ),
        Case(
            "rfc9110-10.1.1 100-continue in capitals",
            "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 1\r\n\r\nx",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-10.1.1 100-continue without a body",
            "GET /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n",
            &[200],
            &["/a"],
        ),
    ]);
}

#[test]
fn methods_that_end_at_the_gateway() {
    run(&[
        Case(
            "rfc9110-9.3.6 CONNECT",
            "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
            &[501],
            &[],
        ),
        Case(
            "rfc9110-9.3.8 TRACE",
            "TRACE /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[501],
            &[],
        ),
        Case(
            "rfc9110-7.6.2 TRACE with Max-Forwards: 0",
            "TRACE /a HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n",
            &[501],
            &[],
        ),
        Case(
            "rfc9110-9.3.7 OPTIONS *",
            "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
            &[204],
            &[],
        ),
        Case(
            "rfc9110-7.6.2 OPTIONS * with Max-Forwards",
            "OPTIONS * HTTP/1.1\r\nhost: a\r\nmax-forwards: 3\r\n\r\n",
            &[204],
            &[],
        ),
        Case(
            "rfc9110-7.6.2 OPTIONS with Max-Forwards: 0",
            "OPTIONS /a HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n",
            &[204],
            &[],
        ),
        Case(
            "rfc9110-7.6.2 OPTIONS with Max-Forwards: 1",
            "OPTIONS /a HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "rfc9110-7.6.2 Max-Forwards that is no number",
            "OPTIONS /a HTTP/1.1\r\nhost: a\r\nmax-forwards: -1\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.6.2 two of them",
            "OPTIONS /a HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\nmax-forwards: 2\r\n\r\n",
            &[400],
            &[],
        ),
        Case(
            "rfc9110-7.6.2 other methods ignore it",
            "GET /a HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n",
            &[200],
            &["/a"],
        ),
        Case(
            "OPTIONS without it goes on",
            "OPTIONS /a HTTP/1.1\r\nhost: a\r\n\r\n",
            &[200],
            &["/a"],
        ),
    ]);
}

#[test]
fn options_of_the_gateway_say_what_is_allowed() {
    let wire = Wire::start("");
    for target in ["*", "/a"] {
        let bytes = format!("OPTIONS {target} HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n");
        let answers = wire.expect(bytes.as_bytes(), &[204], &[]).unwrap();
        let all = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(answers[0].header("allow"), Some(all), "{target}");
        assert_eq!(answers[0].header("content-length"), None);
    }
}

/// The name, the client's fields, and a check of the request that the endpoint gets.
struct Passed(&'static str, &'static str, fn(&Received) -> bool);

fn has(request: &Received, name: &str, value: Option<&str>) -> bool {
    request.head.all(name).eq(value)
}

#[test]
fn fields_on_their_way_to_the_endpoint() {
    let wire = Wire::start("");
    let cases = [
        Passed("rfc9110-7.6.1 Connection", "connection: close", |r| {
            has(r, "connection", None)
        }),
        Passed(
            "rfc9110-7.6.1 what Connection names",
            "connection: x-a, X-B\r\nx-a: 1\r\nx-b: 2\r\nx-c: 3",
            |r| has(r, "x-a", None) && has(r, "x-b", None) && has(r, "x-c", Some("3")),
        ),
        Passed("rfc9110-7.6.1 Keep-Alive", "keep-alive: timeout=5", |r| {
            has(r, "keep-alive", None)
        }),
        Passed(
            "rfc9110-7.6.1 Proxy-Connection",
            "proxy-connection: keep-alive",
            |r| has(r, "proxy-connection", None),
        ),
        Passed("rfc9110-10.1.4 TE", "te: gzip\r\nconnection: te", |r| {
            has(r, "te", None)
        }),
        Passed(
            "rfc9110-10.1.4 TE: trailers",
            "te: trailers, gzip\r\nconnection: te",
            |r| has(r, "te", Some("trailers")),
        ),
        Passed(
            "rfc9110-7.8 an upgrade that may not pass",
            "connection: upgrade\r\nupgrade: h2c",
            |r| has(r, "upgrade", None),
        ),
        Passed(
            "rfc9110-7.8 an upgrade that Connection does not name",
            "upgrade: websocket",
            |r| has(r, "upgrade", None),
        ),
        Passed("rfc9110-10.1.1 Expect", "expect: 100-continue", |r| {
            has(r, "expect", None)
        }),
        Passed("Host is that of the client", "x-a: b", |r| {
            has(r, "host", Some("a"))
        }),
        Passed(
            "Connection cannot take Host away",
            "connection: host",
            |r| has(r, "host", Some("a")),
        ),
        Passed("rfc9110-5.5 space around a value", "x-a: \t b \t ", |r| {
            has(r, "x-a", Some("b"))
        }),
        Passed(
            "rfc9110-5.3 lines in their order",
            "x-a: 1\r\nx-b: 2\r\nX-A: 3",
            |r| r.head.all("x-a").eq(["1", "3"]) && has(r, "x-b", Some("2")),
        ),
    ];
    table::run(
        &cases,
        |case| case.0,
        |Passed(_, fields, is_right)| {
            let bytes = format!("GET /a HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
            wire.expect(bytes.as_bytes(), &[200], &["/a"])?;
            let last = wire.upstream.received().pop().ok_or("no request")?;
            is_right(&last)
                .then_some(())
                .ok_or(format!("{:?}", last.head.fields))
        },
    );
}

/// An HTTP/1.0 request, and texts in the bytes that come back until the connection ends.
struct Old(
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

#[test]
fn clients_of_http10() {
    let wire = Wire::start("");
    let cases = [
        Old(
            "rfc9112-9.3 no keep-alive",
            "GET /a HTTP/1.0\r\nhost: a\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            &["HTTP/1.0 200", "\r\n\r\n/a"],
            &["/b"],
        ),
        Old(
            "rfc9112-9.3 keep-alive",
            "GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            &["keep-alive", "/a", "\r\n\r\n/b"],
            &[],
        ),
        Old(
            "rfc9112-3.2 no host",
            "GET /a HTTP/1.0\r\n\r\n",
            &["HTTP/1.0 200", "\r\n\r\n/a"],
            &[],
        ),
        Old(
            "rfc9112-3.2 two hosts",
            "GET /a HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
            &[" 400 "],
            &["\r\n\r\n/a"],
        ),
        Old(
            "rfc9110-10.1.1 an expectation of 100-continue",
            "POST /a HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx",
            &["HTTP/1.0 200"],
            &[" 100 "],
        ),
        Old(
            "rfc9110-7.8 no upgrade",
            "GET /a HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            &["HTTP/1.0 200"],
            &[" 101 "],
        ),
        Old(
            "rfc9112-6.3 HEAD",
            "HEAD /a HTTP/1.0\r\n\r\n",
            &["HTTP/1.0 200"],
            &["\r\n\r\n/a"],
        ),
    ];
    table::run(
        &cases,
        |case| case.0,
        |Old(_, bytes, has, has_not)| {
            let mut stream = wire.gateway.client().sender();
            stream
                .write_all(bytes.as_bytes())
                .map_err(|error| error.to_string())?;
            let mut answer = String::new();
            stream
                .read_to_string(&mut answer)
                .map_err(|error| error.to_string())?;
            let is_right = has.iter().all(|part| answer.contains(part))
                && !has_not.iter().any(|part| answer.contains(part));
            is_right.then_some(()).ok_or(answer)
        },
    );
}
