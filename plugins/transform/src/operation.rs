//! One edit, checked and ready to be made.

use crate::template::{Fact, Template};

/// One edit of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Changes the header of this name, lower case.
    Header { name: String, change: Change },
    /// Changes the query parameter of this name.
    Query { name: String, change: Change },
    /// Replaces the path and keeps the query. Its literals are percent-encoded.
    Path(Template),
    /// Replaces the status.
    Status(u16),
}

/// What becomes of a header or a query parameter.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Every value is replaced by this one.
    Set(Template),
    /// This value is added.
    Append(Template),
    /// Every value goes.
    Remove,
    /// Every value moves to this name, and replaces what was there.
    Rename(String),
}

impl Operation {
    /// The template of the edit, where it has one.
    pub fn template(&self) -> Option<&Template> {
        match self {
            Self::Header { change, .. } | Self::Query { change, .. } => match change {
                Change::Set(template) | Change::Append(template) => Some(template),
                Change::Remove | Change::Rename(_) => None,
            },
            Self::Path(template) => Some(template),
            Self::Status(_) => None,
        }
    }
}

/// The attributes that are named with a `!`, each once, in the order of their names.
pub fn required_attributes<'a>(
    operations: impl Iterator<Item = &'a Operation>,
) -> std::collections::BTreeSet<String> {
    operations
        .filter_map(Operation::template)
        .flat_map(Template::facts)
        .filter_map(|fact| match fact {
            Fact::Attribute {
                name,
                required: true,
            } => Some(name.clone()),
            Fact::Attribute {
                required: false, ..
            }
            | Fact::RequestMethod
            | Fact::RequestPath
            | Fact::RequestHeader(_)
            | Fact::RequestQuery(_)
            | Fact::ResponseHeader(_)
            | Fact::PathParameter { .. } => None,
        })
        .collect()
}
