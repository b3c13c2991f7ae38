//! Makes the edits, in order, each on what the ones before it left.

use std::borrow::Cow;
use std::collections::BTreeMap;

use windlass_plugin_sdk::{EditError, PathAndQuery, RawParam, is_field_value, path};

use crate::exchange::Exchange;
use crate::json::{Document, Flaw, Pointer, decode_string, encode_string};
use crate::operation::{BodyChange, BodyValue, Change, Operation};
use crate::program::{Fault, Program};
use crate::template::{Fact, Part, Template};

/// Why the edits stopped, and at which of them.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// A value does not fit where the template puts it: a line end in a header, a `..` that would
    /// climb out of the path, bytes that are not UTF-8 in it, or too much of it.
    Value { place: usize },
    /// An attribute is absent that the path cannot do without.
    Absent { place: usize },
    /// The gateway refused the edit.
    Edit { place: usize, error: EditError },
    /// The values do not fit the template of a body.
    Unfit { place: usize, why: String },
    /// The template of a body is at fault.
    Template { place: usize, why: String },
    /// The body is too wide to be edited.
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

/// Makes the edits. Those of path and query are gathered and given to the gateway once, at the
/// end. Those of the body change `body`; without one they are left out.
///
/// # Errors
/// At the first edit that cannot be made.
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
    /// Why a value of the body could not be read.
    flaw: Option<Flaw>,
    /// Path and query, once an edit or a template has asked for them.
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
                // The client's own path is not the one that the attribute would have led to.
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
            // The client's own value is not the one that the gateway would have put there.
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

    /// The JSON text of a value.
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

    /// The JSON text that a template makes; none where there is no body.
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
            // The literals of a path are checked when they are read: what does not fit is a value.
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

    /// Tells whether the query changed.
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

    /// The path, encoded. What the client escaped stays escaped, so that a value never becomes more
    /// segments than it was.
    fn render_path(&mut self, template: &Template) -> Result<Option<String>, Trouble> {
        let mut rendered = String::new();
        for part in &template.0 {
            let piece = match part {
                Part::Literal(literal) => Some(Cow::Borrowed(literal.as_str())),
                Part::Fact(fact) => self.path_piece(fact).map(Cow::Owned),
            };
            let Some(piece) = piece else { return Ok(None) };
            // An empty segment is no segment: the path rule would leave it out.
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

    /// A header that holds a URI. Parameters go in as they are spelled; a query parameter that is
    /// its beginning is a whole reference, and goes in decoded.
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
                // A field of the response is a URI already; `link` and `refresh` hold more than one.
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

    /// A parameter as it is spelled.
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

    /// A fact as the edits so far have left it.
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

/// Whose fault it is that the gateway refused a header: where there is no room for it, that of
/// whoever sent the others.
fn blame(error: EditError) -> Trouble {
    match error {
        EditError::TooLarge => Trouble::Value,
        EditError::Syntax | EditError::Forbidden | EditError::TooLate => Trouble::Edit(error),
    }
}

/// Adds a value to a URI: what stands in none (RFC 3986, section 2) is escaped. Controls are left, for
/// they stand in no header either.
fn escape_illegal(value: &[u8], uri: &mut Vec<u8>) {
    for &byte in value {
        if byte == b' ' || !byte.is_ascii() || b"\"<>\\^`{|}".contains(&byte) {
            uri.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            uri.push(byte);
        }
    }
}

/// Whether the client spelled it in the request's target.
fn is_parameter(fact: &Fact) -> bool {
    matches!(fact, Fact::RequestQuery(_) | Fact::PathParameter { .. })
}

/// A parameter as it goes into a path: one segment, or those of a greedy one.
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

/// Whether a header of this name leads its reader somewhere (RFC 9110, sections 8.7 and 10.2.2; RFC
/// 8288, section 3; `refresh` of HTML).
pub fn holds_uri(name: &str) -> bool {
    matches!(name, "location" | "content-location" | "link" | "refresh")
}

#[cfg(test)]
mod tests;
