//! The index of a configuration's keys.

use std::collections::HashMap;
use std::sync::Arc;

use super::{KeyDigest, KeyEntry, KeyIndex, KeySecret, NEVER, Profile};

/// A key as the configuration lists it.
#[derive(Debug, Clone)]
pub(crate) struct ConfiguredKey {
    /// Its public id.
    pub(crate) id: Arc<str>,
    /// The consumer that it was issued to.
    pub(crate) consumer: Arc<str>,
    pub(crate) digest: KeyDigest,
    pub(crate) profile: Profile,
    pub(crate) enabled: bool,
    /// When it expires. Milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
}

/// Two keys that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DuplicateKey {
    /// Two keys with one digest.
    #[error("keys `{first}` and `{second}` have the same digest {digest}")]
    Digest {
        /// The id of the earlier key.
        first: Arc<str>,
        /// The id of the later key.
        second: Arc<str>,
        /// The digest of both.
        digest: KeyDigest,
        /// The index of the later key in the list.
        index: usize,
    },
    /// Two keys with one id.
    #[error(
        "key id `{id}` is used twice, by {first} (entry {}) and {second} (entry {})",
        .indexes.0 + 1, .indexes.1 + 1
    )]
    Id {
        id: Arc<str>,
        /// The digest of the earlier key.
        first: KeyDigest,
        /// The digest of the later key.
        second: KeyDigest,
        /// Their indexes in the list, from 0.
        indexes: (usize, usize),
    },
}

/// Builds an index of the keys, in the order of the configuration.
///
/// # Errors
///
/// Every pair that shares a digest or an id, not only the first.
pub(crate) fn index_configured(
    keys: impl IntoIterator<Item = ConfiguredKey>,
) -> Result<KeyIndex, Vec<DuplicateKey>> {
    let mut digests: HashMap<KeyDigest, Arc<str>> = HashMap::new();
    let mut ids: HashMap<Arc<str>, (usize, KeyDigest)> = HashMap::new();
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        if let Some((earlier, first)) = ids.get(&key.id) {
            errors.push(DuplicateKey::Id {
                id: key.id.clone(),
                first: *first,
                second: key.digest,
                indexes: (*earlier, index),
            });
        } else {
            ids.insert(key.id.clone(), (index, key.digest));
        }
        if let Some(first) = digests.get(&key.digest) {
            errors.push(DuplicateKey::Digest {
                first: first.clone(),
                second: key.id,
                digest: key.digest,
                index,
            });
            continue;
        }
        digests.insert(key.digest, key.id.clone());
        entries.push(KeyEntry {
            id: key.id.to_string(),
            consumer: key.consumer.to_string(),
            secrets: vec![KeySecret {
                digest: key.digest,
                expires_ms: NEVER,
            }],
            profile: key.profile,
            enabled: key.enabled,
            expires_ms: key.expires_ms,
            last_used_ms: None,
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let index = KeyIndex::for_keys(entries.len());
    index.put(entries);
    Ok(index)
}
