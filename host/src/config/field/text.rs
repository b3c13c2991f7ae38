//! Kinds that are written as text: whatever a function reads, and one of several words.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Kind, Print};
use crate::config::read::Slot;
use crate::config::value::{Refused, nearest, quoted};

/// A text that a function reads.
pub(in crate::config) struct Parsed<T> {
    /// What is wanted, for people.
    pub words: &'static str,
    /// A regular expression that every good text matches, for editors; empty for any text.
    pub pattern: &'static str,
    /// Whether a text that is refused may be a secret, and must not be shown.
    pub private: bool,
    /// Reads it; relative paths are resolved against the folder.
    pub parse: fn(&str, &Path) -> Result<T, Refused>,
}

impl<T> Kind for Parsed<T> {
    type Value = T;

    fn words(&self) -> String {
        self.words.to_owned()
    }

    fn schema(&self) -> Json {
        if self.pattern.is_empty() {
            json!({ "type": "string" })
        } else {
            json!({ "type": "string", "pattern": self.pattern })
        }
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<T> {
        if self.private && slot.as_text().is_none() {
            slot.mask();
        }
        let text = slot.text(self.words)?;
        match (self.parse)(text, slot.folder()) {
            Ok(value) => Some(value),
            Err(refused) if self.private => {
                slot.mask();
                slot.refuse(None, self.words, refused);
                None
            }
            Err(refused) => {
                slot.refuse(Some(text), self.words, refused);
                None
            }
        }
    }
}

/// One of several words.
pub(in crate::config) struct Choice<T: 'static> {
    /// The words, and what they stand for.
    pub options: &'static [(&'static str, T)],
    /// What to say of words that it does not have, but that people write.
    pub hints: &'static [(&'static str, &'static str)],
}

impl<T: Copy + PartialEq + Sync> Kind for Choice<T> {
    type Value = T;

    fn words(&self) -> String {
        let words: Vec<String> = self.options.iter().map(|(word, _)| quoted(word)).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn schema(&self) -> Json {
        let words: Vec<&str> = self.options.iter().map(|(word, _)| *word).collect();
        json!({ "enum": words })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<T> {
        let words = self.words();
        let text = slot.text(&words)?;
        if let Some((_, value)) = self.options.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let hint = self.hints.iter();
        let hint = hint.filter(|(word, _)| word.eq_ignore_ascii_case(text));
        let meant = nearest(text, self.options.iter().map(|(word, _)| *word));
        let refused = match (hint.map(|(_, hint)| *hint).next(), meant) {
            (Some(hint), _) => Refused::plain().help(hint),
            (None, Some(meant)) => {
                Refused::plain().help(format!("did you mean {}?", quoted(meant)))
            }
            (None, None) => Refused::plain(),
        };
        slot.refuse(Some(text), &words, refused);
        None
    }
}

impl<T: Copy + PartialEq + Sync> Print for Choice<T> {
    fn print(&self, value: &T) -> String {
        let option = self.options.iter().find(|(_, option)| option == value);
        option.map_or_else(String::new, |(word, _)| format!("\"{word}\""))
    }
}
