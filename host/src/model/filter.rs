//! How the gateway runs a filter, and what the filter may call.

use windlass_config_derive::Word;

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

/// A host interface that needs a grant. `exchange`, `raw-params`, `advice`,
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
    /// All that need a grant.
    pub(crate) const ALL: &'static [Self] = &[
        Self::ApiDescription,
        Self::Cache,
        Self::Callout,
        Self::Crypto,
        Self::Jwt,
        Self::Keys,
        Self::Limits,
        Self::Metrics,
        Self::Rates,
    ];

    /// Its name, in the contract and in `allow`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiDescription => "api-description",
            Self::Cache => "cache",
            Self::Callout => "callout",
            Self::Crypto => "crypto",
            Self::Jwt => "jwt",
            Self::Keys => "keys",
            Self::Limits => "limits",
            Self::Metrics => "metrics",
            Self::Rates => "rates",
        }
    }

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
    pub(crate) fn find(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|interface| interface.name() == name)
    }

    #[must_use]
    pub(crate) fn at(path: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|interface| interface.path() == path)
    }
}
