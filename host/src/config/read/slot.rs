//! One value of the file, while its kind reads it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Reader;
use crate::config::problem::Problem;
use crate::config::source::Span;
use crate::config::value::{Refused, shorten};

/// A value, where it stands, and what it is called.
pub(in crate::config) struct Slot<'a> {
    pub(crate) reader: &'a mut Reader,
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) span: Span,
    /// The name of its table in reports: ``route `/orders` ``; empty for the file.
    pub(crate) owner: &'a str,
    /// Its key, with those of the tables that it stands in: `limits.cpu`.
    pub(crate) key: String,
    /// Whether it is one of several under this key, so that a message has to repeat it.
    pub(crate) is_part: bool,
}

impl<'a> Slot<'a> {
    /// Its text, if it is a text.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Its table, if it is a table.
    pub(crate) fn as_table(&self) -> Option<&'a DeTable<'a>> {
        self.value.as_table()
    }

    /// Its text; reports anything else.
    pub(crate) fn text(&mut self, words: &str) -> Option<&'a str> {
        if self.as_text().is_none() {
            self.wants(words);
        }
        self.as_text()
    }

    /// Its table; reports anything else, with what `cure` makes of it.
    pub(crate) fn table(
        &mut self,
        cure: impl Fn(&DeValue<'_>) -> Option<String>,
    ) -> Option<&'a DeTable<'a>> {
        if self.as_table().is_none() {
            let cure = cure(self.value);
            self.wants("a table").help_if(cure);
        }
        self.as_table()
    }

    /// Never shows it: it may be a secret.
    pub(crate) fn mask(&mut self) {
        self.reader.problems.mask(self.span);
    }

    /// Reports something about it; `message` follows its key.
    pub(crate) fn error(&mut self, message: &str) -> &mut Problem {
        let message = if self.owner.is_empty() {
            format!("`{}` {message}", self.key)
        } else {
            format!("{}: `{}` {message}", self.owner, self.key)
        };
        self.reader.problems.error(self.span, message)
    }

    /// Reports that it is of another type.
    pub(crate) fn wants(&mut self, words: &str) -> &mut Problem {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date-time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(&format!("wants {words}, found {found}"))
    }

    /// Reports that it has another value.
    pub(crate) fn wants_not(&mut self, words: &str, found: &str) -> &mut Problem {
        let found = match found {
            "" => "an empty text".to_owned(),
            found => format!("`{}`", shorten(found)),
        };
        self.error(&format!("wants {words}, found {found}"))
    }

    /// Reports that its text is refused. Without `text`, does not repeat it.
    pub(crate) fn refuse(&mut self, text: Option<&str>, words: &str, refused: Refused) {
        let problem = match (text, refused.message) {
            (Some(text), Some(message)) if self.is_part => {
                self.error(&format!("holds `{}`, which {message}", shorten(text)))
            }
            (_, Some(message)) => self.error(&message),
            (Some(text), None) => self.wants_not(words, text),
            (None, None) => self.error(&format!("wants {words}, found another text")),
        };
        problem.help_if(refused.help);
    }

    /// An item of its list.
    pub(crate) fn item<'b>(&'b mut self, item: &'b Spanned<DeValue<'b>>) -> Slot<'b> {
        Slot {
            reader: self.reader,
            value: item.get_ref(),
            span: item.span().into(),
            owner: self.owner,
            key: self.key.clone(),
            is_part: true,
        }
    }

    /// A value of its table, under a key of the operator's choice.
    pub(crate) fn member<'b>(&'b mut self, key: &str, value: &'b Spanned<DeValue<'b>>) -> Slot<'b> {
        let key = format!("{}.{key}", self.key);
        Slot {
            key,
            is_part: false,
            ..self.item(value)
        }
    }

    /// The line where the same text stood before under this key of the same sort of tables; else
    /// remembers this one.
    pub(crate) fn earlier(&mut self, sort: &str, text: &str) -> Option<usize> {
        let sort = format!("{sort} {}", self.key);
        self.reader.earlier(&sort, text, self.span)
    }

    /// A part of it, reported at its own place.
    pub(crate) fn at(&mut self, span: Span) -> Slot<'_> {
        Slot {
            reader: self.reader,
            value: self.value,
            span,
            owner: self.owner,
            key: self.key.clone(),
            is_part: true,
        }
    }
}
