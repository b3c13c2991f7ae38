//! `windlass:host/exchange` and `windlass:host/raw-params`.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::range;
use crate::testing::exchange::{Exchange, owned};
use crate::testing::rules::{
    MAX_ATTRIBUTES, MAX_BODY, MAX_HEAD, MAX_NOTES, are_look_alikes, edited_target, field_name,
    field_value, form_decoded, has_room, is_host_attribute, raw_query_value,
};
use crate::testing::state::{Phase, State, serve};
use crate::{AttributeRef, AttributeValue, EditError, Message};

type Edited<T = ()> = Result<T, EditError>;

/// Reads the exchange; the default where there is none.
fn read<R: Default>(function: &str, read: impl FnOnce(&Exchange) -> R) -> R {
    let function = format!("exchange.{function}");
    serve(&function, |state| {
        state.exchange.as_ref().map(read).unwrap_or_default()
    })
}

fn edit<R>(function: &str, edit: impl FnOnce(&mut State) -> Edited<R>) -> Edited<R> {
    serve(&format!("exchange.{function}"), edit)
}

/// `raw-params`.
pub mod raw_params {
    use super::{param, raw_query_value, read};

    /// As the path spells it.
    pub fn path_param(name: &str) -> Option<String> {
        read("path-param", |exchange| {
            param(exchange, name).map(str::to_owned)
        })
    }

    /// As the query spells it.
    pub fn query_param(name: &str) -> Option<String> {
        read("query-param", |exchange| {
            raw_query_value(&exchange.target, name).map(str::to_owned)
        })
    }
}

fn param<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    let mut params = exchange.params.iter();
    let found = params.find(|(other, _)| other == name);
    found.map(|(_, value)| value.as_str())
}

/// The method.
pub fn method() -> String {
    read("method", |exchange| exchange.method.clone())
}

/// The scheme.
pub fn scheme() -> String {
    read("scheme", |exchange| exchange.scheme.clone())
}

/// The authority.
pub fn authority() -> String {
    read("authority", |exchange| {
        let host = exchange.request.get(http::header::HOST);
        host.and_then(text).unwrap_or_default()
    })
}

/// The path with its query.
pub fn path() -> String {
    read("path", |exchange| exchange.target.clone())
}

/// The path with its query as the client sent it.
pub fn original_path() -> String {
    read("original-path", |exchange| exchange.original_target.clone())
}

/// A parameter of the path, decoded.
pub fn path_param(name: &str) -> Option<String> {
    read("path-param", |exchange| {
        let value = percent_encoding::percent_decode_str(param(exchange, name)?);
        Some(value.decode_utf8_lossy().into_owned())
    })
}

/// A parameter of the query, decoded.
pub fn query_param(name: &str) -> Option<String> {
    read("query-param", |exchange| {
        raw_query_value(&exchange.target, name).map(form_decoded)
    })
}

/// Sets the method.
pub fn set_method(method: &str) -> Edited {
    edit("set-method", |state| {
        let exchange = state.head(Message::Request)?;
        match Method::from_bytes(method.as_bytes()) {
            Err(_) => Err(EditError::Syntax),
            Ok(Method::CONNECT) => Err(EditError::Forbidden),
            Ok(_) => {
                method.clone_into(&mut exchange.method);
                Ok(())
            }
        }
    })
}

/// Sets the path.
pub fn set_path(path: &str) -> Edited {
    edit("set-path", |state| {
        state.head(Message::Request)?;
        state.charge(path.len());
        if path.len() > MAX_HEAD {
            return Err(EditError::TooLarge);
        }
        let normal = edited_target(path).ok_or(EditError::Syntax)?;
        state.head(Message::Request)?.target = normal;
        Ok(())
    })
}

/// Sets the authority.
pub fn set_authority(authority: &str) -> Edited {
    edit("set-authority", |state| {
        state.head(Message::Request)?;
        state.charge(authority.len());
        let parsed = authority.parse::<http::uri::Authority>();
        let is_legal = parsed.is_ok_and(|parsed| !parsed.as_str().contains('@'));
        let (true, Ok(value)) = (is_legal, HeaderValue::from_str(authority)) else {
            return Err(EditError::Syntax);
        };
        let exchange = state.head(Message::Request)?;
        exchange.request.insert(http::header::HOST, value);
        Ok(())
    })
}

/// The status.
pub fn status() -> Option<u16> {
    read("status", Exchange::status)
}

/// Sets the status.
pub fn set_status(status: u16) -> Edited {
    edit("set-status", |state| {
        let exchange = state.head(Message::Response)?;
        if !(200..=599).contains(&status) {
            return Err(EditError::Syntax);
        }
        if let Some((old, _)) = &mut exchange.response {
            *old = status;
        }
        Ok(())
    })
}

/// The first value of a field.
pub fn header(of: Message, name: &str) -> Option<Vec<u8>> {
    read("header", |exchange| {
        Some(fields(exchange, of)?.get(name)?.as_bytes().to_vec())
    })
}

/// The same as text.
pub fn header_text(of: Message, name: &str) -> Option<String> {
    read("header-text", |exchange| {
        text(fields(exchange, of)?.get(name)?)
    })
}

/// All values of a field.
pub fn header_all(of: Message, name: &str) -> Vec<Vec<u8>> {
    read("header-all", |exchange| {
        let fields = fields(exchange, of).into_iter();
        let values = fields.flat_map(|fields| fields.get_all(name));
        values.map(|value| value.as_bytes().to_vec()).collect()
    })
}

/// The first value of each name.
pub fn header_many(of: Message, names: &[&str]) -> Vec<Option<Vec<u8>>> {
    read("header-many", |exchange| {
        let first = |name: &&str| Some(fields(exchange, of)?.get(*name)?.as_bytes().to_vec());
        names.iter().map(first).collect()
    })
}

/// All fields.
pub fn headers(of: Message) -> Vec<(String, Vec<u8>)> {
    read("headers", |exchange| {
        let fields = fields(exchange, of).into_iter().flatten();
        fields
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect()
    })
}

/// All fields in one buffer.
pub fn headers_packed(of: Message) -> Vec<u8> {
    read("headers-packed", |exchange| {
        let mut packed = Vec::new();
        for (name, value) in fields(exchange, of).into_iter().flatten() {
            let name = name.as_str().as_bytes();
            let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
            let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
            packed.extend(name_len.to_le_bytes());
            packed.extend(value_len.to_le_bytes());
            packed.extend(name);
            packed.extend(value.as_bytes());
        }
        packed
    })
}

/// Replaces all values of a field.
pub fn set_header(of: Message, name: &str, value: &[u8]) -> Edited {
    edit("set-header", |state| state.set_field(of, name, value))
}

/// Sets several fields, or none.
pub fn set_headers(of: Message, fields: &[(&str, &[u8])]) -> Edited {
    edit("set-headers", |state| {
        state.all_or_none(|state| {
            let mut fields = fields.iter();
            fields.try_for_each(|(name, value)| state.set_field(of, name, value))
        })
    })
}

/// Adds a value.
pub fn append_header(of: Message, name: &str, value: &[u8]) -> Edited {
    edit("append-header", |state| {
        let name = field_name(name)?;
        let value = field_value(value)?;
        state.edit_field(of, &name, name.as_str().len() + value.len(), |fields| {
            fields.append(name.clone(), value);
        })
    })
}

/// Removes all values.
pub fn remove_header(of: Message, name: &str) -> Edited<u32> {
    edit("remove-header", |state| {
        let name = field_name(name)?;
        state.remove_field(of, &name)
    })
}

/// A part of the chunk.
pub fn read_piece(offset: u64, len: u32) -> Vec<u8> {
    read("read-piece", |exchange| range(&exchange.chunk, offset, len))
}

/// Replaces the chunk.
pub fn replace_piece(bytes: &[u8]) -> Edited {
    edit_piece("replace-piece", bytes, |chunk| chunk.clear())
}

/// Adds bytes before the chunk.
pub fn prepend_piece(bytes: &[u8]) -> Edited {
    edit("prepend-piece", |state| {
        let chunk = state.piece(bytes.len(), true)?;
        chunk.splice(..0, bytes.iter().copied());
        Ok(())
    })
}

/// Adds bytes after the chunk.
pub fn append_piece(bytes: &[u8]) -> Edited {
    edit("append-piece", |state| {
        state.piece(bytes.len(), true)?.extend(bytes);
        Ok(())
    })
}

fn edit_piece(function: &str, bytes: &[u8], before: impl FnOnce(&mut Vec<u8>)) -> Edited {
    edit(function, |state| {
        let chunk = state.piece(bytes.len(), false)?;
        before(chunk);
        chunk.extend(bytes);
        Ok(())
    })
}

/// An attribute.
pub fn attribute(name: &str) -> Option<AttributeValue> {
    read("attribute", |exchange| exchange.find_attribute(name))
}

/// Sets an attribute.
pub fn set_attribute(name: &str, value: AttributeRef<'_>) -> Edited {
    edit("set-attribute", |state| {
        state.put_attribute(name, owned(value))
    })
}

/// Sets several attributes, or none.
pub fn set_attributes(facts: &[(&str, AttributeRef<'_>)]) -> Edited {
    edit("set-attributes", |state| {
        state.all_or_none(|state| {
            let mut facts = facts.iter();
            facts.try_for_each(|(name, value)| state.put_attribute(name, owned(value.clone())))
        })
    })
}

/// A note.
pub fn note(key: &str) -> Option<Vec<u8>> {
    read("note", |exchange| exchange.note(key).map(<[u8]>::to_vec))
}

/// Stores a note.
pub fn set_note(key: &str, value: &[u8]) -> Edited {
    edit("set-note", |state| {
        state.charge(key.len() + value.len());
        let exchange = state.exchange.as_mut().ok_or(EditError::TooLate)?;
        let others = exchange.notes.iter().filter(|(other, _)| other != key);
        let others: usize = others.map(|(key, value)| key.len() + value.len()).sum();
        if others + key.len() + value.len() > MAX_NOTES {
            return Err(EditError::TooLarge);
        }
        exchange.notes.retain(|(other, _)| other != key);
        exchange.notes.push((key.to_owned(), value.to_vec()));
        Ok(())
    })
}

fn text(value: &HeaderValue) -> Option<String> {
    let text = std::str::from_utf8(value.as_bytes());
    text.ok().map(str::to_owned)
}

fn fields(exchange: &Exchange, of: Message) -> Option<&HeaderMap> {
    match of {
        Message::Request => Some(&exchange.request),
        Message::Response => exchange.response.as_ref().map(|(_, fields)| fields),
        Message::Trailers => exchange.trailers.as_ref(),
    }
}

impl State {
    /// The exchange, if the running phase may edit this message.
    fn head(&mut self, of: Message) -> Edited<&mut Exchange> {
        let exchange = self.exchange.as_mut().ok_or(EditError::TooLate)?;
        let may_edit = match (of, self.phase) {
            (Message::Request, Phase::Request | Phase::RequestBody(true)) => true,
            (Message::Response, Phase::Response | Phase::ResponseBody(true)) => {
                exchange.response.is_some()
            }
            (Message::Trailers, Phase::RequestBody(_) | Phase::ResponseBody(_)) => {
                exchange.trailers.is_some()
            }
            _ => false,
        };
        may_edit.then_some(exchange).ok_or(EditError::TooLate)
    }

    /// Makes all edits, or none.
    pub(super) fn all_or_none<T, E>(
        &mut self,
        edit: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.exchange.clone();
        let edited = edit(self);
        if edited.is_err() {
            self.exchange = before;
        }
        edited
    }

    fn edit_field(
        &mut self,
        of: Message,
        name: &HeaderName,
        added: usize,
        edit: impl FnOnce(&mut HeaderMap),
    ) -> Edited {
        self.head(of)?;
        self.charge(added);
        let exchange = self.head(of)?;
        let fields = match of {
            Message::Request => Some(&mut exchange.request),
            Message::Response => exchange.response.as_mut().map(|(_, fields)| fields),
            Message::Trailers => exchange.trailers.as_mut(),
        };
        let fields = fields.ok_or(EditError::TooLate)?;
        if added > 0 && !has_room(fields, added) {
            return Err(EditError::TooLarge);
        }
        edit(fields);
        if of == Message::Request {
            let names: Vec<HeaderName> = fields.keys().cloned().collect();
            for other in names {
                if are_look_alikes(other.as_str(), name.as_str()) {
                    fields.remove(other);
                }
            }
        }
        Ok(())
    }

    fn set_field(&mut self, of: Message, name: &str, value: &[u8]) -> Edited {
        let name = field_name(name)?;
        let value = field_value(value)?;
        self.put_field(of, &name, value)
    }

    pub(super) fn put_field(
        &mut self,
        of: Message,
        name: &HeaderName,
        value: HeaderValue,
    ) -> Edited {
        self.edit_field(of, name, name.as_str().len() + value.len(), |fields| {
            fields.insert(name.clone(), value);
        })
    }

    pub(super) fn remove_field(&mut self, of: Message, name: &HeaderName) -> Edited<u32> {
        let mut count = 0;
        self.edit_field(of, name, 0, |fields| {
            count = fields.get_all(name).iter().count();
            fields.remove(name);
        })?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The chunk, for an edit that adds these bytes.
    fn piece(&mut self, added: usize, keeps: bool) -> Edited<&mut Vec<u8>> {
        let exchange = self.exchange.as_mut().ok_or(EditError::TooLate)?;
        let is_body = matches!(self.phase, Phase::RequestBody(_) | Phase::ResponseBody(_));
        if !is_body {
            return Err(EditError::TooLate);
        }
        let kept = if keeps { exchange.chunk.len() } else { 0 };
        if kept + added > MAX_BODY {
            return Err(EditError::TooLarge);
        }
        Ok(&mut exchange.chunk)
    }

    /// Sets an attribute: the checks, and the value.
    pub(super) fn put_attribute(&mut self, name: &str, value: AttributeValue) -> Edited {
        if is_host_attribute(name) || !self.gateway.grants.attribute(name) {
            return Err(EditError::Forbidden);
        }
        if matches!(self.phase, Phase::Configure | Phase::Log) {
            return Err(EditError::TooLate);
        }
        self.charge(name.len() + size(&value));
        let exchange = self.exchange.as_mut().ok_or(EditError::TooLate)?;
        let others = exchange
            .attributes
            .iter()
            .filter(|(other, _)| other != name);
        let others: usize = others.map(|(name, value)| name.len() + size(value)).sum();
        if others + name.len() + size(&value) > MAX_ATTRIBUTES {
            return Err(EditError::TooLarge);
        }
        match exchange
            .attributes
            .iter_mut()
            .find(|(other, _)| other == name)
        {
            Some((_, old)) => *old = value,
            None => exchange.attributes.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Removes an attribute, if the filter may set it.
    pub(super) fn drop_attribute(&mut self, name: &str) {
        if self.gateway.grants.attribute(name)
            && let Some(exchange) = &mut self.exchange
        {
            exchange.attributes.retain(|(other, _)| other != name);
        }
    }
}

fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::Text(text) => text.len(),
        AttributeValue::Number(_) => 8,
        AttributeValue::Flag(_) => 1,
        AttributeValue::Bytes(bytes) => bytes.len(),
    }
}
