//! `[verifier.<name>]`: whose tokens are accepted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::config::source::Span;

/// `[verifier.<name>]`: whose tokens are accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Verifier {
    pub(crate) name: Arc<str>,
    /// Where its keys come from.
    pub keys: KeysFrom,
    /// Issuers that are accepted. Empty: any.
    pub issuers: Vec<String>,
    /// For whom a token must be. None: anybody.
    pub audiences: Option<Vec<String>>,
    /// Names of the algorithms that are accepted. Empty: all that the keys can be for.
    pub algorithms: Vec<&'static str>,
    /// Types (`typ`) that are accepted. Empty: any.
    pub types: Vec<String>,
    /// How far the issuer's clock may be off. Default 30 s.
    pub skew: Duration,
    /// Whether a token must have an `exp`. Default true.
    pub require_exp: bool,
    /// The most that may have passed since `iat`. Default no bound.
    pub max_age: Option<Duration>,
    /// Claims that a token must have.
    pub required: Vec<RequiredClaim>,
    /// Whether tokens that are bound to a client certificate are accepted without a look at one. Default false.
    pub(crate) certificate_bound: bool,
    /// The most memory for verified tokens. Bytes, default 16 MiB; 0 keeps none.
    pub cache: u64,
    /// The table's name in the file.
    pub(crate) span: Span,
}

/// Where the keys of a verifier come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysFrom {
    Fetched(KeyFetch),
    /// A JWK set in this file.
    File(PathBuf),
    /// The secret at this place of [`super::Config::secrets`].
    Secret(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFetch {
    /// The URL of the set, or of the document that says where the set is.
    pub url: String,
    /// Whether it is that of a discovery document.
    pub is_discovery: bool,
    /// The authorities that may sign the server's certificate. None: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// For one fetch. Default 5 s.
    pub timeout: Duration,
    /// How often, where the answer does not say how long it is fresh. Default 10 min.
    pub refresh: Duration,
    /// The least between two fetches that requests cause. Default 30 s.
    pub cooldown: Duration,
    /// How long keys are used after the last good answer. Default 2 h.
    pub max_stale: Duration,
    /// Whether the gateway starts without them. Default false.
    pub start_without_keys: bool,
}

/// A claim that a token must have.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredClaim {
    /// Its name, or a JSON pointer.
    pub claim: String,
    /// It must be one of these. Empty with the other empty: it must be there.
    pub one_of: Vec<Json>,
    /// It must be a list that has one of these.
    pub contains: Vec<Json>,
}
