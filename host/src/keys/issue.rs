//! Creates new keys.
//!
//! An issued key is 39 characters of `[0-9A-Za-z_]`:
//!
//! ```text
//! wl_  30 random characters  6 characters of checksum
//! ```
//!
//! The random part is base62 with an even distribution: 178 bits. The checksum is the CRC-32 (IEEE
//! 802.3) of the 33 characters before it, as a base62 number with leading zeros and the digits in
//! the order `0-9A-Za-z`. So a leak scanner finds `wl_[0-9A-Za-z]{36}` and can distinguish a key
//! from a look-alike without asking anyone, and a form can catch a typo. The checksum protects
//! nothing: look-ups ignore it.

use std::fmt;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::KeyDigest;

/// The beginning of every issued key.
pub(crate) const PREFIX: &str = "wl_";

/// The length of every issued key. Characters, all ASCII.
pub(crate) const ISSUED_LENGTH: usize = PREFIX.len() + RANDOM + CHECKSUM;

const RANDOM: usize = 30;
const CHECKSUM: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The text of a new key. It is wiped from memory when dropped, and can neither be printed by
/// accident nor cloned.
pub(crate) struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// The text, to be shown once to its owner. It is wiped when dropped.
    #[must_use]
    pub(crate) fn reveal(self) -> Zeroizing<String> {
        self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// The system gives no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes for a key")]
pub(crate) struct RandomnessError;

/// A new key and its digest.
///
/// # Errors
///
/// The system gives no random bytes.
pub(crate) fn generate() -> Result<(SecretKey, KeyDigest), RandomnessError> {
    // Allocated with its final size: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(ISSUED_LENGTH));
    text.push_str(PREFIX);
    push_random(&mut text, BASE62, RANDOM)?;
    let sum = crc32fast::hash(text.as_bytes());
    checksum(sum).for_each(|character| text.push(character));
    let digest = KeyDigest::of(text.as_bytes());
    Ok((SecretKey(text), digest))
}

/// Adds this many random digits.
///
/// # Errors
///
/// The system gives no random bytes.
pub(crate) fn push_random(
    text: &mut String,
    digits: &[u8],
    count: usize,
) -> Result<(), RandomnessError> {
    let end = text.len() + count;
    let mut bytes = Zeroizing::new([0_u8; 64]);
    // Larger values would favour the first digits.
    let even = 256 - 256 % digits.len();
    while text.len() < end {
        rand::fill(&mut *bytes).map_err(|_| RandomnessError)?;
        let bytes = bytes.iter().map(|byte| usize::from(*byte));
        let found = bytes.filter(|byte| *byte < even);
        let found = found.filter_map(|byte| digits.get(byte % digits.len()));
        text.extend(found.take(end - text.len()).map(|digit| char::from(*digit)));
    }
    Ok(())
}

/// Whether the text has the form of an issued key and a valid checksum: false for typos,
/// look-alikes and imported keys.
#[cfg(test)]
#[must_use]
pub(crate) fn has_valid_checksum(text: &str) -> bool {
    let Some((body, sum)) = text.split_at_checked(PREFIX.len() + RANDOM) else {
        return false;
    };
    let Some(random) = body.strip_prefix(PREFIX) else {
        return false;
    };
    random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && sum.chars().eq(checksum(crc32fast::hash(body.as_bytes())))
}

fn checksum(sum: u32) -> impl Iterator<Item = char> {
    (0_u32..).take(CHECKSUM).map(move |position| {
        let exponent = 5_u32.saturating_sub(position);
        base62(sum / 62_u32.pow(exponent))
    })
}

/// The last digit of a number in base 62.
fn base62(value: u32) -> char {
    BASE62
        .get(value as usize % BASE62.len())
        .map_or('0', |digit| char::from(*digit))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_issued_key_has_its_form_and_its_digest() {
        let (key, digest) = generate().unwrap();
        let text = key.reveal();
        assert_eq!(text.len(), ISSUED_LENGTH);
        assert!(text.starts_with("wl_"));
        assert!(
            text.bytes()
                .skip(3)
                .all(|byte| byte.is_ascii_alphanumeric())
        );
        assert_eq!(KeyDigest::of(text.as_bytes()), digest);
        assert!(has_valid_checksum(&text));
    }

    #[test]
    fn the_checksum_is_as_documented() {
        // 0xcbf43926 is the check value of CRC-32 for `123456789`.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let digits: String = checksum(0xcbf4_3926).collect();
        let value = digits.bytes().fold(0_u64, |sum, digit| {
            sum * 62 + BASE62.iter().position(|each| *each == digit).unwrap() as u64
        });
        assert_eq!((digits.len(), value), (6, 0xcbf4_3926));
        assert_eq!(checksum(61).collect::<String>(), "00000z");
    }

    #[test]
    fn every_single_typo_is_seen() {
        let text = generate().unwrap().0.reveal();
        for position in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[position] = if bytes[position] == b'x' { b'y' } else { b'x' };
            assert!(
                !has_valid_checksum(std::str::from_utf8(&bytes).unwrap()),
                "at {position}"
            );
        }
        assert!(!has_valid_checksum(&text[..38]));
        assert!(!has_valid_checksum(&format!("{}0", *text)));
        assert!(!has_valid_checksum(
            "ein Schlüssel, der keiner ist: üüüüüüüüü"
        ));
    }

    #[test]
    fn keys_differ_and_use_every_character() {
        let keys: HashSet<String> = (0..500)
            .map(|_| generate().unwrap().0.reveal().to_string())
            .collect();
        assert_eq!(keys.len(), 500);
        let used: HashSet<u8> = keys
            .iter()
            .flat_map(|key| key.bytes().skip(3).take(30))
            .collect();
        assert_eq!(used.len(), 62);
    }

    #[test]
    fn a_secret_key_is_not_printed() {
        let (key, _) = generate().unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }
}
