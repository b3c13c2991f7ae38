//! Message framing: if two readers could disagree on where a message ends, Windlass refuses the request.

use crate::table;
use crate::wire::Wire;

/// The name, the bytes to send, the statuses of the responses, and the targets that the endpoint gets.
struct Case(
    &'static str,
    String,
    &'static [u16],
    &'static [&'static str],
);

const END: &str = "0\r\n\r\n";
/// A request that an attacker tries to smuggle in.
const SECOND: &str = "GET /second HTTP/1.1\r\nhost: a\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST /first HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}")
}

/// A request that must be refused. The bytes after it must not be read as a request.
fn refused(name: &'static str, fields: &str, body: &str, answers: &'static [u16]) -> Case {
    Case(name, post(fields, body) + SECOND, answers, &[])
}

/// A request that must pass, and another one in the same bytes.
fn taken(name: &'static str, fields: &str, body: &str) -> Case {
    Case(
        name,
        post(fields, body) + SECOND,
        &[200, 200],
        &["/first", "/second"],
    )
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[test]
fn heads_that_frame_a_body_twice_or_not_at_all() {
    let wire = Wire::start("");
    let te = |value: &str| format!("transfer-encoding:{value}\r\n");
    let cl = |value: &str| format!("content-length:{value}\r\n");
    let cases = [
        refused(
            "rfc9112-6.1 length before chunked",
            &(cl(" 5") + CHUNKED),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.1 chunked before length",
            &(CHUNKED.to_owned() + &cl(" 5")),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.1 chunked and a length of 0",
            &(CHUNKED.to_owned() + &cl(" 0")),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.1 length in capitals beside chunked",
            &format!("CONTENT-LENGTH: 5\r\n{CHUNKED}"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.1 length that is no number beside chunked",
            &(CHUNKED.to_owned() + &cl(" x")),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.1 length between two codings",
            &(te(" chunked") + &cl(" 5") + &te(" chunked")),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 gzip before chunked",
            &te(" gzip, chunked"),
            END,
            &[501],
        ),
        refused(
            "rfc9112-7 gzip before chunked in two lines",
            &(te(" gzip") + &te(" chunked")),
            END,
            &[501],
        ),
        refused(
            "rfc9112-6.1 an empty member before chunked",
            &te(" ,chunked"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.1 chunked before gzip and chunked",
            &te(" chunked, gzip, chunked"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 chunked twice in a line",
            &te(" chunked, chunked"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 chunked twice in two lines",
            &(te(" chunked") + &te(" chunked")),
            END,
            &[400],
        ),
        refused(
            "rfc9112-6.3 chunked is not last",
            &te(" chunked, gzip"),
            END,
            &[400],
        ),
        refused("rfc9112-7 identity", &te(" identity"), END, &[400]),
        refused(
            "rfc9112-7 a coding that ends like chunked",
            &te(" xchunked"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 a coding that begins like chunked",
            &te(" chunkedx"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 chunked with a parameter",
            &te(" chunked;q=1"),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 chunked in quotes",
            &te(" \"chunked\""),
            END,
            &[400],
        ),
        refused(
            "rfc9112-7 chunked after a vertical tab",
            &te(" \x0bchunked"),
            END,
            &[400],
        ),
        refused("rfc9112-7 an empty coding", &te(""), END, &[400]),
        refused("rfc9112-6.1 chunked in HTTP/1.0", "", "", &[400]).in_http10(CHUNKED),
        taken("rfc9112-7 chunked in capitals", &te(" CHUNKED"), END),
        taken("rfc9112-7 chunked without a space", &te("chunked"), END),
        taken("rfc9112-7 chunked between tabs", &te("\tchunked\t"), END),
        refused(
            "rfc9110-8.6 two lengths",
            &(cl(" 5") + &cl(" 6")),
            "12345",
            &[400],
        ),
        refused(
            "rfc9110-8.6 two lengths in a line",
            &cl(" 5, 6"),
            "12345",
            &[400],
        ),
        refused(
            "rfc9110-8.6 the same length twice in a line",
            &cl(" 5, 5"),
            "12345",
            &[400],
        ),
        refused("rfc9110-8.6 a sign", &cl(" +5"), "12345", &[400]),
        refused("rfc9110-8.6 a negative length", &cl(" -5"), "12345", &[400]),
        refused(
            "rfc9110-8.6 a hexadecimal length",
            &cl(" 0x5"),
            "12345",
            &[400],
        ),
        refused("rfc9110-8.6 a fraction", &cl(" 5.0"), "12345", &[400]),
        refused("rfc9110-8.6 an exponent", &cl(" 5e0"), "12345", &[400]),
        refused("rfc9110-8.6 a space within", &cl(" 1 2"), "12345", &[400]),
        refused("rfc9110-8.6 no length", &cl(""), "", &[400]),
        refused(
            "rfc9110-8.6 a length beyond 64 bits",
            &cl(" 18446744073709551621"),
            "12345",
            &[400],
        ),
        refused(
            "rfc9112-5.1 a space before the colon",
            "content-length : 5\r\n",
            "12345",
            &[400],
        ),
        refused(
            "rfc9112-5.2 a length on a folded line",
            "content-length:\r\n 5\r\n",
            "12345",
            &[400],
        ),
        taken(
            "rfc9110-8.6 the same length twice",
            &(cl(" 5") + &cl(" 5")),
            "12345",
        ),
        taken("rfc9110-8.6 zeros before a length", &cl(" 005"), "12345"),
        taken("rfc9110-8.6 tabs around a length", &cl("\t5\t"), "12345"),
        taken("rfc9110-8.6 a length of 0", &cl(" 0"), ""),
        taken("rfc9112-6.3 neither", "", ""),
        refused(
            "a body that nothing announces",
            "",
            "hello\r\n\r\n",
            &[200, 400],
        )
        .but_first(),
    ];
    table::run(
        &cases,
        |case| case.0,
        |Case(_, bytes, answers, targets)| {
            wire.expect(bytes.as_bytes(), answers, targets).map(drop)
        },
    );
}

impl Case {
    fn in_http10(mut self, fields: &str) -> Self {
        self.1 = format!("POST /first HTTP/1.0\r\nhost: a\r\n{fields}\r\n{END}{SECOND}");
        self
    }

    /// The first request passes.
    fn but_first(mut self) -> Self {
        self.3 = &["/first"];
        self
    }
}

#[test]
fn chunks() {
    let wire = Wire::start("");
    let bad = |name, body: &str| refused(name, CHUNKED, body, &[400]);
    let good = |name, body: &str| taken(name, CHUNKED, body);
    let cases = [
        good("rfc9112-7.1 no chunk", END),
        good("rfc9112-7.1 one chunk", "5\r\nhello\r\n0\r\n\r\n"),
        good(
            "rfc9112-7.1 capital and small digits",
            "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        ),
        good(
            "rfc9112-7.1 zeros before a size",
            "0005\r\nhello\r\n000\r\n\r\n",
        ),
        good(
            "rfc9112-7.1.1 an extension",
            "5;a=b\r\nhello\r\n0;c\r\n\r\n",
        ),
        good(
            "rfc9112-7.1.1 an extension in quotes",
            "5;a=\"0;\"\r\nhello\r\n0\r\n\r\n",
        ),
        good("rfc9112-7.1 space after a size", "5 \r\nhello\r\n0\r\n\r\n"),
        good(
            "rfc9112-7.1.2 trailers",
            "5\r\nhello\r\n0\r\na: b\r\nc: d\r\n\r\n",
        ),
        good(
            "a chunk that looks like the end",
            "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        ),
        good(
            "a chunk that looks like a request",
            "b\r\nGET / HTTP/\r\n0\r\n\r\n",
        ),
        bad("rfc9112-7.1 no digit", "zz\r\nhello\r\n0\r\n\r\n"),
        bad("rfc9112-7.1 no size", "\r\nhello\r\n0\r\n\r\n"),
        bad("rfc9112-7.1 a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        bad("rfc9112-7.1 a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        bad("rfc9112-7.1 a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        bad(
            "rfc9112-7.1 space before a size",
            " 5\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1 space within a size",
            "1 0\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1 a size beyond 64 bits",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-2.2 a size that ends with LF",
            "5\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-2.2 a size that ends with CR",
            "5\rhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1.1 an extension that ends with LF",
            "5;a\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1 a chunk that ends with LF",
            "5\r\nhello\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1 a chunk that is longer than its size",
            "3\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1 a chunk that is shorter than its size",
            "7\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "rfc9112-7.1.2 trailers that are no fields",
            "0\r\nno field\r\n\r\n",
        ),
        bad(
            "rfc9112-5.1 a trailer with a space before its colon",
            "0\r\na : b\r\n\r\n",
        ),
    ];
    table::run(
        &cases,
        |case| case.0,
        |Case(_, bytes, answers, targets)| {
            wire.expect(bytes.as_bytes(), answers, targets).map(drop)
        },
    );
}

/// Parsing may start at any request in a segment, and the result must be the same.
#[test]
fn requests_in_one_segment_are_read_one_by_one() {
    let wire = Wire::start("");
    let length = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody".to_owned();
    let chunked = format!("POST /chunked HTTP/1.1\r\nhost: a\r\n{CHUNKED}\r\n4\r\nbody\r\n{END}");
    let get = "GET /get HTTP/1.1\r\nhost: a\r\n\r\n".to_owned();
    let both = format!(
        "POST /both HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n{CHUNKED}\r\n4\r\nbody\r\n{END}"
    );
    let reversed = format!(
        "POST /both HTTP/1.1\r\nhost: a\r\n{CHUNKED}content-length: 4\r\n\r\n4\r\nbody\r\n{END}"
    );
    let bad = "GET /bad HTTP/1.1\r\nhost a\r\n\r\n".to_owned();
    let large = format!(
        "POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    );
    let pieces = format!(
        "POST /pieces HTTP/1.1\r\nhost: a\r\n{CHUNKED}\r\n{}{END}",
        format!("4000\r\n{}\r\n", "y".repeat(0x4000)).repeat(20)
    );
    let all = |parts: &[&String]| parts.iter().copied().cloned().collect::<String>();
    let cases = [
        Case(
            "a length, then chunks",
            all(&[&length, &chunked]),
            &[200, 200],
            &["/length", "/chunked"],
        ),
        Case(
            "chunks, then a length",
            all(&[&chunked, &length]),
            &[200, 200],
            &["/chunked", "/length"],
        ),
        Case(
            "chunks twice",
            all(&[&chunked, &chunked]),
            &[200, 200],
            &["/chunked", "/chunked"],
        ),
        Case(
            "no body between two",
            all(&[&length, &get, &chunked]),
            &[200; 3],
            &["/length", "/get", "/chunked"],
        ),
        Case(
            "empty lines between",
            format!("{get}\r\n{chunked}\r\n\r\n{get}"),
            &[200; 3],
            &["/get", "/chunked", "/get"],
        ),
        Case(
            "both fields after none",
            all(&[&get, &both, &get]),
            &[200, 400],
            &["/get"],
        ),
        Case(
            "both fields, reversed, after none",
            all(&[&get, &reversed, &get]),
            &[200, 400],
            &["/get"],
        ),
        Case(
            "both fields after a length",
            all(&[&length, &both, &get]),
            &[200, 400],
            &["/length"],
        ),
        Case(
            "both fields, reversed, after chunks",
            all(&[&chunked, &reversed, &get]),
            &[200, 400],
            &["/chunked"],
        ),
        Case("both fields first", all(&[&both, &get]), &[400], &[]),
        Case(
            "what is no head after a body",
            all(&[&chunked, &bad, &get]),
            &[200, 400],
            &["/chunked"],
        ),
        Case(
            "a large body, then chunks",
            all(&[&large, &chunked, &get]),
            &[200; 3],
            &["/large", "/chunked", "/get"],
        ),
        Case(
            "a large body in chunks, then a length",
            all(&[&pieces, &length]),
            &[200, 200],
            &["/pieces", "/length"],
        ),
        Case(
            "a body that holds a request",
            format!(
                "POST /outer HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{get}{chunked}",
                get.len()
            ),
            &[200, 200],
            &["/outer", "/chunked"],
        ),
        Case(
            "a name of a length in a value",
            "GET /a HTTP/1.1\r\nhost: a\r\nx: content-length: 4\r\n\r\n".to_owned() + &chunked,
            &[200, 200],
            &["/a", "/chunked"],
        ),
        Case(
            "a connection that ends, and more",
            format!("GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n{get}"),
            &[200],
            &["/last"],
        ),
        Case(
            "rfc9110-9.3.6 CONNECT, and more",
            format!("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n{get}"),
            &[501],
            &[],
        ),
        Case(
            "rfc9110-9.3.6 CONNECT of a path, and more",
            format!("CONNECT /path HTTP/1.1\r\nhost: a\r\n\r\n{get}"),
            &[501],
            &[],
        ),
    ];
    table::run(
        &cases,
        |case| case.0,
        |Case(_, bytes, answers, targets)| {
            wire.expect(bytes.as_bytes(), answers, targets).map(drop)
        },
    );
}

/// The same bytes, split in two at every position.
#[test]
fn where_a_segment_ends_makes_no_difference() {
    let wire = Wire::start("");
    let bytes = format!(
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nabPOST /b HTTP/1.1\r\nhost: a\r\n{CHUNKED}\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n{SECOND}"
    );
    let cuts: Vec<usize> = (1..bytes.len()).collect();
    table::run(
        &cuts,
        |_| "cut",
        |cut| {
            let mut client = wire.gateway.client();
            let (first, rest) = bytes.as_bytes().split_at(*cut);
            client.send_raw(first);
            client.send_raw(rest);
            for target in ["/a", "/b", "/second"] {
                let answer = client
                    .try_read(false, true)
                    .map_err(|error| format!("{cut}: {error}"))?;
                let answer = answer.ok_or_else(|| format!("{cut}: no answer for {target}"))?;
                if answer.text() != target {
                    return Err(format!("{cut}: {} for {target}", answer.text()));
                }
            }
            Ok(())
        },
    );
}
