//! The settings as written, and the sources of the token that result from them.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_plugin_sdk::host::jwt::Mapping;
use windlass_plugin_sdk::{Diagnostic, is_field_name, is_reserved_field};

use crate::dpop::{DpopRules, DpopSettings};
use crate::introspection::{Introspection, IntrospectionSettings};
use crate::source::{AUTHORIZATION, DPOP, Source};

/// The most sources; each one is read for every request.
const MAX_PLACES: usize = 8;

/// Where the token is, who verifies it, and what is asked of it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The names of `[verifier.<name>]` tables, one for each issuer. With `introspection` there may be none.
    #[serde(default)]
    pub verifiers: Vec<String>,
    /// The server that is asked for tokens which are no JSON Web Tokens, or for all where `verifiers` is empty (RFC 7662).
    #[serde(default)]
    introspection: Option<IntrospectionSettings>,
    /// The places where the token may be, one or several. The default is the header `authorization`, after `Bearer`; with
    /// `dpop` also after `DPoP`.
    #[serde(default)]
    from: Option<Vec<Place>>,
    /// How proofs of a client's key are checked (RFC 9449).
    #[serde(default)]
    dpop: Option<DpopSettings>,
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
#[derive(Debug, Clone, Default, Deserialize)]
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

fn authorization(scheme: &str) -> Place {
    Place {
        header: Some(AUTHORIZATION.to_owned()),
        scheme: Some(scheme.to_owned()),
        ..Place::default()
    }
}

const fn yes() -> bool {
    true
}

fn subject() -> BTreeMap<String, String> {
    BTreeMap::from([("consumer.id".to_owned(), "sub?".to_owned())])
}

/// Keep a text of the settings for as long as the instance lives. An instance is configured once, and its memory is
/// freed with it.
pub fn keep(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// The checked settings.
#[derive(Debug)]
pub struct Checked {
    /// The sources of the token.
    pub sources: Vec<Source>,
    /// Claims that become attributes.
    pub claims: Vec<Mapping<'static>>,
    /// How proofs are checked.
    pub dpop: DpopRules,
    /// The server that is asked about tokens that no verifier can check.
    pub introspection: Option<Introspection>,
}

impl Settings {
    /// Check the settings.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn check(&self) -> Result<Checked, Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        if self.verifiers.is_empty() && self.introspection.is_none() {
            complaints.push(Diagnostic::new(
                "/verifiers",
                "names no verifier: add the name of a `[verifier.<name>]`, or `introspection`",
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
        for (attribute, claim) in &self.attributes {
            if let Some(message) = check_attribute(attribute).or_else(|| check_claim(claim)) {
                let key = attribute.replace('~', "~0").replace('/', "~1");
                complaints.push(Diagnostic::new(format!("/attributes/{key}"), message));
            }
        }
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
        let checked = Checked {
            sources,
            claims: claims.collect(),
            dpop: DpopSettings::check(self.dpop.as_ref(), &mut complaints),
            introspection: self
                .introspection
                .as_ref()
                .and_then(|settings| settings.check(!self.verifiers.is_empty(), &mut complaints)),
        };
        match complaints.is_empty() {
            true => Ok(checked),
            false => Err(complaints),
        }
    }

    /// The configured sources, or the default ones.
    fn places(&self, complaints: &mut Vec<Diagnostic>) -> Vec<Place> {
        let Some(places) = &self.from else {
            return match &self.dpop {
                None => vec![authorization("Bearer")],
                Some(dpop) if dpop.required => vec![authorization(DPOP)],
                Some(_) => vec![authorization("Bearer"), authorization(DPOP)],
            };
        };
        let is_dpop = |place: &Place| {
            let scheme = place.scheme.as_deref();
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(DPOP))
        };
        match &self.dpop {
            Some(_) if !places.iter().any(is_dpop) => {
                let message = "needs a place for tokens that come with a proof: add `{ header = \"authorization\", scheme = \"DPoP\" }` to `from`";
                complaints.push(Diagnostic::new("/dpop", message));
            }
            Some(dpop) if dpop.required && !places.iter().all(is_dpop) => {
                let message = "asks for a proof with each token, and `from` has places where a token comes without: leave them out";
                complaints.push(Diagnostic::new("/dpop/required", message));
            }
            Some(_) | None => {}
        }
        places.clone()
    }

    fn sources(&self, complaints: &mut Vec<Diagnostic>) -> Vec<Source> {
        let places = self.places(complaints);
        if places.is_empty() || places.len() > MAX_PLACES {
            let message = format!("names 1 to {MAX_PLACES} places");
            complaints.push(Diagnostic::new("/from", message));
        }
        let mut sources: Vec<Source> = Vec::new();
        for (number, place) in places.iter().enumerate() {
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

/// The wrong member of a source, and the message.
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

/// This attribute says which filter accepted the request, so no claim may set it. Other attributes need a grant of the
/// operator.
const METHOD: &str = "auth.method";

fn check_attribute(name: &str) -> Option<String> {
    if name == METHOD {
        return Some(format!(
            "`{name}` is `jwt` or `introspection`, which this filter sets, and no claim can be it: use another name, such as `auth.token-method`"
        ));
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let good = |part: &str| !part.is_empty() && part.bytes().all(is_part);
    (!name.split('.').all(good)).then(|| {
        format!("`{name}` is no name of an attribute: letters, digits, `-` and `_`, in parts with a `.` between them, such as `consumer.id`")
    })
}

fn check_claim(claim: &str) -> Option<String> {
    let pointer = claim.strip_suffix('?').unwrap_or(claim);
    if pointer.is_empty() {
        return Some("names no claim: write its name, such as `sub`".to_owned());
    }
    let escapes = |rest: &str| !rest.starts_with(['0', '1']);
    (pointer.starts_with('/') && pointer.split('~').skip(1).any(escapes)).then(|| {
        format!("`{pointer}` is no JSON pointer (RFC 6901): write `~0` for `~`, and `~1` for a `/` in a name")
    })
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

    fn header(name: &str, scheme: Option<&str>) -> Source {
        Source::Header {
            name: name.to_owned(),
            scheme: scheme.map(str::to_owned),
        }
    }

    #[test]
    fn the_token_is_after_bearer_unless_the_settings_say_where_else() {
        let sources = |json: &str| check(json).expect("good settings").sources;
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
    fn an_attribute_has_a_name_and_a_claim_that_a_token_can_have() {
        for (attributes, at, cure) in [
            (r#"{"consumer.x":"/a~2"}"#, "/attributes/consumer.x", "`~0`"),
            (r#"{"consumer.x":"/a~?"}"#, "/attributes/consumer.x", "`~0`"),
            (r#"{"consumer.x":""}"#, "/attributes/consumer.x", "`sub`"),
            (r#"{"consumer.x":"?"}"#, "/attributes/consumer.x", "`sub`"),
            (
                r#"{"consumer x":"a"}"#,
                "/attributes/consumer x",
                "`consumer.id`",
            ),
            (
                r#"{"consumer.":"a"}"#,
                "/attributes/consumer.",
                "`consumer.id`",
            ),
            (r#"{"a/b":"a"}"#, "/attributes/a~1b", "`consumer.id`"),
            (
                r#"{"auth.method":"amr"}"#,
                "/attributes/auth.method",
                "another name",
            ),
        ] {
            let json = format!(r#"{{"verifiers":["a"],"attributes":{attributes}}}"#);
            let complaints = check(&json).expect_err("the settings are bad");
            assert_eq!(complaints.len(), 1, "{json}: {complaints:?}");
            assert_eq!(complaints[0].at, at);
            assert!(complaints[0].message.contains(cure), "{complaints:?}");
        }
        for claim in [
            "sub",
            "~",
            "a~2",
            "/a~0b~1c",
            "/",
            "https://a.example/role?",
        ] {
            let json = format!(r#"{{"verifiers":["a"],"attributes":{{"consumer.x":"{claim}"}}}}"#);
            check(&json).expect(claim);
        }
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
        let Checked { claims, .. } = check(
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
