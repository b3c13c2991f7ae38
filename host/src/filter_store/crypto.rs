//! Digests and HMAC for filters, by aws-lc.
//!
//! Promises: tags are compared in constant time; nothing here can fail. Who may use which
//! secret is decided before.

use aws_lc_rs::{digest as hashes, hmac};

use super::secrets::SecretValue;

/// Hash functions (FIPS 180-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

/// The digest of the data: 32, 48 or 64 bytes.
#[must_use]
pub(crate) fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => &hashes::SHA256,
        Hash::Sha384 => &hashes::SHA384,
        Hash::Sha512 => &hashes::SHA512,
    };
    hashes::digest(algorithm, data).as_ref().to_vec()
}

/// The SHA-256 of all parts, each told from the next by its length.
#[must_use]
pub(crate) fn digest_of_parts<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut context = hashes::Context::new(&hashes::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// The HMAC (RFC 2104) of the data under the secret: 32, 48 or 64 bytes.
#[must_use]
pub(crate) fn hmac_sign(hash: Hash, secret: &SecretValue, data: &[u8]) -> Vec<u8> {
    hmac::sign(secret.hmac_key(hash), data).as_ref().to_vec()
}

/// Whether `tag` is the HMAC of the data under the secret. Compared in constant time; a
/// shortened tag is none.
#[must_use]
pub(crate) fn hmac_verify(hash: Hash, secret: &SecretValue, data: &[u8], tag: &[u8]) -> bool {
    hmac::verify(secret.hmac_key(hash), data, tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn digests_are_those_of_fips_180_4() {
        let begins = |hash, begin: &str, length: usize| {
            let made = digest(hash, b"abc");
            assert_eq!(made.len(), length);
            assert!(hex(&made).starts_with(begin), "{hash:?}: {}", hex(&made));
        };
        begins(Hash::Sha256, "ba7816bf8f01cfea414140de5dae2223", 32);
        begins(Hash::Sha384, "cb00753f45a35e8bb5a03d699ac65007", 48);
        begins(Hash::Sha512, "ddaf35a193617abacc417349ae204131", 64);
    }

    #[test]
    fn tags_are_those_of_rfc_4231() {
        // Test case 2.
        let secret = SecretValue::new(b"Jefe".to_vec());
        let begins = |hash, begin: &str| {
            let tag = hmac_sign(hash, &secret, b"what do ya want for nothing?");
            assert!(hex(&tag).starts_with(begin), "{hash:?}: {}", hex(&tag));
        };
        begins(Hash::Sha256, "5bdcc146bf60754e6a042426089575c7");
        begins(Hash::Sha384, "af45d2e376484031617f78d2b58a6b1b");
        begins(Hash::Sha512, "164b7a7bfcf819e2e395fbe73b56e0a3");
    }

    #[test]
    fn only_the_whole_right_tag_is_accepted() {
        let (secret, other) = (
            SecretValue::new(b"one".to_vec()),
            SecretValue::new(b"two".to_vec()),
        );
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let tag = hmac_sign(hash, &secret, b"data");
            assert!(hmac_verify(hash, &secret, b"data", &tag));
            assert!(!hmac_verify(hash, &other, b"data", &tag));
            assert!(!hmac_verify(hash, &secret, b"date", &tag));
            assert!(!hmac_verify(hash, &secret, b"data", &tag[..tag.len() - 1]));
            assert!(!hmac_verify(hash, &secret, b"data", b""));
            let mut wrong = tag;
            wrong[0] ^= 1;
            assert!(!hmac_verify(hash, &secret, b"data", &wrong));
        }
    }
}
