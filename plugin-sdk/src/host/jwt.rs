//! JSON Web Tokens, verified by the gateway against `[verifier.<name>]` of its configuration. A token that was
//! verified before costs a look-up; nothing of it is copied or parsed in the filter.

use crate::bindings::jwt::windlass::jwt::tokens;

pub use tokens::{ClaimValue, Mapping, VerifyError};

/// The demands on a token beside those of its verifier.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Verifiers by name: the one whose issuer the token names is asked.
    pub verifiers: &'a [&'a str],
    /// Scopes that it must have.
    pub scopes: &'a [&'a str],
    /// Whether one of the scopes is enough.
    pub any_scope: bool,
    /// Claims that become attributes.
    pub claims: &'a [Mapping<'a>],
}

/// Verifies a token, and makes claims of it attributes: all of them, or none.
///
/// After [`VerifyError::NotYet`] return anything: the phase runs again once newer keys are there.
///
/// # Errors
/// Why it is not accepted: for logs. To the client all reasons but [`VerifyError::InsufficientScope`] are one.
#[inline]
pub fn verify(token: &str, wanted: Wanted<'_>) -> Result<(), VerifyError> {
    tokens::verify(
        token,
        wanted.verifiers,
        wanted.scopes,
        wanted.any_scope,
        wanted.claims,
    )
}

/// A claim of the token that [`verify`] accepted last in this phase, by its name or by a JSON pointer that begins with
/// `/`.
#[inline]
#[must_use]
pub fn claim(name: &str) -> Option<ClaimValue> {
    tokens::claim(name)
}
