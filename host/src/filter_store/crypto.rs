//! Digests for filters and caches, computed by aws-lc. None of them can fail. [`super::secrets`]
//! has the HMAC of a secret.

use aws_lc_rs::digest as hashes;

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

/// The SHA-256 of all parts, each separated from the next by its length.
#[must_use]
pub(crate) fn digest_of_parts<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut context = hashes::Context::new(&hashes::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().unwrap_or_default()
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
}
