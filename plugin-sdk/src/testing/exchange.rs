//! A request and its response, as a filter meets them.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::data::LogLine;
use super::rules::{has_room, normal_target};
use crate::bindings::callout::windlass::callout::calls::CallError;
use crate::host::callout::Response as CalloutResponse;
use crate::host::limits::Levels;
use crate::host::rates::Level as RateLevel;
use crate::{AttributeRef, AttributeValue, BodyMode};

/// A request and, once there is one, its response: what the phases of a filter read and edit.
///
/// Build one for each test, run phases on it in their order, and look at it after each. Until a test says otherwise,
/// the request is plain HTTP for `gateway.example` from the address 192.0.2.1, on the route `route`.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) target: String,
    pub(super) original_target: String,
    pub(super) request: HeaderMap,
    /// The status and the fields.
    pub(super) response: Option<(u16, HeaderMap)>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) chunk: Vec<u8>,
    pub(super) params: Vec<(String, String)>,
    pub(super) host_attributes: Vec<(String, AttributeValue)>,
    pub(super) attributes: Vec<(String, AttributeValue)>,
    pub(super) notes: Vec<(String, Vec<u8>)>,
    pub(super) response_edits: Vec<FieldEdit>,
    pub(super) problem_members: Option<String>,
    pub(super) log: Vec<LogLine>,
    /// The mode in which the last verdict on a head asked for the body.
    pub(super) request_body: Option<BodyMode>,
    pub(super) response_body: Option<BodyMode>,
    /// The callouts of the request phase, each with its answer.
    pub(super) answers: Vec<(CallKey, Result<CalloutResponse, CallError>)>,
    /// What `give-back` can return, by ticket.
    pub(super) tickets: Vec<(u64, Vec<(String, u64)>)>,
    pub(super) levels: Option<Levels>,
    pub(super) rate_levels: Vec<RateLevel>,
    /// The token that the running phase verified.
    pub(super) claims: Option<serde_json::Value>,
}

/// What distinguishes a callout from others of its phase.
pub(super) type CallKey = Vec<u8>;

/// An edit of the response that waits for it.
#[derive(Debug, Clone)]
pub(super) enum FieldEdit {
    Set(HeaderName, HeaderValue),
    Append(HeaderName, HeaderValue),
    AddMember(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl Exchange {
    /// A request with this method, for this path with its query.
    ///
    /// # Panics
    ///
    /// If the gateway would refuse the method or the path.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        assert!(
            http::Method::from_bytes(method.as_bytes()).is_ok(),
            "`{method}` is no method"
        );
        let normal = normal_target(target);
        let normal = normal.unwrap_or_else(|| panic!("the gateway refuses the path `{target}`"));
        let exchange = Self {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            original_target: target.to_owned(),
            target: normal,
            ..Self::default()
        };
        let named = |name: &str, value: &str| (name.to_owned(), AttributeValue::Text(value.into()));
        let number = |name: &str, value| (name.to_owned(), AttributeValue::Number(value));
        let facts = vec![
            named("client.ip", "192.0.2.1"),
            number("client.port", 50_000),
            named("route.id", "route"),
            named("request.id", "00000000000000000000000000000001"),
            number("request.time-ms", 1_767_225_600_000),
        ];
        Self {
            host_attributes: facts,
            ..exchange
        }
        .header("host", "gateway.example")
    }

    /// A `GET` request.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` request.
    #[must_use]
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Adds a field to the request. `host` replaces the one that is there.
    ///
    /// # Panics
    ///
    /// If HTTP cannot carry it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = field(name, value.as_ref());
        if name == http::header::HOST {
            self.request.insert(name, value);
        } else {
            self.request.append(name, value);
        }
        self
    }

    /// Sets the scheme that the client used: `http` or `https`.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// Gives the value that the route's pattern bound to this name, as the path spells it.
    #[must_use]
    pub fn path_param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives an attribute that an earlier filter set, or one of the gateway's own (`route.id`, `outcome.status`).
    #[must_use]
    pub fn attribute<'a>(mut self, name: &str, value: impl Into<AttributeRef<'a>>) -> Self {
        let value = owned(value.into());
        let list = match super::rules::is_host_attribute(name) {
            true => &mut self.host_attributes,
            false => &mut self.attributes,
        };
        list.retain(|(other, _)| other != name);
        list.push((name.to_owned(), value));
        self
    }

    /// Gives the request a trailer, which its last body call sees.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = field(name, value.as_ref());
        self.trailers.get_or_insert_default().append(name, value);
        self
    }

    /// Begins the response, as it comes from the endpoint: a status and fields. Trailers of the request are gone.
    ///
    /// # Panics
    ///
    /// If HTTP cannot carry them.
    pub fn respond(&mut self, status: u16, fields: &[(&str, &str)]) {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| field(name, value.as_bytes()));
        self.response = Some((status, fields.collect()));
        self.trailers = None;
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path with its query, as it goes upstream.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.target
    }

    /// The host and the port that go upstream.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.request_header("host").unwrap_or_default()
    }

    /// The first value of a field of the request, if it is text.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<&str> {
        first(&self.request, name)
    }

    /// All fields of the request.
    #[must_use]
    pub fn request_headers(&self) -> Vec<(&str, &[u8])> {
        all(&self.request)
    }

    /// The response's status.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|(status, _)| *status)
    }

    /// The first value of a field of the response, if it is text.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<&str> {
        first(&self.response.as_ref()?.1, name)
    }

    /// All fields of the response.
    #[must_use]
    pub fn response_headers(&self) -> Vec<(&str, &[u8])> {
        let response = self.response.as_ref();
        response.map(|(_, fields)| all(fields)).unwrap_or_default()
    }

    /// The first value of a trailer, if it is text.
    #[must_use]
    pub fn trailer_value(&self, name: &str) -> Option<&str> {
        first(self.trailers.as_ref()?, name)
    }

    /// The chunk of the body, as the last body call left it.
    #[must_use]
    pub fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// An attribute that a filter set.
    #[must_use]
    pub fn attribute_value(&self, name: &str) -> Option<&AttributeValue> {
        let mut set = self.attributes.iter();
        set.find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// A note of the filter.
    #[must_use]
    pub fn note(&self, key: &str) -> Option<&[u8]> {
        let mut notes = self.notes.iter();
        notes
            .find(|(other, _)| other == key)
            .map(|(_, value)| &value[..])
    }

    /// The lines that the filter wrote to the log, in order.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    /// The members that the filter added to the problem body of its refusal, as JSON.
    #[must_use]
    pub fn problem_members(&self) -> Option<&str> {
        self.problem_members.as_deref()
    }

    pub(super) fn find_attribute(&self, name: &str) -> Option<AttributeValue> {
        let mut facts = self.attributes.iter().chain(&self.host_attributes);
        facts
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.clone())
    }

    pub(super) fn text_attribute(&self, name: &str) -> Option<String> {
        match self.find_attribute(name)? {
            AttributeValue::Text(text) => Some(text),
            AttributeValue::Number(_) | AttributeValue::Flag(_) | AttributeValue::Bytes(_) => None,
        }
    }
}

/// A field that HTTP can carry.
fn field(name: &str, value: &[u8]) -> (HeaderName, HeaderValue) {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.unwrap_or_else(|_| panic!("`{name}` is no field name"));
    let value = HeaderValue::from_bytes(value);
    let value = value.unwrap_or_else(|_| panic!("the value of field `{name}` is not legal"));
    (parsed, value)
}

fn first<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(fields.get(name)?.as_bytes()).ok()
}

fn all(fields: &HeaderMap) -> Vec<(&str, &[u8])> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

pub(super) fn owned(value: AttributeRef<'_>) -> AttributeValue {
    match value {
        AttributeRef::Text(text) => AttributeValue::Text(text.to_owned()),
        AttributeRef::Number(number) => AttributeValue::Number(number),
        AttributeRef::Flag(flag) => AttributeValue::Flag(flag),
        AttributeRef::Bytes(bytes) => AttributeValue::Bytes(bytes.to_vec()),
    }
}

impl FieldEdit {
    /// Makes the edit; false if the head would be too large.
    pub(super) fn apply(self, fields: &mut HeaderMap) -> bool {
        match self {
            Self::Remove(name) => {
                fields.remove(name);
                true
            }
            Self::Set(name, value) => {
                let fits = has_room(fields, name.as_str().len() + value.len());
                if fits {
                    fields.insert(name, value);
                }
                fits
            }
            Self::AddMember(name, value) if has_member(fields, &name, &value) => true,
            Self::Append(name, value) | Self::AddMember(name, value) => {
                let fits = has_room(fields, name.as_str().len() + value.len());
                if fits {
                    fields.append(name, value);
                }
                fits
            }
        }
    }
}

/// Whether a list-based field has this member, or `*`.
fn has_member(fields: &HeaderMap, name: &HeaderName, member: &HeaderValue) -> bool {
    let lines = fields.get_all(name).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.any(|found| {
        let found = found.trim_ascii();
        found == b"*" || found.eq_ignore_ascii_case(member.as_bytes())
    })
}
