//! The APIs of the configuration: routes, and the contributions of their filters to a description. Needs `allow = {
//! interfaces = ["api-description"] }`.

use crate::gateway::api_description;

/// The whole description as JSON: `routes`, `apis` and `filters`, as the contract says.
#[must_use]
pub fn read() -> String {
    api_description::read()
}

/// The SHA-256 of [`read`]: 32 bytes. Cheap.
#[must_use]
pub fn digest() -> Vec<u8> {
    api_description::digest()
}
