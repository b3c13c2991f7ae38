//! The edits of a phase, read from its journal before it is dropped or undone.

use std::collections::BTreeSet;

use http::header::HeaderName;

use super::shown::Shown;
use super::text::{CallText, is_sensitive};
use crate::exchange::AttributeValue;
use crate::wasm::bindings::types::Message;
use crate::wasm::state::{InstanceState, Undo};

/// The most edits of one phase that are kept.
const MAX_EDITS: usize = 64;

/// One edit: a value before and after the phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedEdit {
    /// The place: ``request field `x-team` ``.
    pub(crate) what: String,
    /// None: it was not there.
    pub(crate) before: Option<String>,
    /// None: it was removed.
    pub(crate) after: Option<String>,
}

impl InstanceState {
    /// The edits of the running phase so far, with the length of the chunk that it got. None if nothing is recorded.
    #[inline]
    pub(in crate::wasm) fn recorded_edits(&self) -> Option<(Vec<RecordedEdit>, Option<u64>)> {
        self.recording.is_some().then(|| self.read_edits())
    }

    #[cold]
    fn read_edits(&self) -> (Vec<RecordedEdit>, Option<u64>) {
        let mut seen = BTreeSet::new();
        let mut edits = Vec::new();
        let mut chunk = self.chunk.len();
        for undo in self.journal() {
            if let Undo::Chunk(before) = undo {
                chunk = before.len();
            }
            let Some(edit) = self.edit(undo) else {
                continue;
            };
            // The first one has the value from before the phase.
            if edits.len() < MAX_EDITS && seen.insert(edit.what.clone()) {
                edits.push(edit);
            }
        }
        (edits, Some(chunk))
    }

    fn edit(&self, undo: &Undo) -> Option<RecordedEdit> {
        let exchange = self.exchange.as_deref()?;
        let edit = |what: &str, before: Option<String>, after: Option<String>| RecordedEdit {
            what: what.to_owned(),
            before,
            after,
        };
        Some(match undo {
            Undo::Field { of, name, values } => {
                let of_message = match of {
                    Message::Request => "request field",
                    Message::Response => "response field",
                    Message::Trailers => "trailer",
                };
                let now = self.fields(*of).into_iter();
                let now = now.flat_map(|fields| fields.get_all(name));
                edit(
                    &format!("{of_message} `{name}`"),
                    field(name, values.iter().map(http::HeaderValue::as_bytes)),
                    field(name, now.map(http::HeaderValue::as_bytes)),
                )
            }
            Undo::Method(old) => edit(
                "method",
                Some(old.to_string()),
                Some(exchange.request.method.to_string()),
            ),
            Undo::Target(old) => edit(
                "path",
                Some(path(old.as_str())),
                Some(path(exchange.request.target.as_str())),
            ),
            Undo::Status(old) => {
                let now = exchange.response.as_ref()?.status;
                edit(
                    "status",
                    Some(old.as_str().to_owned()),
                    Some(now.as_str().to_owned()),
                )
            }
            Undo::Attribute(name, old) => edit(
                &format!("attribute `{}`", name.escape_debug()),
                old.as_ref().map(|value| attribute(name, value)),
                exchange
                    .attributes
                    .find(name)
                    .map(|value| attribute(name, value)),
            ),
            Undo::Note(key, old) => edit(
                &format!("note `{}`", key.escape_debug()),
                old.as_ref().map(|value| bytes(key, value)),
                exchange
                    .notes
                    .find(self.position, key)
                    .map(|value| bytes(key, value)),
            ),
            Undo::Chunk(old) => edit(
                "body",
                Some(format!("{} bytes", old.len())),
                Some(format!("{} bytes", self.chunk.len())),
            ),
            Undo::ResponseEdits(before) => {
                let now = exchange.response_edits.edits.len();
                edit(
                    "edits announced for the response",
                    Some(before.to_string()),
                    Some(now.to_string()),
                )
            }
        })
    }
}

fn text_of(name: &str, value: &dyn Fn(&mut CallText)) -> String {
    let mut text = CallText::plain();
    text.hide_if(is_sensitive(name));
    value(&mut text);
    text.end()
}

fn bytes(name: &str, value: &[u8]) -> String {
    text_of(name, &|text| text.bytes(value))
}

fn attribute(name: &str, value: &AttributeValue) -> String {
    text_of(name, &|text| value.show(None, text))
}

fn path(path: &str) -> String {
    let mut text = CallText::plain();
    text.path(path);
    text.end()
}

/// The values of a field; none if it is not there.
fn field<'v>(name: &HeaderName, values: impl Iterator<Item = &'v [u8]>) -> Option<String> {
    let values: Vec<_> = values.map(|value| bytes(name.as_str(), value)).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
