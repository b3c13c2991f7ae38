//! The keys of one configuration, as an index.

use std::collections::HashMap;
use std::sync::Arc;

use super::{KeyDigest, KeyEntry, KeyIndex, KeySecret, NEVER, Profile};

/// A key as the configuration lists it.
#[derive(Debug, Clone)]
pub(crate) struct ConfiguredKey {
    /// Its public name.
    pub(crate) id: Arc<str>,
    /// Who it was issued to.
    pub(crate) consumer: Arc<str>,
    pub(crate) digest: KeyDigest,
    /// Its plans and attributes.
    pub(crate) profile: Profile,
    pub(crate) enabled: bool,
    /// The moment from which it is refused. Milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
}

/// Two keys that cannot stand in one config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DuplicateKey {
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
        index: usize,
    },
    /// Two with one id.
    #[error(
        "key id `{id}` is used twice, by {first} (entry {}) and {second} (entry {})",
        .indexes.0 + 1, .indexes.1 + 1
    )]
    Id {
        id: Arc<str>,
        /// The digest of the earlier one.
        first: KeyDigest,
        /// The digest of the later one.
        second: KeyDigest,
        /// Their places in the list, from 0.
        indexes: (usize, usize),
    },
}

/// An index over the keys, in the order of the config.
///
/// # Errors
/// Every pair that shares a digest or an id, not only the first.
pub(crate) fn index_configured(
    keys: impl IntoIterator<Item = ConfiguredKey>,
) -> Result<KeyIndex, Vec<DuplicateKey>> {
    let mut digests: HashMap<KeyDigest, Arc<str>> = HashMap::new();
    let mut ids: HashMap<Arc<str>, (usize, KeyDigest)> = HashMap::new();
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    for (place, key) in keys.into_iter().enumerate() {
        if let Some((earlier, first)) = ids.get(&key.id) {
            errors.push(DuplicateKey::Id {
                id: key.id.clone(),
                first: *first,
                second: key.digest,
                indexes: (*earlier, place),
            });
        } else {
            ids.insert(key.id.clone(), (place, key.digest));
        }
        if let Some(first) = digests.get(&key.digest) {
            errors.push(DuplicateKey::Digest {
                first: first.clone(),
                second: key.id,
                digest: key.digest,
                index: place,
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
