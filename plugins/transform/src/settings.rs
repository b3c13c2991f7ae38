//! The settings as written, and the operations that result from them.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_plugin_sdk::{Diagnostic, is_field_name, is_field_value, is_reserved_field, path};

use crate::json::{self, Pointer};
use crate::operation::{BodyChange, BodyValue, Change, Operation};
use crate::program::Program;
use crate::status::Statuses;
use crate::template::{Part, Side, Template};

/// The edits of both directions, in the order in which they are made.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Edits of the request, on its way to the upstream. None by default.
    #[serde(default)]
    request: Vec<Edit>,
    /// Edits of the response, on its way to the client. None by default.
    #[serde(default)]
    response: Vec<Edit>,
    /// The answer if `response` reads or changes the body, and a response that says it is JSON is not,
    /// or is compressed: `refuse` answers 502 `response_not_json`, `pass` sends it on unedited.
    #[serde(default)]
    response_not_json: NotJson,
    /// The answer if a request has a body that is not JSON by its `content-type`: `pass` sends it on
    /// without the edits of bodies, `refuse` answers 415 `unsupported_media_type`.
    #[serde(default)]
    other_bodies: OtherBodies,
}

/// The treatment of a request whose body is of another type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OtherBodies {
    /// It goes upstream as it is.
    #[default]
    Pass,
    /// The client gets 415.
    Refuse,
}

/// The treatment of a response whose body cannot be edited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NotJson {
    /// The client gets 502 in its place.
    #[default]
    Refuse,
    /// It goes on to the client as it is.
    Pass,
}

/// One edit, as written: `op`, one of `header`, `query`, `path`, `status` and `body`, and what the
/// operation needs.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Edit {
    /// `set`, `append`, `add`, `remove` or `rename`.
    // Absent only if it could not be read; then the rest of the edit is still checked.
    #[cfg_attr(test, schemars(with = "Op"))]
    op: Option<Op>,
    /// The header to edit.
    header: Option<String>,
    /// The query parameter to edit; in `request` only.
    query: Option<String>,
    /// The new path, a template; for `set` in `request` only. The query stays.
    path: Option<String>,
    /// The new status, 200 to 599; for `set` in `response` only.
    #[cfg_attr(test, schemars(range(min = 200, max = 599)))]
    status: Option<u16>,
    /// The statuses of the response that the edit is for, single ones or classes: `["404", "5xx"]`; in
    /// `response` only. For all by default.
    if_status: Option<Vec<String>>,
    /// The value to edit in a body of JSON: a JSON Pointer such as `/user/id`; empty for the whole.
    body: Option<String>,
    /// The value, a template; for `set`, `append` and `add`. In a body it is a string.
    value: Option<String>,
    /// The value as JSON text, such as `"true"` or `'{ "a": 1 }'`; for `set` and `add` in a body.
    json: Option<String>,
    /// The value as a template of JSON, in the language of Jinja: it reads `body`, the whole body, and
    /// the values of `with`. For `set` and `add` in a body.
    template: Option<String>,
    /// The values that `template` reads, each a name and a template such as `${path.id}`.
    #[serde(default)]
    with: BTreeMap<String, String>,
    /// The new name, or in a body the new place as a JSON Pointer; for `rename`.
    to: Option<String>,
}

/// The operation of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    rename_all = "lowercase",
    expecting = "one of `set`, `append`, `add`, `remove`, `rename`"
)]
enum Op {
    /// Replaces every value by one.
    Set,
    /// Adds a value to a header or a query parameter.
    Append,
    /// As `set`, in a body; in an array the value goes before the element of the index.
    Add,
    /// Removes every value.
    Remove,
    /// Moves every value to another name.
    Rename,
}

impl Settings {
    /// The statuses that each edit of the response applies to; `None` for all.
    pub fn statuses(&self) -> Vec<Option<Statuses>> {
        let texts = self.response.iter().map(|edit| edit.if_status.as_deref());
        texts.map(|texts| texts.map(Statuses::of)).collect()
    }

    pub fn other_bodies(&self) -> OtherBodies {
        self.other_bodies
    }

    pub fn response_not_json(&self) -> NotJson {
        self.response_not_json
    }

    /// The operations of the request and of the response.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn operations(&self) -> Result<(Vec<Operation>, Vec<Operation>), Vec<Diagnostic>> {
        let mut complaints = Vec::new();
        let refuses = self.other_bodies == OtherBodies::Refuse;
        if self.request.is_empty() && self.response.is_empty() && !refuses {
            complaints.push(Diagnostic::new(
                "",
                "there is no edit: give `request`, `response` or both",
            ));
        }
        let mut checked = |edits: &[Edit], side| {
            let mut operations = Vec::new();
            for (place, edit) in edits.iter().enumerate() {
                let mut check = Check {
                    side,
                    place,
                    op: edit.op.unwrap_or(Op::Set),
                    complaints: &mut complaints,
                };
                match edit.op {
                    Some(_) => operations.extend(check.operation(edit)),
                    None => check.without_op(edit),
                }
            }
            operations
        };
        let request = checked(&self.request, Side::Request);
        let response = checked(&self.response, Side::Response);
        if complaints.is_empty() {
            Ok((request, response))
        } else {
            Err(complaints)
        }
    }
}

const SEVERAL: &str = "edits several things: give one of `header`, `query`, `path`, `status` and \
                       `body`, and make an edit of its own of each other";

const WITH: &str = "only `template` reads it";

const NAME: &str = "is no name for a template: take letters, digits and `_`, and not `body`";

/// Whether a template can use this name for a value.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name != "body"
        && name.bytes().next().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// The check of one edit. A function that returns `None` has reported an error.
struct Check<'a> {
    side: Side,
    place: usize,
    op: Op,
    complaints: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    fn complain(&mut self, field: &str, message: impl Into<String>) {
        let side = match self.side {
            Side::Request => "request",
            Side::Response => "response",
        };
        let field = if field.is_empty() {
            String::new()
        } else {
            format!("/{field}")
        };
        let at = format!("/{side}/{}{field}", self.place);
        self.complaints.push(Diagnostic::new(at, message));
    }

    fn operation(&mut self, edit: &Edit) -> Option<Operation> {
        self.statuses(edit);
        if let Some(pointer) = &edit.body {
            return self.body(edit, pointer);
        }
        self.leave_out("json", edit.json.is_some(), "only a body takes it");
        self.leave_out("template", edit.template.is_some(), "only a body takes it");
        self.leave_out("with", !edit.with.is_empty(), WITH);
        match (&edit.header, &edit.query, &edit.path, edit.status) {
            (Some(name), None, None, None) => {
                let name = self.header_name("header", name);
                let change = self.change(edit);
                let (name, change) = (name?, self.header_change(change?)?);
                if change == Change::Rename(name.clone()) {
                    self.complain("to", "is the name that the header already has");
                    return None;
                }
                Some(Operation::Header { name, change })
            }
            (None, Some(name), None, None) => self.query(edit, name),
            (None, None, Some(path), None) => self.path(edit, path),
            (None, None, None, Some(status)) => self.status(edit, status),
            (None, None, None, None) => {
                let subjects = match self.side {
                    Side::Request => "`header`, `query`, `path` or `body`",
                    Side::Response => "`header`, `status` or `body`",
                };
                self.complain("", format!("says not what to edit: give {subjects}"));
                None
            }
            (Some(_) | None, Some(_) | None, Some(_) | None, Some(_) | None) => {
                self.complain("", SEVERAL);
                None
            }
        }
    }

    /// Checks everything that does not depend on `op`.
    fn without_op(&mut self, edit: &Edit) {
        self.complain("", "missing field `op`");
        self.statuses(edit);
        if let Some(name) = &edit.header {
            self.header_name("header", name);
        }
        if let Some(pointer) = &edit.body {
            self.pointer("body", pointer);
        }
        for (field, text) in [("value", &edit.value), ("path", &edit.path)] {
            if let Some(text) = text {
                self.template(field, text);
            }
        }
        if let (Some(_), Some(template)) = (&edit.body, &edit.template) {
            self.program(template, &edit.with);
        }
    }

    fn statuses(&mut self, edit: &Edit) {
        let Some(texts) = &edit.if_status else {
            return;
        };
        if self.side == Side::Request {
            self.complain("if_status", "a request has no status; edit the response");
        } else if texts.is_empty() {
            self.complain(
                "if_status",
                "names no status: leave it out if the edit is for all",
            );
        }
        for (place, text) in texts.iter().enumerate() {
            if let Err(message) = Statuses::parse_one(text) {
                self.complain(&format!("if_status/{place}"), message);
            }
        }
    }

    fn body(&mut self, edit: &Edit, text: &str) -> Option<Operation> {
        if edit.header.is_some()
            || edit.query.is_some()
            || edit.path.is_some()
            || edit.status.is_some()
        {
            self.complain("", SEVERAL);
            return None;
        }
        let pointer = self.pointer("body", text);
        let change = match self.op {
            Op::Set | Op::Add => {
                self.leave_out("to", edit.to.is_some(), "only `rename` takes it");
                let value = self.body_value(edit)?;
                if self.op == Op::Set {
                    BodyChange::Set(value)
                } else {
                    BodyChange::Add(value)
                }
            }
            Op::Append => {
                self.complain(
                    "op",
                    "a body takes `add`; with a pointer that ends in `/-` it adds to an array",
                );
                return None;
            }
            Op::Remove | Op::Rename => {
                self.leave_out("with", !edit.with.is_empty(), WITH);
                for (field, given) in [
                    ("template", edit.template.is_some()),
                    ("value", edit.value.is_some()),
                    ("json", edit.json.is_some()),
                ] {
                    self.leave_out(field, given, "only `set` and `add` take it");
                }
                match (self.op, &edit.to) {
                    (Op::Rename, Some(to)) => BodyChange::Rename(self.pointer("to", to)?),
                    (Op::Rename, None) => {
                        self.complain("", "has no `to`: name the place that it moves to");
                        return None;
                    }
                    (_, to) => {
                        self.leave_out("to", to.is_some(), "only `rename` takes it");
                        BodyChange::Remove
                    }
                }
            }
        };
        let pointer = pointer?;
        match &change {
            BodyChange::Remove if pointer.tokens().is_empty() => {
                self.complain(
                    "body",
                    "the whole body cannot be removed; set it to `json = \"null\"`",
                );
                None
            }
            BodyChange::Rename(to) if pointer.leads_to(to) => {
                self.complain("to", "is the same place, or one inside of what moves there");
                None
            }
            BodyChange::Set(_)
            | BodyChange::Add(_)
            | BodyChange::Remove
            | BodyChange::Rename(_) => Some(Operation::Body { pointer, change }),
        }
    }

    fn body_value(&mut self, edit: &Edit) -> Option<BodyValue> {
        self.leave_out(
            "with",
            edit.template.is_none() && !edit.with.is_empty(),
            WITH,
        );
        match (&edit.value, &edit.json, &edit.template) {
            (Some(value), None, None) => self.template("value", value).map(BodyValue::Text),
            (None, Some(json), None) => match json::check(json.as_bytes()) {
                Ok(text) => Some(BodyValue::Json(text.trim_ascii().to_owned())),
                Err(flaw) => {
                    let hint = "a string has quotes of its own: `json = '\"text\"'`";
                    self.complain("json", format!("{flaw}; {hint}"));
                    None
                }
            },
            (None, None, Some(template)) => self.program(template, &edit.with),
            (None, None, None) => {
                self.complain("", "has no value: give `value`, `json` or `template`");
                None
            }
            (Some(_) | None, Some(_) | None, Some(_) | None) => {
                self.complain(
                    "",
                    "has several values: give one of `value`, `json` and `template`",
                );
                None
            }
        }
    }

    fn program(&mut self, source: &str, with: &BTreeMap<String, String>) -> Option<BodyValue> {
        let mut values = Vec::new();
        for (name, text) in with {
            let field = format!("with/{}", name.replace('~', "~0").replace('/', "~1"));
            if !is_name(name) {
                self.complain(&field, NAME);
            }
            values.push(
                self.template(&field, text)
                    .map(|value| (name.clone(), value)),
            );
        }
        match Program::parse(source, values.into_iter().collect::<Option<_>>()?) {
            Ok(program) => Some(BodyValue::Made(Box::new(program))),
            Err(message) => {
                self.complain("template", message);
                None
            }
        }
    }

    fn pointer(&mut self, field: &str, text: &str) -> Option<Pointer> {
        Pointer::parse(text)
            .map_err(|message| self.complain(field, message))
            .ok()
    }

    /// The effect on a header or a query parameter.
    fn change(&mut self, edit: &Edit) -> Option<Change> {
        let template = match self.op {
            Op::Add => {
                self.complain("op", "only a body takes `add`: write `append`");
                return None;
            }
            Op::Set | Op::Append => {
                self.leave_out("to", edit.to.is_some(), "only `rename` takes it");
                match &edit.value {
                    Some(value) => self.template("value", value),
                    None => {
                        self.complain("", "has no `value`; write `value = \"\"` for an empty one");
                        None
                    }
                }
            }
            Op::Remove | Op::Rename => {
                self.leave_out(
                    "value",
                    edit.value.is_some(),
                    "only `set` and `append` take it",
                );
                None
            }
        };
        match self.op {
            Op::Set => template.map(Change::Set),
            Op::Append | Op::Add => template.map(Change::Append),
            Op::Remove => {
                self.leave_out("to", edit.to.is_some(), "only `rename` takes it");
                Some(Change::Remove)
            }
            Op::Rename => match &edit.to {
                Some(to) => Some(Change::Rename(to.clone())),
                None => {
                    self.complain("", "has no `to`: name what it is renamed to");
                    None
                }
            },
        }
    }

    fn header_change(&mut self, change: Change) -> Option<Change> {
        match change {
            Change::Rename(to) => Some(Change::Rename(self.header_name("to", &to)?)),
            Change::Set(template) | Change::Append(template)
                if template
                    .literals()
                    .any(|text| !is_field_value(text.as_bytes())) =>
            {
                self.complain("value", "a header's value holds no control characters");
                None
            }
            Change::Set(_) | Change::Append(_) | Change::Remove => Some(change),
        }
    }

    fn query(&mut self, edit: &Edit, name: &str) -> Option<Operation> {
        if self.side == Side::Response {
            self.complain("query", "a response has no query; edit it in `request`");
            return None;
        }
        if name.is_empty() {
            self.complain("query", "name the query parameter");
        }
        match self.change(edit)? {
            Change::Rename(to) if to.is_empty() || to == name => {
                self.complain("to", "name the query parameter's new name");
                None
            }
            change => Some(Operation::Query {
                name: name.to_owned(),
                change,
            }),
        }
    }

    fn path(&mut self, edit: &Edit, text: &str) -> Option<Operation> {
        if self.side == Side::Response {
            self.complain("path", "a response has no path; edit it in `request`");
            return None;
        }
        self.only_set(edit, "a path", "`path` holds the template itself");
        let template = self.template("path", text)?;
        match encode_path(&template) {
            Ok(template) => Some(Operation::Path(template)),
            Err(message) => {
                self.complain("path", message);
                None
            }
        }
    }

    fn status(&mut self, edit: &Edit, status: u16) -> Option<Operation> {
        if self.side == Side::Request {
            self.complain("status", "a request has no status; set it in `response`");
            return None;
        }
        self.only_set(edit, "a status", "`status` holds the value itself");
        if !(200..=599).contains(&status) {
            self.complain("status", format!("must be 200 to 599, not {status}"));
            return None;
        }
        Some(Operation::Status(status))
    }

    fn only_set(&mut self, edit: &Edit, what: &str, value: &str) {
        if self.op != Op::Set {
            self.complain("op", format!("{what} can only be `set`"));
        }
        self.leave_out("value", edit.value.is_some(), value);
        self.leave_out("to", edit.to.is_some(), "only `rename` takes it");
    }

    fn leave_out(&mut self, field: &str, given: bool, why: &str) {
        if given {
            self.complain(field, format!("remove `{field}`: {why}"));
        }
    }

    fn template(&mut self, field: &str, text: &str) -> Option<Template> {
        Template::parse(text, self.side)
            .map_err(|message| self.complain(field, message))
            .ok()
    }

    fn header_name(&mut self, field: &str, name: &str) -> Option<String> {
        if !is_field_name(name) {
            self.complain(field, format!("`{name}` is not a legal header name"));
            None
        } else if is_reserved_field(name) {
            self.complain(
                field,
                format!("`{name}` is reserved to the gateway, which frames the message"),
            );
            None
        } else if name.eq_ignore_ascii_case("host") {
            self.complain(
                field,
                "`host` is reserved to the gateway; set `host` of the upstream instead",
            );
            None
        } else {
            Some(name.to_ascii_lowercase())
        }
    }
}

/// The template with its literals percent-encoded; existing escapes stay.
fn encode_path(template: &Template) -> Result<Template, String> {
    use crate::template::Fact;
    match template.0.first() {
        Some(Part::Literal(literal)) if literal.starts_with('/') => {}
        Some(Part::Fact(Fact::RequestPath)) => {}
        Some(Part::Literal(_) | Part::Fact(_)) | None => {
            return Err("must begin with `/` or `${request.path}`".to_owned());
        }
    }
    let mut parts = Vec::new();
    for part in &template.0 {
        parts.push(match part {
            Part::Literal(literal) => Part::Literal(encode_path_literal(literal)?),
            Part::Fact(fact) => Part::Fact(fact.clone()),
        });
    }
    let encoded = Template(parts);
    let sample = encoded.render(|_| Some(b"x".to_vec())).unwrap_or_default();
    if path::has_dot_segment(&String::from_utf8_lossy(&sample)) {
        return Err("holds a segment `.` or `..`; write the path that it leads to".to_owned());
    }
    if is_read_in_two_ways(&String::from_utf8_lossy(&sample)) {
        return Err(
            "is refused by the gateway's path rule: `%00`, escapes that are not UTF-8, or `..` \
             beside `%2F`, `%5C` or `;`"
                .to_owned(),
        );
    }
    Ok(encoded)
}

/// Whether the gateway refuses the path for every request.
fn is_read_in_two_ways(path: &str) -> bool {
    let path = path.replace("%2e", ".").replace("%2E", ".");
    path.split('/').any(|segment| {
        let decoded = path::decode_segment(segment);
        let upper = segment.to_ascii_uppercase();
        let mut parts = upper.split("%2F").flat_map(|part| part.split("%5C"));
        decoded.contains(&0)
            || core::str::from_utf8(&decoded).is_err()
            || parts.any(|part| part.split(';').next() == Some(".."))
    })
}

fn encode_path_literal(literal: &str) -> Result<String, String> {
    if literal.contains(['?', '#']) {
        return Err("holds no `?` or `#`; edit a parameter with `query`".to_owned());
    }
    let mut pieces = literal.split('%');
    let mut encoded = path::encode_segments(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        match piece.as_bytes() {
            [high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                encoded.extend(['%', char::from(*high), char::from(*low)]);
                encoded.push_str(&path::encode_segments(rest));
            }
            _ => return Err("has a `%` that begins no escape; write `%25`".to_owned()),
        }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests;
