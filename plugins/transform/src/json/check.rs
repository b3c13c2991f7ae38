//! Checks whether bytes are JSON (RFC 8259), without recursion.

/// The deepest nesting of objects and arrays.
pub const MAX_DEPTH: usize = 128;

/// The most members or elements of an object or array that is parsed. So the time for a body stays proportional to its
/// length.
pub const MAX_PARTS: usize = 10_000;

/// The reason why bytes are not accepted as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// They are not UTF-8.
    Encoding,
    /// They are not JSON; the index of the first wrong byte.
    Syntax(usize),
    /// They are nested deeper than [`MAX_DEPTH`].
    Depth,
    /// An object or an array that an edit changes has more than [`MAX_PARTS`] parts.
    Width,
}

impl core::fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Encoding => formatter.write_str("it is not UTF-8"),
            Self::Syntax(at) => write!(formatter, "it is not JSON from byte {at} on"),
            Self::Width => write!(
                formatter,
                "an edit goes into an object or array of more than {MAX_PARTS} members"
            ),
            Self::Depth => write!(formatter, "it is nested deeper than {MAX_DEPTH} levels"),
        }
    }
}

/// Checks the text of one JSON value, which may have spaces around it.
///
/// # Errors
/// The first flaw.
pub fn check(bytes: &[u8]) -> Result<&str, Flaw> {
    let text = core::str::from_utf8(bytes).map_err(|_| Flaw::Encoding)?;
    let mut scan = Scan { bytes, at: 0 };
    let mut open = Vec::new();
    loop {
        scan.space();
        // A value begins here; `next` stays true if another one must follow.
        let first = scan.next();
        let begins = match first {
            Some(close @ (b'{' | b'[')) => {
                if open.len() == MAX_DEPTH {
                    return Err(Flaw::Depth);
                }
                open.push(if close == b'{' { b'}' } else { b']' });
                scan.space();
                if scan.eat(|byte| Some(&byte) == open.last()) {
                    open.pop();
                    false
                } else {
                    if close == b'{' {
                        scan.name()?;
                    }
                    true
                }
            }
            Some(b'"') => scan.string().map(|()| false)?,
            Some(b'-') => {
                let digit = scan.next();
                scan.number(digit).map(|()| false)?
            }
            Some(b't') => scan.word(b"rue").map(|()| false)?,
            Some(b'f') => scan.word(b"alse").map(|()| false)?,
            Some(b'n') => scan.word(b"ull").map(|()| false)?,
            digit => scan.number(digit).map(|()| false)?,
        };
        if begins {
            continue;
        }
        loop {
            scan.space();
            let Some(&close) = open.last() else {
                return match scan.next() {
                    None => Ok(text),
                    Some(_) => Err(scan.flaw()),
                };
            };
            match scan.next() {
                Some(b',') => {
                    if close == b'}' {
                        scan.space();
                        scan.name()?;
                    }
                    break;
                }
                Some(byte) if byte == close => {
                    open.pop();
                }
                Some(_) | None => return Err(scan.flaw()),
            }
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    #[inline]
    fn eat(&mut self, is: impl FnOnce(u8) -> bool) -> bool {
        let eats = self.bytes.get(self.at).is_some_and(|&byte| is(byte));
        self.at += usize::from(eats);
        eats
    }

    #[inline]
    fn space(&mut self) {
        while self.eat(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {}
    }

    /// A flaw at the last byte that was read.
    fn flaw(&self) -> Flaw {
        Flaw::Syntax(self.at.saturating_sub(1))
    }

    fn must(&mut self, is: impl FnOnce(u8) -> bool) -> Result<(), Flaw> {
        match self.next() {
            Some(byte) if is(byte) => Ok(()),
            Some(_) | None => Err(self.flaw()),
        }
    }

    /// The rest of the word `true`, `false` or `null`.
    fn word(&mut self, rest: &[u8]) -> Result<(), Flaw> {
        for letter in rest {
            self.must(|byte| byte == *letter)?;
        }
        Ok(())
    }

    /// A name and its colon.
    fn name(&mut self) -> Result<(), Flaw> {
        self.must(|byte| byte == b'"')?;
        self.string()?;
        self.space();
        self.must(|byte| byte == b':')
    }

    /// A string, after its first quote.
    fn string(&mut self) -> Result<(), Flaw> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\');
            self.at += plain.unwrap_or(rest.len());
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.next() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') => {
                        for _ in 0..4 {
                            self.must(|byte| byte.is_ascii_hexdigit())?;
                        }
                    }
                    Some(_) | None => return Err(self.flaw()),
                },
                Some(_) | None => return Err(self.flaw()),
            }
        }
    }

    /// A number, after its sign and its first digit.
    fn number(&mut self, first: Option<u8>) -> Result<(), Flaw> {
        match first {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            Some(_) | None => return Err(self.flaw()),
        }
        if self.eat(|byte| byte == b'.') {
            self.must(|byte| byte.is_ascii_digit())?;
            self.digits();
        }
        if self.eat(|byte| matches!(byte, b'e' | b'E')) {
            self.eat(|byte| matches!(byte, b'+' | b'-'));
            self.must(|byte| byte.is_ascii_digit())?;
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.eat(|byte| byte.is_ascii_digit()) {}
    }
}
