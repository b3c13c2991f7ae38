//! The digest that represents a key.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 (FIPS 180-4) of a key's text, written `sha256:<64 hexadecimal digits>`.
///
/// Keys are random, so a fast hash without salt is right: there is no dictionary to try. Digests
/// are compared in constant time; `Debug` shows only a short prefix.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

/// The beginning of a digest's text.
const SCHEME: &str = "sha256:";

impl KeyDigest {
    /// The digest of a presented text.
    #[must_use]
    pub fn of(presented: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let made = digest::digest(&digest::SHA256, presented);
        for (to, from) in bytes.iter_mut().zip(made.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// A stored digest.
    #[must_use]
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        self.0
            .iter()
            .take(4)
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..")
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a digest. Never shows the text: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It has another beginning.
    #[error("not a digest: it must begin with `sha256:`; a key itself does not belong here")]
    Scheme,
    /// It has another length.
    #[error("not a digest: `sha256:` must be followed by 64 hexadecimal digits, not {0}")]
    Length(usize),
    /// It has a character that is no digit.
    #[error("not a digest: only hexadecimal digits may follow `sha256:`")]
    Digit,
}

impl FromStr for KeyDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix(SCHEME).ok_or(DigestError::Scheme)?;
        if digits.len() != 64 {
            return Err(DigestError::Length(digits.chars().count()));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = pair.iter().try_fold(0, |sum, digit| {
                let value = char::from(*digit).to_digit(16).ok_or(DigestError::Digit)?;
                Ok(sum << 4 | u8::try_from(value).map_err(|_| DigestError::Digit)?)
            })?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_sha_256() {
        // FIPS 180-4, the example `abc`.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyDigest::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(KeyDigest::of(b"abc")));
        assert_eq!(
            text.to_uppercase().replace("SHA256", "sha256").parse(),
            Ok(KeyDigest::of(b"abc"))
        );
    }

    #[test]
    fn debug_shows_a_prefix_only() {
        assert_eq!(format!("{:?}", KeyDigest::of(b"abc")), "sha256:ba7816bf..");
    }

    #[test]
    fn an_invalid_digest_is_refused_and_not_repeated() {
        let parse = |text: &str| text.parse::<KeyDigest>().unwrap_err();
        assert_eq!(parse("wl_0123"), DigestError::Scheme);
        assert_eq!(parse("sha256:abcd"), DigestError::Length(4));
        assert_eq!(
            parse(&format!("sha256:{}", "é".repeat(32))),
            DigestError::Digit
        );
        assert_eq!(
            parse(&format!("sha256:{}", "+f".repeat(32))),
            DigestError::Digit
        );
        assert!(!parse("wl_0123").to_string().contains("0123"));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(bytes: [u8; 32]) {
            let digest = KeyDigest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }

        #[test]
        fn equal_means_equal_bytes(one: [u8; 32], position in 0_usize..32, change in 1_u8..) {
            let mut other = one;
            other[position] ^= change;
            prop_assert_eq!(KeyDigest::from_bytes(one), KeyDigest::from_bytes(one));
            prop_assert_ne!(KeyDigest::from_bytes(one), KeyDigest::from_bytes(other));
        }
    }
}
