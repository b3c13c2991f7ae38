//! Messages as clients and endpoints choose them.

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Kit, Verdict, fault_of};
use crate::config::counted;
use crate::plugin_test::TestError;
use crate::plugin_test::filter_host::FilterHost;
use crate::plugin_test::stimulus::{Stimulus, TestBody};

/// The size of the pieces of a large body. Bytes.
const PIECE: usize = 64 * 1024;

/// The most of a large body. Bytes.
const MAX_LARGE: u64 = 16 << 20;

/// How often the base's exchange must end in the same way.
const REPEATS: usize = 6;

pub(super) fn heads(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let host = kit.host()?;
    let mut bare = kit.base.clone();
    let authority = bare.headers.get(HOST).cloned();
    bare.headers = HeaderMap::new();
    if let Some(authority) = authority {
        bare.headers.insert(HOST, authority);
    }
    bare.response_headers = HeaderMap::new();
    let (bytes, count, target) = host.head_limits();
    let mut wide = kit.stimulus("heads");
    fill(&mut wide.headers, bytes, count, 1);
    fill(&mut wide.response_headers, bytes, count, 1);
    let mut long = kit.stimulus("heads");
    fill(&mut long.headers, bytes, count, bytes / 4);
    fill(&mut long.response_headers, bytes, count, bytes / 4);
    let mut foreign = kit.stimulus("heads");
    make_foreign(&mut foreign.headers);
    make_foreign(&mut foreign.response_headers);
    let mut targeted = kit.stimulus("heads");
    lengthen(&mut targeted, target);
    let all = [
        ("a head without fields", bare),
        ("a head of many fields", wide),
        ("a head of long fields", long),
        ("values that are not UTF-8", foreign),
        ("a long target", targeted),
    ];
    without_failure(kit, &host, &all)
}

pub(super) fn bodies(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let host = kit.host()?;
    let limit = usize::try_from(host.body_limit().min(MAX_LARGE)).unwrap_or(PIECE);
    let tiny = vec![Bytes::from_static(b"x"); 300];
    let all = [
        ("empty bodies", Vec::new()),
        ("bodies of one byte", vec![Bytes::from_static(b"{")]),
        ("bodies of 300 pieces of one byte", tiny),
        ("bodies as large as `limits.body`", large(limit)),
        ("bodies twice as large as `limits.body`", large(limit * 2)),
    ];
    let all = all.map(|(what, pieces)| {
        let mut stimulus = kit.stimulus("bodies");
        stimulus.body = TestBody::of(pieces.clone());
        stimulus.response_body = TestBody::of(pieces);
        (what, stimulus)
    });
    without_failure(kit, &host, &all)
}

fn without_failure(
    kit: &Kit<'_>,
    host: &FilterHost,
    all: &[(&str, Stimulus)],
) -> Result<Verdict, TestError> {
    let under = kit.filter(host)?;
    for (what, stimulus) in all {
        let result = kit.pass(&under, stimulus, None)?;
        if let Some(failure) = fault_of(&result) {
            let expected = format!("{what}: no failure");
            return Ok(Verdict::failed(expected, failure, result.lines));
        }
    }
    let count = counted(all.len() as u64, "exchange");
    Ok(Verdict::passed(count))
}

pub(super) fn cut_bodies(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let ending = match kit.ending(REPEATS)? {
        Ok(ending) => ending,
        Err(verdict) => return Ok(verdict),
    };
    let host = kit.host()?;
    let under = kit.filter(&host)?;
    let cut = |body: &mut TestBody| {
        body.pieces.push(Bytes::from_static(b"{\"cut\": "));
        body.cut = true;
    };
    let (mut request, mut response) = (kit.stimulus("cut-bodies"), kit.stimulus("cut-bodies"));
    cut(&mut request.body);
    cut(&mut response.response_body);
    for (what, stimulus) in [("a cut request", request), ("a cut response", response)] {
        let result = kit.pass(&under, &stimulus, None)?;
        if let Some(failure) = fault_of(&result) {
            let expected = format!("{what}: no failure");
            return Ok(Verdict::failed(expected, failure, result.lines));
        }
        let next = kit.pass(&under, &kit.base, None)?;
        if next.ending() != ending {
            let expected = format!("after {what}, the next exchange with {ending}");
            let seen = format!(
                "{}: the filter keeps a part of the body that broke off",
                next.ending()
            );
            return Ok(Verdict::failed(expected, seen, next.lines));
        }
    }
    Ok(Verdict::passed("a cut request, a cut response"))
}

/// Puts a byte into each value that no text in UTF-8 has. HTTP allows it (RFC 9110, section 5.5, `obs-text`).
fn make_foreign(fields: &mut HeaderMap) {
    for (name, value) in fields.iter_mut() {
        let foreign = [value.as_bytes(), b"\xff"].concat();
        if *name != HOST
            && let Ok(foreign) = HeaderValue::from_bytes(&foreign)
        {
            *value = foreign;
        }
    }
}

/// Add fields of this length, up to the limits of bytes and fields of a head.
fn fill(fields: &mut HeaderMap, bytes: usize, count: usize, length: usize) {
    let size = |fields: &HeaderMap| -> usize {
        let fields = fields.iter();
        fields
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum()
    };
    let Ok(value) = HeaderValue::try_from("v".repeat(length)) else {
        return;
    };
    // The request line has room, too.
    let room = bytes.saturating_sub(1024);
    let mut used = size(fields);
    for number in 0.. {
        let Ok(name) = HeaderName::try_from(format!("x-conformance-{number}")) else {
            return;
        };
        used += name.as_str().len() + length + 4;
        if used > room || fields.len() >= count {
            return;
        }
        fields.insert(name, value.clone());
    }
}

/// Make the target as long as it may be.
fn lengthen(stimulus: &mut Stimulus, most: usize) {
    let target = stimulus.target.as_str();
    let sign = if target.contains('?') { '&' } else { '?' };
    let more = most.saturating_sub(target.len() + 2);
    let long = format!("{target}{sign}{}", "q".repeat(more));
    if let Ok(target) = PathAndQuery::try_from(long) {
        stimulus.target = target;
    }
}

/// A body of this many bytes.
fn large(mut bytes: usize) -> Vec<Bytes> {
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let mut pieces = Vec::new();
    while bytes > 0 {
        let length = bytes.min(PIECE);
        pieces.push(piece.slice(..length));
        bytes -= length;
    }
    pieces
}
