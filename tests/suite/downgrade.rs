//! HTTP/2 requests that are forwarded over HTTP/1.1: no part of them can become framing.
//!
//! Each case is written as raw frames, so that it can contain bytes that no client library sends. If Windlass refuses a
//! request, the endpoint must see none of it; if a request passes, the test checks it at the endpoint.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use windlass_tests::wait::DEADLINE;
use windlass_tests::{Gateway, Received, Request, Upstream};

use crate::table;

type Field = (&'static [u8], &'static [u8]);

/// The expected outcome of a request.
enum Expect {
    /// An error response or a reset stream; the endpoint sees none of the request.
    Refused,
    /// The same, but the endpoint may have seen the beginning of the request.
    Broken,
    /// The endpoint gets the request, and this holds for it.
    Passes(fn(&Received) -> bool),
    /// Either outcome: RFCs allow gateways to be strict or lenient here. If the request passes, this holds for it.
    Harmless(fn(&Received) -> bool),
}

use Expect::{Broken, Harmless, Passes, Refused};

struct Case {
    name: &'static str,
    head: &'static [Field],
    body: Option<&'static [u8]>,
    trailers: &'static [Field],
    expect: Expect,
}

const fn case(name: &'static str, head: &'static [Field], expect: Expect) -> Case {
    Case {
        name,
        head,
        body: None,
        trailers: &[],
        expect,
    }
}

const fn with_body(
    name: &'static str,
    head: &'static [Field],
    body: &'static [u8],
    expect: Expect,
) -> Case {
    Case {
        name,
        head,
        body: Some(body),
        trailers: &[],
        expect,
    }
}

const fn with_trailers(
    name: &'static str,
    head: &'static [Field],
    trailers: &'static [Field],
    expect: Expect,
) -> Case {
    Case {
        name,
        head,
        body: Some(b"body"),
        trailers,
        expect,
    }
}

/// A GET with these fields after the usual pseudo-header fields.
macro_rules! get {
    ($(($name:expr, $value:expr)),* $(,)?) => {
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"gateway.test"), (b":path", b"/case"), $(($name, $value)),*]
    };
}

/// The same with a method that has a body.
macro_rules! post {
    ($(($name:expr, $value:expr)),* $(,)?) => {
        &[(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"gateway.test"), (b":path", b"/case"), $(($name, $value)),*]
    };
}

/// A head with only these fields.
macro_rules! head {
    ($(($name:expr, $value:expr)),* $(,)?) => { &[$(($name, $value)),*] };
}

fn is_plain(received: &Received) -> bool {
    received.target == "/case" && received.method == "GET" && received.length == 0
}

fn cases() -> Vec<Case> {
    vec![
        // RFC 9113 section 8.2.1: bytes that no field may contain.
        case(
            "8.2.1: a CR in a value is refused",
            get![(b"x-a", b"1\rx-evil: 1")],
            Refused,
        ),
        case(
            "8.2.1: an LF in a value is refused",
            get![(b"x-a", b"1\nx-evil: 1")],
            Refused,
        ),
        case(
            "8.2.1: a NUL in a value is refused",
            get![(b"x-a", b"1\0")],
            Refused,
        ),
        case(
            "8.2.1: a whole line in a value is refused",
            get![(b"x-a", b"1\r\ntransfer-encoding: chunked")],
            Refused,
        ),
        case(
            "8.2.1: a whole request in a value is refused",
            get![(b"x-a", b"1\r\n\r\nGET /evil HTTP/1.1\r\nhost: a")],
            Refused,
        ),
        case(
            "8.2.1: a CRLF in a name is refused",
            get![(b"x-a: 1\r\nx-evil", b"1")],
            Refused,
        ),
        case(
            "8.2.1: a colon in a name is refused",
            get![(b"x-a:x-b", b"1")],
            Refused,
        ),
        case(
            "8.2.1: a space in a name is refused",
            get![(b"x a", b"1")],
            Refused,
        ),
        case(
            "8.2.1: a space at a name's end is refused",
            get![(b"transfer-encoding ", b"chunked")],
            Refused,
        ),
        case(
            "8.2.1: an upper-case name is refused",
            get![(b"X-A", b"1")],
            Refused,
        ),
        case(
            "8.2.1: an empty name is refused",
            get![(b"", b"1")],
            Refused,
        ),
        case(
            "8.2.1: a name beyond ASCII is refused",
            get![(b"x-\xc3\xa9", b"1")],
            Refused,
        ),
        case(
            "8.2.1: space around a value is not passed",
            get![(b"x-a", b" 1 ")],
            Harmless(|r| r.header("x-a") == Some("1")),
        ),
        case(
            "8.2.1: a value beyond ASCII passes as it is",
            get![(b"x-a", b"\xc3\xa9")],
            Harmless(is_plain),
        ),
        // RFC 9113 section 8.3: pseudo-header fields.
        case(
            "8.3.1: a CRLF in the path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/ HTTP/1.1\r\nx-evil: 1\r\n\r\n")
            ],
            Refused,
        ),
        case(
            "8.3.1: a space in the path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case evil")
            ],
            Refused,
        ),
        case(
            "8.3.1: a tab in the path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case\tevil")
            ],
            Refused,
        ),
        case(
            "8.3.1: a NUL in the path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case\0")
            ],
            Refused,
        ),
        case(
            "8.3.1: an empty path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"")
            ],
            Refused,
        ),
        case(
            "8.3.1: a path without a slash is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a fragment is refused or not passed",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case#evil")
            ],
            Harmless(is_plain),
        ),
        case(
            "8.3.1: a whole URL as the path names no other host",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"gateway.test"),
                (b":path", b"http://evil.test/case")
            ],
            Harmless(|r| r.header("host") == Some("gateway.test") && r.target.starts_with('/')),
        ),
        case(
            "8.3.1: a CRLF in the method is refused",
            head![
                (b":method", b"GET /evil HTTP/1.1\r\nx: "),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a space in the method is refused",
            head![
                (b":method", b"GET /evil"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: an empty method is refused",
            head![
                (b":method", b""),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a CRLF in the authority is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a\r\nx-evil: 1"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a space in the authority is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a b"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: user information in the authority is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"user@a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a path in the authority is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a/evil"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a CRLF in the scheme is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http\r\nx-evil: 1"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a request without a path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a")
            ],
            Refused,
        ),
        case(
            "8.3.1: a request without a method is refused",
            head![
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3.1: a request without a scheme is refused",
            head![
                (b":method", b"GET"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3: a second path is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case"),
                (b":path", b"/evil")
            ],
            Refused,
        ),
        case(
            "8.3: a second method is refused",
            head![
                (b":method", b"GET"),
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3: a pseudo field after others is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b"x-a", b"1"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "8.3: an unknown pseudo field is refused",
            get![(b":evil", b"1")],
            Refused,
        ),
        case(
            "8.3: the pseudo field of responses is refused",
            head![
                (b":status", b"200"),
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        // RFC 9113 section 8.3.1: the authority.
        case(
            "8.3.1: a host that differs from the authority is refused",
            get![(b"host", b"evil.test")],
            Refused,
        ),
        case(
            "8.3.1: a host that says the same passes once",
            get![(b"host", b"gateway.test")],
            Passes(|r| r.header("host") == Some("gateway.test")),
        ),
        case(
            "8.3.1: a host alone is the host",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":path", b"/case"),
                (b"host", b"gateway.test")
            ],
            Passes(|r| r.header("host") == Some("gateway.test")),
        ),
        case(
            "9112 3.2: a request for no host is refused",
            head![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "9112 3.2: two hosts are refused",
            get![(b"host", b"gateway.test"), (b"host", b"gateway.test")],
            Refused,
        ),
        // RFC 9113 section 8.2.2: connection-specific fields.
        with_body(
            "8.2.2: transfer-encoding is refused",
            post![(b"transfer-encoding", b"chunked")],
            b"0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n",
            Refused,
        ),
        with_body(
            "8.2.2: transfer-encoding beside a length is refused",
            post![
                (b"transfer-encoding", b"chunked"),
                (b"content-length", b"4")
            ],
            b"body",
            Refused,
        ),
        case(
            "8.2.2: connection is refused",
            get![(b"connection", b"close")],
            Refused,
        ),
        case(
            "8.2.2: connection that names a field is refused",
            get![(b"connection", b"x-api-key"), (b"x-api-key", b"1")],
            Refused,
        ),
        case(
            "8.2.2: keep-alive is refused",
            get![(b"keep-alive", b"timeout=5")],
            Refused,
        ),
        case(
            "8.2.2: proxy-connection is refused",
            get![(b"proxy-connection", b"keep-alive")],
            Refused,
        ),
        case(
            "8.2.2: upgrade is refused",
            get![(b"upgrade", b"websocket")],
            Refused,
        ),
        case(
            "8.2.2: te other than trailers is refused",
            get![(b"te", b"gzip")],
            Refused,
        ),
        case(
            "8.2.2: te: trailers passes",
            get![(b"te", b"trailers")],
            Passes(|r| r.header("te") == Some("trailers")),
        ),
        // RFC 9113 section 8.1.1: lengths.
        with_body(
            "8.1.1: a body shorter than its length breaks off",
            post![(b"content-length", b"10")],
            b"body",
            Broken,
        ),
        with_body(
            "8.1.1: a body longer than its length breaks off",
            post![(b"content-length", b"2")],
            b"body",
            Broken,
        ),
        with_body(
            "8.1.1: two lengths that differ are refused",
            post![(b"content-length", b"4"), (b"content-length", b"5")],
            b"body",
            Broken,
        ),
        with_body(
            "8.1.1: a length that is no number is refused",
            post![(b"content-length", b"4x")],
            b"body",
            Refused,
        ),
        with_body(
            "8.1.1: a length with a sign is refused",
            post![(b"content-length", b"+4")],
            b"body",
            Refused,
        ),
        case(
            "8.1.1: a length without a body is refused",
            get![(b"content-length", b"5")],
            Refused,
        ),
        with_body(
            "8.1: a body that looks like chunks is a body",
            post![],
            b"0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n",
            Passes(|r| r.length == 36),
        ),
        with_body(
            "8.1: a body of a known length has that length",
            post![(b"content-length", b"4")],
            b"body",
            Passes(|r| r.header("content-length") == Some("4") && r.body == b"body"),
        ),
        // RFC 9113 section 8.1: trailers.
        with_trailers(
            "8.2.2: fields of a connection in trailers are not passed",
            post![],
            &[(b"transfer-encoding", b"chunked")],
            Broken,
        ),
        with_trailers(
            "8.2.1: a CRLF in a trailer is refused",
            post![],
            &[(b"x-a", b"1\r\nx-evil: 1")],
            Broken,
        ),
        // RFC 9113 section 8.2.3 and RFC 8441.
        case(
            "8.2.3: crumbs of a cookie are one field",
            get![(b"cookie", b"a=1"), (b"cookie", b"b=2")],
            Passes(|r| r.header("cookie") == Some("a=1; b=2")),
        ),
        // Methods that are not for a resource.
        case(
            "RFC 9110 9.3.6: a CONNECT is refused",
            head![(b":method", b"CONNECT"), (b":authority", b"a:80")],
            Refused,
        ),
        case(
            "RFC 9110 9.3.6: a CONNECT with a path is refused",
            head![
                (b":method", b"CONNECT"),
                (b":scheme", b"http"),
                (b":authority", b"a:80"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "RFC 8441 4: an extended CONNECT for another protocol is refused",
            head![
                (b":method", b"CONNECT"),
                (b":protocol", b"evil"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "RFC 8441 4: a protocol without CONNECT is refused",
            get![(b":protocol", b"websocket")],
            Refused,
        ),
        case(
            "RFC 9110 9.3.8: a TRACE is refused",
            head![
                (b":method", b"TRACE"),
                (b":scheme", b"http"),
                (b":authority", b"a"),
                (b":path", b"/case")
            ],
            Refused,
        ),
        case(
            "RFC 9110 10.1.1: an expectation is not passed",
            get![(b"expect", b"100-continue")],
            Harmless(|r| r.header("expect").is_none()),
        ),
    ]
}

fn literal(block: &mut Vec<u8>, text: &[u8]) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 127, "it fits into one byte");
    block.push(length);
    block.extend(text);
}

/// The fields in HPACK: literals without indexing (RFC 7541 section 6.2.2).
fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    block
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, stream]);
    bytes.extend(payload);
    bytes
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// The response to the client.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Status(u16),
    /// The stream was reset, or the connection closed.
    Reset,
}

fn ask(gateway: SocketAddr, case: &Case) -> Result<Told, String> {
    let mut socket = TcpStream::connect(gateway).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let ends = u8::from(case.body.is_none());
    bytes.extend(frame(HEADERS, 4 | ends, 1, &block(case.head)));
    if let Some(body) = case.body {
        bytes.extend(frame(DATA, u8::from(case.trailers.is_empty()), 1, body));
    }
    if !case.trailers.is_empty() {
        bytes.extend(frame(HEADERS, 5, 1, &block(case.trailers)));
    }
    socket.write_all(&bytes).unwrap();
    loop {
        let mut head = [0; 9];
        match socket.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err("no answer came".to_owned());
            }
            Err(_) => return Ok(Told::Reset),
        }
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        socket
            .read_exact(&mut payload)
            .map_err(|error| error.to_string())?;
        match (head[3], head[8]) {
            (HEADERS, 1) => return Ok(Told::Status(status(&payload))),
            (RST_STREAM, 1) | (GOAWAY, _) => return Ok(Told::Reset),
            _ => {}
        }
    }
}

/// The status at the start of a field block.
fn status(block: &[u8]) -> u16 {
    let at = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    let block = &block[at..];
    match block[0] {
        0x88 => return 200,
        0x89 => return 204,
        0x8a => return 206,
        0x8b => return 304,
        0x8c => return 400,
        0x8d => return 404,
        0x8e => return 500,
        _ => {}
    }
    let is_huffman = block[1] & 0x80 != 0;
    let text = &block[2..2 + usize::from(block[1] & 0x7f)];
    if !is_huffman {
        return std::str::from_utf8(text).unwrap().parse().unwrap();
    }
    // RFC 7541 appendix B: `0` to `2` have five bits, the other digits six.
    let bits = text
        .iter()
        .flat_map(|byte| (0..8).map(move |at| u16::from(byte >> (7 - at) & 1)));
    let bits: Vec<u16> = bits.collect();
    let mut at = 0;
    let mut number = 0;
    for _ in 0..3 {
        let take = |count: usize| {
            bits[at..at + count]
                .iter()
                .fold(0, |sum, bit| sum * 2 + bit)
        };
        let digit = match take(5) {
            digit @ 0..3 => {
                at += 5;
                digit
            }
            _ => {
                let digit = take(6) - 0x19 + 3;
                at += 6;
                digit
            }
        };
        number = number * 10 + digit;
    }
    number
}

fn check(gateway: &Gateway, endpoint: &Upstream, case: &Case) -> Result<(), String> {
    let before = endpoint.received().len();
    let told = ask(gateway.address(), case)?;
    // The next request, on any connection, must be separate from this one.
    let after = gateway.get("/after");
    if after.status != 200 {
        return Err(format!(
            "the next request: {} {}",
            after.status,
            after.text()
        ));
    }
    let received = endpoint.received().split_off(before);
    let (afters, own): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|one| one.target == "/after");
    if afters.len() != 1 {
        return Err(format!("the next request came {} times", afters.len()));
    }
    if own
        .iter()
        .any(|one| one.head.all("x-evil").next().is_some() || one.target.contains("evil"))
    {
        return Err(format!("it became something else: {own:?}"));
    }
    let is_refused = match told {
        Told::Reset => true,
        Told::Status(status) => status >= 400,
    };
    let passes = |holds: &fn(&Received) -> bool| match &*own {
        [one] if told == Told::Status(200) => match holds(one) {
            true => Ok(()),
            false => Err(format!("the endpoint has {one:?}")),
        },
        own => Err(format!("told {told:?}, the endpoint has {own:?}")),
    };
    match &case.expect {
        Refused | Broken | Harmless(_) if is_refused && own.is_empty() => Ok(()),
        Refused | Broken => Err(format!("told {told:?}, the endpoint has {own:?}")),
        Passes(holds) | Harmless(holds) => passes(holds),
    }
}

#[test]
fn nothing_of_a_request_over_http2_becomes_framing_of_http1() {
    let endpoint = Upstream::echo();
    let gateway = Gateway::with_config(format!(
        "[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         endpoints = [{{ address = \"{}\" }}]\nretries = {{ attempts = 1 }}\nejection = {{ faults = 0 }}\n",
        endpoint.address()
    ))
    .start();
    assert_eq!(gateway.send(&Request::get("/after")).status, 200);
    table::run(
        &cases(),
        |case| case.name,
        |case| check(&gateway, &endpoint, case),
    );
}
