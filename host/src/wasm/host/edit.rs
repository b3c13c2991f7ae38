//! Edits of the exchange, as the functions of `windlass:host/exchange` make them: each is checked
//! as HTTP, counted against the phase's account, and remembered for the undoing.

use std::borrow::Cow;

use http::header::Entry;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};

use super::functions::{HostError, HostResult};
use super::refused::RefusedEdit;
use crate::exchange::{AttributeValue, has_room};
use crate::http::field_spelling;
use crate::route;
use crate::wasm::bindings::types::{AttributeValue as Value, EditError, Message};
use crate::wasm::chunk::Chunk;
use crate::wasm::reserved_fields::parse_name;
use crate::wasm::state::{InstanceState, Phase, Undo, Values};

/// The names of attributes that first-party filters set, so that setting one allocates no name.
const COMMON_ATTRIBUTES: &[&str] = &[
    "consumer.id",
    "api-key.id",
    "plan.id",
    "auth.method",
    "auth.claims",
];

/// The name of an attribute, to be kept.
pub(super) fn attribute_name(name: &str) -> Cow<'static, str> {
    match COMMON_ATTRIBUTES.iter().find(|common| **common == name) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(name.to_owned()),
    }
}

impl InstanceState {
    /// A field's name as a filter wrote it, if an edit may name it.
    pub(super) fn field_name(&mut self, of: Message, name: &str) -> HostResult<HeaderName> {
        match self.names.find(name) {
            Some(name) => Ok(name),
            None => self.new_field_name(of, name),
        }
    }

    /// The same for a name that this instance has not used before.
    pub(super) fn new_field_name(&mut self, of: Message, name: &str) -> HostResult<HeaderName> {
        let parsed =
            parse_name(name).map_err(|error| self.refuse(RefusedEdit::Field(of, name), error))?;
        self.names.keep(&parsed);
        Ok(parsed)
    }

    /// Refuse an edit of this head, or of the trailers, in a phase that may not make it.
    pub(super) fn check_may_edit(&self, of: Message, edit: RefusedEdit<'_>) -> HostResult<()> {
        if self.may_edit(of) {
            Ok(())
        } else {
            Err(self.refuse(edit, EditError::TooLate))
        }
    }

    /// Make all edits, or none.
    pub(super) fn all_or_none<T, E>(
        &mut self,
        edit: impl FnOnce(&mut Self) -> HostResult<T, E>,
    ) -> HostResult<T, E> {
        let before = self.journal_length();
        let edited = edit(self);
        if edited.is_err() {
            self.undo_to(before);
        }
        edited
    }

    /// Edit one field of a head: the checks, the journal and the accounts around `edit`, which
    /// gives the values that went.
    fn edit_field(
        &mut self,
        of: Message,
        name: HeaderName,
        added: usize,
        edit: impl FnOnce(Entry<'_, HeaderValue>) -> Values,
    ) -> HostResult<u32> {
        let edited = RefusedEdit::Field(of, name.as_str());
        self.check_may_edit(of, edited)?;
        self.account.charge_bytes(added)?;
        let Some(fields) = self.fields_mut(of) else {
            return Err(self.refuse(edited, EditError::TooLate));
        };
        if added > 0 && !has_room(fields, added) {
            return Err(self.refuse(edited, EditError::TooLarge));
        }
        let values = edit(fields.entry(name.clone()));
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        if of == Message::Request && self.may_have_look_alikes(&name) {
            self.drop_look_alikes(&name);
        }
        self.record_undo(Undo::Field { of, name, values });
        Ok(count)
    }

    fn may_have_look_alikes(&self, name: &HeaderName) -> bool {
        let exchange = self.exchange.as_deref();
        exchange.is_some_and(|exchange| exchange.has_ambiguous_fields)
            || field_spelling::is_ambiguous(name.as_str())
    }

    /// Remove the request's fields that an endpoint may take for the one that a filter edits: the
    /// filter's word counts alone.
    #[cold]
    fn drop_look_alikes(&mut self, name: &HeaderName) {
        let of = Message::Request;
        let Some(fields) = self.fields_mut(of) else {
            return;
        };
        let alike = fields
            .keys()
            .filter(|other| field_spelling::are_look_alikes(other.as_str(), name.as_str()));
        let alike: Vec<HeaderName> = alike.cloned().collect();
        for name in alike {
            let Some(fields) = self.fields_mut(of) else {
                return;
            };
            if let Entry::Occupied(field) = fields.entry(name.clone()) {
                let values = field.remove_entry_mult().1.collect();
                self.record_undo(Undo::Field { of, name, values });
            }
        }
    }

    /// A value that HTTP can carry (RFC 9110, section 5.5). Taken over, not copied.
    pub(super) fn field_value(
        &self,
        of: Message,
        name: &HeaderName,
        value: Vec<u8>,
    ) -> HostResult<HeaderValue> {
        HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
            .map_err(|_| self.refuse(RefusedEdit::Field(of, name.as_str()), EditError::Syntax))
    }

    /// Remove every value of a field; gives how many there were.
    pub(super) fn remove_field(&mut self, of: Message, name: HeaderName) -> HostResult<u32> {
        self.edit_field(of, name, 0, |entry| match entry {
            Entry::Occupied(field) => field.remove_entry_mult().1.collect(),
            Entry::Vacant(_) => Values::new(),
        })
    }

    /// Replace every value of a field.
    pub(super) fn set_field(
        &mut self,
        of: Message,
        name: HeaderName,
        value: Vec<u8>,
    ) -> HostResult<()> {
        let value = self.field_value(of, &name, value)?;
        self.put_field(of, name, value)
    }

    /// The same with a value that HTTP can carry.
    pub(super) fn put_field(
        &mut self,
        of: Message,
        name: HeaderName,
        value: HeaderValue,
    ) -> HostResult<()> {
        self.put_value(of, name, value, true)
    }

    /// Add a value after those of a field.
    pub(super) fn append_field(
        &mut self,
        of: Message,
        name: HeaderName,
        value: Vec<u8>,
    ) -> HostResult<()> {
        let value = self.field_value(of, &name, value)?;
        self.put_value(of, name, value, false)
    }

    /// Put a value into a field: instead of those that it has, or after them.
    fn put_value(
        &mut self,
        of: Message,
        name: HeaderName,
        value: HeaderValue,
        replaces: bool,
    ) -> HostResult<()> {
        let added = name.as_str().len() + value.len();
        self.edit_field(of, name, added, |entry| match entry {
            Entry::Occupied(mut field) => {
                let values = field.iter().cloned().collect();
                if replaces {
                    // Not `insert_mult`: in http 1.5.0 it panics where there are three values or more.
                    field.insert(value);
                } else {
                    field.append(value);
                }
                values
            }
            Entry::Vacant(free) => {
                free.insert(value);
                Values::new()
            }
        })?;
        Ok(())
    }

    pub(super) fn put_attribute(&mut self, name: &str, value: Value) -> HostResult<()> {
        self.put_fact(attribute_name(name), AttributeValue::from(value))
    }

    /// Set one attribute: the checks, the journal and the accounts.
    pub(super) fn put_fact(
        &mut self,
        name: Cow<'static, str>,
        value: AttributeValue,
    ) -> HostResult<()> {
        let edit = RefusedEdit::Attribute(&name);
        if !self.grants.attribute(&name) {
            return Err(self.refuse(edit, EditError::Forbidden));
        }
        if let Phase::Idle | Phase::Configure | Phase::Log = self.phase {
            return Err(self.refuse(edit, EditError::TooLate));
        }
        self.account.charge_bytes(name.len() + value.len())?;
        let Some(exchange) = self.exchange.as_mut() else {
            return Err(HostError::Refused(EditError::TooLate));
        };
        match exchange.attributes.set(name.clone(), value) {
            Ok(old) => {
                self.record_undo(Undo::Attribute(name, old));
                Ok(())
            }
            Err(_) => Err(self.refuse(edit, EditError::TooLarge)),
        }
    }

    /// Remove a fact that an earlier filter set, if this one may set it.
    pub(super) fn drop_fact(&mut self, name: Cow<'static, str>) {
        if !self.grants.attribute(&name) {
            return;
        }
        let Some(exchange) = self.exchange.as_mut() else {
            return;
        };
        if let Some(old) = exchange.attributes.remove(&name) {
            self.record_undo(Undo::Attribute(name, Some(old)));
        }
    }

    /// Edits the piece in hand, of which this many bytes stay beside the new ones.
    pub(super) fn edit_chunk(
        &mut self,
        stay: u64,
        bytes: Vec<u8>,
        edit: impl FnOnce(&mut Chunk, bytes::Bytes),
    ) -> HostResult<()> {
        if !matches!(
            self.phase,
            Phase::RequestBody { .. } | Phase::ResponseBody { .. }
        ) {
            return Err(self.refuse(RefusedEdit::Chunk, EditError::TooLate));
        }
        if stay.saturating_add(bytes.len() as u64) > self.body_cap {
            return Err(self.refuse(RefusedEdit::Chunk, EditError::TooLarge));
        }
        if !self.chunk_edited {
            self.chunk_edited = true;
            let before = self.chunk.clone();
            self.record_undo(Undo::Chunk(before));
        }
        edit(&mut self.chunk, bytes.into());
        Ok(())
    }
}

/// A target after the path rule; none where it breaks it.
pub(in crate::wasm) fn parse_target(text: &str) -> Option<PathAndQuery> {
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
