//! The index of a configuration's keys.

use std::collections::HashMap;

use super::{KeyDigest, KeyEntry, KeyIndex};

/// Two keys that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DuplicateKey {
    /// Two keys with one digest.
    #[error("keys `{first}` and `{second}` have the same digest {digest}")]
    Digest {
        /// The id of the earlier key.
        first: String,
        /// The id of the later key.
        second: String,
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
        id: String,
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
    keys: impl IntoIterator<Item = KeyEntry>,
) -> Result<KeyIndex, Vec<DuplicateKey>> {
    let mut digests: HashMap<KeyDigest, String> = HashMap::new();
    let mut ids: HashMap<String, (usize, KeyDigest)> = HashMap::new();
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        // Nobody can present a key without a secret.
        let Some(digest) = key.secrets.first().map(|secret| secret.digest) else {
            continue;
        };
        if let Some((earlier, first)) = ids.get(&key.id) {
            errors.push(DuplicateKey::Id {
                id: key.id.clone(),
                first: *first,
                second: digest,
                indexes: (*earlier, index),
            });
        } else {
            ids.insert(key.id.clone(), (index, digest));
        }
        if let Some(first) = digests.get(&digest) {
            errors.push(DuplicateKey::Digest {
                first: first.clone(),
                second: key.id,
                digest,
                index,
            });
            continue;
        }
        digests.insert(digest, key.id.clone());
        entries.push(key);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let index = KeyIndex::for_keys(entries.len());
    index.put(entries);
    Ok(index)
}
