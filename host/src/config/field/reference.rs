//! A name that is defined elsewhere in the file.
//!
//! Where that is a secret's, what stands there in its index may be the secret itself: it is not
//! shown.

use serde_json::{Value as Json, json};

use super::Kind;
use crate::config::names::Group;
use crate::config::read::Slot;
use crate::config::value::{backticked, nearest, there_are};
use crate::model::word::Word;

/// The name of something in this group.
pub(crate) struct Reference(pub(crate) Group);

impl Kind for Reference {
    /// The index in the group's list.
    type Value = usize;

    fn words(&self) -> String {
        format!("the name of {}", self.0.with_article())
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<usize> {
        let text = slot.text(&self.words())?;
        let span = slot.span;
        if let Some(index) = slot.reader.names.use_name(self.0, text) {
            return Some(index);
        }
        if slot.reader.incomplete {
            return None;
        }
        let group = self.0.word();
        let known: Vec<&str> = slot.reader.names.of(self.0).collect();
        let help = match nearest(text, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => format!("add `[{group}.{text}]`"),
            None => format!(
                "add `[{group}.{text}]`, or use one that is there: {}",
                backticked(known)
            ),
        };
        let message = format!(
            "{} names {group} `{text}`, which does not exist",
            slot.owner
        );
        slot.reader.problems.error(span, message).help(help);
        None
    }
}

/// The name of a secret, where people look for a place to write the secret itself: what is not
/// such a name is never shown.
pub(crate) struct SecretName;

impl Kind for SecretName {
    /// The secret's index in the list.
    type Value = usize;

    fn words(&self) -> String {
        "the name of a secret".to_owned()
    }

    fn schema(&self) -> Json {
        Reference(Group::Secret).schema()
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<usize> {
        if slot.as_text().is_none() {
            slot.mask();
        }
        let text = slot.text(&self.words())?;
        if let Some(index) = slot.reader.names.use_name(Group::Secret, text) {
            return Some(index);
        }
        slot.mask();
        if slot.reader.incomplete {
            return None;
        }
        let known: Vec<&str> = slot.reader.names.of(Group::Secret).collect();
        let there = there_are(known, "there is none yet");
        slot.error("does not name a secret").help(format!(
            "never write a secret into the file: add `[secret.<name>]` with `env` or `file`, and write its name here; {there}"
        ));
        None
    }
}
