//! Creates secrets and ids, and the records of secrets.

use zeroize::Zeroizing;

use super::{ServiceError, rules};
use crate::control::storage::record::SecretRecord;
use crate::keys::{KeyDigest, PREFIX, RandomnessError, generate, push_random};

/// The characters of a secret that are stored: these, after the scheme of an issued key.
const SHOWN: usize = 4;

/// The length of an id. Characters.
const ID: usize = 16;

/// A new secret, and its text.
pub(super) fn issue_secret(now_ms: u64) -> Result<(SecretRecord, Zeroizing<String>), ServiceError> {
    let (key, digest) = generate()?;
    let text = key.reveal();
    let shown = PREFIX.len() + SHOWN;
    Ok((secret(digest, &text, shown, now_ms), text))
}

/// The record of a secret that was issued elsewhere.
pub(super) fn provided_secret(text: &str, now_ms: u64) -> Result<SecretRecord, ServiceError> {
    rules::check_imported(text).map_err(|why| ServiceError::invalid("value", why))?;
    Ok(imported_secret(text, now_ms))
}

/// Like `provided_secret`, for a text that was already checked.
pub(super) fn imported_secret(text: &str, now_ms: u64) -> SecretRecord {
    secret(KeyDigest::of(text.as_bytes()), text, SHOWN, now_ms)
}

fn secret(digest: KeyDigest, text: &str, shown: usize, now_ms: u64) -> SecretRecord {
    SecretRecord {
        digest,
        prefix: text.chars().take(shown).collect(),
        created_ms: now_ms,
        expires_ms: None,
    }
}

/// Sixteen random characters of `[0-9a-z]`: 82 bits.
pub(super) fn new_id() -> Result<String, RandomnessError> {
    let mut id = String::with_capacity(ID);
    push_random(&mut id, b"0123456789abcdefghijklmnopqrstuvwxyz", ID)?;
    Ok(id)
}
