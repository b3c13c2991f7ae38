//! The verifiers of a configuration: reads or fetches their keys, and combines their rules.
//!
//! All key servers are asked at once, so that a slow one delays only itself.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::ProcessResources;
use crate::config::{self, Config, KeysFrom, Problems};
use crate::filter_store::secrets::Secrets;
use crate::model::signature::Algorithm;
use crate::model::word::Word as _;
use crate::tokens::fetch::{FetchError, FetchSettings, KeySetLocation, MAX_DOCUMENT};
use crate::tokens::source::{Pace, SourceSettings};
use crate::tokens::{
    FilterRejects, KeySource, TokenCache, TokenRejects, TokenVerifier, TokenVerifiers, VerifierKeys,
};
use crate::verifier::key::MIN_SECRET;
use crate::verifier::{Audiences, ClaimRule, ClaimTest, KeySet, TokenRules, VerifyingKey};

/// Build them. Leaves out those of which something is wrong.
pub(crate) fn build(
    config: &Config,
    foundation: &ProcessResources,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> TokenVerifiers {
    let sources: Vec<_> = config
        .verifiers
        .iter()
        .map(|verifier| source(verifier, foundation))
        .collect();
    let all = config.verifiers.iter().zip(sources);
    let built = all.filter_map(|(verifier, source)| {
        let keys = match (&verifier.keys, source) {
            (KeysFrom::Fetched(fetch), Some(source)) => {
                fetched(verifier, fetch, source, foundation, problems)?
            }
            (KeysFrom::File(path), _) => file(verifier, path, problems)?,
            (KeysFrom::Secret(index), _) => {
                secret(verifier, config.secrets.get(*index)?, secrets?, problems)?
            }
            (KeysFrom::Fetched(_), None) => return None,
        };
        Some(Arc::new(TokenVerifier {
            name: verifier.name.clone(),
            keys,
            rules: rules(verifier),
            cache: TokenCache::new(verifier.cache),
            rejects: TokenRejects::default(),
        }))
    });
    let used_proofs = Arc::clone(&foundation.key_sources.used_proofs);
    TokenVerifiers {
        list: built.collect(),
        used_proofs,
        filter_rejects: FilterRejects::default(),
    }
}

/// Begin to fetch.
fn source(
    verifier: &config::Verifier,
    foundation: &ProcessResources,
) -> Option<Result<Arc<KeySource>, FetchError>> {
    let KeysFrom::Fetched(fetch) = &verifier.keys else {
        return None;
    };
    let url = fetch.url.clone();
    Some(foundation.key_sources.of(&SourceSettings {
        fetch: FetchSettings {
            location: if fetch.is_discovery {
                KeySetLocation::Discovery {
                    url,
                    issuers: verifier.issuers.clone(),
                }
            } else {
                KeySetLocation::Jwks(url)
            },
            ca: fetch.ca.clone(),
            timeout: fetch.timeout,
        },
        pace: Pace {
            refresh: fetch.refresh,
            cooldown: fetch.cooldown,
            max_stale: fetch.max_stale,
        },
    }))
}

/// Wait for what is fetched.
fn fetched(
    verifier: &config::Verifier,
    fetch: &config::KeyFetch,
    source: Result<Arc<KeySource>, FetchError>,
    foundation: &ProcessResources,
    problems: &mut Problems,
) -> Option<VerifierKeys> {
    let (name, span) = (&verifier.name, verifier.span);
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            problems.error_of(verifier, error);
            return None;
        }
    };
    if let Err(error) = source.wait_for_first() {
        let message = format!("verifier `{name}` has no keys: {error}");
        // Whoever checks a file may stand elsewhere than the gateway.
        if fetch.start_without_keys || foundation.is_for_check {
            problems
                .warning(span, message)
                .help("its tokens are refused until the keys are fetched");
        } else {
            problems.error(span, message).help(
                "look at the key server; with `start_without_keys = true` the gateway starts, and refuses its tokens until the keys are fetched",
            );
            return None;
        }
    }
    Some(VerifierKeys::Fetched(source))
}

fn file(verifier: &config::Verifier, path: &Path, problems: &mut Problems) -> Option<VerifierKeys> {
    let shown = path.display();
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_DOCUMENT + 1).read_to_end(&mut text));
    if let Err(error) = read {
        problems.error_of(verifier, format!("`{shown}` cannot be read: {error}"));
        return None;
    }
    if text.len() as u64 > MAX_DOCUMENT {
        let message = format!("`{shown}` is larger than {MAX_DOCUMENT} bytes");
        problems.error_of(verifier, message);
        return None;
    }
    match KeySet::parse(&text) {
        Ok(keys) => {
            for one in &keys.left_out {
                let id = one.key_id.as_deref();
                let id = id.map_or_else(String::new, |id| format!(" (`{}`)", id.escape_debug()));
                let message = format!("`{shown}`: the key at {}{id} {}", one.index, one.defect);
                problems
                    .warning_of(verifier, message)
                    .help("it is not used");
            }
            Some(VerifierKeys::Fixed(keys))
        }
        Err(error) => {
            problems
                .error_of(verifier, format!("`{shown}` cannot be used: {error}"))
                .help("write a JWK set (RFC 7517): `{ \"keys\": [{ \"kty\": \"RSA\", .. }] }`");
            None
        }
    }
}

fn secret(
    verifier: &config::Verifier,
    secret: &config::Secret,
    secrets: &Secrets,
    problems: &mut Problems,
) -> Option<VerifierKeys> {
    let key = secrets
        .find(&secret.name)?
        .with_value(VerifyingKey::from_secret);
    let named = algorithms(verifier);
    let short = match &key {
        None => named.first().or(Algorithm::SECRET.first()),
        // Only where it is named: a secret that is long enough for HS256 alone is one for HS256.
        Some(key) if !verifier.algorithms.is_empty() => {
            named.iter().find(|one| !key.verifies(**one))
        }
        Some(_) => None,
    };
    if let Some(short) = short {
        let least = match short {
            Algorithm::Hs512 => 64,
            Algorithm::Hs384 => 48,
            _ => MIN_SECRET,
        };
        let message = format!(
            "secret `{}` is shorter than the {least} bytes that {} needs",
            secret.name,
            short.word()
        );
        problems
            .error_of(verifier, message)
            .help("make one by `openssl rand -base64 64`; RFC 7518, section 3.2");
        return None;
    }
    Some(VerifierKeys::Fixed(KeySet::of(key?)))
}

fn algorithms(verifier: &config::Verifier) -> Vec<Algorithm> {
    match (verifier.algorithms.is_empty(), &verifier.keys) {
        (false, _) => verifier.algorithms.clone(),
        (true, KeysFrom::Secret(_)) => Algorithm::SECRET.to_vec(),
        (true, KeysFrom::Fetched(_) | KeysFrom::File(_)) => Algorithm::PUBLIC.to_vec(),
    }
}

fn rules(verifier: &config::Verifier) -> TokenRules {
    let required = verifier.required.iter().map(|rule| ClaimRule {
        claim: rule.claim.clone(),
        test: match (rule.one_of.is_empty(), rule.contains.is_empty()) {
            (false, _) => ClaimTest::OneOf(rule.one_of.clone()),
            (true, false) => ClaimTest::Contains(rule.contains.clone()),
            (true, true) => ClaimTest::Present,
        },
    });
    TokenRules {
        algorithms: algorithms(verifier),
        types: verifier.types.clone(),
        issuers: verifier.issuers.clone(),
        audiences: match &verifier.audiences {
            None => Audiences::Any,
            Some(audiences) => Audiences::Of(audiences.clone()),
        },
        skew: verifier.skew,
        allow_endless: !verifier.require_exp,
        max_age: verifier.max_age,
        required: required.collect(),
        certificate_bound: verifier.certificate_bound,
    }
}
