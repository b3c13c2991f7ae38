//! Makes the edits, in order, each on what the ones before it left.

use std::borrow::Cow;

use windlass_plugin_sdk::{EditError, PathAndQuery, is_field_value, path};

use crate::exchange::Exchange;
use crate::operation::{Change, Operation};
use crate::template::{Fact, Template};

/// Why the edits stopped, and at which of them.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// A value is not legal where the template puts it: a line end in a header, or a `..` that
    /// would climb out of the path.
    Value { place: usize },
    /// The gateway refused the edit.
    Edit { place: usize, error: EditError },
}

enum Trouble {
    Value,
    Edit(EditError),
}

impl From<EditError> for Trouble {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

/// Makes the edits. Those of path and query are gathered and given to the gateway once, at the
/// end.
///
/// # Errors
/// At the first edit that cannot be made.
pub fn apply(operations: &[Operation], exchange: &mut impl Exchange) -> Result<(), Stop> {
    let mut walk = Walk {
        exchange,
        path: None,
        path_edit: None,
    };
    for (place, operation) in operations.iter().enumerate() {
        walk.step(place, operation)
            .map_err(|trouble| match trouble {
                Trouble::Value => Stop::Value { place },
                Trouble::Edit(error) => Stop::Edit { place, error },
            })?;
    }
    walk.finish()
}

struct Walk<'a, E> {
    exchange: &'a mut E,
    /// Path and query, once an edit or a template has asked for them.
    path: Option<PathAndQuery>,
    /// The last edit that changed them.
    path_edit: Option<usize>,
}

impl<E: Exchange> Walk<'_, E> {
    fn step(&mut self, place: usize, operation: &Operation) -> Result<(), Trouble> {
        match operation {
            Operation::Header { name, change } => self.header(name, change),
            Operation::Query { name, change } => {
                if self.query(name, change) {
                    self.path_edit = Some(place);
                }
                Ok(())
            }
            Operation::Path(template) => {
                if let Some(path) = self.render_path(template)? {
                    self.path().set_path(path);
                    self.path_edit = Some(place);
                }
                Ok(())
            }
            Operation::Status(status) => Ok(self.exchange.set_status(*status)?),
        }
    }

    fn finish(self) -> Result<(), Stop> {
        match (self.path_edit, &self.path) {
            (Some(place), Some(path)) => self
                .exchange
                .set_path(&path.to_string())
                .map_err(|error| Stop::Edit { place, error }),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn header(&mut self, name: &str, change: &Change) -> Result<(), Trouble> {
        match change {
            Change::Set(template) => {
                if let Some(value) = self.header_value(template)? {
                    self.exchange.set_header(name, &value)?;
                }
            }
            Change::Append(template) => {
                if let Some(value) = self.header_value(template)? {
                    self.exchange.append_header(name, &value)?;
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
                    self.exchange.append_header(to, &value)?;
                }
            }
        }
        Ok(())
    }

    /// Tells whether the query changed.
    fn query(&mut self, name: &str, change: &Change) -> bool {
        match change {
            Change::Set(template) => match self.render(template) {
                Some(value) => self.path().set_query(name, &value),
                None => return false,
            },
            Change::Append(template) => match self.render(template) {
                Some(value) => self.path().append_query(name, &value),
                None => return false,
            },
            Change::Remove => return self.path().remove_query(name) > 0,
            Change::Rename(to) => return self.path().rename_query(name, to) > 0,
        }
        true
    }

    fn header_value<'t>(
        &mut self,
        template: &'t Template,
    ) -> Result<Option<Cow<'t, [u8]>>, Trouble> {
        match self.render(template) {
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

    fn render_path(&mut self, template: &Template) -> Result<Option<String>, Trouble> {
        let rendered = template.render(|fact| {
            let value = self.fact(fact)?;
            Some(match fact {
                Fact::RequestPath => value,
                Fact::PathParameter { greedy: true, .. } => {
                    path::encode_segments(&value).into_bytes()
                }
                Fact::PathParameter { greedy: false, .. }
                | Fact::RequestMethod
                | Fact::RequestHeader(_)
                | Fact::RequestQuery(_)
                | Fact::ResponseHeader(_)
                | Fact::Attribute { .. } => path::encode_segment(&value).into_bytes(),
            })
        });
        match rendered {
            None => Ok(None),
            Some(rendered) if has_dot_segment(&rendered) => Err(Trouble::Value),
            Some(rendered) => match String::from_utf8(rendered) {
                Ok(path) => Ok(Some(path)),
                Err(_) => Err(Trouble::Value),
            },
        }
    }

    /// A fact as the edits so far have left it.
    fn fact(&mut self, fact: &Fact) -> Option<Vec<u8>> {
        match (fact, &self.path) {
            (Fact::RequestPath, _) => Some(self.path().path().as_bytes().to_vec()),
            (Fact::RequestQuery(name), Some(path)) => path.query_param(name),
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

/// Whether a segment of the path is `.` or `..`, percent-decoded: it would climb out of where
/// the template puts it.
pub fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|segment| {
        segment.len() <= 6
            && core::str::from_utf8(segment)
                .is_ok_and(|text| matches!(path::decode_query(text).as_slice(), b"." | b".."))
    })
}

#[cfg(test)]
mod tests;
