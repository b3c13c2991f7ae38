//! The settings as written, and where the token is then looked for.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_plugin_sdk::host::jwt::Mapping;
use windlass_plugin_sdk::{Diagnostic, Request, is_field_name, is_reserved_field};

const DEFAULT_HEADER: &str = "authorization";

/// Where the token is, who verifies it, and what is asked of it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The names of `[verifier.<name>]` tables, one for each issuer.
    pub verifiers: Vec<String>,
    /// The header that holds the token, after `Bearer` or alone. The default is `authorization`, where `Bearer` must
    /// be.
    #[serde(default)]
    header: Option<String>,
    /// The cookie that holds the token, in the place of a header.
    #[serde(default)]
    cookie: Option<String>,
    /// The query parameter that holds the token, in the place of a header.
    #[serde(default)]
    query: Option<String>,
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

/// Where the token is.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// In the header of this name, lower case.
    Header(String),
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
    pub fn check(&self) -> Result<(Source, Vec<Mapping<'static>>), Vec<Diagnostic>> {
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
        let source = self.source(&mut complaints);
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
        match source {
            Some(source) if complaints.is_empty() => Ok((source, claims.collect())),
            Some(_) | None => Err(complaints),
        }
    }

    fn source(&self, complaints: &mut Vec<Diagnostic>) -> Option<Source> {
        match (&self.header, &self.cookie, &self.query) {
            (header, None, None) => {
                let name = header.as_deref().unwrap_or(DEFAULT_HEADER);
                complaints.extend(check_header(name));
                Some(Source::Header(name.to_ascii_lowercase()))
            }
            (None, Some(name), None) => {
                if !is_field_name(name) {
                    complaints.push(Diagnostic::new("/cookie", "is not a legal cookie name"));
                }
                Some(Source::Cookie(name.clone()))
            }
            (None, None, Some(name)) => {
                if name.is_empty() {
                    complaints.push(Diagnostic::new("/query", "name the query parameter"));
                }
                Some(Source::Query(name.clone()))
            }
            (_, _, Some(_)) => {
                complaints.push(several("/query"));
                None
            }
            (Some(_), Some(_), None) => {
                complaints.push(several("/cookie"));
                None
            }
        }
    }
}

fn several(at: &str) -> Diagnostic {
    let message = "the token is in one place: keep one of `header`, `cookie` and `query`";
    Diagnostic::new(at, message)
}

fn check_header(name: &str) -> Option<Diagnostic> {
    let message = if !is_field_name(name) {
        format!("`{name}` is not a legal header name")
    } else if is_reserved_field(name) || name.eq_ignore_ascii_case("host") {
        format!("`{name}` is reserved to the gateway; name another header")
    } else {
        return None;
    };
    Some(Diagnostic::new("/header", message))
}

impl Source {
    /// What a request has there.
    pub fn find(&self, request: &Request) -> Option<String> {
        match self {
            Self::Header(name) => request.header_text(name),
            Self::Cookie(name) => {
                let fields = request.header_all("cookie");
                let mut found = fields.iter().filter_map(|field| cookie(field, name));
                found.next()
            }
            Self::Query(name) => request.query_param(name),
        }
    }

    /// The token in what was found. None: there is none.
    pub fn token<'a>(&self, found: &'a str) -> Option<&'a str> {
        let token = match self {
            Self::Header(name) => match (bearer(found), name == DEFAULT_HEADER) {
                (Some(token), _) => token,
                (None, true) => return None,
                (None, false) => found,
            },
            Self::Cookie(_) | Self::Query(_) => found,
        };
        (!token.is_empty()).then_some(token)
    }
}

/// The credentials after `Bearer`, whose letters have no case (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| rest.trim_start_matches(' '))
}

/// The value of the first cookie of this name (RFC 6265, section 4.2.1).
fn cookie(field: &[u8], name: &str) -> Option<String> {
    let field = std::str::from_utf8(field).ok()?;
    field.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(Source, Vec<Mapping<'static>>), Vec<Diagnostic>> {
        windlass_plugin_sdk::parse_settings::<Settings>(json)?.check()
    }

    fn places(json: &str) -> Vec<String> {
        let complaints = check(json).expect_err("the settings are bad");
        complaints.into_iter().map(|one| one.at).collect()
    }

    #[test]
    fn the_token_is_in_one_place() {
        let source = |json: &str| check(json).expect("good settings").0;
        assert_eq!(
            source(r#"{"verifiers":["a"]}"#),
            Source::Header("authorization".into())
        );
        assert_eq!(
            source(r#"{"verifiers":["a"],"cookie":"session"}"#),
            Source::Cookie("session".into())
        );
        assert_eq!(
            source(r#"{"verifiers":["a"],"query":"access_token"}"#),
            Source::Query("access_token".into())
        );
        for two in [
            r#""header":"x","cookie":"y""#,
            r#""header":"x","query":"y""#,
            r#""cookie":"x","query":"y""#,
        ] {
            let json = format!(r#"{{"verifiers":["a"],{two}}}"#);
            assert_eq!(places(&json).len(), 1, "{two}");
        }
    }

    #[test]
    fn every_complaint_is_made_at_once() {
        assert_eq!(
            places(
                r#"{"verifiers":[],"scopes":["a b","c","\""],"realm":"a\"b","header":"connection"}"#
            ),
            ["/verifiers", "/scopes/0", "/scopes/2", "/realm", "/header"]
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
    fn bearer_is_a_scheme_without_case() {
        let header = Source::Header("authorization".into());
        assert_eq!(header.token("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(header.token("bEARER   a.b.c"), Some("a.b.c"));
        for none in [
            "",
            "a.b.c",
            "Bearer",
            "Bearer ",
            "Basic a.b.c",
            "DPoP a.b.c",
        ] {
            assert_eq!(header.token(none), None, "{none}");
        }
        let own = Source::Header("x-token".into());
        assert_eq!(own.token("a.b.c"), Some("a.b.c"));
        assert_eq!(own.token("Bearer a.b.c"), Some("a.b.c"));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        assert_eq!(
            cookie(b"a=1; token=x.y.z; b=2", "token").as_deref(),
            Some("x.y.z")
        );
        assert_eq!(cookie(b"token=\"x\"", "token").as_deref(), Some("x"));
        assert_eq!(cookie(b"my-token=x", "token"), None);
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
