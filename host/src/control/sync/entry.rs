//! Converts a stored key to a key for look-ups.

use std::sync::Arc;

use crate::control::storage::StoredKey;
use crate::control::storage::record::KeyRecord;
use crate::keys::{KeyEntry, KeySecret, Profile};

/// The entry of the index for a key.
pub(super) fn key_entry(stored: StoredKey) -> KeyEntry {
    let KeyRecord {
        id,
        consumer,
        plans,
        metadata,
        enabled,
        expires_ms,
        secrets,
        ..
    } = stored.record;
    KeyEntry {
        id,
        consumer,
        secrets: secrets
            .into_iter()
            .map(|secret| KeySecret {
                digest: secret.digest,
                expires_ms: secret.expires_ms.unwrap_or(u64::MAX),
            })
            .collect(),
        profile: Profile {
            plans: plans.into_iter().map(Arc::from).collect(),
            attributes: metadata
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        },
        enabled,
        expires_ms,
        last_used_ms: stored.last_used_ms,
    }
}
