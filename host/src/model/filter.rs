//! How the gateway runs a filter, and what the filter may call.

use windlass_config_derive::Word;

use super::word::Word as _;

/// The rule for a request when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Word)]
pub enum OnError {
    /// The gateway refuses the request: 500 `filter_failed`.
    Deny,
    /// The request goes on as if the filter were not there.
    Skip,
}

/// Whether an instance serves many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Word)]
pub enum Isolation {
    /// One instance serves one call after another.
    Shared,
    /// Each call of a phase has a fresh instance.
    Request,
}

/// A host interface that needs a grant; its word is its name in the contract and in `allow`. `exchange`, `raw-params`, `advice`,
/// `preflights`, `documents`, `problem-members`, `response-edits` and `log` need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Word)]
pub enum HostInterface {
    ApiDescription,
    Cache,
    Callout,
    Crypto,
    Jwt,
    Keys,
    Limits,
    Metrics,
    Rates,
}

impl HostInterface {
    /// Its path in the contract, without the version.
    #[must_use]
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::ApiDescription => "windlass:host/api-description",
            Self::Cache => "windlass:host/cache",
            Self::Callout => "windlass:callout/calls",
            Self::Crypto => "windlass:host/crypto",
            Self::Jwt => "windlass:jwt/tokens",
            Self::Keys => "windlass:host/keys",
            Self::Limits => "windlass:host/limits",
            Self::Metrics => "windlass:host/metrics",
            Self::Rates => "windlass:host/rates",
        }
    }

    #[must_use]
    pub(crate) fn at(path: &str) -> Option<Self> {
        Self::all().find(|interface| interface.path() == path)
    }
}
