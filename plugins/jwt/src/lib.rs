//! `builtin:jwt`: lets requests pass that carry a JSON Web Token of a known issuer.
//!
//! Promises: a request passes only with a token that one of the configured verifiers accepts and that has the scopes
//! asked for; then `auth.method` and the configured attributes are set. To the client every token that is not accepted
//! looks the same (RFC 6750), and a request with two tokens is refused before either is looked at. Deliberately does not:
//! parse a token, hold a key, or look anywhere but in the configured places; the gateway verifies.

mod settings;

use settings::{Settings, Source, keep};
use windlass_plugin_sdk::host::jwt::{self, Mapping, VerifyError, Wanted};
use windlass_plugin_sdk::json;
use windlass_plugin_sdk::prelude::*;

const TOKEN_MISSING: &str = "token_missing";
const TOKEN_REJECTED: &str = "token_rejected";
const SEVERAL_TOKENS: &str = "several_tokens";
const INSUFFICIENT_SCOPE: &str = "insufficient_scope";

struct JwtFilter {
    sources: Vec<Source>,
    hide: bool,
    verifiers: Vec<&'static str>,
    scopes: Vec<&'static str>,
    any_scope: bool,
    claims: Vec<Mapping<'static>>,
    challenges: Challenges,
}

/// What `www-authenticate` says (RFC 6750, section 3).
struct Challenges {
    missing: String,
    rejected: String,
    several: String,
    scope: String,
}

impl Filter for JwtFilter {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("jwt");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let (sources, claims) = settings.check()?;
        let setup = sources
            .iter()
            .fold(Setup::new(), |setup, source| match source {
                Source::Header { name, .. } => setup.reads(name),
                Source::Cookie(_) | Source::Query(_) => setup,
            });
        let (always, sometimes): (Vec<_>, Vec<_>) = claims.iter().partition(|one| one.required);
        let setup = setup
            .provides(["auth.method"])
            .provides(always.iter().map(|one| one.attribute))
            .sometimes(sometimes.iter().map(|one| one.attribute));
        let filter = Self {
            challenges: Challenges::of(&settings),
            sources,
            hide: settings.hide,
            verifiers: settings.verifiers.into_iter().map(keep).collect(),
            scopes: settings.scopes.into_iter().map(keep).collect(),
            any_scope: settings.any_scope,
            claims,
        };
        Ok((filter, setup))
    }
}

impl OnRequest for JwtFilter {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let (source, presented) = match self.find(request) {
            Found::One(source, presented) => (source, presented),
            Found::None => return Ok(refuse(401, TOKEN_MISSING, &self.challenges.missing)),
            Found::Several => return Ok(self.refuse_several()),
        };
        // Removed first, since that tells how many there are; whoever is refused goes no further anyway.
        let count = match self.hide {
            true => source.remove(request)?,
            false => source.count(request),
        };
        if count > 1 {
            return Ok(self.refuse_several());
        }
        let token = source.token(&presented).unwrap_or_default();
        let wanted = Wanted {
            verifiers: &self.verifiers,
            scopes: &self.scopes,
            any_scope: self.any_scope,
            claims: &self.claims,
        };
        match jwt::verify(token, wanted) {
            Ok(()) => Ok(RequestVerdict::NEXT),
            // Whatever is returned now, the phase runs again.
            Err(VerifyError::NotYet) => Ok(RequestVerdict::NEXT),
            Err(VerifyError::Rejected(_)) => {
                Ok(refuse(401, TOKEN_REJECTED, &self.challenges.rejected))
            }
            Err(VerifyError::InsufficientScope) => {
                Ok(refuse(403, INSUFFICIENT_SCOPE, &self.challenges.scope))
            }
            Err(VerifyError::Attribute(error)) => Err(error.into()),
        }
    }
}

/// How many of the configured places hold a token.
enum Found<'a> {
    None,
    /// One, with this in it.
    One(&'a Source, String),
    Several,
}

impl JwtFilter {
    fn find(&self, request: &Request) -> Found<'_> {
        let mut found = Found::None;
        for source in &self.sources {
            if let Found::One(earlier, _) = &found
                && source.is_header_of(earlier)
            {
                continue;
            }
            if let Some(presented) = source.find(request) {
                if let Found::One(..) = found {
                    return Found::Several;
                }
                found = Found::One(source, presented);
            }
        }
        found
    }

    /// RFC 6750, section 2: not more than one method for a token, and section 3.1: nor one of them twice.
    fn refuse_several(&self) -> RequestVerdict {
        refuse(400, SEVERAL_TOKENS, &self.challenges.several)
    }
}

fn refuse(status: u16, reason: &str, challenge: &str) -> RequestVerdict {
    let refusal = LocalResponse::new(status, reason);
    refusal.header("www-authenticate", challenge).into()
}

impl Challenges {
    fn of(settings: &Settings) -> Self {
        let mut common = Vec::new();
        if let Some(realm) = &settings.realm {
            common.push(format!("realm=\"{realm}\""));
        }
        if let Some(url) = &settings.resource_metadata {
            common.push(format!("resource_metadata=\"{url}\""));
        }
        let challenge = |parts: &[String]| {
            let all: Vec<&str> = common.iter().chain(parts).map(String::as_str).collect();
            match all.is_empty() {
                true => "Bearer".to_owned(),
                false => format!("Bearer {}", all.join(", ")),
            }
        };
        let scope = format!("scope=\"{}\"", settings.scopes.join(" "));
        Self {
            // RFC 6750, section 3.1: no error where there was no token.
            missing: challenge(&[]),
            rejected: challenge(&["error=\"invalid_token\"".to_owned()]),
            several: challenge(&["error=\"invalid_request\"".to_owned()]),
            scope: challenge(&["error=\"insufficient_scope\"".to_owned(), scope]),
        }
    }
}

impl Describe for JwtFilter {
    fn contribution(&self) -> Contribution {
        let sources = self.sources.iter();
        let contribution = sources.fold(Contribution::new(), |all, source| {
            let (name, scheme) = source.describe();
            all.scheme(&format!("jwt-{name}"), scheme, &self.scopes)
        });
        let contribution = contribution
            .response(400, json!({ "description": "there are two tokens" }))
            .response(
                401,
                json!({ "description": "there is no token, or it is not accepted" }),
            );
        match self.scopes.is_empty() {
            true => contribution,
            false => {
                contribution.response(403, json!({ "description": "the token lacks a scope" }))
            }
        }
    }
}

windlass_plugin_sdk::export!(JwtFilter: request, description);

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(json: &str) -> Challenges {
        Challenges::of(&windlass_plugin_sdk::parse_settings(json).expect("settings"))
    }

    #[test]
    fn rfc_6750_a_challenge_says_what_is_wrong_and_only_that() {
        let plain = challenges(r#"{"verifiers":["a"],"scopes":["read","write"]}"#);
        assert_eq!(plain.missing, "Bearer");
        assert_eq!(plain.rejected, r#"Bearer error="invalid_token""#);
        assert_eq!(plain.several, r#"Bearer error="invalid_request""#);
        assert_eq!(
            plain.scope,
            r#"Bearer error="insufficient_scope", scope="read write""#
        );
    }

    #[test]
    fn rfc_9728_a_challenge_names_the_metadata() {
        let named = challenges(
            r#"{"verifiers":["a"],"realm":"orders","resource_metadata":"https://api.example/.well-known/oauth-protected-resource"}"#,
        );
        assert_eq!(
            named.missing,
            r#"Bearer realm="orders", resource_metadata="https://api.example/.well-known/oauth-protected-resource""#
        );
        assert!(named.rejected.ends_with(r#", error="invalid_token""#));
    }
}
