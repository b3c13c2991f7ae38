//! API keys that the operator issued. The gateway stores digests, compares them in constant time, and never reveals a
//! key's text.

use crate::gateway::keys;

pub use keys::{ApiKey, FieldError, IdentifyError, KeyReject};

/// Finds a key by the value that the client presented.
///
/// # Errors
/// The reason why the key is not accepted, for logs. Do not tell the client which one.
#[inline]
pub fn find(presented: &[u8]) -> Result<ApiKey, KeyReject> {
    keys::find(presented)
}

/// Finds a key and sets attributes of the exchange: `consumer.id`, `api-key.id`, `auth.method`, `plan.id` if it has a
/// plan, and `api-key.<name>` for each of its attributes. All of them, or none. This is cheaper than [`find`] and
/// separate edits. They replace those of an earlier key, including its `plan.id` and its attributes.
///
/// # Errors
/// The reason why the key is not accepted, or why its attributes could not be set.
#[inline]
pub fn identify(presented: &[u8]) -> Result<(), IdentifyError> {
    keys::identify(presented)
}

/// Does the same as [`identify`] with the key in a field of the request. The key is the whole first value; the filter
/// never sees it. If the key is accepted, the gateway removes the field with `hide`; without `hide`, the field keeps
/// that one value.
///
/// # Errors
/// The reason why the key is missing or not accepted, or why its attributes could not be set or the field not edited.
#[inline]
pub fn identify_field(name: &str, hide: bool) -> Result<(), FieldError> {
    keys::identify_field(name, hide)
}
