//! The parts and strings of checked JSON text.

/// Encodes a text as a JSON string with quotes.
pub fn encode_string(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 2);
    encoded.push('"');
    for character in text.chars() {
        match character {
            '"' => encoded.push_str("\\\""),
            '\\' => encoded.push_str("\\\\"),
            '\n' => encoded.push_str("\\n"),
            '\r' => encoded.push_str("\\r"),
            '\t' => encoded.push_str("\\t"),
            control @ ..' ' => {
                encoded.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => encoded.push(other),
        }
    }
    encoded.push('"');
    encoded
}

/// Decodes a string in quotes. A lone surrogate becomes three bytes that are not UTF-8, so that
/// different lone surrogates stay different.
pub fn decode_string(written: &str) -> Vec<u8> {
    let inside = written.strip_prefix('"').unwrap_or(written);
    let inside = inside.strip_suffix('"').unwrap_or(inside);
    let mut pieces = Pieces(inside);
    let mut decoded = Vec::with_capacity(inside.len());
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Plain(text) => decoded.extend_from_slice(text.as_bytes()),
            Piece::Byte(byte) => decoded.push(byte),
            Piece::Unit(high @ 0xd800..=0xdbff) => {
                let rest = pieces.0;
                match pieces.next() {
                    Some(Piece::Unit(low @ 0xdc00..=0xdfff)) => {
                        push(
                            0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                            &mut decoded,
                        );
                    }
                    Some(_) | None => {
                        pieces.0 = rest;
                        push(high, &mut decoded);
                    }
                }
            }
            Piece::Unit(unit) => push(unit, &mut decoded),
        }
    }
    decoded
}

/// Appends a code point, possibly a surrogate, in the bytes that UTF-8 would use for its number.
fn push(point: u32, bytes: &mut Vec<u8>) {
    match char::from_u32(point) {
        Some(character) => {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None => {
            let low = |shift: u32| 0x80 | ((point >> shift) & 0x3f).to_le_bytes()[0];
            bytes.extend([0xed, low(6), low(0)]);
        }
    }
}

enum Piece<'a> {
    Plain(&'a str),
    Byte(u8),
    Unit(u32),
}

struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let Some(escape) = self.0.strip_prefix('\\') else {
            let end = self.0.find('\\').unwrap_or(self.0.len());
            let (plain, rest) = self.0.split_at(end);
            self.0 = rest;
            return (!plain.is_empty()).then_some(Piece::Plain(plain));
        };
        let (kind, rest) = escape.split_at_checked(1)?;
        self.0 = rest;
        Some(Piece::Byte(match kind {
            "b" => 8,
            "f" => 12,
            "n" => b'\n',
            "r" => b'\r',
            "t" => b'\t',
            "u" => {
                let (digits, rest) = rest.split_at_checked(4)?;
                self.0 = rest;
                return u32::from_str_radix(digits, 16).ok().map(Piece::Unit);
            }
            same => same.bytes().next()?,
        }))
    }
}

/// The names and values of an object alternately, or the elements of an array.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 1;
    core::iter::from_fn(move || {
        let bytes = text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') = bytes.get(at) {
            at += 1;
        }
        let start = at;
        at = end_of_value(bytes, start)?;
        text.get(start..at)
    })
}

/// The end of the value that begins here; `None` at the end of its object or array.
fn end_of_value(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    match bytes.get(at)? {
                        b'\\' => at += 2,
                        b'"' => break,
                        _ => at += 1,
                    }
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth == 0 => return (at > start).then_some(at),
            b'}' | b']' => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Some(at),
            _ => at += 1,
        }
    }
}
