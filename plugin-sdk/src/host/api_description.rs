//! The APIs as the configuration of the exchange has them: routes, and what their filters add to a description. Needs
//! `allow = { interfaces = ["api-description"] }`.

use crate::bindings::lifecycle::windlass::host::api_description;

/// The whole, as JSON: `routes`, `apis` and `filters`, as the contract says.
#[must_use]
pub fn read() -> String {
    api_description::read()
}

/// The SHA-256 of [`read`]: 32 bytes. Cheap.
#[must_use]
pub fn digest() -> Vec<u8> {
    api_description::digest()
}
