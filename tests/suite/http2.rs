//! HTTP/2 as clients speak it (RFC 9113).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use crate::table;
use crate::wire::Wire;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 32;
const BOTH: u8 = END_STREAM | END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The fields as literals that enter no table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The fields of a `GET` of `/a`, or of another method and path.
fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
    ]
}

/// A request for `/a` with these fields as well.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    let all = [request("GET", "/a"), fields.to_vec()].concat();
    frame(HEADERS, BOTH, 1, &block(&all))
}

/// A request for `/a` with only these fields.
fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, BOTH, 1, &block(fields))
}

/// A request with a body on the first stream.
fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    let all = [request("POST", "/a"), fields.to_vec()].concat();
    frame(HEADERS, END_HEADERS, 1, &block(&all))
}

/// The same; `:path` and `x-kept` enter the table, as its second and its first entry.
fn post_indexed() -> Vec<u8> {
    let rest = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
    ];
    let block = [&b"\x44\x02/a"[..], &block(&rest), b"\x40\x06x-kept\x01b"].concat();
    frame(HEADERS, END_HEADERS, 1, &block)
}

/// How the first stream, or the connection, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

/// The expected end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A response, and the endpoint got the request.
    Taken,
    /// A response of Windlass with this status, and the endpoint got no request.
    Status(u16),
    /// An error of the stream or of the connection, or 400, and the endpoint got no request.
    Refused,
    /// The same, but the endpoint may have got the request before the error.
    Broken,
}

use Expected::{Broken, Refused, Status, Taken};

fn run(cases: &[(&str, Vec<u8>, Expected)]) {
    let wire = Wire::start("");
    table::run(
        cases,
        |case| case.0,
        |(_, frames, expected)| {
            let before = wire.upstream.count();
            let mut stream = wire.gateway.client().sender();
            let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat();
            // The gateway may close before it has read everything.
            let _ = stream.write_all(&bytes);
            let end = first_end(&mut stream);
            let asked = wire.upstream.count() - before;
            let is_error = end != End::Status(200);
            let is_right = match expected {
                Taken => end == End::Status(200) && asked == 1,
                Status(status) => end == End::Status(*status) && asked == 0,
                Refused => is_error && !matches!(end, End::Status(500..)) && asked == 0,
                Broken => is_error,
            };
            let alive = wire.gateway.get("/other").status == 200;
            match is_right && alive {
                true => Ok(()),
                false => Err(format!(
                    "{end:?}, {asked} asked, not {expected:?}; alive: {alive}"
                )),
            }
        },
    );
}

/// Read frames until the first stream, or the connection, ends.
fn first_end(stream: &mut TcpStream) -> End {
    loop {
        let Some((kind, flags, on, payload)) = read_frame(stream) else {
            return End::Closed;
        };
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            HEADERS if on == 1 => return End::Status(status(&payload)),
            RST_STREAM if on == 1 => return End::Reset(code(0)),
            // The first GOAWAY of a graceful shutdown has no error code; wait for the second.
            GOAWAY if code(4) != 0 => return End::GoAway(code(4)),
            SETTINGS if flags & ACK == 0 => {
                let _ = stream.write_all(&frame(SETTINGS, ACK, 0, &[]));
            }
            _ => {}
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    if let Err(error) = stream.read_exact(&mut head) {
        let ended = [
            ErrorKind::UnexpectedEof,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
        ];
        assert!(ended.contains(&error.kind()), "{error}");
        return None;
    }
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).ok()?;
    let on = u32::from_be_bytes(head[5..9].try_into().unwrap());
    Some((head[3], head[4], on, payload))
}

/// The status at the start of a response's field block.
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x48 | 0x08, length, rest @ ..] if length & 0x80 == 0 => {
            let text = std::str::from_utf8(&rest[..usize::from(*length)]).unwrap();
            text.parse().unwrap()
        }
        [0x48 | 0x08, length, rest @ ..] => digits(&rest[..usize::from(length & 0x7f)]),
        other => panic!("a status like {other:?}"),
    }
}

/// Three digits in the Huffman code (RFC 7541 appendix B).
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> = bytes
        .iter()
        .flat_map(|b| (0..8).rev().map(move |n| u16::from(b >> n & 1)))
        .collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let take = |count: usize| {
            bits[at..at + count]
                .iter()
                .fold(0, |all, bit| all * 2 + bit)
        };
        let (digit, size) = match take(5) {
            short @ 0..3 => (short, 5),
            _ => (take(6) - 0x19 + 3, 6),
        };
        number = number * 10 + digit;
        at += size;
    }
    number
}

#[test]
fn heads() {
    let good = || request("GET", "/a");
    let without = |name: &str| -> Vec<(&'static str, &'static str)> {
        let all = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/a"),
            (":authority", "a"),
        ];
        all.into_iter()
            .filter(|(known, _)| *known != name)
            .collect()
    };
    let crumbs: Vec<_> = (0..150).map(|_| ("cookie", "a=b")).collect();
    let many: Vec<_> = (0..150).map(|_| ("x-many", "b")).collect();
    run(&[
        ("rfc9113-8.3.1 a request", with(&[]), Taken),
        (
            "rfc9113-8.3.1 host in the place of :authority",
            only(&[without(":authority"), vec![("host", "a")]].concat()),
            Taken,
        ),
        (
            "rfc9113-8.3.1 host that says the same",
            with(&[("host", "a")]),
            Taken,
        ),
        (
            "rfc9113-8.3.1 host that says otherwise",
            with(&[("host", "b")]),
            Status(400),
        ),
        (
            "rfc9113-8.3.1 neither",
            only(&without(":authority")),
            Refused,
        ),
        (
            "rfc9113-8.3.1 an empty :authority",
            only(&[without(":authority"), vec![(":authority", "")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3.1 a user in :authority",
            only(&[without(":authority"), vec![(":authority", "u@a")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3.1 no :method",
            only(&without(":method")),
            Refused,
        ),
        (
            "rfc9113-8.3.1 no :scheme",
            only(&without(":scheme")),
            Refused,
        ),
        ("rfc9113-8.3.1 no :path", only(&without(":path")), Refused),
        (
            "rfc9113-8.3.1 an empty :path",
            only(&[without(":path"), vec![(":path", "")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3.1 a :path without a slash",
            only(&[without(":path"), vec![(":path", "a")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3 :path twice",
            only(&[good(), vec![(":path", "/b")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3 :method twice",
            only(&[good(), vec![(":method", "GET")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3 :authority twice",
            only(&[good(), vec![(":authority", "a")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3 a pseudo-header field that nobody knows",
            only(&[good(), vec![(":x", "a")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3 :status",
            only(&[good(), vec![(":status", "200")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.3 a pseudo-header field after others",
            only(&[without(":path"), vec![("x", "y"), (":path", "/a")]].concat()),
            Refused,
        ),
        (
            "rfc8441-4 :protocol without CONNECT",
            only(&[good(), vec![(":protocol", "websocket")]].concat()),
            Refused,
        ),
        (
            "rfc9113-8.2.1 a name in capitals",
            with(&[("X-a", "b")]),
            Refused,
        ),
        (
            "rfc9113-8.2.1 a space in a name",
            with(&[("x a", "b")]),
            Refused,
        ),
        (
            "rfc9113-8.2.1 a colon in a name",
            with(&[("x:a", "b")]),
            Refused,
        ),
        ("rfc9113-8.2.1 an empty name", with(&[("", "b")]), Refused),
        (
            "rfc9113-8.2.1 a line end in a value",
            with(&[("x-a", "b\r\nx-c: d")]),
            Refused,
        ),
        (
            "rfc9113-8.2.1 a NUL in a value",
            with(&[("x-a", "b\0")]),
            Refused,
        ),
        (
            "rfc9113-8.2.1 a space before a value",
            with(&[("x-a", " b")]),
            Status(400),
        ),
        (
            "rfc9113-8.2.1 a space after a value",
            with(&[("x-a", "b ")]),
            Status(400),
        ),
        (
            "rfc9113-8.2.1 a tab around a value",
            with(&[("x-a", "\tb\t")]),
            Status(400),
        ),
        (
            "rfc9113-8.2.1 a value of one space",
            with(&[("x-a", " ")]),
            Status(400),
        ),
        (
            "rfc9113-8.2.1 a space inside a value",
            with(&[("x-a", "b c")]),
            Taken,
        ),
        ("rfc9113-8.2.1 an empty value", with(&[("x-a", "")]), Taken),
        (
            "rfc9113-8.2.2 connection",
            with(&[("connection", "close")]),
            Refused,
        ),
        (
            "rfc9113-8.2.2 keep-alive",
            with(&[("keep-alive", "timeout=5")]),
            Refused,
        ),
        (
            "rfc9113-8.2.2 proxy-connection",
            with(&[("proxy-connection", "keep-alive")]),
            Refused,
        ),
        (
            "rfc9113-8.2.2 transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
            Refused,
        ),
        (
            "rfc9113-8.2.2 upgrade",
            with(&[("upgrade", "websocket")]),
            Refused,
        ),
        ("rfc9113-8.2.2 te: gzip", with(&[("te", "gzip")]), Refused),
        (
            "rfc9113-8.2.2 te: trailers",
            with(&[("te", "trailers")]),
            Taken,
        ),
        (
            "rfc9113-8.2.3 many crumbs of one cookie",
            with(&crumbs),
            Taken,
        ),
        (
            "max_headers holds for other fields",
            with(&many),
            Status(431),
        ),
        (
            "rfc9110-10.1.1 another expectation",
            with(&[("expect", "a-miracle")]),
            Status(417),
        ),
        (
            "rfc9110-9.3.7 OPTIONS *",
            frame(HEADERS, BOTH, 1, &block(&request("OPTIONS", "*"))),
            Status(204),
        ),
        (
            "rfc9110-7.6.2 OPTIONS with max-forwards: 0",
            frame(
                HEADERS,
                BOTH,
                1,
                &block(&[request("OPTIONS", "/a"), vec![("max-forwards", "0")]].concat()),
            ),
            Status(204),
        ),
        (
            "rfc9110-9.3.8 TRACE",
            frame(HEADERS, BOTH, 1, &block(&request("TRACE", "/a"))),
            Status(501),
        ),
        (
            "rfc9113-8.5 CONNECT",
            only(&[(":method", "CONNECT"), (":authority", "a:1")]),
            Status(501),
        ),
    ]);
}

#[test]
fn bodies_and_trailers() {
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let trailers = |flags, bytes: &[u8]| frame(HEADERS, flags, 1, bytes);
    let all = |parts: &[Vec<u8>]| parts.concat();
    run(&[
        (
            "rfc9113-8.1 a body",
            all(&[post(&[]), data(END_STREAM, b"four")]),
            Taken,
        ),
        (
            "rfc9113-8.1 an empty body",
            all(&[post(&[]), data(END_STREAM, b"")]),
            Taken,
        ),
        (
            "rfc9113-6.1 padding",
            all(&[post(&[]), data(END_STREAM | PADDED, b"\x02four\0\0")]),
            Taken,
        ),
        (
            "rfc9113-8.1.1 a length that is right",
            all(&[post(&[("content-length", "4")]), data(END_STREAM, b"four")]),
            Taken,
        ),
        (
            "rfc9113-8.1 trailers",
            all(&[
                post(&[]),
                data(0, b"four"),
                trailers(BOTH, &block(&[("x-a", "b")])),
            ]),
            Taken,
        ),
        (
            "rfc9113-8.1 trailers in CONTINUATION",
            all(&[
                post(&[]),
                trailers(END_STREAM, b"\0\x03x-"),
                frame(CONTINUATION, END_HEADERS, 1, b"a\x01b"),
            ]),
            Taken,
        ),
        (
            "rfc9113-8.1.1 more than the length",
            all(&[post(&[("content-length", "2")]), data(END_STREAM, b"four")]),
            Broken,
        ),
        (
            "rfc9113-8.1.1 less than the length",
            all(&[post(&[("content-length", "9")]), data(END_STREAM, b"four")]),
            Broken,
        ),
        (
            "rfc9113-8.1.1 a length and no body",
            frame(
                HEADERS,
                BOTH,
                1,
                &block(&[request("POST", "/a"), vec![("content-length", "4")]].concat()),
            ),
            Broken,
        ),
        (
            "rfc9113-8.1.1 two lengths",
            all(&[
                post(&[("content-length", "4"), ("content-length", "5")]),
                data(END_STREAM, b"four"),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1.1 a length that is no number",
            all(&[
                post(&[("content-length", "four")]),
                data(END_STREAM, b"four"),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1 :path in trailers",
            all(&[
                post(&[]),
                data(0, b"four"),
                trailers(BOTH, &block(&[(":path", "/b")])),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1 :method from the table in trailers",
            all(&[post(&[]), data(0, b"four"), trailers(BOTH, b"\x82")]),
            Broken,
        ),
        (
            "rfc9113-8.1 :status in trailers",
            all(&[post(&[]), trailers(BOTH, b"\x08\x03200")]),
            Broken,
        ),
        (
            "rfc9113-8.1 a pseudo-header field after a trailer",
            all(&[
                post(&[]),
                trailers(BOTH, &block(&[("x-a", "b"), (":x", "c")])),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1 :path in trailers in CONTINUATION",
            all(&[
                post(&[]),
                trailers(END_STREAM, b"\0\x05:pa"),
                frame(CONTINUATION, END_HEADERS, 1, b"th\x02/b"),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1 :path from the dynamic table in trailers",
            all(&[post_indexed(), data(0, b"four"), trailers(BOTH, b"\xbf")]),
            Broken,
        ),
        (
            "rfc9113-8.1 the name :path from the dynamic table in trailers",
            all(&[
                post_indexed(),
                data(0, b"four"),
                trailers(BOTH, b"\x7f\0\x02/b"),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1 a trailer from the dynamic table",
            all(&[post_indexed(), data(0, b"four"), trailers(BOTH, b"\xbe")]),
            Taken,
        ),
        (
            "rfc7541-4.2 a new size of the table before a trailer",
            all(&[
                post_indexed(),
                trailers(BOTH, b"\x20\x3f\xe1\x1f\0\x03x-a\x01b"),
            ]),
            Taken,
        ),
        (
            "rfc9113-8.1 no field in trailers",
            all(&[post(&[]), trailers(BOTH, b"")]),
            Taken,
        ),
        (
            "rfc9113-8.1 :path in padded trailers",
            all(&[
                post(&[]),
                trailers(BOTH | PADDED | WITH_PRIORITY, b"\x01\0\0\0\0\0\x84\0"),
            ]),
            Broken,
        ),
        (
            "rfc9113-8.1 trailers that do not end the stream",
            all(&[post(&[]), trailers(END_HEADERS, &block(&[("x-a", "b")]))]),
            Broken,
        ),
        (
            "rfc9113-8.2.1 a name in capitals in trailers",
            all(&[post(&[]), trailers(BOTH, &block(&[("X-a", "b")]))]),
            Broken,
        ),
        (
            "rfc9113-8.1 DATA after the end",
            all(&[with(&[]), data(END_STREAM, b"four")]),
            Broken,
        ),
    ]);
}

#[test]
fn connections() {
    let get = with(&[]);
    let after = |more: Vec<u8>| [more, with(&[])].concat();
    let half = block(&request("GET", "/a"));
    let (start, rest) = half.split_at(7);
    let split = |between: &[u8]| {
        [
            &frame(HEADERS, END_STREAM, 1, start)[..],
            between,
            &frame(CONTINUATION, END_HEADERS, 1, rest),
        ]
        .concat()
    };
    run(&[
        ("rfc9113-6.10 a head in CONTINUATION", split(&[]), Taken),
        (
            "rfc9113-6.10 empty CONTINUATION between",
            split(&frame(CONTINUATION, 0, 1, &[])),
            Taken,
        ),
        (
            "rfc9113-6.10 DATA between",
            split(&frame(DATA, 0, 1, b"x")),
            Refused,
        ),
        (
            "rfc9113-6.10 a PING between",
            split(&frame(PING, 0, 0, &[0; 8])),
            Refused,
        ),
        (
            "rfc9113-6.10 another stream's CONTINUATION between",
            split(&frame(CONTINUATION, 0, 3, b"")),
            Refused,
        ),
        (
            "rfc9113-6.10 CONTINUATION without HEADERS",
            after(frame(CONTINUATION, END_HEADERS, 1, &half)),
            Refused,
        ),
        (
            "rfc9113-5.5 a frame that nobody knows",
            after(frame(0x63, 0xff, 0, b"what")),
            Taken,
        ),
        (
            "rfc9113-6.2 padding and priority",
            frame(
                HEADERS,
                BOTH | PADDED | WITH_PRIORITY,
                1,
                &[&[1, 0, 0, 0, 0, 0][..], &half, &[0]].concat(),
            ),
            Taken,
        ),
        (
            "rfc9113-6.2 more padding than there is",
            frame(HEADERS, BOTH | PADDED, 1, &[&[255][..], &half].concat()),
            Refused,
        ),
        (
            "rfc9113-6.1 more padding of DATA than there is",
            [post(&[]), frame(DATA, END_STREAM | PADDED, 1, b"\x09four")].concat(),
            Broken,
        ),
        (
            "rfc9113-5.1.1 a stream of the server's",
            frame(HEADERS, BOTH, 2, &half),
            Refused,
        ),
        (
            "rfc9113-5.1.1 HEADERS without a stream",
            frame(HEADERS, BOTH, 0, &half),
            Refused,
        ),
        (
            "rfc9113-6.1 DATA without a stream",
            after(frame(DATA, 0, 0, b"x")),
            Refused,
        ),
        (
            "rfc9113-5.1 DATA of an idle stream",
            after(frame(DATA, 0, 1, b"x")),
            Refused,
        ),
        (
            "rfc9113-6.4 RST_STREAM of an idle stream",
            after(frame(RST_STREAM, 0, 1, &[0; 4])),
            Refused,
        ),
        (
            "rfc9113-6.4 RST_STREAM without a stream",
            after(frame(RST_STREAM, 0, 0, &[0; 4])),
            Refused,
        ),
        (
            "rfc9113-6.4 RST_STREAM of another size",
            after(frame(RST_STREAM, 0, 1, &[0; 3])),
            Refused,
        ),
        (
            "rfc9113-6.5 SETTINGS of a stream",
            after(frame(SETTINGS, 0, 1, &[])),
            Refused,
        ),
        (
            "rfc9113-6.5 SETTINGS of another size",
            after(frame(SETTINGS, 0, 0, &[0; 5])),
            Refused,
        ),
        (
            "rfc9113-6.5 an acknowledgement with a setting",
            after(frame(SETTINGS, ACK, 0, &[0; 6])),
            Refused,
        ),
        (
            "rfc9113-6.5.2 ENABLE_PUSH of 2",
            after(frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
            Refused,
        ),
        (
            "rfc9113-6.5.2 a window beyond 31 bits",
            after(frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])),
            Refused,
        ),
        (
            "rfc9113-6.5.2 frames that are too small",
            after(frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
            Refused,
        ),
        (
            "rfc9113-6.5.2 a setting that nobody knows",
            after(frame(SETTINGS, 0, 0, &[0, 99, 0, 0, 0, 2])),
            Taken,
        ),
        (
            "rfc9113-6.6 PUSH_PROMISE",
            after(frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
            Refused,
        ),
        (
            "rfc9113-6.7 PING of a stream",
            after(frame(PING, 0, 1, &[0; 8])),
            Refused,
        ),
        (
            "rfc9113-6.7 PING of another size",
            after(frame(PING, 0, 0, &[0; 7])),
            Refused,
        ),
        ("rfc9113-6.7 PING", after(frame(PING, 0, 0, &[0; 8])), Taken),
        (
            "rfc9113-6.9 a window that grows by 0",
            after(frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
            Refused,
        ),
        (
            "rfc9113-6.9.1 a window beyond 31 bits",
            after(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
            Refused,
        ),
        (
            "rfc9113-6.9 WINDOW_UPDATE of another size",
            after(frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
            Refused,
        ),
        (
            "rfc9113-6.9 WINDOW_UPDATE of an idle stream",
            after(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
            Refused,
        ),
        (
            "rfc9113-6.3 PRIORITY of an idle stream",
            after(frame(PRIORITY, 0, 1, &[0; 5])),
            Taken,
        ),
        (
            "rfc9113-4.2 a frame that is too large",
            after(frame(DATA, 0, 1, &vec![0; 16_385])),
            Refused,
        ),
        (
            "rfc9113-4.3 a block that ends too early",
            frame(HEADERS, BOTH, 1, b"\x82\x84\x86\x41\x09a"),
            Refused,
        ),
        (
            "rfc7541-2.3.3 an index beyond the tables",
            frame(HEADERS, BOTH, 1, b"\x82\xfe"),
            Refused,
        ),
        (
            "rfc7541-4.2 a table that is too large",
            frame(
                HEADERS,
                BOTH,
                1,
                &[&b"\x3f\xe2\xff\x03"[..], &half].concat(),
            ),
            Refused,
        ),
        (
            "rfc7541-5.2 a padding of the code that is too long",
            frame(HEADERS, BOTH, 1, b"\x82\x84\x86\x41\x82\x1f\xff"),
            Refused,
        ),
        (
            "a window of 0 holds no head back",
            [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), get].concat(),
            Taken,
        ),
    ]);
}

/// A pseudo-header field in trailers ends its stream, before the endpoint has the whole request.
/// Other streams continue, and the header tables of both sides stay in step.
#[test]
fn rfc9113_8_1_a_pseudo_header_field_in_trailers_ends_its_stream_alone() {
    let wire = Wire::start("");
    // `:path` and `x-kept` of the first request, as table entries.
    let pseudo: [&[u8]; 4] = [b"\xbf", b"\x84", b"\0\x05:path\x02/b", b"\xbe\xbf"];
    for (number, pseudo) in pseudo.into_iter().enumerate() {
        let mut stream = wire.gateway.client().sender();
        let bytes = [
            PREFACE,
            &frame(SETTINGS, 0, 0, &[]),
            &post_indexed(),
            &frame(DATA, 0, 1, b"four"),
            &frame(HEADERS, BOTH, 1, pseudo),
        ];
        stream.write_all(&bytes.concat()).unwrap();
        let protocol_error = 1;
        assert_eq!(first_end(&mut stream), End::Reset(protocol_error));
        assert_eq!(wire.upstream.count(), number, "{pseudo:?}");
        // Another request uses `:path` and a field from the table.
        let rest = block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
        ]);
        let head = [&b"\xbf"[..], &rest, b"\xbe"].concat();
        let next = [
            frame(HEADERS, END_HEADERS, 3, &head),
            frame(DATA, 0, 3, b"more"),
            frame(HEADERS, BOTH, 3, b"\xbe"),
        ];
        stream.write_all(&next.concat()).unwrap();
        loop {
            let (kind, _, on, payload) = read_frame(&mut stream).unwrap();
            assert!(![RST_STREAM, GOAWAY].contains(&kind), "{pseudo:?}");
            if kind == HEADERS && on == 3 {
                assert_eq!(status(&payload), 200);
                break;
            }
        }
        let seen = wire.upstream.received();
        let seen = &seen[seen.len() - 1];
        assert_eq!((&*seen.target, &*seen.body), ("/a", &b"more"[..]));
        assert_eq!(seen.header("x-kept"), Some("b"));
    }
}

/// Concurrent streams each get their own response.
#[test]
fn streams_at_once_are_answered_each() {
    let wire = Wire::start("");
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let ids: Vec<u32> = (0..50).map(|number| 2 * number + 1).collect();
    for id in &ids {
        let path = format!("/{id}");
        bytes.extend(frame(HEADERS, BOTH, *id, &block(&request("GET", &path))));
    }
    let mut stream = wire.gateway.client().sender();
    stream.write_all(&bytes).unwrap();
    let mut bodies = std::collections::BTreeMap::new();
    while bodies.len() < ids.len() {
        let (kind, _, on, payload) = read_frame(&mut stream).unwrap();
        if kind == DATA && !payload.is_empty() {
            bodies.insert(on, String::from_utf8(payload).unwrap());
        }
        assert!(![RST_STREAM, GOAWAY].contains(&kind));
    }
    for id in ids {
        assert_eq!(bodies[&id], format!("/{id}"));
    }
}
