//! Keys of the file: what may stand there, what holds without them, and how both are told.
//!
//! `windlass-config-derive` makes a [`Section`] with its [`Field`]s, and the reader of a table,
//! from an annotated struct. Reader, reference page and JSON Schema all work with these, so that
//! they cannot differ.

mod collection;
mod description;
mod format;
mod number;
mod reference;
mod scalar;
mod text;
mod then;
mod unique;
mod unit;

use serde_json::Value as Json;
use toml::de::DeValue;

pub(crate) use collection::{List, Map, Named, Nested, OneOrMore, Switch, Tables};
pub(crate) use description::{Absence, AnyField, Described, Field, Part, Section};
pub(crate) use format::{NAME, PRIVATE_FILE, SERVER_NAME, file, url};
pub(crate) use number::Numbers;
pub(crate) use reference::{Reference, SecretName};
pub(crate) use text::{Choice, Parsed, text_values};
pub(crate) use then::{Placed, Then, placed};
pub(crate) use unique::Unique;

use super::read::{Slot, Table};

/// One shape of values: what is wanted, and how it is read.
pub(crate) trait Kind: Sync {
    /// The value that it becomes.
    type Value;

    /// The wanted value, for people: `a duration such as "5s", from 1ms to 1h`.
    fn words(&self) -> String;

    /// The wanted value, for editors.
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

impl<K: Kind> Described for K {
    fn words(&self) -> String {
        Kind::words(self)
    }

    fn schema(&self) -> Json {
        Kind::schema(self)
    }

    fn section(&self) -> Option<&'static Section> {
        Kind::section(self)
    }
}

impl<K: Kind> Field<K> {
    /// Takes its value from a table. Its default stands in for one that is not there, or that is
    /// refused.
    pub(crate) fn take(&self, table: &mut Table<'_>) -> Option<K::Value> {
        let value = table.read(self.key, |slot| self.kind.read(slot));
        if value.is_some() {
            return value;
        }
        match self.absent {
            Absence::Default(text) => {
                let default = DeValue::parse(text).ok()?;
                let span = table.span();
                let mut slot = table.slot(self.key, default.get_ref(), span);
                self.kind.read(&mut slot)
            }
            Absence::Required(example) if !table.has(self.key) => {
                table.missing(self.key, example);
                None
            }
            Absence::Required(_) | Absence::Words(_) => None,
        }
    }
}
