//! API keys that the operator issued. The gateway holds digests, compares them in constant time,
//! and never gives a key's text away.

use crate::bindings::lifecycle::windlass::host::keys;

pub use keys::{ApiKey, KeyReject};

/// Finds a key by the value that the client presented.
///
/// # Errors
/// Why it is not accepted: for logs. To the client all reasons are one.
#[inline]
pub fn find(presented: &[u8]) -> Result<ApiKey, KeyReject> {
    keys::find(presented)
}
