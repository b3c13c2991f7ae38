//! JSON Web Tokens, verified by the gateway against `[verifier.<name>]` of its configuration. A token that was
//! verified before costs a look-up; nothing of it is copied or parsed in the filter.

use core::time::Duration;

use crate::bindings::jwt::windlass::jwt::tokens;

pub use tokens::{ClaimValue, FieldError, Mapping, ProofError, VerifyError};

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

/// A field of the request that holds a token.
#[derive(Debug, Clone, Copy)]
pub struct TokenField<'a> {
    /// Its name, lower case.
    pub name: &'a str,
    /// The word before the token, whose letters have no case, such as `Bearer`. None: the token is all of the value.
    pub scheme: Option<&'a str>,
    /// Whether the field is removed, whatever the answer is, unless it is [`FieldError::Missing`].
    pub hide: bool,
}

/// A client's proof that it holds the key which its token is bound to (DPoP, RFC 9449).
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// The value of the request's `dpop` field.
    pub value: &'a str,
    /// Scheme, host and port of the URL that clients use (`https://api.example`). None: those of the request.
    pub origin: Option<&'a str>,
    /// The most that may have passed since it was made, up to an hour.
    pub max_age: Duration,
}

/// A check of tokens that the gateway knows, so that a call names nothing else. Keep it in the filter.
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
    /// Defines a check, for a token in this field or one that the filter finds. In [`configure`](crate::Filter::configure)
    /// only, and at most 16; anything else is a trap, and so is a field that no filter may edit.
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

    /// Verifies a token, and makes claims of it attributes: all of them, or none. An attribute of a claim that is not
    /// required and that the token lacks is removed, whoever set it.
    ///
    /// A token that is bound to a key is accepted only with a `proof`, and a token that is not bound only without one.
    ///
    /// After [`VerifyError::NotYet`] return anything: the phase runs again once newer keys are there.
    ///
    /// # Errors
    /// Why it is not accepted: for logs. To the client all reasons but [`VerifyError::InsufficientScope`] are one.
    #[inline]
    pub fn verify(self, token: &str, proof: Option<&Proof<'_>>) -> Result<(), VerifyError> {
        tokens::verify(token, self.0, proof.map(Proof::as_argument))
    }

    /// Verifies the token in the check's field as [`verify`](Self::verify) does without a proof. The filter neither reads
    /// nor holds the token, so this is the fast way, and the safe one. Without a field it is a trap.
    ///
    /// # Errors
    /// Why it is not accepted, as for [`verify`](Self::verify), or why there is no one token.
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

/// Checks a proof for a token that no verifier knows, such as one that an authorization server answered for (RFC 7662).
/// `thumbprint` is that of the key which the token is bound to (`cnf.jkt`).
///
/// # Errors
/// Why it is not accepted.
#[inline]
pub fn check_proof(proof: &Proof<'_>, token: &str, thumbprint: &str) -> Result<(), ProofError> {
    tokens::check_proof(proof.as_argument(), token, thumbprint)
}

/// A claim of the token that [`Check::verify`] or [`Check::verify_field`] accepted last in this phase, by its name or by a JSON pointer that begins with
/// `/`.
#[inline]
#[must_use]
pub fn claim(name: &str) -> Option<ClaimValue> {
    tokens::claim(name)
}
