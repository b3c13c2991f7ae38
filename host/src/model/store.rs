//! Where keys, plans and secrets come from, and what limits answer without their storage.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use utoipa::ToSchema;
use windlass_config_derive::Word;

/// Where the value of a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// An environment variable, by its name.
    Environment(String),
    /// A file; one newline at its end is removed.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file `{}`", path.display()),
        }
    }
}

/// The answer of limits when no lease is left and Redis is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub enum OnUnavailable {
    /// No.
    Deny,
    /// Yes, whatever the plan says.
    Allow,
    /// The answer that this gateway alone would give.
    Local,
}

/// Where a key or a plan is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Source)]
pub(crate) enum Origin {
    /// In the store: the API changes it.
    Store,
    /// In the configuration: a reload changes it.
    Configuration,
}
