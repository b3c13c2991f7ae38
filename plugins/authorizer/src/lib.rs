//! `builtin:authorizer`: asks an external server whether a request may pass.
//!
//! A request passes only if the authorizer's response is complete and valid, and allows its method and path. Everything
//! else is a refusal, even if the filter's `on_error` is `skip`. A cached response applies to other requests only
//! within `ttl`, and only to those with the same identity; the cache stores the digest of an identity, never the
//! identity. The filter deliberately holds no secret, decides nothing by itself, and sends no request bodies.

mod answer;
mod event;
mod forward;
mod identity;
mod policy;
mod settings;

use core::time::Duration;

use answer::{Answer, ContextValue, Rule};
use event::{EventSettings, Facts};
use forward::Copied;
use identity::Source;
use policy::{MethodArn, Outcome};
use regex_lite::Regex;
use settings::{Answers, Kind, Payload, Settings, UsageKey};
use windlass_plugin_sdk::host::callout::{self, CallError, Credential, Request as Call};
use windlass_plugin_sdk::host::crypto::{self, Hash};
use windlass_plugin_sdk::host::keys::{self, IdentifyError};
use windlass_plugin_sdk::host::{cache, log};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{AttributeRef, EditError, json};

const IDENTITY_MISSING: &str = "identity_missing";
const IDENTITY_REJECTED: &str = "identity_rejected";
const UNAUTHORIZED: &str = "authorizer_unauthorized";
const DENIED: &str = "authorizer_denied";
const NOT_ALLOWED: &str = "authorizer_not_allowed";
const REFUSED: &str = "authorizer_refused";
const FAILED: &str = "authorizer_failed";
const TOO_LARGE: &str = "forward_too_large";
const USAGE_KEY_MISSING: &str = "usage_key_missing";
const USAGE_KEY_REJECTED: &str = "usage_key_rejected";

/// The attribute for `principalId`.
const PRINCIPAL: &str = "authorizer.principal-id";

struct Authorizer {
    callout: String,
    secret: Option<String>,
    kind: Kind,
    payload: Payload,
    is_simple: bool,
    identity: Vec<Source>,
    pattern: Option<Regex>,
    ttl: Duration,
    /// Whether a response applies only to the route and method that it was requested for.
    is_of_route: bool,
    usage_key: UsageKey,
    /// `arn:aws:execute-api:<region>:<account>`.
    arn: String,
    event: EventSettings,
    send: Vec<String>,
    copy: Vec<String>,
    pass_back: Vec<String>,
    challenge: String,
    /// A digest input with all settings: responses that were cached under other settings do not count.
    fingerprint: String,
}

/// The reason why a request does not pass, or not yet.
enum Stop {
    Answer(LocalResponse),
    NotYet,
    Failed(String),
    Edit(EditError),
}

impl From<EditError> for Stop {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl Filter for Authorizer {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("authorizer");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let checked = settings.check()?;
        let mut setup = Setup::new().provides(["auth.method"]);
        for name in checked.identity.iter().filter_map(Source::header) {
            setup = setup.reads(name);
        }
        if settings.kind == Kind::Forward {
            setup = checked.send.iter().fold(setup, Setup::reads);
        }
        let attributes = checked.identity.iter().filter_map(Source::attribute);
        setup = setup.requires(attributes);
        for name in &checked.copy {
            setup = setup.vouch(name).clear(name);
        }
        if settings.kind != Kind::Forward {
            setup = setup.sometimes([PRINCIPAL]);
        }
        setup = match settings.usage_key {
            UsageKey::Ignored => setup,
            UsageKey::Optional => setup.sometimes(["consumer.id", "api-key.id", "plan.id"]),
            UsageKey::Required => setup
                .provides(["consumer.id", "api-key.id"])
                .sometimes(["plan.id"]),
        };
        let is_simple = settings.answers == Answers::Simple;
        let has_policy = settings.kind != Kind::Forward && !is_simple;
        let filter = Self {
            fingerprint: json!(settings).to_string(),
            arn: format!(
                "arn:aws:execute-api:{}:{}",
                settings.region, settings.account
            ),
            challenge: identity::challenge(&checked.identity),
            callout: settings.callout,
            secret: settings.secret,
            kind: settings.kind,
            payload: checked.payload,
            is_simple,
            identity: checked.identity,
            pattern: checked.pattern,
            ttl: checked.ttl,
            is_of_route: !has_policy && !settings.share_across_routes,
            usage_key: settings.usage_key,
            event: EventSettings {
                path_parameters: settings.path_parameters,
                variables: settings.variables,
                account: settings.account,
            },
            send: checked.send,
            copy: checked.copy,
            pass_back: checked.pass_back,
        };
        Ok((filter, setup))
    }
}

impl OnRequest for Authorizer {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        match self.decide(request) {
            Ok(()) => Ok(RequestVerdict::NEXT),
            // The gateway ignores this verdict, because the phase runs again.
            Err(Stop::NotYet) => Ok(RequestVerdict::NEXT),
            Err(Stop::Answer(answer)) => Ok(answer.into()),
            Err(Stop::Failed(why)) => {
                tell(&why);
                Ok(LocalResponse::new(500, FAILED).into())
            }
            // This is not reported as a failure of the filter, because `on_error` could skip that.
            Err(Stop::Edit(error)) => {
                tell(&Failure::from(error).detail);
                Ok(LocalResponse::new(500, FAILED).into())
            }
        }
    }
}

/// Log why the authorizer failed: once in ten seconds, so that an outage does not fill the log.
fn tell(why: &str) {
    let message = "the authorizer failed, so the request was refused";
    log::warn_of_outage(message, &[("why", why)]);
}

impl Authorizer {
    fn decide(&self, request: &mut Request) -> Result<(), Stop> {
        let identity = identity::presented(&self.identity, request)
            .ok_or_else(|| Stop::Answer(self.unauthorized(IDENTITY_MISSING)))?;
        if let (Some(pattern), Some(first)) = (&self.pattern, identity.first())
            && !pattern.is_match(first)
        {
            return Err(Stop::Answer(self.unauthorized(IDENTITY_REJECTED)));
        }
        let key = (!self.ttl.is_zero()).then(|| self.key(&identity, request));
        match self.kind {
            Kind::Forward => self.forward(key.as_ref(), request)?,
            Kind::Token | Kind::Request => self.authorize(&identity, key.as_ref(), request)?,
        }
        request.attributes().set("auth.method", "authorizer")?;
        Ok(())
    }

    /// A 401 with a challenge (RFC 9110, section 15.5.2).
    fn unauthorized(&self, reason: &str) -> LocalResponse {
        LocalResponse::new(401, reason).header("www-authenticate", self.challenge.as_str())
    }

    /// The cache key for this identity. Each part is preceded by its length, so that parts cannot run together.
    fn key(&self, identity: &[String], request: &Request) -> Key {
        let mut whole = Vec::new();
        let mut add = |part: &str| {
            whole.extend((part.len() as u64).to_be_bytes());
            whole.extend(part.as_bytes());
        };
        let attributes = request.attributes();
        add(&self.fingerprint);
        // An event contains both, so the response may depend on them.
        for name in ["api.id", "api.stage"] {
            add(&attributes.text(name).unwrap_or_default());
        }
        for value in identity {
            add(value);
        }
        if self.is_of_route {
            add(&request.method());
            add(&attributes.text("route.id").unwrap_or_default());
        }
        Key(crypto::digest(Hash::Sha256, &whole))
    }

    /// Call the authorizer; calls with the same key share the response.
    fn ask(&self, mut call: Call, key: Option<&Key>) -> Result<callout::Response, Stop> {
        if let Some(secret) = &self.secret {
            let secret = secret.clone();
            call = call.credential(Credential::Bearer { secret });
        }
        if let Some(key) = key {
            call = call.shared_by(key.0.clone());
        }
        callout::call(&self.callout, &call).map_err(|error| match error {
            CallError::NotYet => Stop::NotYet,
            CallError::Invalid(why) => Stop::Failed(format!("it cannot be asked: {why}")),
            CallError::NotHere => Stop::Failed("it cannot be asked here".to_owned()),
            CallError::Busy => Stop::Failed("too many calls to it are under way".to_owned()),
            CallError::Timeout => Stop::Failed("it did not answer in time".to_owned()),
            CallError::Unreachable => Stop::Failed("it cannot be reached".to_owned()),
            CallError::TooLarge => Stop::Failed("its answer is too large".to_owned()),
        })
    }

    fn authorize(
        &self,
        identity: &[String],
        key: Option<&Key>,
        request: &mut Request,
    ) -> Result<(), Stop> {
        let (arn, facts) = self.facts(request);
        let kept = key.and_then(|key| cache::get(&key.text()));
        let (answer, is_new) = match kept.and_then(|bytes| Answer::of_bytes(&bytes)) {
            Some(answer) => (answer, false),
            None => (self.called(identity, key, &facts, request)?, true),
        };
        let refusal = match &answer.rule {
            Rule::Policy(policy) => match policy.evaluate(&arn) {
                Outcome::Allowed => None,
                Outcome::Denied => Some(DENIED),
                Outcome::NotAllowed => Some(NOT_ALLOWED),
                Outcome::TooMuch => {
                    return Err(Stop::Failed("its policy is too large".to_owned()));
                }
            },
            Rule::Simple(is_authorized) => (!is_authorized).then_some(REFUSED),
        };
        if let (Some(key), true) = (key, is_new) {
            // A response that is too large for the cache is requested again.
            let _ = cache::put(&key.text(), answer.to_bytes(), self.ttl);
        }
        if let Some(reason) = refusal {
            return Err(refuse(reason));
        }
        self.identify(answer.usage_key.as_deref())?;
        set_attributes(&answer, request)
    }

    /// Call the authorizer and parse its response.
    fn called(
        &self,
        identity: &[String],
        key: Option<&Key>,
        facts: &Facts,
        request: &Request,
    ) -> Result<Answer, Stop> {
        let event = match (self.kind, self.payload) {
            (Kind::Token, _) => event::token(identity.first().map_or("", String::as_str), facts),
            (_, Payload::One) => event::request_1(identity, facts, request, &self.event),
            (_, Payload::Two) => event::request_2(identity, facts, request, &self.event),
        };
        let call = Call::new("POST", "")
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(event.to_string());
        let answered = self.ask(call, key)?;
        match answered.status {
            200 => {}
            401 => return Err(Stop::Answer(self.unauthorized(UNAUTHORIZED))),
            status => return Err(Stop::Failed(format!("it answered with status {status}"))),
        }
        Answer::read(&answered.body, self.is_simple).map_err(Stop::Failed)
    }

    /// The request as a resource, and as an event describes it.
    fn facts(&self, request: &Request) -> (MethodArn, Facts) {
        let attributes = request.attributes();
        let path = request.path_and_query();
        let method = request.method();
        let api = attributes
            .text("api.id")
            .unwrap_or_else(|| "default".to_owned());
        let stage = attributes
            .text("api.stage")
            .filter(|stage| !stage.is_empty());
        let stage = stage.unwrap_or_else(|| "$default".to_owned());
        let prefix = format!("{}:{api}/{stage}", self.arn);
        let arn = MethodArn::new(&prefix, &method, path.path());
        let facts = Facts {
            arn: arn.as_str().to_owned(),
            method,
            path: path.path().to_owned(),
            query: path.query().map(str::to_owned),
            route: attributes.text("route.id").unwrap_or_default(),
            api,
            stage,
        };
        (arn, facts)
    }

    /// Find the consumer by the key in the response.
    fn identify(&self, key: Option<&str>) -> Result<(), Stop> {
        let key = match (self.usage_key, key) {
            (UsageKey::Ignored, _) | (UsageKey::Optional, None) => return Ok(()),
            (UsageKey::Required, None) => return Err(refuse(USAGE_KEY_MISSING)),
            (UsageKey::Optional | UsageKey::Required, Some(key)) => key,
        };
        match keys::identify(key.as_bytes()) {
            Ok(()) => Ok(()),
            Err(IdentifyError::Attribute(error)) => Err(error.into()),
            Err(IdentifyError::Rejected(_)) => Err(refuse(USAGE_KEY_REJECTED)),
        }
    }

    fn forward(&self, key: Option<&Key>, request: &mut Request) -> Result<(), Stop> {
        let kept = key.and_then(|key| cache::get(&key.text()));
        let kept = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let copied: Copied = match kept {
            Some(copied) => copied,
            None => {
                // Never shared: a refusal may contain a cookie for one client, and has more content than a cached
                // approval.
                let call = forward::call(&self.send, request).ok_or_else(|| {
                    // RFC 6585, section 5: one field is too large, or all of them together.
                    Stop::Answer(LocalResponse::new(431, TOO_LARGE))
                })?;
                let answered = self.ask(call, None)?;
                if !(200..300).contains(&answered.status) {
                    let answer = forward::pass_back(answered, &self.pass_back);
                    let large = || Stop::Failed("its answer is too large".to_owned());
                    return Err(answer.map_or_else(large, Stop::Answer));
                }
                let copied = Copied::of(&answered, &self.copy);
                if let Some(key) = key {
                    let bytes = serde_json::to_vec(&copied).unwrap_or_default();
                    let _ = cache::put(&key.text(), bytes, self.ttl);
                }
                copied
            }
        };
        copied.put(&self.copy, request)?;
        Ok(())
    }
}

fn refuse(reason: &str) -> Stop {
    Stop::Answer(LocalResponse::new(403, reason))
}

fn set_attributes(answer: &Answer, request: &Request) -> Result<(), Stop> {
    let mut names = Vec::new();
    for (name, _) in &answer.context {
        names.push(format!("authorizer.{name}"));
    }
    let context = names.iter().zip(&answer.context);
    // This name is reserved for the principal.
    let context = context.filter(|(name, _)| **name != PRINCIPAL);
    let mut facts: Vec<(&str, AttributeRef<'_>)> = context
        .map(|(name, (_, value))| {
            let value = match value {
                ContextValue::Text(text) => AttributeRef::from(text),
                ContextValue::Number(number) => AttributeRef::from(*number),
                ContextValue::Flag(flag) => AttributeRef::from(*flag),
            };
            (name.as_str(), value)
        })
        .collect();
    if let Some(principal) = &answer.principal {
        facts.push((PRINCIPAL, principal.into()));
    }
    if !facts.is_empty() {
        request.attributes().set_all(&facts)?;
    }
    Ok(())
}

/// The SHA-256 of everything that a response depends on.
struct Key(Vec<u8>);

impl Key {
    /// The key as text for the cache.
    fn text(&self) -> String {
        use core::fmt::Write as _;
        let mut text = String::with_capacity(2 * self.0.len());
        for byte in &self.0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Describe for Authorizer {
    fn contribution(&self) -> Contribution {
        let contribution = identity::describe(&self.identity, Contribution::new());
        let failed = json!({ "description": "the authorizer failed" });
        contribution
            .response(
                401,
                json!({ "description": "the identity is missing, or not accepted" }),
            )
            .response(
                403,
                json!({ "description": "the authorizer does not allow the request" }),
            )
            .response(500, failed)
    }
}

windlass_plugin_sdk::export!(Authorizer: request, description);
