//! Where the keys of a verifier come from, and how they are fetched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::field::{Field, Flag, Is, Optional, Parsed, SecretName, Time};
use crate::config::model::{KeyFetch, KeysFrom};
use crate::config::read::Table;
use crate::config::value::name::line;
use crate::config::value::{Refused, duration, url};

const URL: Parsed<String> = Parsed {
    words: "a URL such as `\"https://issuer.example/keys\"`",
    pattern: "^https?://",
    private: false,
    parse: |text, _| url::http(text),
};

const FILE: Parsed<PathBuf> = Parsed {
    words: "a file",
    pattern: "",
    private: false,
    parse: file,
};

pub(super) static JWKS_URL: Field<Parsed<String>, Optional> = Field::new(
    "jwks_url",
    URL,
    Optional("then one of the others must be there"),
    "The issuer's JWK set (RFC 7517): fetched before the configuration is in use, and again ahead of its end, as `cache-control` says.",
);

pub(super) static DISCOVERY_URL: Field<Parsed<String>, Optional> = Field::new(
    "discovery_url",
    URL,
    Optional("then one of the others must be there"),
    "The issuer's discovery document (OpenID Connect Discovery, RFC 8414), which says where its JWK set is; it must be of one of `issuers`.",
);

pub(super) static JWKS_FILE: Field<Parsed<PathBuf>, Optional> = Field::new(
    "jwks_file",
    FILE,
    Optional("then one of the others must be there"),
    "A file with a JWK set, relative to this one; a reload reads it again.",
);

pub(super) static SECRET: Field<SecretName, Optional> = Field::new(
    "secret",
    SecretName,
    Optional("then one of the others must be there"),
    "The `[secret.<name>]` that tokens are signed with by HMAC, of at least 32 bytes (64 for HS512).",
);

pub(super) static CA: Field<Parsed<PathBuf>, Optional> = Field::new(
    "ca",
    FILE,
    Optional("whom the system trusts"),
    "Certificates in PEM: one of them must have signed the key server's; relative to this file.",
);

pub(super) static ALLOW_HTTP: Field<Flag, Is<bool>> = Field::new(
    "allow_http",
    Flag,
    Is(false),
    "Fetch keys without TLS from another machine: whoever is on the way can make tokens.",
);

pub(super) static TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "timeout",
    Time {
        least: Duration::from_millis(10),
        most: Duration::from_mins(1),
    },
    Is(Duration::from_secs(5)),
    "For one fetch of the keys, the discovery document included.",
);

pub(super) static REFRESH: Field<Time, Is<Duration>> = Field::new(
    "refresh",
    Time {
        least: Duration::from_millis(100),
        most: Duration::from_hours(24),
    },
    Is(Duration::from_mins(10)),
    "How long keys are fresh where the answer does not say.",
);

pub(super) static COOLDOWN: Field<Time, Is<Duration>> = Field::new(
    "cooldown",
    Time {
        least: Duration::from_millis(100),
        most: Duration::from_mins(10),
    },
    Is(Duration::from_secs(30)),
    "The least between two fetches that tokens with an unknown `kid` cause; and how long keys are fresh at least.",
);

pub(super) static MAX_STALE: Field<Time, Is<Duration>> = Field::new(
    "max_stale",
    Time {
        least: Duration::from_secs(1),
        most: Duration::from_hours(24 * 7),
    },
    Is(Duration::from_hours(2)),
    "How long keys are used after the last good answer of a key server that fails; then tokens are refused.",
);

pub(super) static START_WITHOUT_KEYS: Field<Flag, Is<bool>> = Field::new(
    "start_without_keys",
    Flag,
    Is(false),
    "Whether a key server that does not answer is no error at a start or reload: tokens are refused until it does.",
);

fn file(text: &str, folder: &Path) -> Result<PathBuf, Refused> {
    if text.starts_with('{') || text.starts_with("-----BEGIN") {
        let refused = Refused::because("is no path").private();
        return Err(refused.help("write the name of the file that holds it"));
    }
    if text.contains("://") {
        let refused = Refused::because("is a URL");
        return Err(refused.help("write it as `jwks_url = \"..\"`"));
    }
    Ok(folder.join(line(text)?))
}

/// Reads where the keys come from; reports none, several, and what only fetched ones have.
pub(super) fn keys(table: &mut Table<'_>) -> Option<KeysFrom> {
    let jwks = table.take(&JWKS_URL);
    let discovery = table.take(&DISCOVERY_URL);
    let file = table.take(&JWKS_FILE);
    let secret = table.take(&SECRET);
    let fetch = fetch(
        table,
        [(JWKS_URL.key, &jwks), (DISCOVERY_URL.key, &discovery)],
    );
    let sources = [JWKS_URL.key, DISCOVERY_URL.key, JWKS_FILE.key, SECRET.key];
    let there: Vec<_> = sources.into_iter().filter(|key| table.has(key)).collect();
    match there.as_slice() {
        [] => {
            if !table.is_incomplete() {
                let span = table.span();
                table
                    .error(span, "has no keys, wanted one of `jwks_url`, `discovery_url`, `jwks_file` and `secret`")
                    .help("add `jwks_url = \"https://issuer.example/.well-known/jwks.json\"`");
            }
            return None;
        }
        [_one] => {}
        [first, second, ..] => {
            let span = table.span_of(second);
            let message = format!("has both `{first}` and `{second}`, wanted exactly one");
            table
                .error(span, &message)
                .help("a filter can name several verifiers: make one for each issuer");
            return None;
        }
    }
    if jwks.is_none() && discovery.is_none() {
        let only_fetched = [
            CA.key,
            ALLOW_HTTP.key,
            TIMEOUT.key,
            REFRESH.key,
            COOLDOWN.key,
            MAX_STALE.key,
            START_WITHOUT_KEYS.key,
        ];
        if file.is_some() || secret.is_some() {
            table.idle(&only_fetched, "for keys that are not fetched");
        }
        return file
            .map(KeysFrom::File)
            .or_else(|| secret.map(KeysFrom::Secret));
    }
    let is_discovery = discovery.is_some();
    Some(KeysFrom::Fetched(KeyFetch {
        url: jwks.or(discovery)?,
        is_discovery,
        ..fetch
    }))
}

/// Reads how keys are fetched; the URL comes later.
fn fetch(table: &mut Table<'_>, urls: [(&str, &Option<String>); 2]) -> KeyFetch {
    let ca = table.take(&CA);
    let allow_http = table.take(&ALLOW_HTTP);
    let timeout = table.take(&TIMEOUT);
    let refresh = table.take(&REFRESH);
    let cooldown = table.take(&COOLDOWN);
    let max_stale = table.take(&MAX_STALE);
    let start_without_keys = table.take(&START_WITHOUT_KEYS);
    for (key, text) in urls {
        let is_open = text.as_deref().is_some_and(url::is_in_the_clear);
        if is_open && !allow_http && table.is_sound(ALLOW_HTTP.key) {
            let span = table.span_of(key);
            let message =
                format!("`{key}` is not fetched by TLS: whoever is on the way can make tokens");
            table
                .error(span, &message)
                .help("begin it with `https://`, or add `allow_http = true` where the way is safe");
        }
    }
    if max_stale < refresh && table.is_sound(MAX_STALE.key) && table.is_sound(REFRESH.key) {
        let (most, fresh) = (duration::print(max_stale), duration::print(refresh));
        let key = match table.has(MAX_STALE.key) {
            true => MAX_STALE.key,
            false => REFRESH.key,
        };
        let span = table.span_of(key);
        let message = format!(
            "`max_stale` ({most}) is below `refresh` ({fresh}): one fetch that fails takes all keys away"
        );
        table
            .error(span, &message)
            .help("make `max_stale` several times `refresh`");
    }
    KeyFetch {
        url: String::new(),
        is_discovery: false,
        ca,
        timeout,
        refresh,
        cooldown,
        max_stale,
        start_without_keys,
    }
}
