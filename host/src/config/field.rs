//! Keys of the file: what may stand there, what holds without them, and how both are told.
//!
//! `windlass-config-derive` makes a [`Section`] with its [`Field`]s, and the reader of a table,
//! from an annotated struct. Reader, reference page and JSON Schema all work with these, so that
//! they cannot differ.

mod collection;
mod format;
mod number;
mod reference;
mod scalar;
mod text;
mod unique;
mod unit;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

pub(crate) use collection::{Entries, List, Map, Named, Nested, Placed, Switch};
pub(crate) use format::{NAME, PRIVATE_FILE, SERVER_NAME, file, url};
pub(crate) use number::Numbers;
pub(crate) use reference::{Reference, SecretName};
pub(crate) use text::{Choice, Parsed};
pub(crate) use unique::Unique;

use super::read::{Slot, Table, shorten};

/// One shape of values: what is wanted, and how it is read.
pub(crate) trait Kind: Sync {
    /// What it becomes.
    type Value;

    /// What is wanted, for people: `a duration such as "5s", from 1ms to 1h`.
    fn words(&self) -> String;

    /// What is wanted, for editors.
    fn schema(&self) -> Json;

    /// Reads a value; reports, and gives none, where it is not what is wanted.
    fn read(&self, slot: &mut Slot<'_>) -> Option<Self::Value>;

    /// The section that a value is, or is made of.
    fn section(&self) -> Option<&'static Section> {
        None
    }
}

/// A Rust type that a value of the file becomes.
pub(crate) trait FromValue: Sized {
    type Kind: Kind<Value = Self>;
    const KIND: Self::Kind;
}

/// A number of bytes that a size of the file becomes.
pub(crate) trait FromSize: Sized {
    type Kind: Kind<Value = Self>;
    const KIND: Self::Kind;
}

/// A struct that the keys of a table fill.
pub(crate) trait FromTable: Sized {
    /// The value that the struct is the shape of; most are their own.
    type Value;
    const SECTION: &'static Section;

    /// Reads it; reports, and gives none, where a key is missing or wrong that must be there.
    fn read(table: &mut Table<'_>) -> Option<Self::Value>;
}

/// A key of a table.
pub(crate) struct Field<K> {
    /// Its name in the file.
    pub(crate) key: &'static str,
    pub(crate) kind: K,
    pub(crate) absent: Absence,
    /// One sentence.
    pub(crate) doc: &'static str,
    /// Names that people look for, with spaces between.
    pub(crate) synonyms: &'static str,
}

/// What holds where a key is absent.
#[derive(Clone, Copy)]
pub(crate) enum Absence {
    /// The key must be there: an example, as TOML.
    Required(&'static str),
    /// This value, as TOML.
    Default(&'static str),
    /// Nothing; says in words what that means.
    Words(&'static str),
}

impl Absence {
    /// The table without any key: the defaults of its keys hold.
    const EMPTY: &str = "{}";
}

/// A part of a section.
pub(crate) enum Part {
    Key(&'static dyn Described),
    /// The keys of another struct, which stand in the same table.
    Keys(&'static Section),
}

/// A table of the file.
pub(crate) struct Section {
    /// How it stands in the file: `[server]`, `limits = { .. }`.
    pub(crate) heading: &'static str,
    pub(crate) doc: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) parts: &'static [Part],
    /// Hints for keys that it does not have, but that people look for, with spaces between; and, as `true` and
    /// `false`, of these in the place of the table.
    pub(crate) hints: &'static [(&'static str, &'static str)],
    /// The key that a bare text or number in the place of the table was probably meant for.
    pub(crate) short: Option<&'static str>,
    /// Whether values that do not belong here may be secrets, and must not be shown.
    pub(crate) private: bool,
    /// The name of one entry of an array of such tables, for reports.
    pub(crate) title: Option<fn(&DeTable<'_>) -> String>,
}

impl Section {
    /// Its keys, in the order of the reference.
    pub(crate) fn keys(&self) -> Vec<&'static dyn Described> {
        let parts = self.parts.iter().flat_map(|part| match part {
            Part::Key(key) => vec![*key],
            Part::Keys(section) => section.keys(),
        });
        parts.collect()
    }

    /// The words that have a hint, each with it.
    pub(crate) fn hints(&self) -> Vec<(&'static str, String)> {
        let own = self.hints.iter().flat_map(|(words, hint)| {
            let words = words.split(' ');
            words.map(|word| (word, (*hint).to_owned()))
        });
        let parts = self.parts.iter().flat_map(|part| match part {
            Part::Keys(section) => section.hints(),
            Part::Key(key) => {
                let words = key.synonyms().split_whitespace();
                words
                    .map(|word| (word, format!("it is called `{}`", key.key())))
                    .collect()
            }
        });
        own.chain(parts).collect()
    }

    /// The cure for a key that it does not have.
    pub(crate) fn hint(&self, word: &str) -> Option<String> {
        let mut hints = self.hints().into_iter();
        hints
            .find(|(known, _)| *known == word)
            .map(|(_, hint)| hint)
    }

    /// What a value in the place of the table was probably meant for.
    pub(crate) fn meant(&self, value: &DeValue<'_>) -> Option<String> {
        match value {
            DeValue::Boolean(flag) => self.hint(&flag.to_string()),
            DeValue::Array(_) | DeValue::Table(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
                None
            }
            DeValue::String(_) | DeValue::Integer(_) => {
                let short = self.short(value)?;
                let required = self
                    .keys()
                    .into_iter()
                    .filter(|field| field.default().is_none());
                let others = required.map(Described::key);
                let others = others.filter(|key| self.short != Some(key));
                let others: Vec<String> = others.map(|key| format!("{key} = ..")).collect();
                let all = [vec![short], others].concat().join(", ");
                Some(format!("write `{{ {all} }}`"))
            }
        }
    }

    /// A bare text or number as a key with its value: `path = \"/healthz\"`.
    pub(crate) fn short(&self, value: &DeValue<'_>) -> Option<String> {
        let (kind, text) = match value {
            DeValue::String(text) => ("string", format!("\"{}\"", shorten(text))),
            DeValue::Integer(integer) => ("integer", integer.to_string()),
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return None,
        };
        let short = self.short?;
        let field = self.keys().into_iter().find(|field| field.key() == short)?;
        (field.schema().get("type")?.as_str()? == kind).then(|| format!("{short} = {text}"))
    }
}

/// What the reference tells of a field, whatever its kind.
pub(crate) trait Described: Sync {
    /// Its name in the file.
    fn key(&self) -> &'static str;
    /// Its sentence.
    fn doc(&self) -> &'static str;
    /// What may stand there.
    fn words(&self) -> String;
    /// Its default. None: it must be there.
    fn default(&self) -> Option<String>;
    /// What may stand there, for editors.
    fn schema(&self) -> Json;
    /// The section that it holds.
    fn section(&self) -> Option<&'static Section>;
    /// Names that people look for, with spaces between.
    fn synonyms(&self) -> &'static str {
        ""
    }
}

impl<K: Kind> Described for Field<K> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn words(&self) -> String {
        self.kind.words()
    }

    fn default(&self) -> Option<String> {
        match self.absent {
            Absence::Required(_) => None,
            Absence::Default(Absence::EMPTY) => Some("the defaults of its keys".to_owned()),
            Absence::Default(value) => Some(format!("`{value}`")),
            Absence::Words(words) => Some(words.to_owned()),
        }
    }

    fn schema(&self) -> Json {
        self.kind.schema()
    }

    fn section(&self) -> Option<&'static Section> {
        self.kind.section()
    }

    fn synonyms(&self) -> &'static str {
        self.synonyms
    }
}
