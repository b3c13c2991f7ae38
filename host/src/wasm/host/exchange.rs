//! `windlass:host/exchange`: the implicit current exchange.

use http::header::Entry;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::borrow::Cow;
use wasmtime::Result;

use super::edit::parse_target;
use super::refused::RefusedEdit;
use crate::exchange::{AttributeValue, Exchange, MAX_HEAD};
use crate::route;
use crate::wasm::bindings::exchange::Host;
use crate::wasm::bindings::types::{AttributeValue as Value, EditError, Message};
use crate::wasm::chunk::Chunk;
use crate::wasm::state::{InstanceState, Undo, Values};

impl InstanceState {
    fn with<R>(&self, read: impl FnOnce(&Exchange) -> R) -> Option<R> {
        self.exchange.as_deref().map(read)
    }

    /// The first value of a field.
    pub(super) fn first(&self, of: Message, name: &str) -> Option<&HeaderValue> {
        self.fields(of)?.get(name)
    }

    /// An attribute, of a filter or of the host.
    pub(super) fn fact(&self, name: &str) -> Option<Value> {
        let exchange = self.exchange.as_deref()?;
        let set = exchange.attributes.find(name).cloned();
        set.or_else(|| exchange.host_fact(name)).map(Value::from)
    }
}

pub(super) fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes())
        .ok()
        .map(str::to_owned)
}

pub(super) fn octets(value: &HeaderValue) -> Vec<u8> {
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

impl Host for InstanceState {
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
        if !self.may_edit(Message::Request) {
            return Ok(Err(
                self.refuse(RefusedEdit::Method(&method), EditError::TooLate)
            ));
        }
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return Ok(Err(
                self.refuse(RefusedEdit::Method(&method), EditError::Syntax)
            ));
        };
        if method == Method::CONNECT {
            return Ok(Err(
                self.refuse(RefusedEdit::Method("CONNECT"), EditError::Forbidden)
            ));
        }
        if let Some(exchange) = self.exchange.as_mut() {
            let old = std::mem::replace(&mut exchange.request.method, method);
            self.record_undo(Undo::Method(old));
        }
        Ok(Ok(()))
    }

    fn set_path(&mut self, path: String) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        if !self.may_edit(Message::Request) {
            return Ok(Err(self.refuse(RefusedEdit::Path, EditError::TooLate)));
        }
        self.charge_bytes(path.len())?;
        if path.len() > MAX_HEAD {
            return Ok(Err(self.refuse(RefusedEdit::Path, EditError::TooLarge)));
        }
        let Some(target) = parse_target(&path) else {
            return Ok(Err(self.refuse(RefusedEdit::Path, EditError::Syntax)));
        };
        if let Some(exchange) = self.exchange.as_mut() {
            let old = std::mem::replace(&mut exchange.request.target, target);
            self.record_undo(Undo::Target(old));
        }
        Ok(Ok(()))
    }

    fn set_authority(&mut self, authority: String) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        if !self.may_edit(Message::Request) {
            return Ok(Err(self.refuse(RefusedEdit::Authority, EditError::TooLate)));
        }
        self.charge_bytes(authority.len())?;
        let valid = authority
            .parse::<http::uri::Authority>()
            .is_ok_and(|parsed| !parsed.as_str().contains('@'));
        let value = HeaderValue::from_str(&authority);
        let (true, Ok(value)) = (valid, value) else {
            return Ok(Err(self.refuse(RefusedEdit::Authority, EditError::Syntax)));
        };
        if let Some(fields) = self.fields_mut(Message::Request) {
            let values = fields.get_all(header::HOST).iter().cloned().collect();
            fields.insert(header::HOST, value);
            self.record_undo(Undo::Field {
                of: Message::Request,
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
        if !self.may_edit(Message::Response) {
            return Ok(Err(
                self.refuse(RefusedEdit::Status(status), EditError::TooLate)
            ));
        }
        let (200..=599, Ok(status)) = (status, StatusCode::from_u16(status)) else {
            return Ok(Err(
                self.refuse(RefusedEdit::Status(status), EditError::Syntax)
            ));
        };
        let response = self.exchange.as_mut().and_then(|e| e.response.as_mut());
        if let Some(response) = response {
            let old = std::mem::replace(&mut response.status, status);
            self.record_undo(Undo::Status(old));
        }
        Ok(Ok(()))
    }

    fn header(&mut self, of: Message, name: String) -> Result<Option<Vec<u8>>> {
        self.charge_call()?;
        Ok(self.first(of, &name).map(octets))
    }

    fn header_text(&mut self, of: Message, name: String) -> Result<Option<String>> {
        self.charge_call()?;
        Ok(self.first(of, &name).and_then(text))
    }

    fn header_all(&mut self, of: Message, name: String) -> Result<Vec<Vec<u8>>> {
        self.charge_call()?;
        let values = self.fields(of).map(|fields| {
            let values = fields.get_all(name.as_str());
            values.iter().map(octets).collect()
        });
        Ok(values.unwrap_or_default())
    }

    fn header_many(&mut self, of: Message, names: Vec<String>) -> Result<Vec<Option<Vec<u8>>>> {
        self.charge_call()?;
        let fields = self.fields(of);
        let value = |name: &String| fields.and_then(|fields| fields.get(name.as_str()).map(octets));
        Ok(names.iter().map(value).collect())
    }

    fn headers(&mut self, of: Message) -> Result<Vec<(String, Vec<u8>)>> {
        self.charge_call()?;
        let list = self.fields(of).map(|fields| {
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
        if let Some(fields) = self.fields(of) {
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
        self.charge_call()?;
        let name = self.field_name(of, &name);
        self.set_field(of, name, value)
    }

    fn set_headers(
        &mut self,
        of: Message,
        fields: Vec<(String, Vec<u8>)>,
    ) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        let before = self.journal_length();
        for (name, value) in fields {
            let name = self.field_name(of, &name);
            if let Err(error) = self.set_field(of, name, value)? {
                self.undo_to(before);
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn append_header(
        &mut self,
        of: Message,
        name: String,
        value: Vec<u8>,
    ) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        let name = self.field_name(of, &name);
        let (name, value) = match self.field(of, name, value) {
            Ok(field) => field,
            Err(error) => return Ok(Err(error)),
        };
        let added = name.as_str().len() + value.len();
        let edited = self.edit_field(of, name, added, |entry| match entry {
            Entry::Occupied(mut held) => {
                let before = held.iter().cloned().collect();
                held.append(value);
                before
            }
            Entry::Vacant(free) => {
                free.insert(value);
                Values::new()
            }
        })?;
        Ok(edited.map(|_| ()))
    }

    fn remove_header(&mut self, of: Message, name: String) -> Result<Result<u32, EditError>> {
        self.charge_call()?;
        let name = self.field_name(of, &name);
        self.remove_field(of, name)
    }

    fn read_piece(&mut self, offset: u64, len: u32) -> Result<Vec<u8>> {
        self.charge_call()?;
        Ok(self.chunk.read(offset, len))
    }

    fn replace_piece(&mut self, bytes: Vec<u8>) -> Result<Result<(), EditError>> {
        self.edit_chunk(0, bytes, |piece, bytes| *piece = Chunk::from(bytes))
    }

    fn prepend_piece(&mut self, bytes: Vec<u8>) -> Result<Result<(), EditError>> {
        self.edit_chunk(self.chunk.len(), bytes, Chunk::prepend)
    }

    fn append_piece(&mut self, bytes: Vec<u8>) -> Result<Result<(), EditError>> {
        self.edit_chunk(self.chunk.len(), bytes, Chunk::append)
    }

    fn attribute(&mut self, name: String) -> Result<Option<Value>> {
        self.charge_call()?;
        Ok(self.fact(&name))
    }

    fn set_attribute(&mut self, name: String, value: Value) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        self.put_attribute(name, value)
    }

    fn set_attributes(&mut self, facts: Vec<(String, Value)>) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        let before = self.journal_length();
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
        let place = self.position;
        let note = self.with(|exchange| exchange.notes.find(place, &key).cloned());
        Ok(note.flatten())
    }

    fn set_note(&mut self, key: String, value: Vec<u8>) -> Result<Result<(), EditError>> {
        self.charge_call()?;
        self.charge_bytes(key.len() + value.len())?;
        let place = self.position;
        let Some(exchange) = self.exchange.as_mut() else {
            return Ok(Err(self.refuse(RefusedEdit::Note(&key), EditError::TooLate)));
        };
        match exchange.notes.set(place, key.clone(), value) {
            Ok(old) => {
                self.record_undo(Undo::Note(key, old));
                Ok(Ok(()))
            }
            Err(_) => Ok(Err(
                self.refuse(RefusedEdit::Note(&key), EditError::TooLarge)
            )),
        }
    }
}
