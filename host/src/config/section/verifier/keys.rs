//! Where the keys of a verifier come from, and how they are fetched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_config_derive::FromTable;

use crate::config::field::{Parsed, SecretName, file, url as url_kind};
use crate::config::read::Table;
use crate::config::value::{Refused, unit, url};

const URL: Parsed<String> = url_kind("a URL such as `\"https://issuer.example/keys\"`");

const JWKS_FILE: Parsed<PathBuf> = Parsed::in_folder("a file", jwks_file);

#[derive(FromTable)]
#[table(into = KeysFrom, build = source)]
pub(super) struct SourceKeys {
    /// The issuer's JWK set (RFC 7517). Windlass fetches it before it uses the configuration, and
    /// again before it expires, as `cache-control` says.
    #[key(absent = "one of the four is required", kind = URL, synonyms = "jwks_uri")]
    jwks_url: Option<String>,
    /// The issuer's discovery document (OpenID Connect Discovery, RFC 8414), which says where its
    /// JWK set is. Its issuer must be one of `issuers`.
    #[key(absent = "one of the four is required", kind = URL, synonyms = "discovery")]
    discovery_url: Option<String>,
    /// A file with a JWK set, relative to this one. A reload reads it again.
    #[key(absent = "one of the four is required", kind = JWKS_FILE)]
    jwks_file: Option<PathBuf>,
    /// The `[secret.<name>]` that signs tokens by HMAC: at least 32 bytes, 64 for HS512.
    #[key(absent = "one of the four is required", kind = SecretName)]
    secret: Option<usize>,
    /// Whether Windlass may fetch keys from another machine without TLS. Anyone on the way can then
    /// forge tokens.
    #[key(default = false)]
    allow_http: bool,
    #[key(flatten)]
    fetch: KeyFetch,
}

/// Where the keys of a verifier come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysFrom {
    Fetched(KeyFetch),
    /// A JWK set in this file.
    File(PathBuf),
    /// The secret at this index of the configuration's list.
    Secret(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(check = stale_at_once)]
pub struct KeyFetch {
    /// The URL of the set, or of the document that says where the set is.
    #[key(skip)]
    pub url: String,
    /// Whether it is that of a discovery document.
    #[key(skip)]
    pub is_discovery: bool,
    /// Certificates in PEM, relative to this file. One of them must have signed the key server's
    /// certificate.
    #[key(absent = "those of the system", kind = JWKS_FILE)]
    pub ca: Option<PathBuf>,
    /// For one fetch of the keys, including the discovery document.
    #[key(default = "5s", within = "10ms"..="1m")]
    pub timeout: Duration,
    /// How long keys are fresh if the response does not say.
    #[key(default = "10m", within = "100ms"..="24h", synonyms = "cache_duration")]
    pub refresh: Duration,
    /// The least time between two fetches that tokens with an unknown `kid` cause, and the least
    /// time that keys are fresh.
    #[key(default = "30s", within = "100ms"..="10m")]
    pub cooldown: Duration,
    /// How long Windlass keeps using keys after the last good response of a key server that fails.
    /// After that it refuses tokens.
    #[key(default = "2h", within = "1s"..="168h")]
    pub max_stale: Duration,
    /// Whether Windlass may start or reload while the key server does not answer. It refuses tokens
    /// until the server does.
    #[key(default = false)]
    pub start_without_keys: bool,
}

fn jwks_file(text: &str, folder: &Path) -> Result<PathBuf, Refused> {
    if text.contains("://") {
        let refused = Refused::because("is a URL");
        return Err(refused.help("write it as `jwks_url = \"..\"`"));
    }
    file(text, folder)
}

fn source(table: &mut Table<'_>, keys: SourceKeys) -> Option<KeysFrom> {
    for (key, text) in [
        ("jwks_url", &keys.jwks_url),
        ("discovery_url", &keys.discovery_url),
    ] {
        let url = text.as_ref().and_then(|text| text.parse().ok());
        if !keys.allow_http && url.is_some_and(|url| url::is_in_the_clear(&url)) {
            by_tls(table, key);
        }
    }
    let key = table.exactly_one(
        &["jwks_url", "discovery_url", "jwks_file", "secret"],
        (
            "has no keys, wanted one of `jwks_url`, `discovery_url`, `jwks_file` and `secret`",
            "add `jwks_url = \"https://issuer.example/.well-known/jwks.json\"`",
        ),
        "a filter can name several verifiers: make one for each issuer",
    )?;
    if let Some(url) = keys.jwks_url.or(keys.discovery_url) {
        return Some(KeysFrom::Fetched(KeyFetch {
            url,
            is_discovery: key == "discovery_url",
            ..keys.fetch
        }));
    }
    let file = keys.jwks_file.map(KeysFrom::File);
    let from = file.or_else(|| keys.secret.map(KeysFrom::Secret))?;
    let only_fetched = [
        "ca",
        "allow_http",
        "timeout",
        "refresh",
        "cooldown",
        "max_stale",
        "start_without_keys",
    ];
    table.idle(&only_fetched, "for keys that are not fetched");
    Some(from)
}

fn by_tls(table: &mut Table<'_>, key: &str) {
    if table.is_sound("allow_http") {
        let message =
            format!("`{key}` is not fetched by TLS: whoever is on the way can make tokens");
        table
            .error_at(key, &message)
            .help("begin it with `https://`, or add `allow_http = true` where the way is safe");
    }
}

fn stale_at_once(table: &mut Table<'_>, fetch: &KeyFetch) {
    let (max_stale, refresh) = (fetch.max_stale, fetch.refresh);
    if max_stale < refresh
        && let Some(span) = table.span_if_sound(&["max_stale", "refresh"])
    {
        let (most, fresh) = (unit::duration(max_stale), unit::duration(refresh));
        let message = format!(
            "`max_stale` ({most}) is below `refresh` ({fresh}): one fetch that fails takes all keys away"
        );
        table
            .error(span, &message)
            .help("make `max_stale` several times `refresh`");
    }
}
