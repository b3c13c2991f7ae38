//! `builtin:jwt`: lets requests pass that carry a JSON Web Token of a known issuer.
//!
//! Promises: a request passes only with a token that one of the configured verifiers accepts and that has the scopes
//! asked for; then `auth.method` and the configured attributes are set. To the client every token that is not accepted
//! looks the same (RFC 6750). Deliberately does not: parse a token, hold a key, or look at anything but the one place
//! where the token is; the gateway verifies.

mod settings;

use settings::{Settings, Source, keep};
use windlass_plugin_sdk::EditError;
use windlass_plugin_sdk::host::jwt::{self, Mapping, VerifyError, Wanted};
use windlass_plugin_sdk::prelude::*;

const TOKEN_MISSING: &str = "token_missing";
const TOKEN_REJECTED: &str = "token_rejected";
const INSUFFICIENT_SCOPE: &str = "insufficient_scope";

struct JwtFilter {
    source: Source,
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
    scope: String,
}

impl Filter for JwtFilter {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("jwt");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let (source, claims) = settings.check()?;
        let setup = match &source {
            Source::Header(name) => Setup::new().reads(name),
            Source::Cookie(_) | Source::Query(_) => Setup::new(),
        };
        let (always, sometimes): (Vec<_>, Vec<_>) = claims.iter().partition(|one| one.required);
        let setup = setup
            .provides(["auth.method"])
            .provides(always.iter().map(|one| one.attribute))
            .sometimes(sometimes.iter().map(|one| one.attribute));
        let filter = Self {
            challenges: Challenges::of(&settings),
            source,
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
        let presented = self.source.find(request);
        let token = match &presented {
            Some(presented) => self.source.token(presented),
            None => None,
        };
        let Some(token) = token else {
            return Ok(refuse(401, TOKEN_MISSING, &self.challenges.missing));
        };
        let wanted = Wanted {
            verifiers: &self.verifiers,
            scopes: &self.scopes,
            any_scope: self.any_scope,
            claims: &self.claims,
        };
        match jwt::verify(token, wanted) {
            Ok(()) => {
                self.pass_on(request, presented.as_deref())?;
                Ok(RequestVerdict::NEXT)
            }
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

impl JwtFilter {
    /// The endpoint sees no token, or the one that was verified.
    fn pass_on(&self, request: &mut Request, presented: Option<&str>) -> Result<(), EditError> {
        match (&self.source, self.hide) {
            (Source::Header(name), true) => {
                request.remove_header(name)?;
            }
            (Source::Header(name), false) => {
                request.set_header(name, presented.unwrap_or_default())?;
            }
            (Source::Cookie(name), true) => hide_cookie(request, name)?,
            (Source::Query(name), true) => {
                let mut path = request.path_and_query();
                if path.remove_query(name) > 0 {
                    request.set_path(path.to_string())?;
                }
            }
            (Source::Cookie(_) | Source::Query(_), false) => {}
        }
        Ok(())
    }
}

/// Send the other cookies on.
fn hide_cookie(request: &mut Request, name: &str) -> Result<(), EditError> {
    let mut others: Vec<Vec<u8>> = Vec::new();
    for value in request.header_all("cookie") {
        let pairs = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kept = pairs.filter(|pair| {
            let end = pair.iter().position(|byte| *byte == b'=');
            end.is_none_or(|end| pair[..end].trim_ascii() != name.as_bytes())
        });
        others.extend(kept.map(<[u8]>::to_vec));
    }
    match others.is_empty() {
        true => request.remove_header("cookie").map(|_| ()),
        false => request.set_header("cookie", others.join(&b"; "[..])),
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
            scope: challenge(&["error=\"insufficient_scope\"".to_owned(), scope]),
        }
    }
}

windlass_plugin_sdk::export!(JwtFilter: request);

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
