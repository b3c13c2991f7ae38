//! Makes the edits in order; each one sees the results of the earlier ones.

use std::borrow::Cow;
use std::collections::BTreeMap;

use windlass_plugin_sdk::{EditError, PathAndQuery, RawParam, is_field_value, path};

use crate::exchange::Exchange;
use crate::json::{Document, Flaw, Pointer, decode_string, encode_string};
use crate::operation::{BodyChange, BodyValue, Change, Operation};
use crate::program::{Fault, Program};
use crate::template::{Fact, Part, Template};

/// The reason why the edits stopped, and the index of the edit.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// A value does not fit where the template puts it: a line end in a header, a `..` that would lead out of the path,
    /// bytes in the path that are not UTF-8, or a value that is too large.
    Value { place: usize },
    /// An attribute that the path needs is absent.
    Absent { place: usize },
    /// The gateway refused the edit.
    Edit { place: usize, error: EditError },
    /// The values do not fit the template of a body.
    Unfit { place: usize, why: String },
    /// The template of a body has an error.
    Template { place: usize, why: String },
    /// An object or array of the body has too many members to be edited.
    Body(Flaw),
}

enum Trouble {
    Value,
    Absent,
    Edit(EditError),
    Made(Fault),
    Body(Flaw),
}

impl From<Flaw> for Trouble {
    fn from(flaw: Flaw) -> Self {
        Self::Body(flaw)
    }
}

impl From<EditError> for Trouble {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

/// Makes the edits. Edits of path and query are collected and passed to the gateway once, at the end. Edits of the body
/// change `body`; without a body they are left out.
///
/// # Errors
/// The first edit that cannot be made.
pub fn apply<'o>(
    operations: impl IntoIterator<Item = &'o (usize, Operation)>,
    exchange: &mut impl Exchange,
    body: Option<&mut Document<'o>>,
) -> Result<(), Stop> {
    let mut walk = Walk {
        exchange,
        body,
        flaw: None,
        path: None,
        path_edit: None,
    };
    for (place, operation) in operations {
        let place = *place;
        let stepped = walk.step(place, operation);
        if let Some(flaw) = walk.flaw {
            return Err(Stop::Body(flaw));
        }
        stepped.map_err(|trouble| match trouble {
            Trouble::Value => Stop::Value { place },
            Trouble::Absent => Stop::Absent { place },
            Trouble::Edit(error) => Stop::Edit { place, error },
            Trouble::Body(flaw) => Stop::Body(flaw),
            Trouble::Made(Fault::Value(why)) => Stop::Unfit { place, why },
            Trouble::Made(Fault::Template(why)) => Stop::Template { place, why },
        })?;
    }
    walk.finish()
}

struct Walk<'a, 'o, E> {
    exchange: &'a mut E,
    body: Option<&'a mut Document<'o>>,
    /// The reason why a value of the body could not be read.
    flaw: Option<Flaw>,
    /// The path and the query, once an edit or a template has read them.
    path: Option<PathAndQuery>,
    /// The last edit that changed them.
    path_edit: Option<usize>,
}

impl<'o, E: Exchange> Walk<'_, 'o, E> {
    fn step(&mut self, place: usize, operation: &'o Operation) -> Result<(), Trouble> {
        match operation {
            Operation::Header { name, change } => self.header(name, change),
            Operation::Query { name, change } => {
                if self.query(name, change) {
                    self.path_edit = Some(place);
                }
                Ok(())
            }
            Operation::Path(template) => match self.render_path(template)? {
                Some(path) => {
                    self.path().set_path(path);
                    self.path_edit = Some(place);
                    Ok(())
                }
                // Without the attribute, the client's own path must not be used instead.
                None if template.names_attribute() => Err(Trouble::Absent),
                None => Ok(()),
            },
            Operation::Status(status) => Ok(self.exchange.set_status(*status)?),
            Operation::Body { pointer, change } => self.change_body(pointer, change),
        }
    }

    fn change_body(&mut self, pointer: &Pointer, change: &'o BodyChange) -> Result<(), Trouble> {
        let value = match change {
            BodyChange::Set(value) | BodyChange::Add(value) => self.body_value(value)?,
            BodyChange::Remove | BodyChange::Rename(_) => None,
        };
        let Some(body) = &mut self.body else {
            return Ok(());
        };
        match (change, value) {
            (BodyChange::Set(_), Some(value)) => body.set(pointer, value)?,
            // Without the value, the client's own must not remain in its place.
            (BodyChange::Set(BodyValue::Text(template)), None) if template.vouches() => {
                body.remove(pointer)?;
            }
            (BodyChange::Add(_), Some(value)) => body.add(pointer, value)?,
            (BodyChange::Set(_) | BodyChange::Add(_), None) => {}
            (BodyChange::Remove, _) => body.remove(pointer)?,
            (BodyChange::Rename(to), _) => body.rename(pointer, to)?,
        }
        Ok(())
    }

    /// A value as JSON text.
    fn body_value(&mut self, value: &'o BodyValue) -> Result<Option<Cow<'o, str>>, Trouble> {
        let template = match value {
            BodyValue::Json(json) => return Ok(Some(Cow::Borrowed(json))),
            BodyValue::Made(program) => return self.made(program),
            BodyValue::Text(template) => template,
        };
        let Some(text) = self.render(template) else {
            return Ok(None);
        };
        let text = core::str::from_utf8(&text).map_err(|_| Trouble::Value)?;
        Ok(Some(Cow::Owned(encode_string(text))))
    }

    /// The JSON text that a template makes; `None` if there is no body.
    fn made(&mut self, program: &'o Program) -> Result<Option<Cow<'o, str>>, Trouble> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let Some(body) = body.read(&Pointer::WHOLE)? else {
            return Ok(None);
        };
        let mut values = BTreeMap::new();
        for (name, template) in &program.with {
            if let Some(value) = self.render(template) {
                let value = core::str::from_utf8(&value).map_err(|_| Trouble::Value)?;
                values.insert(name.clone(), value.to_owned());
            }
        }
        let made = program.render(&body, values).map_err(Trouble::Made)?;
        Ok(Some(Cow::Owned(made)))
    }

    fn finish(self) -> Result<(), Stop> {
        match (self.path_edit, &self.path) {
            // Literals of a path are checked in `configure`, so a value is at fault here.
            (Some(place), Some(path)) => {
                let set = self.exchange.set_path(&path.to_string());
                set.map_err(|error| match error {
                    EditError::Syntax | EditError::TooLarge => Stop::Value { place },
                    EditError::Forbidden | EditError::TooLate => Stop::Edit { place, error },
                })
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn header(&mut self, name: &str, change: &Change) -> Result<(), Trouble> {
        match change {
            Change::Set(template) => match self.header_value(name, template)? {
                Some(value) => {
                    let set = self.exchange.set_header(name, &value);
                    set.map_err(blame)?;
                }
                None if template.vouches() => self.exchange.remove_header(name)?,
                None => {}
            },
            Change::Append(template) => {
                if let Some(value) = self.header_value(name, template)? {
                    let appended = self.exchange.append_header(name, &value);
                    appended.map_err(blame)?;
                }
            }
            Change::Remove => self.exchange.remove_header(name)?,
            Change::Rename(to) => {
                let values = self.exchange.header_all(name);
                if !values.is_empty() {
                    self.exchange.remove_header(name)?;
                    self.exchange.remove_header(to)?;
                }
                for value in values {
                    self.exchange.append_header(to, &value).map_err(blame)?;
                }
            }
        }
        Ok(())
    }

    /// Edits the query. Returns whether it changed.
    fn query(&mut self, name: &str, change: &Change) -> bool {
        match change {
            Change::Set(template) => match self.render_query(template) {
                Some(value) => self.path().set_encoded_query(name, &value),
                None if template.vouches() => return self.path().remove_query(name) > 0,
                None => return false,
            },
            Change::Append(template) => match self.render_query(template) {
                Some(value) => self.path().append_encoded_query(name, &value),
                None => return false,
            },
            Change::Remove => return self.path().remove_query(name) > 0,
            Change::Rename(to) => return self.path().rename_query(name, to) > 0,
        }
        true
    }

    fn header_value<'t>(
        &mut self,
        name: &str,
        template: &'t Template,
    ) -> Result<Option<Cow<'t, [u8]>>, Trouble> {
        let value = if holds_uri(name) {
            self.render_uri(name, template).map(Cow::Owned)
        } else {
            self.render(template)
        };
        match value {
            Some(Cow::Owned(value)) if !is_field_value(&value) => Err(Trouble::Value),
            value => Ok(value),
        }
    }

    fn render<'t>(&mut self, template: &'t Template) -> Option<Cow<'t, [u8]>> {
        match template.as_literal() {
            Some(literal) => Some(Cow::Borrowed(literal.as_bytes())),
            None => template.render(|fact| self.fact(fact)).map(Cow::Owned),
        }
    }

    /// The value of a query parameter, encoded.
    fn render_query(&mut self, template: &Template) -> Option<String> {
        let mut rendered = String::new();
        for part in &template.0 {
            rendered.push_str(&match part {
                Part::Literal(literal) => path::encode_query(literal.as_bytes()),
                Part::Fact(fact) if is_parameter(fact) => self.raw(fact)?.to_query(),
                Part::Fact(fact) => path::encode_query(&self.fact(fact)?),
            });
        }
        Some(rendered)
    }

    /// The path, encoded. Escapes of the client stay escaped, so that a value never becomes more segments.
    fn render_path(&mut self, template: &Template) -> Result<Option<String>, Trouble> {
        let mut rendered = String::new();
        for part in &template.0 {
            let piece = match part {
                Part::Literal(literal) => Some(Cow::Borrowed(literal.as_str())),
                Part::Fact(fact) => self.path_piece(fact).map(Cow::Owned),
            };
            let Some(piece) = piece else { return Ok(None) };
            // An empty segment is refused, because the path rule would remove it.
            if piece.is_empty() && rendered.ends_with('/') {
                return Err(Trouble::Value);
            }
            rendered.push_str(&piece);
        }
        if path::has_dot_segment(&rendered) {
            return Err(Trouble::Value);
        }
        Ok(Some(rendered))
    }

    fn path_piece(&mut self, fact: &Fact) -> Option<String> {
        if *fact == Fact::RequestPath {
            return Some(self.path().path().to_owned());
        }
        if is_parameter(fact) {
            return Some(place_in_path(fact, &self.raw(fact)?));
        }
        Some(path::encode_segment(&self.fact(fact)?))
    }

    /// A header that holds a URI. Parameters stay encoded as the client sent them. But a query parameter at the
    /// beginning is a whole URI reference, and is inserted decoded.
    fn render_uri(&mut self, name: &str, template: &Template) -> Option<Vec<u8>> {
        let mut rendered = Vec::new();
        for part in &template.0 {
            let fact = match part {
                Part::Literal(literal) => {
                    rendered.extend_from_slice(literal.as_bytes());
                    continue;
                }
                Part::Fact(fact) => fact,
            };
            let is_whole = rendered.is_empty() && matches!(fact, Fact::RequestQuery(_));
            if is_whole || !is_parameter(fact) {
                let value = self.fact(fact)?;
                // A field of the response is already a URI; `link` and `refresh` may hold several.
                let is_bare = matches!(name, "location" | "content-location")
                    && !matches!(fact, Fact::ResponseHeader(_));
                if is_bare {
                    escape_illegal(&value, &mut rendered);
                } else {
                    rendered.extend_from_slice(&value);
                }
                continue;
            }
            let raw = self.raw(fact)?;
            let spelled = if rendered.contains(&b'?') {
                raw.to_query()
            } else {
                place_in_path(fact, &raw)
            };
            rendered.extend_from_slice(spelled.as_bytes());
        }
        Some(rendered)
    }

    /// A parameter, still encoded.
    fn raw(&self, fact: &Fact) -> Option<RawParam> {
        match (fact, &self.path) {
            (Fact::RequestQuery(name), Some(path)) => path.raw_query_param(name),
            (Fact::RequestQuery(name), None) => self.exchange.raw_query_param(name),
            (Fact::PathParameter { name, .. }, _) => self.exchange.raw_path_param(name),
            (
                Fact::RequestMethod
                | Fact::RequestPath
                | Fact::RequestHeader(_)
                | Fact::ResponseHeader(_)
                | Fact::Body(_)
                | Fact::Attribute { .. },
                _,
            ) => None,
        }
    }

    /// A value as the earlier edits have left it.
    fn fact(&mut self, fact: &Fact) -> Option<Vec<u8>> {
        match (fact, &self.path) {
            (Fact::RequestPath, _) => Some(self.path().path().as_bytes().to_vec()),
            (Fact::RequestQuery(name), Some(path)) => path.query_param(name),
            (Fact::Body(pointer), _) => {
                let text = match self.body.as_mut()?.read(pointer) {
                    Ok(text) => text?,
                    Err(flaw) => {
                        self.flaw = Some(flaw);
                        return None;
                    }
                };
                Some(match text.starts_with('"') {
                    true => decode_string(&text),
                    false => text.into_bytes(),
                })
            }
            (
                Fact::RequestMethod
                | Fact::RequestHeader(_)
                | Fact::RequestQuery(_)
                | Fact::ResponseHeader(_)
                | Fact::PathParameter { .. }
                | Fact::Attribute { .. },
                _,
            ) => self.exchange.fact(fact),
        }
    }

    fn path(&mut self) -> &mut PathAndQuery {
        self.path
            .get_or_insert_with(|| PathAndQuery::parse(&self.exchange.path()))
    }
}

/// Decides who is at fault if the gateway refused a header. If there was no space for it, the sender of the other
/// headers is.
fn blame(error: EditError) -> Trouble {
    match error {
        EditError::TooLarge => Trouble::Value,
        EditError::Syntax | EditError::Forbidden | EditError::TooLate => Trouble::Edit(error),
    }
}

/// Appends a value to a URI, and escapes characters that a URI must not contain (RFC 3986, section 2). Control
/// characters stay, because the gateway refuses them in a header.
fn escape_illegal(value: &[u8], uri: &mut Vec<u8>) {
    for &byte in value {
        if byte == b' ' || !byte.is_ascii() || b"\"<>\\^`{|}".contains(&byte) {
            uri.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            uri.push(byte);
        }
    }
}

/// Whether the value is part of the request's target, so that the client encoded it.
fn is_parameter(fact: &Fact) -> bool {
    matches!(fact, Fact::RequestQuery(_) | Fact::PathParameter { .. })
}

/// A parameter for a path: one segment, or several for a greedy one.
fn place_in_path(fact: &Fact, raw: &RawParam) -> String {
    match fact {
        Fact::PathParameter { greedy: true, .. } => raw.to_segments(),
        Fact::PathParameter { greedy: false, .. }
        | Fact::RequestMethod
        | Fact::RequestPath
        | Fact::RequestHeader(_)
        | Fact::RequestQuery(_)
        | Fact::ResponseHeader(_)
        | Fact::Body(_)
        | Fact::Attribute { .. } => raw.to_segment(),
    }
}

/// Whether a header of this name contains a URI that its reader follows (RFC 9110, sections 8.7 and 10.2.2; RFC 8288,
/// section 3; `refresh` of HTML).
pub fn holds_uri(name: &str) -> bool {
    matches!(name, "location" | "content-location" | "link" | "refresh")
}

#[cfg(test)]
mod tests;
