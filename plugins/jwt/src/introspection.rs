//! Opaque tokens, which only the authorization server can read. The filter asks it (RFC 7662) through the gateway,
//! which adds the secret.
//!
//! Only a response with `"active": true` accepts a token; any other response or failure rejects it. Responses are
//! cached under the digest of the token, for at most `cache`, and never past the token's expiry.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use windlass_plugin_sdk::host::cache;
use windlass_plugin_sdk::host::callout::{self, CallError, Credential, Response};
use windlass_plugin_sdk::host::crypto::{self, Hash};
use windlass_plugin_sdk::host::jwt::Mapping;
use windlass_plugin_sdk::path::encode_query;
use windlass_plugin_sdk::{AttributeRef, Diagnostic, EditError, Json, Request, parse_duration};

/// The longest token that the server is asked about, in bytes.
const MAX_TOKEN: usize = 4096;

/// The longest `cache`.
const MOST_CACHE: Duration = Duration::from_secs(3600);

/// The longest time that an inactive token is cached.
const REFUSED_CACHE: Duration = Duration::from_secs(10);

/// The allowed difference of the server's clock in milliseconds.
const SKEW: f64 = 30_000.0;

/// The authorization server that is asked about tokens (RFC 7662).
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IntrospectionSettings {
    /// The name of the `[callout.<name>]` whose URL is the server's introspection endpoint.
    callout: String,
    /// The name of the gateway at the server: the user of its Basic credentials, whose password is `secret`.
    #[serde(default)]
    client_id: Option<String>,
    /// The name of the `[secret.<name>]` that the gateway shows: as the password of `client_id`, or without one as a bearer
    /// token.
    #[serde(default)]
    secret: Option<String>,
    /// How long an answer is kept, up to `1h` and never past the token's end; a token that the server revokes is accepted for
    /// so long. `0s` keeps none. The default is `1m`.
    #[serde(default)]
    cache: Option<String>,
    /// The issuers that an answer must name, one of them. The default is that it may name any or none.
    #[serde(default)]
    issuers: Vec<String>,
    /// The audiences that an answer must name, one of them. The default is that it may name any or none.
    #[serde(default)]
    audiences: Vec<String>,
    /// Whether a token that is bound to a client certificate (`cnf.x5t#S256`) is accepted without a look at one. The default is
    /// false.
    #[serde(default)]
    certificate_bound: bool,
}

/// The checked settings.
#[derive(Debug)]
pub struct Introspection {
    callout: String,
    credential: Option<Credential>,
    cache: Duration,
    issuers: Vec<String>,
    audiences: Vec<String>,
    certificate_bound: bool,
    /// Whether verifiers handle the tokens that are JSON Web Tokens.
    only_opaque: bool,
}

/// The members of a response that decide about its token. Serde refuses a duplicate, because readers disagree on which
/// one counts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Once {
    active: IgnoredAny,
    exp: IgnoredAny,
    nbf: IgnoredAny,
    iss: IgnoredAny,
    aud: IgnoredAny,
    sub: IgnoredAny,
    scope: IgnoredAny,
    cnf: IgnoredAny,
}

/// The server's response about a token.
pub enum Answer {
    /// The token is active and acceptable here; these are its members.
    Active(Json),
    /// The token is not.
    Refused,
    /// The response has not arrived yet: the phase runs again.
    NotYet,
    /// There is no valid response; the cause, for the log.
    Unavailable(String),
}

impl IntrospectionSettings {
    /// Check the settings. `None` if there is an error.
    pub fn check(
        &self,
        has_verifiers: bool,
        complaints: &mut Vec<Diagnostic>,
    ) -> Option<Introspection> {
        let before = complaints.len();
        let mut complain = |at: &str, message: &str| {
            complaints.push(Diagnostic::new(format!("/introspection/{at}"), message));
        };
        if self.client_id.is_some() && self.secret.is_none() {
            complain(
                "client_id",
                "has no password: add `secret`, the name of a `[secret.<name>]`",
            );
        }
        let client_id = self.client_id.as_deref();
        if client_id.is_some_and(|id| id.is_empty() || id.contains(':')) {
            complain("client_id", "is empty, or has a `:`, which no user has");
        }
        let cache = match self.cache.as_deref() {
            None => Duration::from_secs(60),
            Some(text) => match parse_duration(text) {
                Some(cache) if cache <= MOST_CACHE => cache,
                Some(_) | None => {
                    complain("cache", "is not a time up to `1h`, such as `1m`");
                    Duration::ZERO
                }
            },
        };
        let credential = self
            .secret
            .as_ref()
            .map(|secret| match self.client_id.as_ref() {
                Some(user) => Credential::Basic {
                    user: user.clone(),
                    secret: secret.clone(),
                },
                None => Credential::Bearer {
                    secret: secret.clone(),
                },
            });
        (complaints.len() == before).then(|| Introspection {
            callout: self.callout.clone(),
            credential,
            cache,
            issuers: self.issuers.clone(),
            audiences: self.audiences.clone(),
            certificate_bound: self.certificate_bound,
            only_opaque: has_verifiers,
        })
    }
}

impl Introspection {
    /// Whether to ask the server about this token.
    pub fn takes(&self, token: &str) -> bool {
        !(self.only_opaque && is_signed(token))
    }

    /// Ask the server about a token.
    pub fn ask(&self, token: &str, request: &Request) -> Answer {
        // RFC 6750, section 2.1: visible ASCII characters without spaces.
        let is_token = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.len() > MAX_TOKEN || !is_token {
            return Answer::Refused;
        }
        let key = self.key(token);
        let now = request.attributes().number("request.time-ms").unwrap_or(0) as f64;
        if let Some(known) = cache::get(&key) {
            // Check again, because a reload may have changed the requirements.
            let known = serde_json::from_slice(&known).unwrap_or(Json::Null);
            return match known.is_object() && self.accepts(&known, now) {
                true => Answer::Active(known),
                false => Answer::Refused,
            };
        }
        match callout::call(&self.callout, &self.request(token)) {
            Ok(response) => self.read(&response, &key, now),
            Err(CallError::NotYet) => Answer::NotYet,
            Err(error) => Answer::Unavailable(cause(&error)),
        }
    }

    /// The cache key for a token. It contains the client, because a server may answer another client differently (RFC
    /// 7662, section 4).
    fn key(&self, token: &str) -> String {
        let client = match &self.credential {
            Some(Credential::Basic { user, .. }) => user.as_str(),
            Some(Credential::Bearer { .. } | Credential::FormField { .. }) | None => "",
        };
        let named = format!("{}\n{}:{client}\n{token}", self.callout, client.len());
        hex(&crypto::digest(Hash::Sha256, named.as_bytes()))
    }

    fn request(&self, token: &str) -> callout::Request {
        let token = encode_query(token.as_bytes());
        let request = callout::Request::new("POST", "")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(format!("token={token}&token_type_hint=access_token"))
            .shared();
        match &self.credential {
            Some(credential) => request.credential(credential.clone()),
            None => request,
        }
    }

    /// Parse the server's response, and cache it.
    fn read(&self, response: &Response, key: &str, now: f64) -> Answer {
        if response.status != 200 {
            let hint = match response.status {
                401 => ": see `client_id`, `secret`, and `basic` of the callout",
                _ => "",
            };
            let status = response.status;
            return Answer::Unavailable(format!("its answer has the status {status}{hint}"));
        }
        let known: Result<Json, _> = serde_json::from_slice(&response.body);
        let Ok(known) = known else {
            return Answer::Unavailable("its answer is not JSON".to_owned());
        };
        if serde_json::from_slice::<Once>(&response.body).is_err() {
            let text = "a member of its answer that decides is there twice";
            return Answer::Unavailable(text.to_owned());
        }
        let Some(active) = known.get("active").and_then(Json::as_bool) else {
            return Answer::Unavailable("its answer has no `active`, true or false".to_owned());
        };
        if !(active && self.accepts(&known, now)) {
            self.keep(key, b"", REFUSED_CACHE);
            return Answer::Refused;
        }
        let left = match time(&known, "exp") {
            Some(end) => Duration::from_millis((end - now).max(0.0) as u64),
            None => self.cache,
        };
        self.keep(key, known.to_string().as_bytes(), left);
        Answer::Active(known)
    }

    fn keep(&self, key: &str, known: &[u8], at_most: Duration) {
        let time = self.cache.min(at_most);
        if !time.is_zero() {
            // A response that is too large for the cache is requested again.
            let _ = cache::put(key, known, time);
        }
    }

    /// Whether an active token is acceptable here and now.
    fn accepts(&self, known: &Json, now: f64) -> bool {
        let names = |member: &str, wanted: &[String]| {
            let is_wanted = |value: &Json| {
                let text = value.as_str();
                text.is_some_and(|text| wanted.iter().any(|one| one == text))
            };
            wanted.is_empty()
                || known.get(member).is_some_and(|value| match value {
                    Json::Array(values) => values.iter().any(is_wanted),
                    value => is_wanted(value),
                })
        };
        let in_force = time(known, "exp").is_none_or(|end| now < end)
            && time(known, "nbf").is_none_or(|begin| begin <= now + SKEW);
        let certificate = known.pointer("/cnf/x5t#S256").is_some();
        are_typed(known)
            && in_force
            && names("iss", &self.issuers)
            && names("aud", &self.audiences)
            && (self.certificate_bound || !certificate)
    }
}

/// Whether the defined members (RFC 7662, section 2.2) have their types. Otherwise a date that is text would count as
/// absent.
fn are_typed(known: &Json) -> bool {
    let all = |names: &[&str], is: fn(&Json) -> bool| {
        let mut found = names.iter().filter_map(|name| known.get(name));
        found.all(is)
    };
    all(&["exp", "nbf", "iat"], Json::is_number)
        && all(
            &["sub", "iss", "client_id", "scope", "jti"],
            Json::is_string,
        )
        && all(&["cnf"], Json::is_object)
}

fn cause(error: &CallError) -> String {
    match error {
        CallError::NotYet => "it did not answer yet".to_owned(),
        CallError::Invalid(why) => format!("the request cannot be sent: {why}"),
        CallError::NotHere => "too many calls in one phase".to_owned(),
        CallError::Busy => "as many calls as may be are under way and wait".to_owned(),
        CallError::Timeout => "it did not answer within its `timeout`".to_owned(),
        CallError::Unreachable => "it cannot be reached".to_owned(),
        CallError::TooLarge => "its answer is larger than its `max_response`".to_owned(),
    }
}

/// Whether a token looks like a JSON Web Token: three parts, and the first one encodes an object.
fn is_signed(token: &str) -> bool {
    token.starts_with("ey") && token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// A time in a response, in milliseconds since 1970.
fn time(known: &Json, member: &str) -> Option<f64> {
    Some(known.get(member)?.as_f64()? * 1000.0)
}

/// Whether a response has these scopes (`scope`, words separated by spaces): all, or any.
pub fn has_scopes(known: &Json, wanted: &[&str], any: bool) -> bool {
    let scopes = known.get("scope").and_then(Json::as_str).unwrap_or("");
    let has = |wanted: &&str| scopes.split(' ').any(|scope| scope == *wanted);
    match any {
        true => wanted.is_empty() || wanted.iter().any(has),
        false => wanted.iter().all(has),
    }
}

/// The thumbprint of the key to which a token is bound, if any. If it cannot be read, it is empty, which matches no
/// key.
pub fn bound_to(known: &Json) -> Option<&str> {
    let thumbprint = known.pointer("/cnf/jkt")?;
    Some(thumbprint.as_str().unwrap_or(""))
}

/// Set attributes from a response: all of them, or none. False if a required one is missing.
///
/// # Errors
/// The reason why the gateway refused an attribute.
pub fn set_attributes(
    known: &Json,
    claims: &[Mapping<'_>],
    request: &mut Request,
) -> Result<bool, EditError> {
    let found = |claim: &str| {
        let value = match claim.starts_with('/') {
            true => known.pointer(claim),
            false => known.get(claim),
        };
        value.filter(|value| !value.is_null())
    };
    let texts: Vec<(&str, Option<(&Json, String)>)> = claims
        .iter()
        .map(|mapping| {
            let value = found(mapping.claim);
            let text = value.map(|value| match value {
                Json::String(text) => (value, text.clone()),
                value => (value, value.to_string()),
            });
            (mapping.attribute, text)
        })
        .collect();
    let mut required = claims.iter().zip(&texts);
    if required.any(|(mapping, (_, value))| mapping.required && value.is_none()) {
        return Ok(false);
    }
    // A filter cannot remove an attribute, so one of another credential would remain beside this token's.
    let is_of_another = |(attribute, value): &(&str, Option<_>)| {
        value.is_none() && request.attributes().get(attribute).is_some()
    };
    if texts.iter().any(is_of_another) {
        return Ok(false);
    }
    let mut facts = vec![("auth.method", AttributeRef::Text("introspection"))];
    for (attribute, value) in &texts {
        let Some((value, text)) = value else {
            continue;
        };
        facts.push((
            *attribute,
            match (value, value.as_i64()) {
                (Json::Bool(flag), _) => AttributeRef::Flag(*flag),
                (_, Some(number)) => AttributeRef::Number(number),
                (_, None) => AttributeRef::Text(text),
            },
        ));
    }
    request.attributes().set_all(&facts)?;
    Ok(true)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
