//! `[verifier.<name>]`: whose tokens are accepted.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use windlass_config_derive::FromTable;

use crate::config::read::Table;
use crate::config::source::Span;
use crate::model::signature::Algorithm;
use crate::model::word::Word as _;
use keys::SourceKeys;

pub use keys::*;

/// The issuers whose JSON Web Tokens are accepted, and the audiences that they must name. Exactly
/// one of `jwks_url`, `discovery_url`, `jwks_file` and `secret`.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "[verifier.<name>]", make = verifier)]
#[hint("jwks" => "it is called `jwks_url`, or `jwks_file`")]
#[hint("issuer" => "it is called `issuers`, a list")]
#[hint("audience aud" => "it is called `audiences`, a list")]
#[hint("client_id" => "it is called `audiences`: `client_id` counts where a token has no `aud`")]
#[hint("scopes" => "a filter asks for scopes: `settings = { scopes = [\"..\"] }`")]
pub struct Verifier {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// Where its keys come from.
    #[key(flatten = SourceKeys)]
    pub keys: KeysFrom,
    /// The accepted values of `iss`.
    #[key(
        absent = "with `discovery_url` the document's issuer, else any",
        least = 1
    )]
    pub issuers: Vec<String>,
    /// For whom a token must be. None: anybody.
    #[key(flatten = AudienceKeys)]
    pub audiences: Option<Vec<String>>,
    /// The accepted values of `alg`.
    #[key(absent = "all but HMAC; with `secret` the HMAC ones", least = 1)]
    pub algorithms: Vec<Algorithm>,
    /// The accepted values of `typ`, such as `"at+jwt"` (RFC 9068).
    #[key(absent = "any, or none", least = 1)]
    pub types: Vec<String>,
    /// How far the issuer's clock may be off when Windlass checks `exp`, `nbf` and `iat`.
    #[key(default = "30s", within = "0s"..="10m", synonyms = "leeway clock_skew")]
    pub skew: Duration,
    /// Whether to refuse a token without `exp`, which never expires.
    #[key(default = true)]
    pub require_exp: bool,
    /// The longest time since `iat`. A token must then have an `iat`.
    #[key(absent = "no limit", within = "1s"..="8784h")]
    pub max_age: Option<Duration>,
    /// Claims that a token must have.
    #[key(
        absent = "none",
        entries,
        least = 1,
        few = "leave it out where no claim is required",
        synonyms = "claims"
    )]
    pub required: Vec<RequiredClaim>,
    /// Whether to accept tokens that are bound to a client certificate (`cnf.x5t#S256`, RFC 8705)
    /// without checking that certificate: for setups in which a proxy in front of the gateway, or
    /// the endpoint, checks it.
    #[key(default = false)]
    pub(crate) certificate_bound: bool,
    /// The most memory for verified tokens. A token in this cache is not verified again. `"0B"`
    /// turns the cache off.
    #[key(default = "16MiB", within = "0B"..="16GiB")]
    pub cache: u64,
    /// The table's name in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

#[derive(FromTable)]
#[table(into = Option<Vec<String>>, make = audiences)]
struct AudienceKeys {
    /// A token's `aud` must contain one of these. If a token has no `aud`, its `client_id` counts.
    #[key(absent = "required without `any_audience = true`", least = 1)]
    audiences: Vec<String>,
    /// Whether to accept tokens for any audience, including those that the issuer made for another
    /// service.
    #[key(default = false)]
    any_audience: bool,
}

/// A claim that a token must have: with any value except null, with one of several values, or as a
/// list that contains one of several values.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "required = [{ .. }]", short = "claim", keys = one_of_or_contains)]
#[hint("value equals" => "it is called `one_of`, a list")]
#[hint("values" => "it is called `one_of`, or `contains` where the claim is a list")]
pub struct RequiredClaim {
    /// Its name, or a JSON pointer (RFC 6901) if it begins with `/`, such as
    /// `"/realm_access/roles"`.
    #[key(required = "groups", synonyms = "name")]
    pub claim: String,
    /// The claim must be one of these values. `1` is not `"1"`.
    #[key(absent = "any value", least = 1)]
    pub one_of: Vec<Json>,
    /// The claim must be a list that contains one of these values.
    #[key(absent = "it need not be a list", least = 1)]
    pub contains: Vec<Json>,
}

fn verifier(table: &mut Table<'_>, mut verifier: Verifier) -> Verifier {
    check_algorithms(table, &verifier);
    let (url, is_secret) = match &verifier.keys {
        KeysFrom::Fetched(fetch) if fetch.is_discovery => (Some(fetch.url.as_str()), false),
        KeysFrom::Fetched(_) | KeysFrom::File(_) => (None, false),
        KeysFrom::Secret(_) => (None, true),
    };
    if !verifier.issuers.is_empty() || !table.is_sound("issuers") {
        return verifier;
    }
    if let Some(url) = url {
        verifier.issuers.extend(issuer(table, url));
    } else if !is_secret && !table.has_meant("issuers") {
        table.warning(table.span(),
                "has no `issuers`: tokens of any issuer are accepted if one of its keys signed them",
            )
            .help("add `issuers = [\"https://issuer.example\"]`, the `iss` of its tokens");
    }
    verifier
}

/// For whom tokens must be: somebody decides that.
fn audiences(table: &mut Table<'_>, keys: AudienceKeys) -> Option<Vec<String>> {
    let is_there = table.has("audiences");
    if keys.any_audience && is_there {
        table
            .error_at(
                "any_audience",
                "has both `audiences` and `any_audience = true`, wanted exactly one",
            )
            .help("remove `any_audience`");
    }
    if !keys.any_audience && !is_there && !table.has_meant("audiences") && !table.is_incomplete() {
        table.error(table.span(), "has no `audiences`: a token that the issuer made for another service would be accepted")
            .help("add `audiences = [\"<the aud or client_id of your API>\"]`, or `any_audience = true` where the issuer makes tokens for nobody else");
    }
    (!keys.any_audience).then_some(keys.audiences)
}

/// Reports algorithms that no key here can be for.
fn check_algorithms(table: &mut Table<'_>, verifier: &Verifier) {
    let is_secret = matches!(verifier.keys, KeysFrom::Secret(_));
    for algorithm in &verifier.algorithms {
        if Algorithm::SECRET.contains(algorithm) != is_secret {
            let name = algorithm.word();
            let message = format!("`algorithms` holds `{name}`, which needs another kind of key");
            let help = match is_secret {
                true => {
                    "with `secret` tokens are signed by `\"HS256\"`, `\"HS384\"` or `\"HS512\"`"
                }
                false => "HMAC takes a `secret`, which is no public key",
            };
            table.error_at("algorithms", &message).help(help);
        }
    }
}

/// The issuer of a discovery document, as its URL says it.
fn issuer(table: &mut Table<'_>, url: &str) -> Option<String> {
    let issuer = url.strip_suffix("/.well-known/openid-configuration");
    if issuer.is_none() && !table.is_incomplete() {
        table.error_at("discovery_url", "has no `issuers`, and `discovery_url` does not say the issuer")
            .help("add `issuers = [\"https://issuer.example\"]`: only a URL that ends in `/.well-known/openid-configuration` says it");
    }
    issuer.map(str::to_owned)
}

/// Reports two conditions on one claim.
fn one_of_or_contains(table: &mut Table<'_>) {
    if table.has("one_of") && table.has("contains") {
        table
            .error_at(
                "contains",
                "has both `one_of` and `contains`, wanted one at most",
            )
            .help("write two entries where both must hold");
    }
}
