//! `cases.toml`: the cases of `windlass plugin test`.
//!
//! Read by the same readers as `windlass.toml`, so its errors look the same. [`super::super::load`]
//! reads the file; `plugin_test` runs the cases and compares.

mod expectation;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use toml::de::DeTable;
use windlass_config_derive::FromTable;

pub(crate) use expectation::*;

use super::bounds::FilterLimits;
use super::callout::BasicForm;
use super::filter::{Allow, DOCUMENTS, FilterDocument, Settings};
use super::key::KeyPlans;
use super::plan::Plan;
use super::route::PATH;
use super::verifier::Verifier;
use crate::config::field::{FromValue, Map, NAME, OneOrMore, Parsed, Then};
use crate::config::read::Table;
use crate::config::source::{Source, Span};
use crate::config::value::Refused;
use crate::config::value::message::{field_name, field_value};

/// The cases of a plugin, and what stands around the filter in all of them.
#[derive(Debug, FromTable)]
#[table(heading = "cases.toml")]
#[hint("filter route listener" => "`windlass plugin test` runs one filter, without a gateway around it: its settings are `settings`, its grants `allow`")]
#[hint("secrets" => "write one table for each: `[secret.<name>]`")]
#[hint("cases test tests" => "write `[[case]]` for each case")]
pub(crate) struct PluginCases {
    /// The file's name and text.
    #[key(with = Table::source)]
    pub(crate) source: Arc<Source>,
    /// The filter's settings in every case that has none of its own.
    #[key(absent = "an empty table")]
    pub(crate) settings: Settings,
    /// The grants of the filter, as in `[filter.<name>]`.
    #[key(absent = "nothing; for a `builtin:` plugin what its README lists")]
    pub(crate) allow: Option<Allow>,
    /// How much the filter may use, as in `[filter.<name>]`.
    #[key(default = "{}")]
    pub(crate) limits: FilterLimits,
    /// Files that the filter reads as its documents, by name. Paths are relative to this file.
    #[key(absent = "none", kind = DOCUMENTS)]
    pub(crate) documents: Vec<FilterDocument>,
    /// Secrets of the test.
    #[key(name = "secret", absent = "none", named)]
    pub(crate) secrets: Vec<CaseSecret>,
    /// Usage plans, as in `windlass.toml`, without APIs.
    #[key(name = "plan", absent = "none", named)]
    pub(crate) plans: Vec<Plan>,
    /// API keys of the test.
    #[key(name = "key", absent = "none", entries)]
    pub(crate) keys: Vec<CaseKey>,
    /// Verifiers of tokens, as in `windlass.toml`.
    #[key(name = "verifier", absent = "none", named)]
    pub(crate) verifiers: Vec<Verifier>,
    /// Upstreams that the filter may name in a hint.
    #[key(name = "upstream", absent = "none", named)]
    pub(crate) upstreams: Vec<CaseUpstream>,
    /// Servers that the filter may call. The cases say what they answer.
    #[key(name = "callout", absent = "none", named)]
    pub(crate) callouts: Vec<CaseCallout>,
    /// How the conformance kit runs this filter.
    #[key(default = "{}")]
    pub(crate) conformance: CaseConformance,
    /// The cases, in the order in which they run.
    #[key(name = "case", absent = "none", entries)]
    pub(crate) cases: Vec<PluginCase>,
}

impl PluginCases {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, crate::config::Problems> {
        crate::config::load::read_cases(path)
    }

    /// Those of a filter that has no file with cases.
    ///
    /// # Errors
    ///
    /// None, for an empty text.
    pub(crate) fn none() -> Result<Self, crate::config::Problems> {
        crate::config::load::parse_cases("cases.toml", "", Path::new(""))
    }
}

/// A secret of the test. Never write a real one: the file holds its value.
#[derive(Debug, FromTable)]
#[table(heading = "[secret.<name>]", short = "value", private)]
pub(crate) struct CaseSecret {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// The value, made up for the test.
    #[key(required = "a test value", kind = PRIVATE_TEXT)]
    pub(crate) value: String,
}

/// An API key of the test.
#[derive(Debug, FromTable)]
#[table(heading = "[[key]]", private)]
#[hint("digest" => "write the key itself, made up for the test: `key = \"..\"`")]
pub(crate) struct CaseKey {
    /// The key that the client sends, made up for the test.
    #[key(required = "test-key-1", kind = PRIVATE_TEXT)]
    pub(crate) key: String,
    /// Its public name: the attribute `api-key.id`.
    #[key(required = "acme-1", kind = NAME)]
    pub(crate) id: Arc<str>,
    /// The consumer that it was issued to: the attribute `consumer.id`.
    #[key(required = "acme")]
    pub(crate) consumer: Arc<str>,
    /// The indexes of its usage plans.
    #[key(flatten = KeyPlans)]
    pub(crate) plans: Vec<usize>,
    /// Whether the key is accepted.
    #[key(default = true)]
    pub(crate) enabled: bool,
    /// When the key expires.
    #[key(absent = "never")]
    pub(crate) expires: Option<SystemTime>,
    /// Other attributes of the key.
    #[key(absent = "none")]
    pub(crate) attributes: std::collections::BTreeMap<String, String>,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// An upstream that the filter may name in a hint. It has no keys: no request is sent.
#[derive(Debug, FromTable)]
#[table(heading = "[upstream.<name>]")]
pub(crate) struct CaseUpstream {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
}

/// A server that the filter may call. A small server on loopback stands in for it, and answers as
/// the `call` tables of the case say.
#[derive(Debug, FromTable)]
#[table(heading = "[callout.<name>]")]
#[hint("url ca timeout" => "the test answers itself: write what it answers in `[[case.call]]`")]
pub(crate) struct CaseCallout {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// How the user and password of Basic credentials are written, as in `windlass.toml`.
    #[key(default = "plain")]
    pub(crate) basic: BasicForm,
}

/// How the conformance kit runs this filter.
#[derive(Debug, FromTable)]
#[table(heading = "[conformance]")]
pub(crate) struct CaseConformance {
    /// Checks to leave out, each with the reason, which the report repeats.
    #[key(absent = "none", kind = SKIPS)]
    pub(crate) skip: std::collections::BTreeMap<String, String>,
    /// The name of the case whose exchange the kit repeats and changes.
    #[key(absent = "the first case that passes, and whose request reaches the endpoint")]
    pub(crate) base: Option<Arc<str>>,
}

/// One exchange, or one table of settings, and what is expected of it.
#[derive(Debug, FromTable)]
#[table(heading = "[[case]]", title = title)]
#[hint("expected" => "it is called `expect`")]
pub(crate) struct PluginCase {
    /// The promise of the filter in this case.
    #[key(required = "a listed team passes")]
    pub(crate) name: Arc<str>,
    /// The filter's settings.
    #[key(absent = "those of the file")]
    pub(crate) settings: Option<Settings>,
    /// The time of day, for the filter's clock, `request.time-ms`, tokens and quotas. It stands still.
    #[key(absent = "the real time")]
    pub(crate) time: Option<SystemTime>,
    /// The pattern of the route, whose parameters the filter reads.
    #[key(default = "$default", kind = PATH)]
    pub(crate) route: String,
    /// Attributes that filters before this one have set: texts, numbers and booleans. `a.b` is the
    /// attribute `a.b`.
    #[key(absent = "none")]
    pub(crate) attributes: Settings,
    /// The request of the client.
    #[key(default = "{}")]
    pub(crate) request: CaseRequest,
    /// The response of the endpoint.
    #[key(default = "{}")]
    pub(crate) response: CaseResponse,
    /// The calls to other servers that are expected, and their answers.
    #[key(name = "call", absent = "none", entries)]
    pub(crate) calls: Vec<CaseCall>,
    /// The expected result. A key that is not given is not compared.
    #[key(default = "{}")]
    pub(crate) expect: CaseExpectation,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// The request of the client, as it comes to the chain: without the fields of framing, and before
/// the gateway adds its own.
#[derive(Debug, Clone, FromTable)]
#[table(heading = "request = { .. }", check = request_body)]
pub(crate) struct CaseRequest {
    /// Its method.
    #[key(default = "GET")]
    pub(crate) method: Method,
    /// Its path, with the query.
    #[key(default = "/", kind = TARGET)]
    pub(crate) path: String,
    /// Its host.
    #[key(default = "api.example")]
    pub(crate) host: String,
    /// Its header fields: a text for each, or a list of texts for a field that is there several times.
    #[key(absent = "none")]
    pub(crate) headers: CaseFields,
    /// Its body: a text, or a list of texts, which arrive one after another.
    #[key(absent = "none", kind = PIECES)]
    pub(crate) body: Vec<String>,
    /// Whether the texts of `body` are base64 (RFC 4648, section 4), for bytes that are no text.
    #[key(default = false)]
    pub(crate) base64: bool,
    /// Its trailers.
    #[key(absent = "none")]
    pub(crate) trailers: CaseFields,
    /// Whether the client goes away before the end of the body.
    #[key(default = false)]
    pub(crate) cut: bool,
    /// The client's address.
    #[key(default = "192.0.2.1", kind = ADDRESS)]
    pub(crate) client: IpAddr,
    /// Whether the client came over TLS.
    #[key(default = true)]
    pub(crate) tls: bool,
}

/// The response of the endpoint, as it comes to the chain.
#[derive(Debug, Clone, FromTable)]
#[table(heading = "response = { .. }", check = response_body)]
pub(crate) struct CaseResponse {
    /// Its status.
    #[key(default = 200, within = 200..=599)]
    pub(crate) status: StatusCode,
    /// Its header fields.
    #[key(absent = "none")]
    pub(crate) headers: CaseFields,
    /// Its body: a text, or a list of texts, which arrive one after another.
    #[key(absent = "none", kind = PIECES)]
    pub(crate) body: Vec<String>,
    /// Whether the texts of `body` are base64.
    #[key(default = false)]
    pub(crate) base64: bool,
    /// Its trailers.
    #[key(absent = "none")]
    pub(crate) trailers: CaseFields,
    /// Whether it breaks off before the end of the body.
    #[key(default = false)]
    pub(crate) cut: bool,
}

/// A call that the filter makes to another server, and the answer. The first table that fits a call
/// and has answered none answers it; if all that fit have answered, the last of them does so again.
#[derive(Debug, Clone, FromTable)]
#[table(heading = "[[case.call]]")]
pub(crate) struct CaseCall {
    /// The name of the server: its table `[callout.<name>]`.
    #[key(required = "authorizer")]
    pub(crate) callout: Arc<str>,
    /// The method of the call.
    #[key(absent = "any")]
    pub(crate) method: Option<Method>,
    /// The path of the call, with the query, after the URL of the server.
    #[key(absent = "any", kind = TEXT)]
    pub(crate) path: Option<String>,
    /// Fields that the call has, among others.
    #[key(absent = "any")]
    pub(crate) headers: CaseFields,
    /// The body of the call.
    #[key(absent = "any", kind = TEXT)]
    pub(crate) body: Option<String>,
    /// The answer.
    #[key(default = "{}")]
    pub(crate) response: CaseResponse,
    /// Whether the server closes the connection in place of an answer.
    #[key(default = false)]
    pub(crate) fails: bool,
}

/// The fields of a message, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CaseFields(pub(crate) HeaderMap);

impl FromValue for CaseFields {
    type Kind = Then<Map<OneOrMore<HeaderValue>>, Self>;
    const KIND: Self::Kind = Then {
        of: Map {
            of: OneOrMore(Parsed::new("the value of a field", field_value)),
            key: |name| Ok(field_name(name)?.as_str().to_owned()),
            keys: "a field name",
        },
        make: |fields, _| {
            let mut map = HeaderMap::new();
            for (name, values) in fields? {
                let name = HeaderName::try_from(name).ok()?;
                for value in values {
                    map.append(name.clone(), value);
                }
            }
            Some(Self(map))
        },
    };
}

impl CaseRequest {
    /// The pieces of its body.
    pub(crate) fn pieces(&self) -> Vec<Bytes> {
        pieces(&self.body, self.base64)
    }
}

impl CaseResponse {
    /// The pieces of its body.
    pub(crate) fn pieces(&self) -> Vec<Bytes> {
        pieces(&self.body, self.base64)
    }
}

/// Texts that are not base64 were reported.
fn pieces(texts: &[String], is_base64: bool) -> Vec<Bytes> {
    let piece = |text: &String| match is_base64 {
        true => STANDARD.decode(text).unwrap_or_default().into(),
        false => Bytes::from(text.clone()),
    };
    let pieces = texts.iter().map(piece);
    pieces.filter(|piece| !piece.is_empty()).collect()
}

const TEXT: Parsed<String> = Parsed::new("a text", |text| Ok(text.to_owned()));

const PRIVATE_TEXT: Parsed<String> = Parsed::new("a text that is not empty", |text| match text {
    "" => Err(Refused::plain()),
    text => Ok(text.to_owned()),
})
.private();

const PIECES: OneOrMore<String> = OneOrMore(TEXT);

const NOTES: Map<Parsed<String>> = Map {
    of: TEXT,
    key: |key| Ok(key.to_owned()),
    keys: "a name",
};

const SKIPS: Map<Parsed<String>> = Map {
    of: String::KIND,
    key: |key| Ok(key.to_owned()),
    keys: "the name of a check",
};

const TARGET: Parsed<String> =
    Parsed::new("a path such as `\"/orders?full=1\"`", |text| {
        match text.starts_with('/') && http::uri::PathAndQuery::try_from(text).is_ok() {
            true => Ok(text.to_owned()),
            false => Err(Refused::plain()),
        }
    })
    .matching("^/");

const ADDRESS: Parsed<IpAddr> = Parsed::new("an IP address such as `\"192.0.2.1\"`", |text| {
    text.parse().map_err(|_| Refused::plain())
});

/// The name of a case in reports.
fn title(values: &DeTable<'_>) -> String {
    let name = values.get("name").and_then(|name| name.get_ref().as_str());
    match name {
        Some(name) => format!("case `{}`", name.escape_debug()),
        None => "case".to_owned(),
    }
}

fn request_body(table: &mut Table<'_>, request: &CaseRequest) {
    check_base64(table, &request.body, request.base64);
}

fn response_body(table: &mut Table<'_>, response: &CaseResponse) {
    check_base64(table, &response.body, response.base64);
}

fn check_base64(table: &mut Table<'_>, texts: &[String], is_base64: bool) {
    if is_base64 && texts.iter().any(|text| STANDARD.decode(text).is_err()) {
        table
            .error_at("body", "`body` is not base64")
            .help("`base64` encodes a file as this wants it; or leave `base64` out");
    }
}
