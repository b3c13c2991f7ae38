//! JSON Web Tokens, verified by the gateway against `[verifier.<name>]` of its configuration. A token that was verified
//! before costs a look-up; the filter neither copies nor parses it.

use core::time::Duration;

use crate::gateway::tokens;

pub use tokens::{ClaimValue, FieldError, Mapping, ProofError, VerifyError};

/// Requirements for a token in addition to those of its verifier.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The names of verifiers: Windlass uses the one whose issuer the token names.
    pub verifiers: &'a [&'a str],
    /// Scopes that the token must have.
    pub scopes: &'a [&'a str],
    /// Whether one of the scopes is enough.
    pub any_scope: bool,
    /// Claims that become attributes.
    pub claims: &'a [Mapping<'a>],
}

/// A request field that holds a token.
#[derive(Debug, Clone, Copy)]
pub struct TokenField<'a> {
    /// The name of the field, lower case.
    pub name: &'a str,
    /// The word before the token, for example `Bearer`, compared without case. `None`: the whole value is the token.
    pub scheme: Option<&'a str>,
    /// Whether the gateway removes the field. It does so for every result except [`FieldError::Missing`].
    pub hide: bool,
}

/// A client's proof that it holds the key to which its token is bound (DPoP, RFC 9449).
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// The value of the request's `dpop` field.
    pub value: &'a str,
    /// The scheme, host and port of the URL that clients use (`https://api.example`). `None`: those of the request.
    pub origin: Option<&'a str>,
    /// The maximum age of the proof, up to an hour.
    pub max_age: Duration,
}

/// A check of tokens that is defined once, so that a call needs only its number. Keep it in the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check(u32);

impl<'a> Proof<'a> {
    fn as_argument(&self) -> tokens::Proof<'a> {
        tokens::Proof {
            value: self.value,
            origin: self.origin,
            max_age_ms: u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Check {
    /// Defines a check, for a token in this field or one that the filter finds itself. Only in
    /// [`configure`](crate::Filter::configure), and at most 16. Any other use traps, and so does a field that no filter
    /// may edit.
    #[must_use]
    pub fn define(wanted: Wanted<'_>, field: Option<TokenField<'_>>) -> Self {
        Self(tokens::define(tokens::Check {
            verifiers: wanted.verifiers,
            scopes: wanted.scopes,
            any_scope: wanted.any_scope,
            claims: wanted.claims,
            token_field: field.map(TokenField::as_argument),
        }))
    }

    /// Verifies a token, and sets attributes from its claims: all of them, or none. If the token lacks a claim that is
    /// not required, its attribute is removed, even if another filter set it.
    ///
    /// A token that is bound to a key is accepted only with a `proof`, and a token that is not bound only without one.
    ///
    /// After [`VerifyError::NotYet`], return any verdict: the phase runs again once newer keys are there.
    ///
    /// # Errors
    /// The reason why the token is not accepted, for logs. Tell the client no reason other than
    /// [`VerifyError::InsufficientScope`].
    #[inline]
    pub fn verify(self, token: &str, proof: Option<&Proof<'_>>) -> Result<(), VerifyError> {
        tokens::verify(token, self.0, proof.map(Proof::as_argument))
    }

    /// Verifies the token in the check's field, as [`verify`](Self::verify) does without a proof. The filter never sees
    /// the token, so this is the fastest and safest way. Traps if the check has no field.
    ///
    /// # Errors
    /// The reason why the token is not accepted, as for [`verify`](Self::verify), or why there is not exactly one
    /// token.
    #[inline]
    pub fn verify_field(self) -> Result<(), FieldError> {
        tokens::verify_field(self.0)
    }
}

impl<'a> TokenField<'a> {
    fn as_argument(self) -> tokens::TokenField<'a> {
        tokens::TokenField {
            name: self.name,
            scheme: self.scheme,
            hide: self.hide,
        }
    }
}

/// Checks a proof for a token that no verifier can check, for example one that an authorization server introspected
/// (RFC 7662). `thumbprint` is that of the key to which the token is bound (`cnf.jkt`).
///
/// # Errors
/// The reason why the proof is not accepted.
#[inline]
pub fn check_proof(proof: &Proof<'_>, token: &str, thumbprint: &str) -> Result<(), ProofError> {
    tokens::check_proof(proof.as_argument(), token, thumbprint)
}

/// A claim of the last token that [`Check::verify`] or [`Check::verify_field`] accepted in this phase, by its name or
/// by a JSON pointer that begins with `/`.
#[inline]
#[must_use]
pub fn claim(name: &str) -> Option<ClaimValue> {
    tokens::claim(name)
}
