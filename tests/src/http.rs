//! A strict HTTP/1.1 reader. The fake clients and the fake upstreams both read with it.
//!
//! It is strict because it checks the bytes that Windlass writes. A bare line feed, a folded field,
//! two lengths or a malformed chunk is an error.

use std::io::{self, BufRead, Read as _};

/// The start line and the fields of a message.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The request line or the status line.
    pub start: String,
    /// The fields in the order of the wire, with their names unchanged.
    pub fields: Vec<(String, String)>,
}

/// The length of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes.
    Length(u64),
    Chunked,
    /// Until the connection closes.
    Close,
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Head {
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter();
        let named = fields.filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// How the body that follows is framed; `None` if no field says so.
    ///
    /// # Errors
    ///
    /// The fields contradict each other, or are malformed.
    pub fn framing(&self) -> io::Result<Option<Framing>> {
        let lengths: Vec<&str> = self.all("content-length").collect();
        let codings: Vec<&str> = self.all("transfer-encoding").collect();
        match (&*lengths, &*codings) {
            ([], []) => Ok(None),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
                .parse()
                .map(|length| Some(Framing::Length(length)))
                .map_err(|_| wrong(format!("content-length: {length}"))),
            ([], ["chunked"]) => Ok(Some(Framing::Chunked)),
            _ => Err(wrong(format!("framing: {lengths:?} and {codings:?}"))),
        }
    }
}

/// Read a line that ends in CR LF, without the CR LF. `None` if the connection has ended.
///
/// # Errors
///
/// The connection fails or ends within the line, or the line is malformed.
pub fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line
        .strip_suffix(b"\r\n")
        .ok_or_else(|| wrong(format!("line {:?}", String::from_utf8_lossy(&line))))?;
    let text = String::from_utf8(text.to_vec()).map_err(|_| wrong("a line is not UTF-8"))?;
    if text.contains(['\r', '\0']) {
        return Err(wrong(format!("line {text:?}")));
    }
    Ok(Some(text))
}

fn read_fields(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| wrong(format!("field {line:?}")))?;
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(wrong(format!("field {line:?}")));
        }
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Read a head. `None` if the connection ended before its first byte.
///
/// # Errors
///
/// The connection fails or ends within the head, or the head is malformed.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some(start) = read_line(from)? else {
        return Ok(None);
    };
    let fields = read_fields(from)?;
    Ok(Some(Head { start, fields }))
}

/// Read a body to its end, and pass its chunks to `take`. Its trailers stay unread.
///
/// # Errors
///
/// The connection fails or ends within the body, or a chunk is malformed.
pub fn read_body(
    from: &mut impl BufRead,
    framing: Framing,
    mut take: impl FnMut(&[u8]),
) -> io::Result<Vec<(String, String)>> {
    match framing {
        Framing::Length(length) => {
            read_exactly(from, length, &mut take)?;
            Ok(Vec::new())
        }
        Framing::Close => read_exactly(from, u64::MAX, &mut take)
            .or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(()),
                _ => Err(error),
            })
            .map(|()| Vec::new()),
        Framing::Chunked => loop {
            let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size =
                u64::from_str_radix(&line, 16).map_err(|_| wrong(format!("chunk {line:?}")))?;
            if size == 0 {
                return read_fields(from);
            }
            read_exactly(from, size, &mut take)?;
            let end = read_line(from)?;
            if end.as_deref() != Some("") {
                return Err(wrong(format!("end of a chunk: {end:?}")));
            }
        },
    }
}

fn read_exactly(
    from: &mut impl BufRead,
    length: u64,
    take: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut from = from.take(length);
    while from.limit() > 0 {
        let piece = fill(&mut from)?;
        let count = piece.len();
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(piece);
        from.consume(count);
    }
    Ok(())
}

/// Fill the buffer, and retry if the read is interrupted. On a socket with a time-out, more than
/// signals interrupts a read (signal(7)), and `fill_buf` does not retry.
fn fill(from: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = from.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    from.fill_buf()
}

/// Whether the other side has closed or reset the connection, with nothing left to read. Waits for
/// a byte or for the end; prints the bytes if there are any.
pub fn is_closed(from: &mut impl BufRead) -> bool {
    match fill(from) {
        Ok([]) => true,
        Ok(left) => {
            eprintln!("left to read: {:?}", String::from_utf8_lossy(left));
            false
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
        Err(error) => {
            eprintln!("reading to the end: {error}");
            false
        }
    }
}
