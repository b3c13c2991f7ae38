//! The settings as written, and where the token is then looked for.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_plugin_sdk::host::jwt::Mapping;
use windlass_plugin_sdk::{Diagnostic, EditError, Request, is_field_name, is_reserved_field};
use windlass_plugin_sdk::{Json, json};

const AUTHORIZATION: &str = "authorization";

/// The most places: each is looked at for every request.
const MAX_PLACES: usize = 8;

/// Where the token is, who verifies it, and what is asked of it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The names of `[verifier.<name>]` tables, one for each issuer.
    pub verifiers: Vec<String>,
    /// The places where the token may be, one or several. The default is the header `authorization`, after `Bearer`.
    #[serde(default = "authorization")]
    from: Vec<Place>,
    /// Whether the token is removed before the request goes upstream. The default is true.
    #[serde(default = "yes")]
    pub hide: bool,
    /// Scopes that a token must have, in `scope` or `scp`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether one of `scopes` is enough. The default is false.
    #[serde(default)]
    pub any_scope: bool,
    /// Attributes, and the claim that each is: a name, or a JSON pointer that begins with `/`. A token without the claim
    /// is not accepted, unless a `?` stands behind it. The default is `consumer.id` from `sub?`.
    #[serde(default = "subject")]
    attributes: BTreeMap<String, String>,
    /// The `realm` of a challenge.
    #[serde(default)]
    pub realm: Option<String>,
    /// The URL of the protected resource's metadata (RFC 9728), for a challenge.
    #[serde(default)]
    pub resource_metadata: Option<String>,
}

/// A place where the token may be: one of `header`, `cookie` and `query`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Place {
    /// The header that holds the token.
    #[serde(default)]
    header: Option<String>,
    /// The word before the token in the header. Empty: the token stands alone. The default is `Bearer` in
    /// `authorization`, and empty in another header.
    #[serde(default)]
    scheme: Option<String>,
    /// The cookie that holds the token.
    #[serde(default)]
    cookie: Option<String>,
    /// The query parameter that holds the token.
    #[serde(default)]
    query: Option<String>,
}

fn authorization() -> Vec<Place> {
    let header = Some(AUTHORIZATION.to_owned());
    vec![Place {
        header,
        ..Place::default()
    }]
}

const fn yes() -> bool {
    true
}

fn subject() -> BTreeMap<String, String> {
    BTreeMap::from([("consumer.id".to_owned(), "sub?".to_owned())])
}

/// A text of the settings, for as long as the instance lives: it is configured once, and its memory goes with it.
pub fn keep(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A place where the token may be.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// In the header of this name, lower case.
    Header {
        name: String,
        /// After this word, or alone.
        scheme: Option<String>,
    },
    /// In the cookie of this name.
    Cookie(String),
    /// In the query parameter of this name.
    Query(String),
}

impl Settings {
    /// Where the token is looked for, and which claims become attributes.
    ///
    /// # Errors
    /// Every complaint about the settings.
    pub fn check(&self) -> Result<(Vec<Source>, Vec<Mapping<'static>>), Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        if self.verifiers.is_empty() {
            complaints.push(Diagnostic::new(
                "/verifiers",
                "names no verifier: add the name of a `[verifier.<name>]`",
            ));
        }
        let is_token = |scope: &String| {
            let good = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            !scope.is_empty() && scope.bytes().all(good)
        };
        for (place, scope) in self.scopes.iter().enumerate() {
            if !is_token(scope) {
                complaints.push(Diagnostic::new(
                    format!("/scopes/{place}"),
                    "is not a scope: one word without quotes (RFC 6749, section 3.3)",
                ));
            }
        }
        for (at, text) in [
            ("/realm", &self.realm),
            ("/resource_metadata", &self.resource_metadata),
        ] {
            let plain = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
            if text.as_ref().is_some_and(|text| !text.bytes().all(plain)) {
                complaints.push(Diagnostic::new(
                    at,
                    "holds a character that a challenge cannot",
                ));
            }
        }
        let sources = self.sources(&mut complaints);
        let claims = self.attributes.iter().map(|(attribute, claim)| {
            let (claim, required) = match claim.strip_suffix('?') {
                Some(claim) => (claim, false),
                None => (claim.as_str(), true),
            };
            Mapping {
                claim: keep(claim.to_owned()),
                attribute: keep(attribute.clone()),
                required,
            }
        });
        match complaints.is_empty() {
            true => Ok((sources, claims.collect())),
            false => Err(complaints),
        }
    }

    fn sources(&self, complaints: &mut Vec<Diagnostic>) -> Vec<Source> {
        if self.from.is_empty() || self.from.len() > MAX_PLACES {
            let message = format!("names 1 to {MAX_PLACES} places");
            complaints.push(Diagnostic::new("/from", message));
        }
        let mut sources: Vec<Source> = Vec::new();
        for (number, place) in self.from.iter().enumerate() {
            let at = format!("/from/{number}");
            match place.source() {
                Ok(source) if sources.contains(&source) => {
                    complaints.push(Diagnostic::new(at, "is there twice: remove one of them"));
                }
                Ok(source) if sources.iter().any(|one| one.takes_all_of(&source)) => {
                    let message = "is never looked at: a place before it takes all that this header holds; write this one first";
                    complaints.push(Diagnostic::new(at, message));
                }
                Ok(source) => sources.push(source),
                Err((member, message)) => {
                    complaints.push(Diagnostic::new(format!("{at}{member}"), message));
                }
            }
        }
        sources
    }
}

/// The member of a place that is wrong, and the message.
type PlaceError = (&'static str, String);

impl Place {
    fn source(&self) -> Result<Source, PlaceError> {
        let bad = |member, message: &str| Err((member, message.to_owned()));
        if self.scheme.is_some() && self.header.is_none() {
            return bad("/scheme", "belongs to a `header`: remove it");
        }
        match (&self.header, &self.cookie, &self.query) {
            (Some(name), None, None) => Ok(Source::Header {
                scheme: self.header_scheme(name)?,
                name: name.to_ascii_lowercase(),
            }),
            (None, Some(name), None) => match is_field_name(name) {
                true => Ok(Source::Cookie(name.clone())),
                false => bad("/cookie", "is not a legal cookie name"),
            },
            (None, None, Some(name)) => match name.is_empty() {
                true => bad("/query", "name the query parameter"),
                false => Ok(Source::Query(name.clone())),
            },
            _ => bad(
                "",
                "is one place: give one of `header`, `cookie` and `query`",
            ),
        }
    }

    fn header_scheme(&self, name: &str) -> Result<Option<String>, PlaceError> {
        if let Some(message) = check_header(name) {
            return Err(("/header", message));
        }
        match self.scheme.as_deref() {
            None if name.eq_ignore_ascii_case(AUTHORIZATION) => Ok(Some("Bearer".to_owned())),
            None | Some("") => Ok(None),
            Some(scheme) if is_field_name(scheme) => Ok(Some(scheme.to_owned())),
            Some(_) => Err(("/scheme", "is not a scheme: one word".to_owned())),
        }
    }
}

fn check_header(name: &str) -> Option<String> {
    if !is_field_name(name) {
        Some(format!("`{name}` is not a legal header name"))
    } else if is_reserved_field(name) || name.eq_ignore_ascii_case("host") {
        let message = format!("`{name}` is reserved to the gateway; name another header");
        Some(message)
    } else {
        None
    }
}

impl Source {
    /// As an OpenAPI security scheme: what tells it from others, and the scheme.
    pub fn describe(&self) -> (String, Json) {
        let (place, name) = match self {
            Self::Header {
                name,
                scheme: Some(scheme),
            } if name == AUTHORIZATION => {
                let scheme = scheme.to_ascii_lowercase();
                let about = json!({ "type": "http", "scheme": scheme, "bearerFormat": "JWT" });
                return (scheme, about);
            }
            Self::Header { name, .. } => ("header", name),
            Self::Cookie(name) => ("cookie", name),
            Self::Query(name) => ("query", name),
        };
        let about = json!({ "type": "apiKey", "in": place, "name": name });
        (name.clone(), about)
    }

    /// The text that a request has there, if it holds a token.
    pub fn find(&self, request: &Request) -> Option<String> {
        let found = match self {
            Self::Header { name, .. } => request.header_text(name),
            Self::Cookie(name) => {
                let fields = request.header_all("cookie");
                let mut found = fields.iter().flat_map(|field| cookies(field, name));
                let first = found.next();
                first.and_then(|value| String::from_utf8(value.to_vec()).ok())
            }
            Self::Query(name) => request.query_param(name),
        };
        found.filter(|found| self.token(found).is_some())
    }

    /// The token in what was found. None: there is none.
    pub fn token<'a>(&self, found: &'a str) -> Option<&'a str> {
        let token = match self {
            Self::Header {
                scheme: Some(scheme),
                ..
            } => after(scheme, found)?,
            Self::Header { scheme: None, .. } | Self::Cookie(_) | Self::Query(_) => found,
        };
        (!token.is_empty()).then_some(token)
    }

    /// Whether this is the header of another place.
    pub fn is_header_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name: one, .. }, Self::Header { name: other, .. }) => one == other,
            _ => false,
        }
    }

    fn takes_all_of(&self, other: &Self) -> bool {
        matches!(self, Self::Header { scheme: None, .. }) && self.is_header_of(other)
    }

    /// How often the request has something there.
    pub fn count(&self, request: &Request) -> usize {
        match self {
            Self::Header { name, .. } => request.header_all(name).len(),
            Self::Cookie(name) => {
                let fields = request.header_all("cookie");
                let counts = fields.iter().map(|field| cookies(field, name).count());
                counts.sum()
            }
            Self::Query(name) => request.path_and_query().remove_query(name),
        }
    }

    /// Removes all that the request has there, and tells how often that was.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    pub fn remove(&self, request: &mut Request) -> Result<usize, EditError> {
        match self {
            Self::Header { name, .. } => Ok(request.remove_header(name)? as usize),
            Self::Cookie(name) => {
                let count = self.count(request);
                remove_cookie(request, name)?;
                Ok(count)
            }
            Self::Query(name) => {
                let mut path = request.path_and_query();
                let count = path.remove_query(name);
                request.set_path(path.to_string())?;
                Ok(count)
            }
        }
    }
}

/// The credentials after this scheme, whose letters have no case (RFC 9110, section 11.1).
fn after<'a>(scheme: &str, value: &'a str) -> Option<&'a str> {
    // A tab is not legal there. Some endpoints take it, so a token behind it is one here too.
    let blank = [' ', '\t'];
    let (first, rest) = value.split_once(blank)?;
    first
        .eq_ignore_ascii_case(scheme)
        .then(|| rest.trim_start_matches(blank))
}

/// The values of the cookies of this name that are not empty (RFC 6265, section 4.2.1).
fn cookies<'a>(field: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let values = pairs.filter_map(move |pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..end].trim_ascii(), pair[end + 1..].trim_ascii());
        (key == name.as_bytes()).then(|| unquoted(value))
    });
    values.filter(|value| !value.is_empty())
}

/// A cookie's value may be quoted.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        _ => value,
    }
}

/// Send the other cookies on.
fn remove_cookie(request: &mut Request, name: &str) -> Result<(), EditError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(Vec<Source>, Vec<Mapping<'static>>), Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings::<Settings>(json)?.check()
    }

    fn places(json: &str) -> Vec<String> {
        let complaints = check(json).expect_err("the settings are bad");
        complaints.into_iter().map(|one| one.at).collect()
    }

    fn header(name: &str, scheme: Option<&str>) -> Source {
        Source::Header {
            name: name.to_owned(),
            scheme: scheme.map(str::to_owned),
        }
    }

    #[test]
    fn the_token_is_after_bearer_unless_the_settings_say_where_else() {
        let sources = |json: &str| check(json).expect("good settings").0;
        let bearer = header("authorization", Some("Bearer"));
        assert_eq!(sources(r#"{"verifiers":["a"]}"#), [bearer]);
        let several = r#"{"verifiers":["a"],"from":[
            {"query":"access_token"},{"cookie":"session"},{"header":"Authorization","scheme":"DPoP"},
            {"header":"authorization","scheme":""},{"header":"X-Token"}
        ]}"#;
        assert_eq!(
            sources(several),
            [
                Source::Query("access_token".into()),
                Source::Cookie("session".into()),
                header("authorization", Some("DPoP")),
                header("authorization", None),
                header("x-token", None),
            ]
        );
    }

    #[test]
    fn a_place_is_one_place_and_there_once() {
        for (from, at) in [
            (r#"{"header":"x","cookie":"y"}"#, "/from/0"),
            (r#"{"header":"x","query":"y"}"#, "/from/0"),
            (r#"{"cookie":"x","query":"y"}"#, "/from/0"),
            ("{}", "/from/0"),
            (r#"{"cookie":"a b"}"#, "/from/0/cookie"),
            (r#"{"query":""}"#, "/from/0/query"),
            (r#"{"header":"host"}"#, "/from/0/header"),
            (r#"{"header":"x","scheme":"a b"}"#, "/from/0/scheme"),
            (r#"{"cookie":"x","scheme":"Bearer"}"#, "/from/0/scheme"),
            (r#"{"cookie":"x"},{"cookie":"x"}"#, "/from/1"),
            (r#"{"header":"x"},{"header":"X","scheme":""}"#, "/from/1"),
            (r#"{"header":"x"},{"header":"x","scheme":"T"}"#, "/from/1"),
            ("", "/from"),
        ] {
            let json = format!(r#"{{"verifiers":["a"],"from":[{from}]}}"#);
            assert_eq!(places(&json), [at], "{from}");
        }
        let many: Vec<String> = (0..9)
            .map(|number| format!(r#"{{"cookie":"c{number}"}}"#))
            .collect();
        let json = format!(r#"{{"verifiers":["a"],"from":[{}]}}"#, many.join(","));
        assert_eq!(places(&json), ["/from"]);
    }

    #[test]
    fn every_complaint_is_made_at_once() {
        assert_eq!(
            places(
                r#"{"verifiers":[],"scopes":["a b","c","\""],"realm":"a\"b","from":[{"header":"connection"}]}"#
            ),
            [
                "/verifiers",
                "/scopes/0",
                "/scopes/2",
                "/realm",
                "/from/0/header"
            ]
        );
    }

    #[test]
    fn a_claim_is_required_unless_a_question_mark_stands_behind_it() {
        let (_, claims) = check(
            r#"{"verifiers":["a"],"attributes":{"consumer.id":"sub","auth.roles":"/realm/roles?"}}"#,
        )
        .expect("good settings");
        let claims: Vec<_> = claims
            .iter()
            .map(|one| (one.attribute, one.claim, one.required))
            .collect();
        assert_eq!(
            claims,
            [
                ("auth.roles", "/realm/roles", false),
                ("consumer.id", "sub", true)
            ]
        );
    }

    #[test]
    fn a_scheme_has_no_case_and_without_one_all_is_the_token() {
        let bearer = header("authorization", Some("Bearer"));
        assert_eq!(bearer.token("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer.token("bEARER   a.b.c"), Some("a.b.c"));
        assert_eq!(bearer.token("Bearer\ta.b.c"), Some("a.b.c"));
        for none in [
            "",
            "a.b.c",
            "Bearer",
            "Bearer ",
            "Basic a.b.c",
            "DPoP a.b.c",
        ] {
            assert_eq!(bearer.token(none), None, "{none}");
        }
        let alone = header("x-token", None);
        assert_eq!(alone.token("a.b.c"), Some("a.b.c"));
        assert_eq!(alone.token("Bearer a.b.c"), Some("Bearer a.b.c"));
        assert_eq!(alone.token(""), None);
    }

    #[test]
    fn cookies_are_found_among_others_unless_they_are_empty() {
        let found = |field: &[u8], name: &str| {
            let values = cookies(field, name).map(<[u8]>::to_vec);
            values.collect::<Vec<_>>()
        };
        assert_eq!(found(b"a=1; token=x.y.z; b=2", "token"), [b"x.y.z"]);
        assert_eq!(found(b"token=\"x\"; token = y", "token"), [b"x", b"y"]);
        assert_eq!(found(b"token=; token=\"\"; token=y", "token"), [b"y"]);
        assert_eq!(found(b"a=\xff; token=\xfe", "token"), [b"\xfe"]);
        assert_eq!(found(b"my-token=x; token", "token"), [b""; 0]);
    }

    /// `BLESS=1 cargo test` writes the file anew.
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
