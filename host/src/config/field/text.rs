//! Kinds that are written as text: whatever a function reads, and one of several words.

use std::path::Path;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{FromValue, Kind};
use crate::config::read::Slot;
use crate::config::value::{Refused, either, nearest, quoted};
use crate::model::word::Word;

/// A text that a function reads.
pub(crate) struct Parsed<T> {
    /// The wanted text, for people.
    pub(crate) words: &'static str,
    /// A regular expression that every good text matches, for editors; empty for any text.
    pub(crate) pattern: &'static str,
    /// Whether a text that is refused may be a secret, and must not be shown.
    pub(crate) private: bool,
    parse: Parse<T>,
}

/// Reads a text.
enum Parse<T> {
    Text(fn(&str) -> Result<T, Refused>),
    /// With the folder that relative paths are resolved against.
    InFolder(fn(&str, &Path) -> Result<T, Refused>),
}

impl<T> Parsed<T> {
    /// A text that may be shown, whatever it holds.
    pub(crate) const fn new(words: &'static str, parse: fn(&str) -> Result<T, Refused>) -> Self {
        Self::of(words, Parse::Text(parse))
    }

    /// A text that may be shown, and that names a file.
    pub(crate) const fn in_folder(
        words: &'static str,
        parse: fn(&str, &Path) -> Result<T, Refused>,
    ) -> Self {
        Self::of(words, Parse::InFolder(parse))
    }

    const fn of(words: &'static str, parse: Parse<T>) -> Self {
        Self {
            words,
            pattern: "",
            private: false,
            parse,
        }
    }

    fn parse(&self, text: &str, folder: &Path) -> Result<T, Refused> {
        match self.parse {
            Parse::Text(parse) => parse(text),
            Parse::InFolder(parse) => parse(text, folder),
        }
    }

    /// Sets the regular expression for editors.
    pub(crate) const fn matching(self, pattern: &'static str) -> Self {
        Self { pattern, ..self }
    }

    /// Never shows a text that is refused.
    pub(crate) const fn private(self) -> Self {
        Self {
            private: true,
            ..self
        }
    }
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
        if slot.as_text().is_none() {
            let cure = self.meant(slot);
            let cure = cure.map(|meant| format!("write {}", quoted(&meant)));
            slot.wants(self.words).help_if(cure);
        }
        let text = slot.as_text()?;
        match self.parse(text, &slot.reader.folder) {
            Ok(value) => Some(value),
            Err(refused) => {
                let is_private = self.private || refused.private;
                if is_private {
                    slot.mask();
                }
                slot.refuse((!is_private).then_some(text), self.words, refused);
                None
            }
        }
    }
}

impl<T> Parsed<T> {
    /// A number, or a list with commas between, as the text that it was probably meant to be.
    fn meant(&self, slot: &Slot<'_>) -> Option<String> {
        let word = |value: &DeValue<'_>| {
            let integer = value.as_integer().map(ToString::to_string);
            integer.or_else(|| value.as_str().map(str::to_owned))
        };
        let text = match slot.value {
            // Commas belong into few texts.
            DeValue::Array(list) if list.len() == 1 || self.pattern.contains(',') => {
                let words: Option<Vec<String>> =
                    list.iter().map(|item| word(item.get_ref())).collect();
                words?.join(",")
            }
            other => word(other)?,
        };
        let is_good = !self.private && self.parse(&text, &slot.reader.folder).is_ok();
        is_good.then_some(text)
    }
}

/// How types are read that are written as text.
macro_rules! text_values {
    ($($type:ty: $kind:expr;)*) => {
        $(impl $crate::config::field::FromValue for $type {
            type Kind = $crate::config::field::Parsed<Self>;
            const KIND: Self::Kind = $kind;
        })*
    };
}
pub(crate) use text_values;

/// One of several words.
pub(crate) struct Choice<T: 'static> {
    /// The words, and what they stand for.
    pub(crate) options: &'static [(&'static str, T)],
    /// Hints for words that it does not have, but that people write, with spaces between.
    pub(crate) hints: &'static [(&'static str, &'static str)],
}

impl<T: Word> FromValue for T {
    type Kind = Choice<T>;
    const KIND: Choice<T> = Choice {
        options: T::WORDS,
        hints: T::HINTS,
    };
}

impl<T: Copy + Sync> Kind for Choice<T> {
    type Value = T;

    fn words(&self) -> String {
        let words: Vec<String> = self.options.iter().map(|(word, _)| quoted(word)).collect();
        either(&words)
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
        let is_meant = |word: &str| word.eq_ignore_ascii_case(text);
        let hint = hint.filter(|(words, _)| words.split(' ').any(is_meant));
        let meant = nearest(text, self.options.iter().map(|(word, _)| *word));
        let hint = hint.map(|(_, hint)| (*hint).to_owned()).next();
        let meant = || meant.map(|meant| format!("did you mean {}?", quoted(meant)));
        slot.wants_not(&words, text).help_if(hint.or_else(meant));
        None
    }
}
