//! The id of an exchange.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

/// Names an exchange: 128 random bits as 32 hex digits, or what a trusted proxy named it. Not secret.
///
/// Kept as a field's value, since it goes into a field of the request and of the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The longest name that is taken from a proxy. Bytes.
    const LONGEST: usize = 128;

    /// Made from random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(random) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        // Counted from the start: a clone is no allocation.
        let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
        Self(value.unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// The name that a proxy gave it; none where that is no name for logs: up to 128 visible characters
    /// without quotes, `\`, `,`, `<` and `>`.
    #[must_use]
    pub(crate) fn from_proxy(value: &HeaderValue) -> Option<Self> {
        let text = value.as_bytes();
        let fits = (1..=Self::LONGEST).contains(&text.len());
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\,<>`".contains(byte);
        if !fits || !text.iter().all(plain) {
            return None;
        }
        Some(Self(value.clone()))
    }

    /// As it stands in a field.
    #[must_use]
    pub(crate) fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// As it is written everywhere.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}

/// The hexadecimal digit of a nibble. Without a branch: the compiler turns a loop over it into vector
/// instructions.
const fn digit(nibble: u8) -> u8 {
    b'0' + nibble + (nibble > 9) as u8 * (b'a' - b'0' - 10)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
