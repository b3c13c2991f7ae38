//! Digests and HMAC, computed by the gateway: faster than guest code, and in constant time where it
//! matters. Filters name secrets, and never see them.

use crate::gateway::crypto;

pub use crypto::Hash;

/// The digest of the data: 32, 48 or 64 bytes.
#[inline]
#[must_use]
pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    crypto::digest(hash, data)
}

/// Whether `tag` is the HMAC of the data under the named secret. False if the secret does not exist
/// or is not granted (`allow = { secrets = [..] }`).
#[inline]
#[must_use]
pub fn hmac_verify(hash: Hash, secret: &str, data: &[u8], tag: &[u8]) -> bool {
    crypto::hmac_verify(hash, secret, data, tag)
}

/// The HMAC of the data under the named secret.
///
/// # Errors
/// The reason why it cannot be computed, as text for the log.
#[inline]
pub fn hmac_sign(hash: Hash, secret: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    crypto::hmac_sign(hash, secret, data)
}
