//! The settings, checked as a whole.

use core::time::Duration;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use windlass_plugin_sdk::{Diagnostic, is_field_name, is_reserved_field, parse_duration};

use crate::identity::Source;

/// The longest time in the cache: Amazon's limit.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// The most sources of an identity, and the most names of each other list.
const MAX_NAMES: usize = 32;
/// The longest `pattern` in bytes.
const MAX_PATTERN: usize = 1024;

/// Which server is asked about a request, how, and for how long its answer counts.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The `[callout.<name>]` of the authorizer.
    pub callout: String,
    /// The `[secret.<name>]` that is sent to it, as `authorization: Bearer <secret>`.
    #[serde(default)]
    pub secret: Option<String>,
    /// How it is asked: `token` and `request` as API Gateway asks, with an event in JSON; `forward` with fields alone, as
    /// Envoy, nginx and Traefik ask.
    #[serde(default)]
    pub kind: Kind,
    /// The format of the event: `1.0` or `2.0`. By default `2.0` for `request`; `token` has `1.0` alone.
    #[serde(default)]
    pub payload: Option<Payload>,
    /// Whether it answers with a policy, or with `isAuthorized` (format 2.0).
    #[serde(default)]
    pub answers: Answers,
    /// Whose request it is: all of these places. By default the header `authorization`; none for `forward`.
    #[serde(default)]
    pub identity: Option<Vec<Place>>,
    /// A regular expression that all of the identity's first value must match.
    #[serde(default)]
    pub pattern: Option<String>,
    /// How long an answer counts: whole seconds, minutes or hours, such as `5m`, at most `1h`; `0s` is for one request
    /// only. By default `5m`; `0s` for `forward`.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Whether an answer without a policy counts for all routes and methods of an API.
    #[serde(default)]
    pub share_across_routes: bool,
    /// The key of a usage plan in the answer (`usageIdentifierKey`): `ignored`, `optional` or `required`.
    #[serde(default)]
    pub usage_key: UsageKey,
    /// The region in ARNs.
    #[serde(default = "region")]
    pub region: String,
    /// The account in ARNs and events.
    #[serde(default = "account")]
    pub account: String,
    /// Path parameters to put into events, by their names in the routes' paths.
    #[serde(default)]
    pub path_parameters: Vec<String>,
    /// Stage variables to put into events.
    #[serde(default)]
    pub variables: Vec<String>,
    /// With `forward`: fields of the request to send. By default `authorization` and `cookie`.
    #[serde(default)]
    pub send: Option<Vec<String>>,
    /// With `forward`: fields of a good answer that go upstream, in the place of the client's.
    #[serde(default)]
    pub copy: Option<Vec<String>>,
    /// With `forward`: fields of another answer that go to the client. By default `content-type`, `location`, `set-cookie`
    /// and `www-authenticate`.
    #[serde(default)]
    pub pass_back: Option<Vec<String>>,
}

/// How an authorizer is asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// With one header's value.
    Token,
    /// With the request's head.
    #[default]
    Request,
    /// With fields alone.
    Forward,
}

/// The format of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Payload {
    /// As for REST APIs.
    #[serde(rename = "1.0")]
    One,
    /// As for HTTP APIs.
    #[serde(rename = "2.0")]
    Two,
}

/// The form of an answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// `policyDocument`.
    #[default]
    Policy,
    /// `isAuthorized`.
    Simple,
}

/// Whether the answer must name an API key.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum UsageKey {
    /// It is not looked at.
    #[default]
    Ignored,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// A place of the identity: one of `header`, `query`, `cookie`, `variable` and `attribute`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A header.
    #[serde(default)]
    header: Option<String>,
    /// A query parameter.
    #[serde(default)]
    query: Option<String>,
    /// A cookie.
    #[serde(default)]
    cookie: Option<String>,
    /// A stage variable of the route's API.
    #[serde(default)]
    variable: Option<String>,
    /// An attribute, such as `client.ip`, or one that an earlier filter sets.
    #[serde(default)]
    attribute: Option<String>,
}

/// The settings in the form that requests use.
#[derive(Debug)]
pub struct Checked {
    /// The sources of the identity.
    pub identity: Vec<Source>,
    /// The pattern that the first value of the identity must match.
    pub pattern: Option<Regex>,
    /// How long a response applies.
    pub ttl: Duration,
    /// The format of events.
    pub payload: Payload,
    /// Request fields to send.
    pub send: Vec<String>,
    /// Fields of an accepting response that go upstream.
    pub copy: Vec<String>,
    /// Fields of a refusing response that go to the client.
    pub pass_back: Vec<String>,
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn account() -> String {
    "000000000000".to_owned()
}

impl Settings {
    /// Parse the texts, and check that all settings are consistent.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn check(&self) -> Result<Checked, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        let mut complain = |at: &str, text: String| complaints.push(Diagnostic::new(at, text));
        let is_forward = self.kind == Kind::Forward;
        for (at, name) in [
            ("/callout", Some(&self.callout)),
            ("/secret", self.secret.as_ref()),
        ] {
            if name.is_some_and(String::is_empty) {
                complain(at, "is empty: write a name".to_owned());
            }
        }
        let ttl = match &self.ttl {
            None if is_forward => Duration::ZERO,
            None => Duration::from_secs(300),
            Some(text) => duration(text).unwrap_or_else(|| {
                complain("/ttl", format!("`{text}` is no time: write whole seconds, minutes or hours, such as `5m`, at most `1h`"));
                Duration::ZERO
            }),
        };
        let payload = match (self.kind, self.payload) {
            (Kind::Request, None | Some(Payload::Two)) => Payload::Two,
            (Kind::Request | Kind::Token, Some(Payload::One)) | (Kind::Token, None) => Payload::One,
            (Kind::Token, Some(Payload::Two)) => {
                complain(
                    "/payload",
                    "`token` has format `1.0` alone: remove it, or write `kind = \"request\"`"
                        .to_owned(),
                );
                Payload::One
            }
            (Kind::Forward, payload) => {
                if payload.is_some() {
                    complain("/payload", "`forward` sends no event: remove it".to_owned());
                }
                Payload::One
            }
        };
        if self.answers == Answers::Simple && (is_forward || payload == Payload::One) {
            complain(
                "/answers",
                "`simple` goes with `kind = \"request\"` and `payload = \"2.0\"`".to_owned(),
            );
        }
        for (at, name) in [("/region", &self.region), ("/account", &self.account)] {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || name.len() > 32 || !name.bytes().all(is_plain) {
                complain(
                    at,
                    format!(
                        "`{}` has not 1 to 32 letters, digits and `-`",
                        name.escape_debug()
                    ),
                );
            }
        }
        if is_forward && self.usage_key != UsageKey::Ignored {
            complain(
                "/usage_key",
                "the answer to `forward` names no key: remove it".to_owned(),
            );
        }
        if self.share_across_routes && !is_forward && self.answers == Answers::Policy {
            complain(
                "/share_across_routes",
                "a policy counts for all routes, and is evaluated for each: remove it".to_owned(),
            );
        }
        for (at, list) in [
            ("/path_parameters", &self.path_parameters),
            ("/variables", &self.variables),
        ] {
            if !list.is_empty() && self.kind != Kind::Request {
                complain(
                    at,
                    "goes with `kind = \"request\"` only: remove it".to_owned(),
                );
            }
            if list.len() > MAX_NAMES {
                complain(
                    at,
                    format!("has {} names, wanted at most {MAX_NAMES}", list.len()),
                );
            }
        }
        let mut fields = |at: &str, list: &Option<Vec<String>>, default: &[&str]| {
            let Some(list) = list else {
                let default = default.iter().filter(|_| is_forward);
                return default.map(|&name| name.to_owned()).collect();
            };
            if !is_forward {
                complaints.push(Diagnostic::new(
                    at,
                    "goes with `kind = \"forward\"` only: remove it",
                ));
            }
            if list.len() > MAX_NAMES {
                let text = format!("has {} names, wanted at most {MAX_NAMES}", list.len());
                complaints.push(Diagnostic::new(at, text));
            }
            for (index, name) in list.iter().enumerate() {
                complaints.extend(check_header(name, &format!("{at}/{index}")));
            }
            list.iter().map(|name| name.to_ascii_lowercase()).collect()
        };
        let send: Vec<String> = fields("/send", &self.send, &["authorization", "cookie"]);
        let copy = fields("/copy", &self.copy, &[]);
        let pass_back = fields(
            "/pass_back",
            &self.pass_back,
            &["content-type", "location", "set-cookie", "www-authenticate"],
        );
        for (index, name) in send.iter().enumerate() {
            if name.starts_with("x-forwarded-") || name.starts_with("x-original-") {
                let text = format!("`{name}` is set by this filter: remove it");
                complaints.push(Diagnostic::new(format!("/send/{index}"), text));
            }
        }
        if self.secret.is_some() && send.iter().any(|name| name == "authorization") {
            let text = "takes the place of the client's `authorization`, which `send` has: write `send` without it, such as `[\"cookie\"]`";
            complaints.push(Diagnostic::new("/secret", text));
        }
        let identity = self.sources(ttl, &mut complaints);
        let pattern = self.regex(&identity, &mut complaints);
        match complaints.is_empty() {
            true => Ok(Checked {
                identity,
                pattern,
                ttl,
                payload,
                send,
                copy,
                pass_back,
            }),
            false => Err(complaints),
        }
    }

    fn sources(&self, ttl: Duration, complaints: &mut Vec<Diagnostic>) -> Vec<Source> {
        let Some(places) = &self.identity else {
            if self.kind != Kind::Forward {
                return vec![Source::Header("authorization".to_owned())];
            }
            if !ttl.is_zero() {
                let text = "an answer that is kept must be somebody's: name `identity`, such as `[{ header = \"authorization\" }]`";
                complaints.push(Diagnostic::new("/ttl", text));
            }
            return Vec::new();
        };
        if self.kind == Kind::Token
            && !matches!(
                places.as_slice(),
                [Place {
                    header: Some(_),
                    ..
                }]
            )
        {
            let text = "`token` sends exactly one header: write one `{ header = \"<name>\" }`, or `kind = \"request\"`";
            complaints.push(Diagnostic::new("/identity", text));
        }
        if places.is_empty() && !ttl.is_zero() {
            let text =
                "an answer that is kept must be somebody's: name a place, or set `ttl = \"0s\"`";
            complaints.push(Diagnostic::new("/identity", text));
        }
        if places.len() > MAX_NAMES {
            let text = format!("has {} places, wanted at most {MAX_NAMES}", places.len());
            complaints.push(Diagnostic::new("/identity", text));
        }
        let mut sources = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let at = format!("/identity/{index}");
            if let Some(source) = place.check(&at, complaints) {
                if sources.contains(&source) {
                    complaints.push(Diagnostic::new(at, "is there twice"));
                }
                sources.push(source);
            }
        }
        sources
    }

    fn regex(&self, identity: &[Source], complaints: &mut Vec<Diagnostic>) -> Option<Regex> {
        let pattern = self.pattern.as_deref()?;
        let mut complain = |text: String| complaints.push(Diagnostic::new("/pattern", text));
        if identity.is_empty() {
            complain("there is no identity to match: name `identity`, or remove it".to_owned());
        }
        if pattern.len() > MAX_PATTERN {
            complain(format!(
                "has {} bytes, wanted at most {MAX_PATTERN}",
                pattern.len()
            ));
            return None;
        }
        // First without the group, so that the pattern cannot close it.
        let whole = Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")));
        whole
            .map_err(|error| complain(format!("is no regular expression: {error}")))
            .ok()
    }
}

impl Place {
    fn check(&self, at: &str, complaints: &mut Vec<Diagnostic>) -> Option<Source> {
        let all = [
            &self.header,
            &self.query,
            &self.cookie,
            &self.variable,
            &self.attribute,
        ];
        if all.iter().filter(|one| one.is_some()).count() != 1 {
            let text =
                "wants exactly one of `header`, `query`, `cookie`, `variable` and `attribute`";
            complaints.push(Diagnostic::new(at, text));
            return None;
        }
        if all.iter().any(|one| one.as_deref() == Some("")) {
            complaints.push(Diagnostic::new(at, "is empty: write a name"));
        }
        if let Some(name) = &self.header {
            complaints.extend(check_header(name, at));
            return Some(Source::Header(name.to_ascii_lowercase()));
        }
        if let Some(name) = &self.cookie {
            // RFC 6265, section 4.1.1: a cookie's name is a token, like the name of a field.
            if !is_field_name(name) {
                let text = format!("`{}` is not a legal name of a cookie", name.escape_debug());
                complaints.push(Diagnostic::new(at, text));
            }
            return Some(Source::Cookie(name.clone()));
        }
        let variable = self
            .variable
            .as_ref()
            .map(|name| format!("api.variable.{name}"));
        let query = self.query.clone().map(Source::Query);
        query.or_else(|| {
            variable
                .or_else(|| self.attribute.clone())
                .map(Source::Attribute)
        })
    }
}

fn check_header(name: &str, at: &str) -> Option<Diagnostic> {
    let message = if !is_field_name(name) {
        format!("`{}` is not a legal header name", name.escape_debug())
    } else if is_reserved_field(name) || name.eq_ignore_ascii_case("host") {
        format!("`{name}` is reserved to the gateway; name another header")
    } else {
        return None;
    };
    Some(Diagnostic::new(at, message))
}

/// Parse a duration in whole seconds, minutes or hours.
fn duration(text: &str) -> Option<Duration> {
    let duration = parse_duration(text)?;
    (duration.subsec_millis() == 0 && duration <= MAX_TTL).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Checked, Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings::<Settings>(json)?.check()
    }

    fn places(json: &str) -> Vec<String> {
        let complaints = check(json).expect_err("the settings are bad");
        complaints.into_iter().map(|one| one.at).collect()
    }

    #[test]
    fn the_defaults_are_amazon_s() {
        let checked = check(r#"{"callout":"auth"}"#).unwrap();
        assert_eq!(checked.ttl, Duration::from_secs(300));
        assert_eq!(checked.payload, Payload::Two);
        assert_eq!(checked.identity, [Source::Header("authorization".into())]);
        let token = check(r#"{"callout":"auth","kind":"token","ttl":"1h"}"#).unwrap();
        assert_eq!((token.payload, token.ttl), (Payload::One, MAX_TTL));
        let forward = check(r#"{"callout":"auth","kind":"forward"}"#).unwrap();
        assert_eq!(forward.ttl, Duration::ZERO);
        assert_eq!(forward.identity, []);
        assert_eq!(forward.send, ["authorization", "cookie"]);
        let secret = r#"{"callout":"auth","kind":"forward","secret":"s","send":["cookie"]}"#;
        assert!(check(secret).is_ok() && check(r#"{"callout":"auth","secret":"s"}"#).is_ok());
    }

    #[test]
    fn every_complaint_is_made_at_once() {
        for (json, wanted) in [
            (
                r#"{"callout":"","secret":"","ttl":"2h","region":"a b","account":"","usage_key":"required","kind":"forward","payload":"1.0","answers":"simple","copy":["a b","Connection"],"send":["x-forwarded-for"]}"#,
                &[
                    "/callout",
                    "/secret",
                    "/ttl",
                    "/payload",
                    "/answers",
                    "/region",
                    "/account",
                    "/usage_key",
                    "/copy/0",
                    "/copy/1",
                    "/send/0",
                ][..],
            ),
            (
                r#"{"callout":"a","kind":"token","payload":"2.0","answers":"simple","identity":[{"query":"q"}],"variables":["v"],"copy":[],"share_across_routes":true}"#,
                &["/payload", "/answers", "/variables", "/copy", "/identity"],
            ),
            (
                r#"{"callout":"a","share_across_routes":true,"identity":[],"pattern":"x"}"#,
                &["/share_across_routes", "/identity", "/pattern"],
            ),
            (
                r#"{"callout":"a","identity":[{},{"header":"host"},{"cookie":"a b"},{"query":"q"},{"query":"q"},{"query":"q","header":"a"},{"attribute":""}],"pattern":"(a"}"#,
                &[
                    "/identity/0",
                    "/identity/1",
                    "/identity/2",
                    "/identity/4",
                    "/identity/5",
                    "/identity/6",
                    "/pattern",
                ],
            ),
            (r#"{"callout":"a","kind":"forward","ttl":"1m"}"#, &["/ttl"]),
            (
                r#"{"callout":"a","kind":"forward","secret":"s"}"#,
                &["/secret"],
            ),
            (
                r#"{"callout":"a","kind":"forward","secret":"s","send":["cookie","Authorization"]}"#,
                &["/secret"],
            ),
            (r#"{"callout":"a","ttl":"5"}"#, &["/ttl"]),
            (r#"{"callout":"a","pattern":"a)|(b"}"#, &["/pattern"]),
            (r#"{"callout":"a","kid":1}"#, &["/kid"]),
            ("{}", &[""]),
        ] {
            assert_eq!(places(json), wanted, "{json}");
        }
    }

    #[test]
    fn a_pattern_must_match_the_whole() {
        let checked = check(r#"{"callout":"a","pattern":"a|b"}"#).unwrap();
        let pattern = checked.pattern.unwrap();
        assert!(pattern.is_match("a") && pattern.is_match("b"));
        assert!(!pattern.is_match("ab") && !pattern.is_match("a\n") && !pattern.is_match("xa"));
    }

    /// `BLESS=1 cargo test` writes the file.
    #[test]
    fn the_schema_file_is_in_step() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Settings)).unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write("settings.schema.json", &schema).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string("settings.schema.json").unwrap(),
            schema
        );
    }
}
