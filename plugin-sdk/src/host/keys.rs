//! API keys that the operator issued. The gateway holds digests, compares them in constant time,
//! and never gives a key's text away.

use crate::bindings::lifecycle::windlass::host::keys;

pub use keys::{ApiKey, FieldError, IdentifyError, KeyReject};

/// Finds a key by the value that the client presented.
///
/// # Errors
/// Why it is not accepted: for logs. To the client all reasons are one.
#[inline]
pub fn find(presented: &[u8]) -> Result<ApiKey, KeyReject> {
    keys::find(presented)
}

/// Finds a key and makes what is known of it facts of the exchange: `consumer.id`, `api-key.id`,
/// `auth.method`, `plan.id` where it has a plan, `api-key.<name>` for each of its attributes. All
/// of them, or nothing; cheaper than [`find`] and setting them. They replace those of an earlier key: its `plan.id` and its
/// attributes do not stay.
///
/// # Errors
/// Why the key is not accepted, or why its facts could not be set.
#[inline]
pub fn identify(presented: &[u8]) -> Result<(), IdentifyError> {
    keys::identify(presented)
}

/// Does what [`identify`] does with the key in a field of the request, all of its first value: the filter neither reads nor
/// holds it. Once the key is accepted, the field is removed with `hide`, and without it keeps that one value.
///
/// # Errors
/// Why the key is not there or not accepted, or why its facts could not be set or the field not edited.
#[inline]
pub fn identify_field(name: &str, hide: bool) -> Result<(), FieldError> {
    keys::identify_field(name, hide)
}
