//! Secrets by name, read once when a configuration is built.
//!
//! It promises that a value is wiped from memory when its configuration is freed, has no text form
//! and appears in no error, and that HMAC tags are compared in constant time. Filters only have
//! names; `wasm` checks which filter may use which secret before a call comes here.
//!
//! It deliberately does not read a secret again while the configuration is in use: a reload reads
//! all of them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::crypto::Hash;
use crate::keys::KeyDigest;
use crate::model::store::SecretSource;

/// The longest value. Bytes, without its trailing newline.
pub(crate) const MAX_SECRET: usize = 64 * 1024;

/// A value that nobody sees.
pub(crate) struct SecretValue {
    value: Zeroizing<Vec<u8>>,
    // Computed on first use: the key schedule costs more than a short message.
    keys: [OnceLock<hmac::Key>; 3],
}

impl SecretValue {
    /// A given value: of a test.
    #[must_use]
    pub(crate) fn new(value: Vec<u8>) -> Self {
        Self {
            value: Zeroizing::new(value),
            keys: Default::default(),
        }
    }

    /// Its text, wiped when dropped, for the one caller that must send it: the login to the
    /// storage. None if it is not UTF-8.
    #[must_use]
    pub(crate) fn login(&self) -> Option<Zeroizing<String>> {
        let text = std::str::from_utf8(&self.value).ok()?;
        Some(Zeroizing::new(text.to_owned()))
    }

    /// Reads a value and removes one trailing newline (LF or CRLF).
    ///
    /// # Errors
    ///
    /// It does not exist, cannot be read, is empty or too long.
    pub(crate) fn read(source: &SecretSource) -> Result<Self, SecretError> {
        Self::read_with(source, |name| std::env::var_os(name))
    }

    /// Like `read`, with a given environment.
    fn read_with(
        source: &SecretSource,
        environment: impl FnOnce(&str) -> Option<OsString>,
    ) -> Result<Self, SecretError> {
        let mut value = match source {
            SecretSource::Environment(name) => environment(name)
                .map(|value| Zeroizing::new(value.into_encoded_bytes()))
                .ok_or_else(|| SecretError::Unset(name.clone()))?,
            SecretSource::File(path) => {
                read_file(path).map_err(|cause| SecretError::Unreadable {
                    path: path.clone(),
                    cause,
                })?
            }
        };
        if value.last() == Some(&b'\n') {
            value.pop();
            if value.last() == Some(&b'\r') {
                value.pop();
            }
        }
        if value.is_empty() {
            return Err(SecretError::Empty(source.clone()));
        }
        if value.len() > MAX_SECRET {
            return Err(SecretError::TooLong(source.clone()));
        }
        Ok(Self {
            value,
            keys: Default::default(),
        })
    }

    /// The length of the value. Bytes.
    #[must_use]
    pub(crate) fn length(&self) -> usize {
        self.value.len()
    }

    /// The digest that the value would have as a key, to compare it with a presented one.
    #[must_use]
    pub(crate) fn key_digest(&self) -> KeyDigest {
        KeyDigest::of(&self.value)
    }

    /// Derives a key from the value, which cannot be printed either.
    #[must_use]
    pub(crate) fn with_value<T>(&self, make: impl FnOnce(&[u8]) -> T) -> T {
        make(&self.value)
    }

    /// The value as a key that signs the gateway's own tokens and cookies (HMAC-SHA-256).
    #[must_use]
    pub(crate) fn signing_key(&self) -> hmac::Key {
        self.hmac_key(Hash::Sha256).clone()
    }

    /// The HMAC (RFC 2104) of the data under this secret: 32, 48 or 64 bytes.
    #[must_use]
    pub(crate) fn hmac(&self, hash: Hash, data: &[u8]) -> Vec<u8> {
        hmac::sign(self.hmac_key(hash), data).as_ref().to_vec()
    }

    /// Whether `tag` is the HMAC of the data under this secret. Compared in constant time; a
    /// truncated tag never matches.
    #[must_use]
    pub(crate) fn matches_hmac(&self, hash: Hash, data: &[u8], tag: &[u8]) -> bool {
        hmac::verify(self.hmac_key(hash), data, tag).is_ok()
    }

    /// The value as an HMAC key.
    fn hmac_key(&self, hash: Hash) -> &hmac::Key {
        let [sha256, sha384, sha512] = &self.keys;
        let (slot, algorithm) = match hash {
            Hash::Sha256 => (sha256, hmac::HMAC_SHA256),
            Hash::Sha384 => (sha384, hmac::HMAC_SHA384),
            Hash::Sha512 => (sha512, hmac::HMAC_SHA512),
        };
        slot.get_or_init(|| hmac::Key::new(algorithm, &self.value))
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Reads at most a newline and one byte more than allowed: enough to see that the file is too
/// long.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    const MOST: usize = MAX_SECRET + 3;
    // Allocated with its final size: a buffer that grows leaves copies behind.
    let mut value = Zeroizing::new(vec![0; MOST]);
    let mut file = File::open(path)?;
    let mut length = 0;
    while let Some(rest) = value.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    value.truncate(length);
    Ok(value)
}

/// Why a secret is not available. Names the source, never a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The environment has no such variable.
    #[error("environment variable `{0}` is not set")]
    Unset(String),
    /// The file does not exist or cannot be read.
    #[error("file `{}` cannot be read", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{0} is empty")]
    Empty(SecretSource),
    /// The value is too long.
    #[error("{0} is longer than 64 KiB")]
    TooLong(SecretSource),
}

impl SecretError {
    /// The cure.
    #[must_use]
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Unset(_) => "set it in the environment of the gateway, or use `file = \"..\"`",
            Self::Unreadable { .. } => {
                "check that the file exists and that the gateway's account may read it"
            }
            Self::Empty(_) => "an empty secret protects nothing; write a random value there",
            Self::TooLong(_) => "check the name: a secret is a short value",
        }
    }
}

/// The secrets of one configuration, by name.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    by_name: HashMap<Arc<str>, SecretValue>,
}

impl Secrets {
    /// Reads all of them. If two have one name the later wins; the configuration refuses that
    /// before.
    ///
    /// # Errors
    ///
    /// All secrets that are not available, with their names.
    pub(crate) fn read(
        sources: impl IntoIterator<Item = (Arc<str>, SecretSource)>,
    ) -> Result<Self, Vec<(Arc<str>, SecretError)>> {
        let mut by_name = HashMap::new();
        let mut errors = Vec::new();
        for (name, source) in sources {
            match SecretValue::read(&source) {
                Ok(secret) => {
                    by_name.insert(name, secret);
                }
                Err(error) => errors.push((name, error)),
            }
        }
        if errors.is_empty() {
            Ok(Self { by_name })
        } else {
            Err(errors)
        }
    }

    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<&SecretValue> {
        self.by_name.get(name)
    }
}

impl FromIterator<(Arc<str>, SecretValue)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, SecretValue)>>(secrets: I) -> Self {
        Self {
            by_name: secrets.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn of_environment(value: &str) -> Result<SecretValue, SecretError> {
        let source = SecretSource::Environment("ORDERS_HMAC".into());
        SecretValue::read_with(&source, |name| {
            assert_eq!(name, "ORDERS_HMAC");
            Some(value.into())
        })
    }

    /// A file that is deleted with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("windlass-secret-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, bytes).unwrap();
            Self(path)
        }

        fn read(&self) -> Result<SecretValue, SecretError> {
            SecretValue::read(&SecretSource::File(self.0.clone()))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn one_trailing_newline_goes() {
        let value = |text| of_environment(text).unwrap().value.to_vec();
        assert_eq!(value("abc"), b"abc");
        assert_eq!(value("abc\n"), b"abc");
        assert_eq!(value("abc\r\n"), b"abc");
        assert_eq!(value("abc\n\n"), b"abc\n");
        assert_eq!(value(" abc\r"), b" abc\r");
        let file = Scratch::new("newline", b"\xff\0abc\n");
        assert_eq!(file.read().unwrap().value.to_vec(), b"\xff\0abc");
    }

    #[test]
    fn a_missing_or_empty_secret_is_named() {
        let source = SecretSource::Environment("ORDERS_HMAC".into());
        let unset = SecretValue::read_with(&source, |_| None).unwrap_err();
        assert_eq!(
            unset.to_string(),
            "environment variable `ORDERS_HMAC` is not set"
        );
        let empty = of_environment("\n").unwrap_err();
        assert_eq!(
            empty.to_string(),
            "environment variable `ORDERS_HMAC` is empty"
        );
        let path = std::env::temp_dir().join("windlass-no-such-secret");
        let missing = SecretValue::read(&SecretSource::File(path.clone())).unwrap_err();
        assert_eq!(
            missing.to_string(),
            format!("file `{}` cannot be read", path.display())
        );
        assert!(missing.source().is_some());
        assert!(!missing.help().is_empty());
    }

    #[test]
    fn the_longest_value_fits_and_one_more_byte_does_not() {
        let mut bytes = vec![b'x'; MAX_SECRET];
        bytes.extend_from_slice(b"\r\n");
        let fits = Scratch::new("fits", &bytes);
        assert_eq!(fits.read().unwrap().value.len(), MAX_SECRET);
        let longer = Scratch::new("longer", &vec![b'x'; MAX_SECRET + 1]);
        assert!(matches!(longer.read(), Err(SecretError::TooLong(_))));
        let much = Scratch::new("much", &vec![b'x'; 3 * MAX_SECRET]);
        assert!(matches!(much.read(), Err(SecretError::TooLong(_))));
    }

    #[test]
    fn all_failures_are_reported_and_no_value_is() {
        let good = Scratch::new("good", b"hunter2");
        let empty = Scratch::new("empty", b"");
        let file = |scratch: &Scratch| SecretSource::File(scratch.0.clone());
        let missing = SecretSource::File(std::env::temp_dir().join("windlass-no-such-secret"));
        let errors = Secrets::read([
            ("a".into(), file(&good)),
            ("b".into(), file(&empty)),
            ("c".into(), missing),
        ])
        .unwrap_err();
        let names: Vec<&str> = errors.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["b", "c"]);
        let secrets = Secrets::read([("a".into(), file(&good))]).unwrap();
        assert!(secrets.find("a").is_some() && secrets.find("b").is_none());
        assert!(!format!("{secrets:?} {errors:?}").contains("hunter2"));
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[test]
    fn tags_are_those_of_rfc_4231() {
        // Test case 2.
        let secret = SecretValue::new(b"Jefe".to_vec());
        let begins = |hash, begin: &str| {
            let tag = secret.hmac(hash, b"what do ya want for nothing?");
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
            let tag = secret.hmac(hash, b"data");
            assert!(secret.matches_hmac(hash, b"data", &tag));
            assert!(!other.matches_hmac(hash, b"data", &tag));
            assert!(!secret.matches_hmac(hash, b"date", &tag));
            assert!(!secret.matches_hmac(hash, b"data", &tag[..tag.len() - 1]));
            assert!(!secret.matches_hmac(hash, b"data", b""));
            let mut wrong = tag;
            wrong[0] ^= 1;
            assert!(!secret.matches_hmac(hash, b"data", &wrong));
        }
    }
}
