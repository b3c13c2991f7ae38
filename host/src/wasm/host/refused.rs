//! Logs edits, secrets and series that the gateway refused: once for each filter and name, with the
//! missing grant if there is one.

use http::HeaderName;

use super::functions::HostError;
use crate::exchange::{MAX_FIELDS, MAX_HEAD, is_host_fact};
use crate::runtime::clock::Timestamp;
use crate::wasm::bindings::types::{EditError, Message};
use crate::wasm::notices::{Notice, printable};
use crate::wasm::reserved_fields::is_reserved;
use crate::wasm::state::InstanceState;

/// The part of an exchange that a filter tried to edit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RefusedEdit<'a> {
    /// A field, by its name.
    Field(Message, &'a str),
    Attribute(&'a str),
    Note(&'a str),
    Method(&'a str),
    /// The path with its query.
    Path,
    Authority,
    Status(u16),
    /// The piece of the body.
    Chunk,
}

impl InstanceState {
    /// Log that an edit was refused; gives the error for the guest.
    #[cold]
    pub(super) fn refuse(&self, edit: RefusedEdit<'_>, error: EditError) -> HostError<EditError> {
        let is_too_late = error == EditError::TooLate;
        let text = match edit {
            RefusedEdit::Field(of, name) => field(of, name, error),
            RefusedEdit::Attribute(name) => attribute(name, error),
            RefusedEdit::Note(key) => {
                let why = match error {
                    EditError::TooLarge => "the notes of a filter have at most 4 KiB",
                    _ => "there is no exchange to keep it with",
                };
                format!("note `{}` was not kept: {why}", printable(key))
            }
            RefusedEdit::Method(_) if is_too_late => too_late("the method"),
            RefusedEdit::Method(_) if error == EditError::Forbidden => {
                "method `CONNECT` was refused: no filter can set it".into()
            }
            RefusedEdit::Method(method) => {
                format!("method `{}` was refused: it is not a legal method", printable(method))
            }
            RefusedEdit::Path if is_too_late => too_late("the path"),
            RefusedEdit::Path if error == EditError::TooLarge => {
                format!("a path was refused: it has more than {MAX_HEAD} bytes")
            }
            RefusedEdit::Path => {
                "a path was refused: it is not a legal path (it begins with `/`, is percent-encoded, and has no `#`)".into()
            }
            RefusedEdit::Authority if is_too_late => too_late("the authority"),
            RefusedEdit::Authority => {
                "an authority was refused: it is not a legal `host` or `host:port`".into()
            }
            RefusedEdit::Status(_) if is_too_late => too_late("the status"),
            RefusedEdit::Status(status) => {
                format!("status {status} was refused: it is not in 200 to 599")
            }
            RefusedEdit::Chunk if is_too_late => {
                "an edit of the body was refused: only a body phase can edit one".into()
            }
            RefusedEdit::Chunk => {
                "an edit of the body was refused: the body would have more than `limits.body` allows".into()
            }
        };
        if error == EditError::TooLarge {
            self.had_no_room.set(true);
        }
        self.notice(&text);
        HostError::Refused(error)
    }

    /// Say something of the filter, at most once in ten minutes.
    #[cold]
    pub(crate) fn notice(&self, text: &str) {
        let filter = &*self.name;
        let notice = self
            .filter_services
            .notices
            .record(text, Timestamp::coarse());
        if notice == Notice::Repeated {
            return;
        }
        let request = self.exchange.as_ref().map(|exchange| &exchange.id);
        let request = request.map(tracing::field::display);
        tracing::warn!(
            filter,
            request,
            "filter `{filter}`: {text} (logged at most once in ten minutes; other requests may be affected too)"
        );
        if notice == Notice::Last {
            tracing::warn!(
                filter,
                "filter `{filter}`: further refusals of its calls are not logged"
            );
        }
    }
}

fn field(of: Message, name: &str, error: EditError) -> String {
    let shown = printable(name);
    let parsed = HeaderName::from_bytes(name.as_bytes());
    match (error, parsed) {
        (EditError::Forbidden, Ok(http::header::HOST)) => {
            "field `host` was refused: it belongs to the gateway; `set-authority` sets it".into()
        }
        (EditError::Forbidden, _) => format!(
            "field `{shown}` was refused: it belongs to the gateway, and there is no grant for it"
        ),
        (EditError::Syntax, Ok(parsed)) if !is_reserved(&parsed) => {
            format!("field `{shown}` was refused: its value holds a byte that no field may hold")
        }
        (EditError::Syntax, _) => {
            format!("field `{shown}` was refused: it is not a legal field name")
        }
        (EditError::TooLate, _) => {
            let of = match of {
                Message::Request => "request",
                Message::Response => "response",
                Message::Trailers => "trailers",
            };
            too_late(&format!("field `{shown}` of the {of}"))
        }
        (EditError::TooLarge, _) => format!(
            "field `{shown}` was refused: the head would have more than {MAX_HEAD} bytes or {MAX_FIELDS} fields"
        ),
    }
}

fn attribute(name: &str, error: EditError) -> String {
    let shown = printable(name);
    match error {
        EditError::Forbidden if is_host_fact(name) => format!(
            "attribute `{shown}` was refused: it is a fact of the gateway, and there is no grant for it"
        ),
        EditError::Forbidden => format!(
            "attribute `{shown}` was refused: it is not granted; add `attributes = [\"{shown}\"]` to the filter's `allow`"
        ),
        EditError::TooLarge => format!(
            "attribute `{shown}` was refused: the attributes of an exchange have at most 16 KiB"
        ),
        EditError::Syntax | EditError::TooLate => too_late(&format!("attribute `{shown}`")),
    }
}

fn too_late(subject: &str) -> String {
    format!("{subject} was refused: it cannot be edited in this phase, or its head has been sent")
}
