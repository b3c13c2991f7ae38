//! The reason why the API key or the token of a request was rejected, for the log, and not for the
//! client.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use windlass_config_derive::Word;

/// Why a key has no usage plan on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlan {
    /// It is on no plan.
    OfKey,
    /// It has plans, and none of them is sold for the route's API.
    ForApi,
}

/// An API key that was presented and rejected, or accepted and has no plan to be charged to.
/// Never the key's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RejectedKey {
    pub(crate) why: KeyRejection,
    /// The key's id, if there is such a key.
    pub(crate) key: Option<Box<str>>,
    /// The plan that does not exist, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Box<str>>,
}

/// A JSON Web Token that was rejected, or accepted and not enough for a filter. Never the token's text, nor anything
/// of it: whoever made it up chose that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RejectedToken {
    /// Why: a stable word.
    pub(crate) why: &'static str,
    /// The verifier that rejected it. None: the verifier accepted it.
    #[serde(
        serialize_with = "shared_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) verifier: Option<Arc<str>>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn shared_text<S: Serializer>(text: &Option<Arc<str>>, out: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(out)
}

/// Why an API key was rejected; its word is the one in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Word)]
#[serde(rename_all = "snake_case")]
#[word(snake)]
pub(crate) enum KeyRejection {
    Unknown,
    /// The operator disabled it.
    Disabled,
    /// It has expired, or a rotation ended the secret that was presented.
    Expired,
    /// It is on no usage plan.
    NoPlan,
    /// It is on plans that are sold for other APIs only.
    OtherApi,
    /// Its plan does not exist.
    UnknownPlan,
}

impl KeyRejection {
    /// A sentence for people.
    #[must_use]
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "an API key was rejected: there is no such key",
            Self::Disabled => "an API key was rejected: it is disabled",
            Self::Expired => {
                "an API key was rejected: it has expired, or a rotation ended this secret of it"
            }
            Self::NoPlan => "an API key was rejected: it is on no usage plan",
            Self::OtherApi => {
                "an API key was rejected: its usage plans are not sold for the API of this route"
            }
            Self::UnknownPlan => "an API key was rejected: its usage plan does not exist",
        }
    }
}
