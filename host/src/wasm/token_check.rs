//! The checks of tokens that a filter defines, as `windlass:jwt/tokens` keeps them.

use std::borrow::Cow;

use http::HeaderName;

/// A check of tokens, read once in `configure`.
#[derive(Debug)]
pub(crate) struct TokenCheck {
    pub(super) verifiers: Box<[String]>,
    pub(super) scopes: Box<[String]>,
    pub(super) any_scope: bool,
    pub(super) claims: Box<[ClaimAttribute]>,
    pub(super) field: Option<CheckedField>,
}

/// A claim that becomes an attribute.
#[derive(Debug)]
pub(super) struct ClaimAttribute {
    pub(super) claim: String,
    pub(super) attribute: Cow<'static, str>,
    pub(super) required: bool,
}

/// The field that holds a token.
#[derive(Debug)]
pub(super) struct CheckedField {
    pub(super) name: HeaderName,
    /// The scheme before the token, such as `Bearer`.
    pub(super) scheme: Option<String>,
    /// Whether the field is removed.
    pub(super) hide: bool,
}
