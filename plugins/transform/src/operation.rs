//! One edit, checked and ready to be made.

use windlass_plugin_sdk::{ResponseEdit, Setup};

use crate::apply::holds_uri;
use crate::json::Pointer;
use crate::program::Program;
use crate::status::Statuses;
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
    /// Changes the value at the pointer, in a JSON body.
    Body {
        pointer: Pointer,
        change: BodyChange,
    },
}

/// The effect of an edit on a value in a body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyChange {
    /// Replaces the value, or adds it.
    Set(BodyValue),
    /// Like `Set`, but inserts before the element of the index in an array.
    Add(BodyValue),
    /// Removes the value.
    Remove,
    /// Moves the value to this pointer, and replaces the value there.
    Rename(Pointer),
}

/// The value that an edit puts into a body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyValue {
    /// A string.
    Text(Template),
    /// A JSON text from the settings.
    Json(String),
    /// A JSON text that a template makes.
    Made(Box<Program>),
}

/// The effect of an edit on a header or a query parameter.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces all values by this one.
    Set(Template),
    /// Adds this value.
    Append(Template),
    /// Removes all values.
    Remove,
    /// Moves all values to this name, and replaces the values there.
    Rename(String),
}

impl Operation {
    /// All templates of the edit.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let made = match self {
            Self::Body {
                change: BodyChange::Set(value) | BodyChange::Add(value),
                ..
            } => value.made(),
            Self::Body { .. }
            | Self::Header { .. }
            | Self::Query { .. }
            | Self::Path(_)
            | Self::Status(_) => None,
        };
        let values = made.into_iter().flat_map(|program| &program.with);
        let values = values.map(|(_, template)| template);
        self.template().into_iter().chain(values)
    }

    /// The template that makes the value of the edit, if any.
    fn template(&self) -> Option<&Template> {
        match self {
            Self::Header { change, .. } | Self::Query { change, .. } => match change {
                Change::Set(template) | Change::Append(template) => Some(template),
                Change::Remove | Change::Rename(_) => None,
            },
            Self::Path(template) => Some(template),
            Self::Body { change, .. } => match change {
                BodyChange::Set(BodyValue::Text(template))
                | BodyChange::Add(BodyValue::Text(template)) => Some(template),
                BodyChange::Set(BodyValue::Json(_) | BodyValue::Made(_))
                | BodyChange::Add(BodyValue::Json(_) | BodyValue::Made(_))
                | BodyChange::Remove
                | BodyChange::Rename(_) => None,
            },
            Self::Status(_) => None,
        }
    }

    fn constant_edit(&self) -> Option<ResponseEdit<'_>> {
        let Self::Header { name, change } = self else {
            return None;
        };
        match change {
            Change::Set(_) | Change::Append(_) if holds_uri(name) => None,
            Change::Set(template) => Some(ResponseEdit::set(name, template.as_literal()?)),
            Change::Append(template) => Some(ResponseEdit::append(name, template.as_literal()?)),
            Change::Remove => Some(ResponseEdit::remove(name)),
            Change::Rename(_) => None,
        }
    }

    /// Whether the edit reads or changes the body.
    pub fn needs_body(&self) -> bool {
        matches!(self, Self::Body { .. }) || self.template().is_some_and(Template::names_body)
    }
}

impl BodyValue {
    fn made(&self) -> Option<&Program> {
        match self {
            Self::Made(program) => Some(program),
            Self::Text(_) | Self::Json(_) => None,
        }
    }
}

/// The edits of one direction, each with its index in the settings.
#[derive(Debug)]
pub struct Edits {
    /// The statuses that each edit applies to, by index; `None` for all.
    statuses: Vec<Option<Statuses>>,
    /// The edits of the head, which are made at once.
    pub head: Vec<(usize, Operation)>,
    /// The edits that read or change the body, which are made afterwards, once it has arrived.
    pub body: Vec<(usize, Operation)>,
}

impl Edits {
    pub fn new(operations: Vec<Operation>, statuses: Vec<Option<Statuses>>) -> Self {
        let (body, head) = operations
            .into_iter()
            .enumerate()
            .partition(|(_, operation)| operation.needs_body());
        Self {
            statuses,
            head,
            body,
        }
    }

    /// Whether any edit applies only to some statuses.
    pub fn ask_for_status(&self) -> bool {
        self.statuses.iter().any(Option::is_some)
    }

    /// Whether the edit of this index applies to a response with this status.
    pub fn are_for(&self, place: usize, status: Option<u16>) -> bool {
        match (self.statuses.get(place), status) {
            (Some(Some(statuses)), Some(status)) => statuses.hold(status),
            (Some(Some(_)), None) => false,
            (Some(None) | None, _) => true,
        }
    }
}

/// The most edits that the gateway can make without a call.
const MOST_CONSTANT: usize = 64;

/// The edits of a response that the gateway can make without a call: `Some` if each one only sets or removes a header,
/// with the same value for every response.
pub fn constant_edits<'o>(
    response: &'o [Operation],
    statuses: &[Option<Statuses>],
) -> Option<Vec<ResponseEdit<'o>>> {
    if response.len() > MOST_CONSTANT || statuses.iter().any(Option::is_some) {
        return None;
    }
    response.iter().map(Operation::constant_edit).collect()
}

/// The attributes that templates require by a `!`, sorted and without duplicates.
pub fn required_attributes<'a>(
    operations: impl Iterator<Item = &'a Operation>,
) -> std::collections::BTreeSet<String> {
    operations
        .flat_map(Operation::templates)
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
            | Fact::Body(_)
            | Fact::PathParameter { .. } => None,
        })
        .collect()
}

/// Declares the request headers that endpoints may trust, and warns if an endpoint could get the client's own value
/// instead.
pub fn advise(mut setup: Setup, request: &[Operation]) -> Setup {
    for (place, operation) in request.iter().enumerate() {
        let facts = operation.templates().flat_map(Template::facts);
        for fact in facts {
            if let Fact::RequestHeader(name) = fact {
                setup = setup.reads(name);
            }
        }
        if let Operation::Header { name, change } = operation {
            if let Change::Rename(_) = change {
                setup = setup.reads(name);
            }
            setup = match change {
                Change::Set(template) if template.names_attribute() => setup.vouch(name),
                Change::Set(template) if template.as_literal().is_some() => setup.clear(name),
                Change::Remove | Change::Rename(_) => setup.clear(name),
                Change::Set(_) | Change::Append(_) => setup,
            };
        }
        if let Some(name) = appends_to_the_client_s(operation, request.get(..place)) {
            let message = format!(
                "`append` leaves what the client itself sends in `{name}` before the attribute, \
                 where an endpoint may take it for the gateway's word: write `set`, or `remove` it \
                 before"
            );
            setup = setup.warn(format!("/request/{place}/op"), message);
        }
    }
    setup
}

/// Warns if a client could keep a trusted value out of a body.
pub fn advise_of_other_bodies(mut setup: Setup, request: &[Operation]) -> Setup {
    for (place, operation) in request.iter().enumerate() {
        let vouches = matches!(operation, Operation::Body { .. })
            && operation.templates().any(Template::names_attribute);
        if vouches {
            let message = "a client that sends its body as another type than JSON passes without \
                           this edit: write `other_bodies = \"refuse\"` if the endpoint could read \
                           such a body";
            setup = setup.warn(format!("/request/{place}/body"), message);
        }
    }
    setup
}

/// The name of a field to which an attribute is appended, although no earlier edit has removed the client's values.
fn appends_to_the_client_s<'o>(
    operation: &'o Operation,
    before: Option<&[Operation]>,
) -> Option<&'o str> {
    let (name, change, is_header) = named(operation)?;
    let Change::Append(template) = change else {
        return None;
    };
    let is_own = before.unwrap_or_default().iter().any(|earlier| {
        named(earlier).is_some_and(|(known, change, of_header)| {
            let ends = matches!(change, Change::Remove | Change::Rename(_) | Change::Set(_));
            known == name && of_header == is_header && ends
        })
    });
    (template.names_attribute() && !is_own).then_some(name)
}

fn named(operation: &Operation) -> Option<(&str, &Change, bool)> {
    match operation {
        Operation::Header { name, change } => Some((name, change, true)),
        Operation::Query { name, change } => Some((name, change, false)),
        Operation::Path(_) | Operation::Status(_) | Operation::Body { .. } => None,
    }
}
