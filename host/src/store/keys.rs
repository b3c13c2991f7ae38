//! API keys: found by what the client presented, known only by digest.
//!
//! Promises: the text of a key is neither kept nor printable; a look-up takes no lock, waits for
//! nothing and copies no text; digests are compared in constant time.
//!
//! Deliberately absent: changing keys. [`StaticKeys`] is immutable, built with each config.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use ahash::RandomState;

mod digest;
mod issue;

pub use digest::{DigestError, KeyDigest};
pub use issue::{ISSUED_LENGTH, PREFIX, RandomnessError, SecretKey, checksum_holds, generate};

/// The longest value that is looked up. Bytes; what is longer is unknown without being hashed.
pub const MAX_PRESENTED: usize = 512;

/// What is known of a key. Cheap to hand out: shared text only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name, fit for logs.
    pub id: Arc<str>,
    /// Who it was issued to.
    pub consumer: Arc<str>,
    /// Its usage plans: one at most for each API.
    pub plans: Box<[Arc<str>]>,
    /// What the operator attached to it.
    pub attributes: Box<[(Arc<str>, Arc<str>)]>,
    /// Whether the operator lets it be used.
    pub enabled: bool,
    /// The moment from which it is refused.
    pub expires: Option<SystemTime>,
}

impl ApiKey {
    /// Whether it is accepted at this moment. Disabled is told before expired.
    fn admit(&self, now: SystemTime) -> Result<(), KeyReject> {
        if !self.enabled {
            return Err(KeyReject::Disabled);
        }
        match self.expires {
            Some(end) if now >= end => Err(KeyReject::Expired),
            Some(_) | None => Ok(()),
        }
    }
}

/// Why a presented key is not accepted. For logs: to the client they are all one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyReject {
    /// No such key.
    #[error("unknown key")]
    Unknown,
    /// Switched off by the operator.
    #[error("key is disabled")]
    Disabled,
    /// Past its end.
    #[error("key has expired")]
    Expired,
    /// The gateway lost touch with where keys are changed: whatever it knows may be revoked.
    #[error("keys cannot be told: their store is out of reach")]
    Unavailable,
}

/// Where keys are looked up.
///
/// An implementation promises that [`find_digest`](Self::find_digest) never blocks, takes no
/// lock and does no input or output: a durable store keeps all that a verdict needs in an index
/// in memory, which it replaces aside. Several digests may lead to one key (two live secrets
/// during a rotation). It compares digests in constant time, as `==` on [`KeyDigest`] does.
pub trait KeyStore: Send + Sync {
    /// The key with this digest, if it is accepted at this moment.
    ///
    /// # Errors
    /// Why it is not accepted.
    fn find_digest(&self, digest: &KeyDigest, now: SystemTime) -> Result<Arc<ApiKey>, KeyReject>;

    /// The key that the client presented, if it is accepted at this moment. What is empty or
    /// longer than [`MAX_PRESENTED`] is unknown without being hashed.
    ///
    /// # Errors
    /// Why it is not accepted.
    fn find(&self, presented: &[u8], now: SystemTime) -> Result<Arc<ApiKey>, KeyReject> {
        if presented.is_empty() || presented.len() > MAX_PRESENTED {
            return Err(KeyReject::Unknown);
        }
        self.find_digest(&KeyDigest::of(presented), now)
    }
}

/// The keys of one config.
#[derive(Debug, Default)]
pub struct StaticKeys {
    index: HashMap<KeyDigest, Arc<ApiKey>, RandomState>,
}

/// Two keys that cannot stand in one config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DuplicateKey {
    /// Two with one digest.
    #[error("keys `{first}` and `{second}` have the same digest {digest}")]
    Digest {
        /// The id of the earlier one.
        first: Arc<str>,
        /// The id of the later one.
        second: Arc<str>,
        /// Theirs.
        digest: KeyDigest,
        /// The later one's place in the list.
        place: usize,
    },
    /// Two with one id.
    #[error(
        "key id `{id}` is used twice, by {first} (entry {}) and {second} (entry {})",
        .places.0 + 1, .places.1 + 1
    )]
    Id {
        /// The id.
        id: Arc<str>,
        /// The digest of the earlier one.
        first: KeyDigest,
        /// The digest of the later one.
        second: KeyDigest,
        /// Their places in the list, from 0.
        places: (usize, usize),
    },
}

impl StaticKeys {
    /// An index over the keys, in the order of the config.
    ///
    /// # Errors
    /// Every pair that shares a digest or an id, not only the first.
    pub fn new(
        keys: impl IntoIterator<Item = (KeyDigest, ApiKey)>,
    ) -> Result<Self, Vec<DuplicateKey>> {
        let mut index: HashMap<KeyDigest, Arc<ApiKey>, RandomState> = HashMap::default();
        let mut ids: HashMap<Arc<str>, (usize, KeyDigest)> = HashMap::new();
        let mut errors = Vec::new();
        for (place, (digest, key)) in keys.into_iter().enumerate() {
            if let Some((earlier, first)) = ids.get(&key.id) {
                errors.push(DuplicateKey::Id {
                    id: key.id.clone(),
                    first: *first,
                    second: digest,
                    places: (*earlier, place),
                });
            } else {
                ids.insert(key.id.clone(), (place, digest));
            }
            if let Some(earlier) = index.get(&digest) {
                errors.push(DuplicateKey::Digest {
                    first: earlier.id.clone(),
                    second: key.id,
                    digest,
                    place,
                });
            } else {
                index.insert(digest, Arc::new(key));
            }
        }
        if errors.is_empty() {
            Ok(Self { index })
        } else {
            Err(errors)
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

impl KeyStore for StaticKeys {
    fn find_digest(&self, digest: &KeyDigest, now: SystemTime) -> Result<Arc<ApiKey>, KeyReject> {
        let key = self.index.get(digest).ok_or(KeyReject::Unknown)?;
        key.admit(now)?;
        Ok(key.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn key(id: &str) -> ApiKey {
        ApiKey {
            id: id.into(),
            consumer: "acme".into(),
            plans: Box::new(["gold".into()]),
            attributes: Box::new([("tier".into(), "gold".into())]),
            enabled: true,
            expires: None,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_is_found_by_its_text() {
        let digest = KeyDigest::of(b"open sesame");
        let keys = StaticKeys::new([(digest, key("a"))]).unwrap();
        assert_eq!(*keys.find(b"open sesame", at(0)).unwrap(), key("a"));
        assert_eq!(keys.find(b"open sesam", at(0)), Err(KeyReject::Unknown));
        assert_eq!(keys.find(b"", at(0)), Err(KeyReject::Unknown));
        assert_eq!(keys.find(&[0xff, 0], at(0)), Err(KeyReject::Unknown));
    }

    #[test]
    fn disabled_and_expired_are_told_apart() {
        let disabled = ApiKey {
            enabled: false,
            expires: Some(at(1)),
            ..key("disabled")
        };
        let ending = ApiKey {
            expires: Some(at(10)),
            ..key("ending")
        };
        let keys = StaticKeys::new([
            (KeyDigest::of(b"disabled"), disabled),
            (KeyDigest::of(b"ending"), ending),
        ])
        .unwrap();
        assert_eq!(keys.find(b"disabled", at(5)), Err(KeyReject::Disabled));
        assert!(keys.find(b"ending", at(9)).is_ok());
        assert_eq!(keys.find(b"ending", at(10)), Err(KeyReject::Expired));
    }

    #[test]
    fn what_is_too_long_is_unknown() {
        let longest = vec![b'k'; MAX_PRESENTED];
        let longer = vec![b'k'; MAX_PRESENTED + 1];
        let keys = StaticKeys::new([
            (KeyDigest::of(&longest), key("longest")),
            (KeyDigest::of(&longer), key("longer")),
        ])
        .unwrap();
        assert!(keys.find(&longest, at(0)).is_ok());
        assert_eq!(keys.find(&longer, at(0)), Err(KeyReject::Unknown));
    }

    #[test]
    fn every_duplicate_is_told_with_both_names() {
        let (one, two) = (KeyDigest::of(b"1"), KeyDigest::of(b"2"));
        let errors =
            StaticKeys::new([(one, key("a")), (one, key("b")), (two, key("a"))]).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2);
        assert_eq!(
            texts[0],
            format!("keys `a` and `b` have the same digest {one}")
        );
        assert_eq!(
            texts[1],
            format!("key id `a` is used twice, by {one} (entry 1) and {two} (entry 3)")
        );
    }
}
