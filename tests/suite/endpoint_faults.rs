//! Endpoints that break off, stall or send nonsense: the response to the client, and the requests that follow.
//!
//! One gateway has a route for each case, and each case has its own endpoint. The endpoint responds to the first
//! request as the case says, and to later ones correctly. So each case also shows that the next request gets the right
//! response.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use windlass_tests::{Gateway, Request, http};

use crate::table;

/// The endpoint's behaviour after it has written the bytes of the case.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Reset,
    /// It stays connected, and responds to further requests on the connection.
    Hold,
    /// It stays connected, and sends nothing more.
    Silent,
    /// It writes these bytes again and again, until the gateway closes the connection.
    Repeat(&'static [u8]),
}

use Then::{Close, Hold, Repeat, Reset, Silent};

/// The response that the client must get.
enum Expect {
    /// This status and this body.
    Answer(u16, &'static str),
    /// An error of Windlass with this status and code.
    Error(u16, &'static str),
    /// A head, and then a body that is visibly incomplete.
    Cut,
    /// This response, or a 502: the RFC leaves the choice to a gateway.
    AnswerOr502(u16, &'static str),
}

use Expect::{Answer, AnswerOr502, Cut, Error};

struct Case {
    name: &'static str,
    method: &'static str,
    writes: &'static [u8],
    then: Then,
    expect: Expect,
}

const fn case(name: &'static str, writes: &'static [u8], then: Then, expect: Expect) -> Case {
    Case {
        name,
        method: "GET",
        writes,
        then,
        expect,
    }
}

const fn head(name: &'static str, writes: &'static [u8], then: Then, expect: Expect) -> Case {
    Case {
        name,
        method: "HEAD",
        writes,
        then,
        expect,
    }
}

const BROKEN: Expect = Error(502, "upstream_protocol");
const CLOSED: Expect = Error(502, "upstream_closed");
const LATE: Expect = Error(504, "first_byte_timeout");

fn http1() -> Vec<Case> {
    vec![
        // The endpoint closes too early.
        case("it closes in the status line", b"HTTP/1.", Close, CLOSED),
        case("it closes after the status line", b"HTTP/1.1 200 OK\r\n", Close, CLOSED),
        case("it closes in a field", b"HTTP/1.1 200 OK\r\ncontent-len", Close, CLOSED),
        case("it closes before the empty line", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", Close, CLOSED),
        case("it resets in the head", b"HTTP/1.1 200 OK\r\n", Reset, CLOSED),
        case("it closes after an interim answer", b"HTTP/1.1 100 Continue\r\n\r\n", Close, CLOSED),
        case("it sends empty lines and closes", b"\r\n\r\n", Close, CLOSED),
        // The response is not HTTP/1.x.
        case("it speaks HTTP/0.9", b"hello", Hold, BROKEN),
        case("it speaks HTML", b"<html>no head</html>\n", Hold, BROKEN),
        case("it speaks HTTP/2", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", Hold, BROKEN),
        case("it speaks TLS", b"\x15\x03\x01\x00\x02\x02\x28", Hold, BROKEN),
        case("it speaks SMTP", b"220 mail.example ESMTP\r\n", Hold, BROKEN),
        case("its version is 2.0", b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", Hold, BROKEN),
        case("its version is 1.2", b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", Hold, BROKEN),
        case("it is bytes of every kind", b"\xff\xfe\x00\x01\r\n\r\n", Hold, BROKEN),
        // RFC 9112 section 4: the status line.
        case("9112 4: a status of two digits", b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n", Hold, BROKEN),
        case("9112 4: a status of four digits", b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n", Hold, BROKEN),
        case("9112 4: a status that is no number", b"HTTP/1.1 2xx OK\r\ncontent-length: 0\r\n\r\n", Hold, BROKEN),
        case("9110 15: a status below 100", b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n", Hold, BROKEN),
        case("9112 4: no reason is none", b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", Hold, Answer(200, "ok")),
        case("9110 15: an unknown status passes", b"HTTP/1.1 299 Odd\r\ncontent-length: 2\r\n\r\nok", Hold, Answer(299, "ok")),
        case("9112 2.2: bare line feeds", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Hold, AnswerOr502(200, "ok")),
        // RFC 9112 section 5: fields.
        case("9112 5: a line without a colon", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Hold, BROKEN),
        case("9112 5.1: a space before the colon", b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok", Hold, AnswerOr502(200, "ok")),
        case("9112 5.2: a folded line", b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok", Hold, AnswerOr502(200, "ok")),
        case("9110 5.5: a NUL in a value", b"HTTP/1.1 200 OK\r\nx-a: 1\x002\r\ncontent-length: 2\r\n\r\nok", Hold, BROKEN),
        case("9110 5.5: a bare CR in a value", b"HTTP/1.1 200 OK\r\nx-a: 1\r2\r\ncontent-length: 2\r\n\r\nok", Hold, BROKEN),
        case("9110 5.1: an empty name", b"HTTP/1.1 200 OK\r\n: 1\r\ncontent-length: 2\r\n\r\nok", Hold, BROKEN),
        // RFC 9112 section 6: lengths.
        case("9112 6.3: two lengths that differ", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokx", Hold, BROKEN),
        case("9112 6.3: two lengths that are the same", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok", Hold, AnswerOr502(200, "ok")),
        case("9110 8.6: a length that is no number", b"HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\nok", Hold, BROKEN),
        case("9110 8.6: a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", Hold, BROKEN),
        case("9110 8.6: a length with a sign", b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Hold, BROKEN),
        case("9110 8.6: a length beyond all bounds", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nok", Hold, BROKEN),
        case("9112 6.1: gzip before chunked", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, BROKEN),
        case("9112 6.1: gzip before chunked, in two lines", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, BROKEN),
        case("9112 6.1: chunked twice in a line", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, BROKEN),
        case("9112 6.1: chunked twice in two lines", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, BROKEN),
        case("9112 6.1: an empty member before chunked", b"HTTP/1.1 200 OK\r\ntransfer-encoding: , chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, BROKEN),
        case("9112 6.1: gzip to the end of the connection", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", Close, BROKEN),
        case("9112 6.1: chunked before gzip", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, BROKEN),
        case("9112 6.1: chunked in capitals", b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, Answer(200, "ok")),
        case("9112 6.3: chunks and a length: the chunks count", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Hold, AnswerOr502(200, "ok")),
        case("9112 6.3: a body without a length ends with the connection", b"HTTP/1.1 200 OK\r\n\r\nto the end", Close, Answer(200, "to the end")),
        case("9112 6.3: the same of HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nto the end", Close, Answer(200, "to the end")),
        case("9112 6.3: a body without a length that is reset is not whole", b"HTTP/1.1 200 OK\r\n\r\nto the", Reset, Cut),
        case("9112 6.3: a body that is shorter than its length", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly", Close, Cut),
        case("9112 6.3: a body that is reset", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly", Reset, Cut),
        case("9112 6.3: what follows a body is no part of it", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokmore", Hold, Answer(200, "ok")),
        case("9112 9.2: a second answer is nobody's", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", Hold, Answer(200, "ok")),
        // RFC 9112 section 7.1: chunks.
        case("9112 7.1: a chunk without a size", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\nok", Hold, Cut),
        case("9112 7.1: a chunk whose size is no number", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n", Hold, Cut),
        case("9112 7.1: a chunk whose size is beyond all bounds", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nok", Hold, Cut),
        case("9112 7.1: a chunk that is longer than its size", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", Hold, Cut),
        case("9112 7.1: chunks without an end", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Close, Cut),
        case("9112 7.1: chunks that end in a size", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1", Close, Cut),
        case("9112 7.1.1: extensions of chunks are nothing", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n", Hold, Answer(200, "ok")),
        // Responses without a body.
        case("9110 15.3.5: a 204 has none, whatever follows", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", Hold, Answer(204, "")),
        case("9110 15.4.5: a 304 has none, whatever it says", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil", Hold, Answer(304, "")),
        head("9110 9.3.2: an answer to HEAD has none, whatever follows", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", Hold, Answer(200, "")),
        head("9112 6.1: an answer to HEAD may name any coding", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", Hold, Answer(200, "")),
        head("9110 9.3.2: an answer to HEAD may say chunked", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Hold, Answer(200, "")),
        // Interim answers.
        case("9110 15.2: interim answers come before one that counts", b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Hold, Answer(200, "ok")),
        case("9110 15.2: interim answers without an end", b"", Repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), LATE),
        case("9110 15.2.2: a 101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Hold, BROKEN),
        // The head does not end.
        case("a head without an end", b"HTTP/1.1 200 OK\r\n", Repeat(b"x-a: 1\r\n"), BROKEN),
        case("a field without an end", b"HTTP/1.1 200 OK\r\nx-a: ", Repeat(b"aaaaaaaaaaaaaaaa"), BROKEN),
        case("a reason without an end", b"HTTP/1.1 200 ", Repeat(b"aaaaaaaaaaaaaaaa"), BROKEN),
        // The endpoint stalls.
        case("it says nothing", b"", Hold, LATE),
        case("it stalls in the status line", b"HTTP/1.1 2", Hold, LATE),
        case("it stalls in a field", b"HTTP/1.1 200 OK\r\ncontent-le", Hold, LATE),
        case("it stalls after an interim answer", b"HTTP/1.1 100 Continue\r\n\r\n", Hold, LATE),
        case("it stalls before the body", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", Hold, Cut),
        case("it stalls in the body", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly", Hold, Cut),
        case("it stalls in the size of a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1", Hold, Cut),
        case("it stalls before the last chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Hold, Cut),
        case("it stalls in the trailers", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-a: 1\r\n", Hold, Cut),
    ]
}

/// Empty `SETTINGS`; a response with status 200; the same response with `END_STREAM`.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const HEADERS: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88";
const ENDING_HEADERS: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x88";
const OK: &[u8] = b"\0\0\x02\0\x01\0\0\0\x01ok";

struct Http2Case {
    name: &'static str,
    /// The endpoint's frames after the request and its `SETTINGS`.
    frames: Vec<&'static [u8]>,
    then: Then,
    expect: Expect,
}

fn http2() -> Vec<Http2Case> {
    let case = |name, frames: &[&'static [u8]], then, expect| Http2Case {
        name,
        frames: frames.to_vec(),
        then,
        expect,
    };
    vec![
        case("an answer", &[HEADERS, OK], Hold, Answer(200, "ok")),
        case("it closes before it answers", &[], Close, CLOSED),
        case("it resets before it answers", &[], Reset, CLOSED),
        case("it says nothing", &[], Hold, LATE),
        case(
            "it closes in a frame",
            &[b"\0\0\x01\x01\x04"],
            Close,
            CLOSED,
        ),
        case(
            "it closes before the body's end",
            &[HEADERS, b"\0\0\x02\0\0\0\0\0\x01ok"],
            Close,
            Cut,
        ),
        case("it stalls before the body", &[HEADERS], Hold, Cut),
        case(
            "it stalls in the body",
            &[HEADERS, b"\0\0\x02\0\0\0\0\0\x01ok"],
            Hold,
            Cut,
        ),
        case(
            "it stalls in a frame",
            &[HEADERS, b"\0\0\x02\0\x01\0\0\0\x01o"],
            Silent,
            Cut,
        ),
        // RFC 9113 sections 6.4 and 7: streams that are reset.
        case(
            "6.4: PROTOCOL_ERROR",
            &[b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x01"],
            Hold,
            CLOSED,
        ),
        case(
            "6.4: INTERNAL_ERROR",
            &[b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02"],
            Hold,
            CLOSED,
        ),
        case(
            "6.4: STREAM_CLOSED",
            &[b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x05"],
            Hold,
            CLOSED,
        ),
        case(
            "6.4: CANCEL",
            &[b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"],
            Hold,
            CLOSED,
        ),
        case(
            "6.4: ENHANCE_YOUR_CALM",
            &[b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x0b"],
            Hold,
            CLOSED,
        ),
        case(
            "6.4: an unknown code",
            &[b"\0\0\x04\x03\0\0\0\0\x01\0\0\x12\x34"],
            Hold,
            CLOSED,
        ),
        case(
            "6.4: in the body",
            &[HEADERS, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02"],
            Hold,
            Cut,
        ),
        case(
            "6.4: in the body, without an error",
            &[HEADERS, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0"],
            Hold,
            Cut,
        ),
        case(
            "8.1: NO_ERROR after a whole answer",
            &[HEADERS, OK, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0"],
            Hold,
            Answer(200, "ok"),
        ),
        // RFC 9113 section 6.8: connections that end.
        case(
            "6.8: GOAWAY that takes the request, and then an answer",
            &[b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0", HEADERS, OK],
            Hold,
            Answer(200, "ok"),
        ),
        case(
            "6.8: GOAWAY that takes the request, and then nothing",
            &[b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0"],
            Close,
            CLOSED,
        ),
        case(
            "6.8: GOAWAY with an error",
            &[b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x02"],
            Close,
            CLOSED,
        ),
        // RFC 9113 sections 4 to 6: malformed frames.
        case(
            "4.1: an unknown frame is nothing",
            &[b"\0\0\x02\xee\0\0\0\0\x01hi", HEADERS, OK],
            Hold,
            Answer(200, "ok"),
        ),
        case(
            "4.2: a frame that is too large",
            &[b"\xff\xff\xff\0\0\0\0\0\x01"],
            Hold,
            BROKEN,
        ),
        case("6.1: DATA before a head", &[OK], Hold, BROKEN),
        case(
            "6.1: DATA of no stream",
            &[b"\0\0\x02\0\0\0\0\0\0ok"],
            Hold,
            BROKEN,
        ),
        case(
            "6.2: a head of no stream",
            &[b"\0\0\x01\x01\x05\0\0\0\0\x88"],
            Hold,
            BROKEN,
        ),
        case(
            "6.5: SETTINGS of an odd length",
            &[b"\0\0\x01\x04\0\0\0\0\0\0"],
            Hold,
            BROKEN,
        ),
        case(
            "6.6: a push that was refused",
            &[b"\0\0\x05\x05\x04\0\0\0\x01\0\0\0\x02\x82"],
            Hold,
            BROKEN,
        ),
        case(
            "6.7: PINGs are answered, and nothing else",
            &[
                b"\0\0\x08\x06\0\0\0\0\0abcdefgh",
                b"\0\0\x08\x06\x01\0\0\0\0abcdefgh",
                HEADERS,
                OK,
            ],
            Hold,
            Answer(200, "ok"),
        ),
        case(
            "6.9: a window that grows by nothing",
            &[b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0"],
            Hold,
            BROKEN,
        ),
        case(
            "6.10: a continuation of nothing",
            &[b"\0\0\x01\x09\x04\0\0\0\x01\x88"],
            Hold,
            BROKEN,
        ),
        case(
            "6.10: a head that is not continued",
            &[b"\0\0\x01\x01\0\0\0\0\x01\x88"],
            Hold,
            LATE,
        ),
        case(
            "it speaks HTTP/1.1",
            &[b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"],
            Hold,
            BROKEN,
        ),
        // RFC 9113 section 8: malformed heads.
        case(
            "8.3.2: no status",
            &[b"\0\0\x05\x01\x05\0\0\0\x01\x00\x01x\x011"],
            Hold,
            Error(502, ""),
        ),
        case(
            "8.3.2: a status that is no number",
            &[b"\0\0\x05\x01\x05\0\0\0\x01\x08\x032xx"],
            Hold,
            Error(502, ""),
        ),
        case(
            "8.2.1: an upper-case name",
            &[b"\0\0\x06\x01\x05\0\0\0\x01\x88\x00\x01X\x011"],
            Hold,
            Error(502, ""),
        ),
        case(
            "8.2.2: a field of the connection",
            &[b"\0\0\x13\x01\x05\0\0\0\x01\x88\x00\x0aconnection\x05close"],
            Hold,
            Error(502, ""),
        ),
        case(
            "8.1.1: a body longer than its length",
            &[b"\0\0\x05\x01\x04\0\0\0\x01\x88\x0f\x0d\x011", OK],
            Hold,
            Cut,
        ),
        case(
            "8.1.1: a body shorter than its length",
            &[b"\0\0\x05\x01\x04\0\0\0\x01\x88\x0f\x0d\x019", OK],
            Hold,
            Cut,
        ),
        case(
            "8.1: an answer without a body",
            &[ENDING_HEADERS],
            Hold,
            Answer(200, ""),
        ),
        case(
            "4.3: a head that is no HPACK",
            &[b"\0\0\x02\x01\x05\0\0\0\x01\xff\xff"],
            Hold,
            Error(502, ""),
        ),
        case(
            "8.1: an interim answer before one that counts",
            &[b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03103", HEADERS, OK],
            Hold,
            Answer(200, "ok"),
        ),
        case(
            "8.1: an interim answer that ends the stream",
            &[b"\0\0\x05\x01\x05\0\0\0\x01\x08\x03103"],
            Hold,
            Error(502, ""),
        ),
    ]
}

/// Write the bytes of a case, and then do what the case says with the connection. Returns false if the connection is
/// finished.
fn act(socket: &mut TcpStream, pieces: &[&[u8]], then: Then) -> io::Result<bool> {
    for piece in pieces {
        socket.write_all(piece)?;
    }
    match then {
        Hold => Ok(true),
        Close => Ok(false),
        Reset => {
            // The bytes written so far must arrive before the reset.
            socket.flush()?;
            socket2::SockRef::from(&*socket).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        Silent => io::copy(socket, &mut io::sink()).map(|_| false),
        Repeat(piece) => loop {
            socket.write_all(piece)?;
        },
    }
}

/// An endpoint; `serve` gets each connection with its number.
fn endpoint(
    serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in socket.incoming().enumerate() {
            let serve = Arc::clone(&serve);
            // The thread ends when the gateway closes the connection.
            std::thread::spawn(move || serve(stream.unwrap(), number));
        }
    });
    address
}

/// An endpoint that responds to the first request as the case says, and to all others with `after`.
fn bad_over_http1(writes: &'static [u8], then: Then) -> SocketAddr {
    let asked = AtomicUsize::new(0);
    endpoint(move |stream, _| {
        let mut stream = BufReader::new(stream);
        while http::read_head(&mut stream)?.is_some() {
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                if !act(stream.get_mut(), &[writes], then)? {
                    return Ok(());
                }
                continue;
            }
            let good = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nafter";
            stream.get_mut().write_all(good)?;
        }
        Ok(())
    })
}

/// The same over HTTP/2.
fn bad_over_http2(frames: Vec<&'static [u8]>, then: Then) -> SocketAddr {
    let asked = AtomicUsize::new(0);
    endpoint(move |mut stream, _| {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface)?;
        stream.write_all(SETTINGS)?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head)?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload)?;
            match (head[3], head[4]) {
                (4, 0) => stream.write_all(b"\0\0\0\x04\x01\0\0\0\0")?,
                (1, _) if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
                    let goes_on = act(&mut stream, &frames, then)?;
                    if !goes_on {
                        return Ok(());
                    }
                }
                (1, _) => {
                    let mut good =
                        b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\x01\0\0\0\x01after".to_vec();
                    good[8] = head[8];
                    good[18] = head[8];
                    stream.write_all(&good)?;
                }
                _ => {}
            }
        }
    })
}

/// A gateway with a route for each of these endpoints.
fn gateway(endpoints: &[SocketAddr], lines: &str) -> Gateway {
    let routes = endpoints.iter().enumerate().map(|(number, address)| {
        format!(
            "[[route]]\npath = \"/{number}\"\nupstream = \"u{number}\"\n[upstream.u{number}]\n\
             endpoints = [{{ address = \"{address}\" }}]\nretries = {{ attempts = 1 }}\n\
             first_byte_timeout = \"500ms\"\nidle_timeout = \"500ms\"\nejection = {{ faults = 0 }}\n{lines}\n"
        )
    });
    let routes: String = routes.collect();
    Gateway::with_config(format!("[server]\nworkers = 1\n{routes}")).start()
}

fn check(gateway: &Gateway, number: usize, method: &str, expect: &Expect) -> Result<(), String> {
    let target = format!("/{number}");
    let told = gateway.client().try_send(&Request::new(method, &*target));
    let shown = || match &told {
        Ok(answer) => format!(
            "{} {:?}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ),
        Err(error) => format!("cut: {error}"),
    };
    let answers = |status: u16, body: &str| {
        told.as_ref()
            .is_ok_and(|told| told.status == status && told.body == body.as_bytes())
    };
    let fails = |status: u16, code: &str| {
        let is = |told: &windlass_tests::Response| {
            told.status == status && (code.is_empty() || told.code() == code)
        };
        told.as_ref().is_ok_and(is)
    };
    let is_right = match *expect {
        Answer(status, body) => answers(status, body),
        AnswerOr502(status, body) => answers(status, body) || fails(502, "upstream_protocol"),
        Error(status, code) => fails(status, code),
        Cut => told.is_err(),
    };
    if !is_right {
        return Err(shown());
    }
    for _ in 0..2 {
        let after = gateway.get(&target);
        if (after.status, &*after.body) != (200, &b"after"[..]) {
            let body = String::from_utf8_lossy(&after.body).into_owned();
            return Err(format!(
                "told {}; the request after it: {} {body:?}",
                shown(),
                after.status
            ));
        }
    }
    Ok(())
}

#[test]
fn an_endpoint_of_http1_that_fails_costs_one_request() {
    let cases = http1();
    let endpoints = cases
        .iter()
        .map(|case| bad_over_http1(case.writes, case.then));
    let endpoints: Vec<_> = endpoints.collect();
    let gateway = gateway(&endpoints, "");
    let numbered: Vec<_> = cases.iter().enumerate().collect();
    table::run(
        &numbered,
        |(_, case)| case.name,
        |(number, case)| check(&gateway, *number, case.method, &case.expect),
    );
}

#[test]
fn an_endpoint_of_http2_that_fails_costs_one_request() {
    let cases = http2();
    let endpoints = cases
        .iter()
        .map(|case| bad_over_http2(case.frames.clone(), case.then));
    let endpoints: Vec<_> = endpoints.collect();
    let gateway = gateway(&endpoints, "protocol = \"http2\"");
    let numbered: Vec<_> = cases.iter().enumerate().collect();
    table::run(
        &numbered,
        |(_, case)| case.name,
        |(number, case)| check(&gateway, *number, "GET", &case.expect),
    );
}
