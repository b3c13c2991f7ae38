//! `windlass:host/exchange`: the implicit current exchange.

use http::header::Entry;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use smallvec::SmallVec;
use std::borrow::Cow;
use wasmtime::Result;

use super::super::bindings::exchange::Host;
use super::super::bindings::types::{AttributeValue as Value, EditError, Message};
use super::super::piece::Piece;
use super::super::state::{Head, MAX_FIELDS, MAX_HEAD, Phase, State, Undo};
use crate::context::{AttributeValue, Exchange};
use crate::route;

/// The names of attributes that first-party filters set, so that setting one allocates no name.
const COMMON_ATTRIBUTES: &[&str] = &[
    "consumer.id",
    "api-key.id",
    "plan.id",
    "auth.method",
    "auth.claims",
];

impl From<Message> for Head {
    fn from(message: Message) -> Self {
        match message {
            Message::Request => Self::Request,
            Message::Response => Self::Response,
            Message::Trailers => Self::Trailers,
        }
    }
}

/// Fields that frame a message or belong to one connection: the host's alone (RFC 9110, section
/// 7.6.1; RFC 9112, section 6). `host` is edited by `set-authority`.
#[must_use]
pub fn is_reserved(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::CONTENT_LENGTH
            | header::HOST
            | header::EXPECT
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) || matches!(
        name.as_str(),
        "keep-alive" | "proxy-connection" | "http2-settings"
    )
}

/// Why a filter's field cannot be taken.
pub fn parse_name(name: &str) -> Result<HeaderName, EditError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Syntax)?;
    if is_reserved(&name) {
        return Err(EditError::Forbidden);
    }
    Ok(name)
}

impl State {
    fn with<R>(&self, read: impl FnOnce(&Exchange) -> R) -> Option<R> {
        self.exchange.as_deref().map(read)
    }

    /// Edit one field of a head: the checks, the journal and the accounts around `edit`.
    fn edit_field(
        &mut self,
        of: Message,
        name: &str,
        added: usize,
        edit: impl FnOnce(&mut HeaderMap, HeaderName),
    ) -> Result<Result<u32, EditError>> {
        self.charge_call()?;
        let head = Head::from(of);
        let name = match parse_name(name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        if !self.may_edit(head) {
            return Ok(Err(EditError::TooLate));
        }
        self.charge_bytes(added)?;
        let Some(fields) = self.fields_mut(head) else {
            return Ok(Err(EditError::TooLate));
        };
        let values: SmallVec<[HeaderValue; 1]> = fields.get_all(&name).iter().cloned().collect();
        if added > 0 && !has_room(fields, added) {
            return Ok(Err(EditError::TooLarge));
        }
        let held = u32::try_from(values.len()).unwrap_or(u32::MAX);
        edit(fields, name.clone());
        self.remember(Undo::Field { head, name, values });
        Ok(Ok(held))
    }

    fn put_attribute(&mut self, name: String, value: Value) -> Result<Result<(), EditError>> {
        let known = COMMON_ATTRIBUTES.iter().find(|known| **known == name);
        let name = known.map_or(Cow::Owned(name), |known| Cow::Borrowed(*known));
        self.put_fact(name, AttributeValue::from(value))
    }

    /// Set one attribute: the checks, the journal and the accounts.
    pub(super) fn put_fact(
        &mut self,
        name: Cow<'static, str>,
        value: AttributeValue,
    ) -> Result<Result<(), EditError>> {
        if !self.grants.attribute(&name) {
            return Ok(Err(EditError::Forbidden));
        }
        match self.phase {
            Phase::Idle | Phase::Configure | Phase::Log => return Ok(Err(EditError::TooLate)),
            Phase::Request
            | Phase::RequestBody { .. }
            | Phase::Response
            | Phase::ResponseBody { .. } => {}
        }
        self.charge_bytes(name.len() + value.len())?;
        let Some(exchange) = self.exchange.as_mut() else {
            return Ok(Err(EditError::TooLate));
        };
        match exchange.attributes.set(name.clone(), value) {
            Ok(old) => {
                self.remember(Undo::Attribute(name, old));
                Ok(Ok(()))
            }
            Err(_) => Ok(Err(EditError::TooLarge)),
        }
    }

    fn remember_piece(&mut self) {
        if !self.piece_edited {
            self.piece_edited = true;
            let before = self.piece.clone();
            self.remember(Undo::Piece(before));
        }
    }

    fn edit_piece(
        &mut self,
        bytes: Vec<u8>,
        edit: impl FnOnce(&mut Piece, bytes::Bytes),
    ) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        match self.phase {
            Phase::RequestBody { .. } | Phase::ResponseBody { .. } => {}
            Phase::Idle | Phase::Configure | Phase::Request | Phase::Response | Phase::Log => {
                return Ok(Err(EditError::TooLate));
            }
        }
        if self.piece.len().saturating_add(bytes.len() as u64) > self.body_cap {
            return Ok(Err(EditError::TooLarge));
        }
        self.remember_piece();
        edit(&mut self.piece, bytes.into());
        Ok(Ok(()))
    }
}

/// Whether a head stays within its bounds when one field of this size is added.
fn has_room(fields: &HeaderMap, added: usize) -> bool {
    let held: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    held + added + 4 <= MAX_HEAD && fields.len() < MAX_FIELDS
}

fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes())
        .ok()
        .map(str::to_owned)
}

fn octets(value: &HeaderValue) -> Vec<u8> {
    value.as_bytes().to_vec()
}

impl From<AttributeValue> for Value {
    fn from(value: AttributeValue) -> Self {
        match value {
            AttributeValue::Text(text) => Self::Text(text),
            AttributeValue::Number(number) => Self::Number(number),
            AttributeValue::Flag(flag) => Self::Flag(flag),
            AttributeValue::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<Value> for AttributeValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Number(number) => Self::Number(number),
            Value::Flag(flag) => Self::Flag(flag),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl Host for State {
    fn method(&mut self) -> Result<String> {
        self.charge_call()?;
        Ok(self
            .with(|exchange| exchange.request.method.as_str().to_owned())
            .unwrap_or_default())
    }

    fn scheme(&mut self) -> Result<String> {
        self.charge_call()?;
        Ok(self
            .with(|exchange| exchange.client.scheme.as_str().to_owned())
            .unwrap_or_default())
    }

    fn authority(&mut self) -> Result<String> {
        self.charge_call()?;
        let host = self.with(|exchange| exchange.request.headers.get(header::HOST).and_then(text));
        Ok(host.flatten().unwrap_or_default())
    }

    fn path(&mut self) -> Result<String> {
        self.charge_call()?;
        Ok(self
            .with(|exchange| exchange.request.target.as_str().to_owned())
            .unwrap_or_default())
    }

    fn original_path(&mut self) -> Result<String> {
        self.charge_call()?;
        Ok(self
            .with(|exchange| exchange.original_target.as_str().to_owned())
            .unwrap_or_default())
    }

    fn path_param(&mut self, name: String) -> Result<Option<String>> {
        self.charge_call()?;
        let value = self.with(|exchange| {
            let value = exchange.param(&name)?;
            Some(route::decode_segment(value).into_owned())
        });
        Ok(value.flatten())
    }

    fn query_param(&mut self, name: String) -> Result<Option<String>> {
        self.charge_call()?;
        let value = self.with(|exchange| {
            let query = exchange.request.target.query()?;
            route::query_value(query, &name).map(Cow::into_owned)
        });
        Ok(value.flatten())
    }

    fn set_method(&mut self, method: String) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        if !self.may_edit(Head::Request) {
            return Ok(Err(EditError::TooLate));
        }
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return Ok(Err(EditError::Syntax));
        };
        if method == Method::CONNECT {
            return Ok(Err(EditError::Forbidden));
        }
        if let Some(exchange) = self.exchange.as_mut() {
            let old = std::mem::replace(&mut exchange.request.method, method);
            self.remember(Undo::Method(old));
        }
        Ok(Ok(()))
    }

    fn set_path(&mut self, path: String) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        if !self.may_edit(Head::Request) {
            return Ok(Err(EditError::TooLate));
        }
        self.charge_bytes(path.len())?;
        if path.len() > MAX_HEAD {
            return Ok(Err(EditError::TooLarge));
        }
        let Some(target) = parse_target(&path) else {
            return Ok(Err(EditError::Syntax));
        };
        if let Some(exchange) = self.exchange.as_mut() {
            let old = std::mem::replace(&mut exchange.request.target, target);
            self.remember(Undo::Target(old));
        }
        Ok(Ok(()))
    }

    fn set_authority(&mut self, authority: String) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        if !self.may_edit(Head::Request) {
            return Ok(Err(EditError::TooLate));
        }
        self.charge_bytes(authority.len())?;
        let valid = authority
            .parse::<http::uri::Authority>()
            .is_ok_and(|parsed| !parsed.as_str().contains('@'));
        let value = HeaderValue::from_str(&authority);
        let (true, Ok(value)) = (valid, value) else {
            return Ok(Err(EditError::Syntax));
        };
        if let Some(fields) = self.fields_mut(Head::Request) {
            let values = fields.get_all(header::HOST).iter().cloned().collect();
            fields.insert(header::HOST, value);
            self.remember(Undo::Field {
                head: Head::Request,
                name: header::HOST,
                values,
            });
        }
        Ok(Ok(()))
    }

    fn status(&mut self) -> Result<Option<u16>> {
        self.charge_call()?;
        let status = self.with(|exchange| Some(exchange.response.as_ref()?.status.as_u16()));
        Ok(status.flatten())
    }

    fn set_status(&mut self, status: u16) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        if !self.may_edit(Head::Response) {
            return Ok(Err(EditError::TooLate));
        }
        let (200..=599, Ok(status)) = (status, StatusCode::from_u16(status)) else {
            return Ok(Err(EditError::Syntax));
        };
        let response = self.exchange.as_mut().and_then(|e| e.response.as_mut());
        if let Some(response) = response {
            let old = std::mem::replace(&mut response.status, status);
            self.remember(Undo::Status(old));
        }
        Ok(Ok(()))
    }

    fn header(&mut self, of: Message, name: String) -> Result<Option<Vec<u8>>> {
        self.charge_call()?;
        let fields = self.fields(of.into());
        Ok(fields.and_then(|fields| fields.get(name.as_str()).map(octets)))
    }

    fn header_text(&mut self, of: Message, name: String) -> Result<Option<String>> {
        self.charge_call()?;
        let fields = self.fields(of.into());
        Ok(fields.and_then(|fields| fields.get(name.as_str()).and_then(text)))
    }

    fn header_all(&mut self, of: Message, name: String) -> Result<Vec<Vec<u8>>> {
        self.charge_call()?;
        let values = self.fields(of.into()).map(|fields| {
            let values = fields.get_all(name.as_str());
            values.iter().map(octets).collect()
        });
        Ok(values.unwrap_or_default())
    }

    fn header_many(&mut self, of: Message, names: Vec<String>) -> Result<Vec<Option<Vec<u8>>>> {
        self.charge_call()?;
        let fields = self.fields(of.into());
        let value = |name: &String| fields.and_then(|fields| fields.get(name.as_str()).map(octets));
        Ok(names.iter().map(value).collect())
    }

    fn headers(&mut self, of: Message) -> Result<Vec<(String, Vec<u8>)>> {
        self.charge_call()?;
        let list = self.fields(of.into()).map(|fields| {
            let pair = |(name, value): (&HeaderName, &HeaderValue)| {
                (name.as_str().to_owned(), octets(value))
            };
            fields.iter().map(pair).collect()
        });
        Ok(list.unwrap_or_default())
    }

    fn headers_packed(&mut self, of: Message) -> Result<Vec<u8>> {
        self.charge_call()?;
        let mut packed = Vec::new();
        if let Some(fields) = self.fields(of.into()) {
            packed.reserve(1024);
            for (name, value) in fields {
                let name = name.as_str().as_bytes();
                let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
                let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
                packed.extend_from_slice(&name_len.to_le_bytes());
                packed.extend_from_slice(&value_len.to_le_bytes());
                packed.extend_from_slice(name);
                packed.extend_from_slice(value.as_bytes());
            }
        }
        Ok(packed)
    }

    fn set_header(
        &mut self,
        of: Message,
        name: String,
        value: Vec<u8>,
    ) -> Result<Result<(), EditError>> {
        let added = name.len() + value.len();
        let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) else {
            self.charge_call()?;
            return Ok(Err(EditError::Syntax));
        };
        let edited = self.edit_field(of, &name, added, |fields, name| {
            fields.insert(name, value);
        })?;
        Ok(edited.map(|_| ()))
    }

    fn append_header(
        &mut self,
        of: Message,
        name: String,
        value: Vec<u8>,
    ) -> Result<Result<(), EditError>> {
        let added = name.len() + value.len();
        let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) else {
            self.charge_call()?;
            return Ok(Err(EditError::Syntax));
        };
        let edited = self.edit_field(of, &name, added, |fields, name| {
            fields.append(name, value);
        })?;
        Ok(edited.map(|_| ()))
    }

    fn remove_header(&mut self, of: Message, name: String) -> Result<Result<u32, EditError>> {
        self.charge_call()?;
        let head = Head::from(of);
        let name = match parse_name(&name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        };
        if !self.may_edit(head) {
            return Ok(Err(EditError::TooLate));
        }
        let Some(fields) = self.fields_mut(head) else {
            return Ok(Err(EditError::TooLate));
        };
        let Entry::Occupied(held) = fields.entry(name) else {
            return Ok(Ok(0));
        };
        let (name, values) = held.remove_entry_mult();
        let values: SmallVec<[HeaderValue; 1]> = values.collect();
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        self.remember(Undo::Field { head, name, values });
        Ok(Ok(count))
    }

    fn read_piece(&mut self, offset: u64, len: u32) -> Result<Vec<u8>> {
        self.charge_call()?;
        Ok(self.piece.read(offset, len))
    }

    fn replace_piece(&mut self, bytes: Vec<u8>) -> Result<Result<(), EditError>> {
        self.edit_piece(bytes, |piece, bytes| *piece = Piece::from(bytes))
    }

    fn prepend_piece(&mut self, bytes: Vec<u8>) -> Result<Result<(), EditError>> {
        self.edit_piece(bytes, Piece::prepend)
    }

    fn append_piece(&mut self, bytes: Vec<u8>) -> Result<Result<(), EditError>> {
        self.edit_piece(bytes, Piece::append)
    }

    fn attribute(&mut self, name: String) -> Result<Option<Value>> {
        self.charge_call()?;
        let value = self.with(|exchange| {
            exchange
                .attributes
                .find(&name)
                .cloned()
                .or_else(|| exchange.host_fact(&name))
        });
        Ok(value.flatten().map(Value::from))
    }

    fn set_attribute(&mut self, name: String, value: Value) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        self.put_attribute(name, value)
    }

    fn set_attributes(&mut self, facts: Vec<(String, Value)>) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        let before = self.mark();
        for (name, value) in facts {
            if let Err(error) = self.put_attribute(name, value)? {
                self.undo_to(before);
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn note(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        self.charge_call()?;
        let place = self.place;
        let note = self.with(|exchange| exchange.notes.find(place, &key).cloned());
        Ok(note.flatten())
    }

    fn set_note(&mut self, key: String, value: Vec<u8>) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        self.charge_bytes(key.len() + value.len())?;
        let place = self.place;
        let Some(exchange) = self.exchange.as_mut() else {
            return Ok(Err(EditError::TooLate));
        };
        match exchange.notes.set(place, key.clone(), value) {
            Ok(old) => {
                self.remember(Undo::Note(key, old));
                Ok(Ok(()))
            }
            Err(_) => Ok(Err(EditError::TooLarge)),
        }
    }
}

/// A target after the path rule; none where it breaks it.
fn parse_target(text: &str) -> Option<PathAndQuery> {
    if !text.starts_with('/') || text.contains('#') {
        return None;
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let path = route::normalize(path).ok()?;
    match (path, query) {
        (Cow::Borrowed(_), _) => {
            PathAndQuery::from_maybe_shared(bytes::Bytes::copy_from_slice(text.as_bytes())).ok()
        }
        (Cow::Owned(path), Some(query)) => format!("{path}?{query}").parse().ok(),
        (Cow::Owned(path), None) => path.parse().ok(),
    }
}
