//! `builtin:jwt`: requires a JSON Web Token of a configured issuer.
//!
//! A request passes only with a token that one of the configured verifiers accepts and that has the required scopes;
//! the filter then sets `auth.method` and the configured attributes. All rejected tokens look the same to the client
//! (RFC 6750). A request with two tokens is refused before either is checked. The filter deliberately parses no token,
//! holds no key, and reads only the configured sources; the gateway verifies tokens.

mod dpop;
mod introspection;
mod settings;
mod source;

use dpop::DpopRules;
use introspection::{Answer, Introspection};
use settings::{Checked, Settings, keep};
use source::Source;
use windlass_plugin_sdk::host::jwt::{
    self, Check, FieldError, Mapping, Proof, ProofError, TokenField, VerifyError, Wanted,
};
use windlass_plugin_sdk::host::log;
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{EditError, json};

/// The algorithms of proofs, as a challenge lists them.
const ALGORITHMS: &str = "ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512";

const TOKEN_MISSING: &str = "token_missing";
const TOKEN_REJECTED: &str = "token_rejected";
const SEVERAL_TOKENS: &str = "several_tokens";
const INSUFFICIENT_SCOPE: &str = "insufficient_scope";
const PROOF_REJECTED: &str = "proof_rejected";
const TOO_MANY_PROOFS: &str = "too_many_proofs";
const INTROSPECTION_UNAVAILABLE: &str = "introspection_unavailable";

struct JwtFilter {
    sources: Vec<Source>,
    hide: bool,
    check: Check,
    /// Whether the gateway can find, hide and verify the token in one call.
    has_only_field: bool,
    scopes: Vec<&'static str>,
    any_scope: bool,
    claims: Vec<Mapping<'static>>,
    dpop: DpopRules,
    introspection: Option<Introspection>,
    challenges: Challenges,
}

/// The `www-authenticate` of each refusal.
struct Challenges {
    missing: String,
    several: String,
    /// For a token without a proof, and for a token with one.
    rejected: [String; 2],
    scope: [String; 2],
    proof: String,
}

/// The result of checking a token.
enum Checkup {
    Accepted,
    Rejected,
    InsufficientScope,
    Proof(ProofError),
    /// The phase runs again.
    NotYet,
    /// The token could not be checked; the cause, for the log.
    Unavailable(String),
}

impl Filter for JwtFilter {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("jwt");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let Checked {
            sources,
            claims,
            dpop,
            introspection,
        } = settings.check()?;
        let setup = sources
            .iter()
            .fold(Setup::new(), |setup, source| match source {
                Source::Header { name, .. } => setup.reads(name),
                Source::Cookie(_) | Source::Query(_) => setup,
            });
        let setup = match sources.iter().any(Source::is_dpop) && !dpop.has_origin() {
            true => setup.warn(
                "/dpop",
                "has no `origin`: a proof that a client made for another server passes here if the request names that server as its `host`; add `origin`, such as `https://api.example`, or `hosts` to each route",
            ),
            false => setup,
        };
        let (always, sometimes): (Vec<_>, Vec<_>) = claims.iter().partition(|one| one.required);
        let setup = setup
            .provides(["auth.method"])
            .provides(always.iter().map(|one| one.attribute))
            .sometimes(sometimes.iter().map(|one| one.attribute));
        let challenges = Challenges::of(&settings, &sources);
        let verifiers: Vec<_> = settings.verifiers.into_iter().map(keep).collect();
        let scopes: Vec<_> = settings.scopes.into_iter().map(keep).collect();
        let wanted = Wanted {
            verifiers: &verifiers,
            scopes: &scopes,
            any_scope: settings.any_scope,
            claims: &claims,
        };
        let field = only_field(&sources, settings.hide).filter(|_| introspection.is_none());
        let filter = Self {
            check: Check::define(wanted, field),
            has_only_field: field.is_some(),
            challenges,
            hide: settings.hide,
            scopes,
            any_scope: settings.any_scope,
            sources,
            claims,
            dpop,
            introspection,
        };
        Ok((filter, setup))
    }
}

impl OnRequest for JwtFilter {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        // In the most common case, the gateway can do everything in one call.
        if self.has_only_field {
            return self.verify_field();
        }
        let (source, presented) = match self.find(request) {
            Found::One(source, presented) => (source, presented),
            Found::None => return Ok(self.refuse_none()),
            Found::Several => return Ok(self.refuse_several()),
        };
        // Remove first, because this returns the count. A refused request goes no further in any case.
        let count = match self.hide {
            true => source.remove(request)?,
            false => source.count(request),
        };
        if count > 1 {
            return Ok(self.refuse_several());
        }
        let token = source.token(&presented).unwrap_or_default();
        let with_proof = source.is_dpop();
        let value = match with_proof {
            true => DpopRules::value(request),
            false => String::new(),
        };
        // If the token needs no proof, a proof that came with it was not checked, so it is removed too.
        if self.hide && self.sources.iter().any(Source::is_dpop) {
            DpopRules::hide(request)?;
        }
        let proof = with_proof.then(|| self.dpop.proof(&value));
        let checkup = self.checkup(token, proof, request)?;
        Ok(self.verdict(checkup, with_proof))
    }
}

/// How many of the configured sources hold a token.
enum Found<'a> {
    None,
    /// One source, with this text.
    One(&'a Source, String),
    Several,
}

impl JwtFilter {
    fn verify_field(&self) -> Result<RequestVerdict, Failure> {
        let error = match self.check.verify_field() {
            Ok(()) => return Ok(RequestVerdict::NEXT),
            Err(error) => error,
        };
        match error {
            FieldError::Missing => Ok(self.refuse_none()),
            FieldError::Several => Ok(self.refuse_several()),
            FieldError::Token(error) => Ok(self.verdict(checkup(error)?, false)),
            FieldError::Edit(error) => Err(error.into()),
        }
    }

    fn verdict(&self, checkup: Checkup, with_proof: bool) -> RequestVerdict {
        let challenges = &self.challenges;
        match checkup {
            // The gateway ignores this verdict if the phase runs again.
            Checkup::Accepted | Checkup::NotYet => RequestVerdict::NEXT,
            Checkup::Rejected => refuse(
                401,
                TOKEN_REJECTED,
                &challenges.rejected[usize::from(with_proof)],
            ),
            Checkup::InsufficientScope => refuse(
                403,
                INSUFFICIENT_SCOPE,
                &challenges.scope[usize::from(with_proof)],
            ),
            Checkup::Proof(ProofError::Rejected(_)) => {
                refuse(401, PROOF_REJECTED, &challenges.proof)
            }
            Checkup::Proof(ProofError::NoRoom) => LocalResponse::new(503, TOO_MANY_PROOFS)
                .header("retry-after", "1")
                .into(),
            Checkup::Unavailable(cause) => {
                let message =
                    "the introspection of a token has no answer, so the request was refused";
                log::warn_of_outage(message, &[("why", &cause)]);
                LocalResponse::new(503, INTROSPECTION_UNAVAILABLE).into()
            }
        }
    }

    fn checkup(
        &self,
        token: &str,
        proof: Option<Proof<'_>>,
        request: &mut Request,
    ) -> Result<Checkup, Failure> {
        if let Some(introspection) = &self.introspection
            && introspection.takes(token)
        {
            return self.introspect(introspection, token, proof, request);
        }
        match self.check.verify(token, proof.as_ref()) {
            Ok(()) => Ok(Checkup::Accepted),
            Err(error) => checkup(error),
        }
    }

    /// The same for an opaque token.
    fn introspect(
        &self,
        introspection: &Introspection,
        token: &str,
        proof: Option<Proof<'_>>,
        request: &mut Request,
    ) -> Result<Checkup, Failure> {
        let known = match introspection.ask(token, request) {
            Answer::Active(known) => known,
            Answer::Refused => return Ok(Checkup::Rejected),
            Answer::NotYet => return Ok(Checkup::NotYet),
            Answer::Unavailable(cause) => return Ok(Checkup::Unavailable(cause)),
        };
        match (introspection::bound_to(&known), proof) {
            (None, None) => {}
            (Some(thumbprint), Some(proof)) => {
                if let Err(error) = jwt::check_proof(&proof, token, thumbprint) {
                    return Ok(Checkup::Proof(error));
                }
            }
            (None, Some(_)) | (Some(_), None) => return Ok(Checkup::Rejected),
        }
        if !introspection::has_scopes(&known, &self.scopes, self.any_scope) {
            return Ok(Checkup::InsufficientScope);
        }
        match introspection::set_attributes(&known, &self.claims, request) {
            Ok(true) => Ok(Checkup::Accepted),
            Ok(false) => Ok(Checkup::Rejected),
            Err(error) => unfit(error),
        }
    }

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

    fn refuse_none(&self) -> RequestVerdict {
        refuse(401, TOKEN_MISSING, &self.challenges.missing)
    }

    /// RFC 6750, section 2: one method a request; section 3.1: no repeated token.
    fn refuse_several(&self) -> RequestVerdict {
        refuse(400, SEVERAL_TOKENS, &self.challenges.several)
    }
}

/// The field, if it is the only source and its tokens need no proof.
fn only_field(sources: &[Source], hide: bool) -> Option<TokenField<'_>> {
    match sources {
        [source] if !source.is_dpop() => source.field(hide),
        _ => None,
    }
}

/// The result of a check from the gateway's error.
fn checkup(error: VerifyError) -> Result<Checkup, Failure> {
    match error {
        VerifyError::NotYet => Ok(Checkup::NotYet),
        VerifyError::Rejected(_) => Ok(Checkup::Rejected),
        VerifyError::InsufficientScope => Ok(Checkup::InsufficientScope),
        VerifyError::Proof(error) => Ok(Checkup::Proof(error)),
        VerifyError::Attribute(error) => unfit(error),
    }
}

/// The claims do not fit into attributes. The token determines their size, so this is not a failure of the filter,
/// which could get it suspended.
fn unfit(error: EditError) -> Result<Checkup, Failure> {
    match error {
        EditError::TooLarge => {
            log::debug(
                "the claims of a token are larger than attributes may be",
                &[],
            );
            Ok(Checkup::Rejected)
        }
        EditError::Syntax | EditError::Forbidden | EditError::TooLate => Err(error.into()),
    }
}

fn refuse(status: u16, reason: &str, challenge: &str) -> RequestVerdict {
    let refusal = LocalResponse::new(status, reason);
    refusal.header("www-authenticate", challenge).into()
}

impl Challenges {
    /// RFC 6750, section 3, and RFC 9449, section 7.1.
    fn of(settings: &Settings, sources: &[Source]) -> Self {
        let mut common = Vec::new();
        if let Some(realm) = &settings.realm {
            common.push(format!("realm=\"{realm}\""));
        }
        if let Some(url) = &settings.resource_metadata {
            common.push(format!("resource_metadata=\"{url}\""));
        }
        let algorithms = format!("algs=\"{ALGORITHMS}\"");
        let challenge = |scheme: &str, parts: &[&str]| {
            let own = (scheme == source::DPOP).then_some(&*algorithms);
            let all = common.iter().map(String::as_str);
            let all: Vec<&str> = all.chain(parts.iter().copied()).chain(own).collect();
            match all.is_empty() {
                true => scheme.to_owned(),
                false => format!("{scheme} {}", all.join(", ")),
            }
        };
        let error = |scheme, error: &str| challenge(scheme, &[&format!("error=\"{error}\"")]);
        let both = |of: &dyn Fn(&'static str) -> String| [of("Bearer"), of(source::DPOP)];
        let takes = [
            ("Bearer", sources.iter().any(|source| !source.is_dpop())),
            (source::DPOP, sources.iter().any(Source::is_dpop)),
        ];
        let taken = takes.iter().filter(|(_, is_taken)| *is_taken);
        let missing: Vec<_> = taken.map(|(scheme, _)| challenge(scheme, &[])).collect();
        let several = if takes[0].1 { "Bearer" } else { source::DPOP };
        let scope = format!("scope=\"{}\"", settings.scopes.join(" "));
        Self {
            // RFC 6750, section 3.1: no error code if there was no token.
            missing: missing.join(", "),
            several: error(several, "invalid_request"),
            rejected: both(&|scheme| error(scheme, "invalid_token")),
            scope: both(&|scheme| challenge(scheme, &["error=\"insufficient_scope\"", &scope])),
            proof: error(source::DPOP, "invalid_dpop_proof"),
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
        let settings: Settings = windlass_plugin_sdk::parse_settings(json).expect("settings");
        let sources = settings.check().expect("good settings").sources;
        Challenges::of(&settings, &sources)
    }

    #[test]
    fn rfc_6750_a_challenge_says_what_is_wrong_and_only_that() {
        let plain = challenges(r#"{"verifiers":["a"],"scopes":["read","write"]}"#);
        assert_eq!(plain.missing, "Bearer");
        assert_eq!(plain.rejected[0], r#"Bearer error="invalid_token""#);
        assert_eq!(plain.several, r#"Bearer error="invalid_request""#);
        assert_eq!(
            plain.scope[0],
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
        assert!(named.rejected[0].ends_with(r#", error="invalid_token""#));
    }
}
