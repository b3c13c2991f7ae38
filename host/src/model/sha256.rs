//! SHA-256 digests, as registries and configurations write them.

use std::fmt;

use aws_lc_rs::digest;

/// The SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of these bytes.
    #[must_use]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(digest)
    }

    /// From 64 hex digits.
    #[must_use]
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let mut digest = [0_u8; 32];
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(digest))
    }

    /// From `sha256:` and 64 hex digits.
    #[must_use]
    pub(crate) fn from_digest(text: &str) -> Option<Self> {
        Self::from_hex(text.strip_prefix("sha256:")?)
    }

    #[must_use]
    pub(crate) fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// `sha256:` and its hex digits, as registries write it.
    #[must_use]
    pub(crate) fn digest(self) -> String {
        format!("sha256:{self}")
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

fn nibble(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_as_it_is_read() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of(b"").to_string(), empty);
        assert_eq!(Sha256::from_hex(empty), Some(Sha256::of(b"")));
        let upper = empty.to_uppercase();
        assert_eq!(Sha256::from_hex(&upper), Some(Sha256::of(b"")));
        let digest = Sha256::of(b"").digest();
        assert_eq!(Sha256::from_digest(&digest), Some(Sha256::of(b"")));
        for bad in ["", "e3", &empty[1..], &format!("{empty}0"), &"g".repeat(64)] {
            assert_eq!(Sha256::from_hex(bad), None, "{bad}");
        }
        assert_eq!(Sha256::from_digest(empty), None);
    }
}
