//! What a key of the file is: its name, its kind, what holds without it, and its sentence.
//!
//! The same constants serve the reader, the reference page and the JSON Schema, so that these
//! cannot differ: a reader cannot take a key that has no sentence, and every section's list of
//! known keys is the list of its fields.
//!
//! A new key is a new `static` [`Field`] beside its section's reader, a line in that section's
//! list, and one `take`.

mod collection;
mod number;
mod reference;
mod scalar;
mod text;
mod unit;

use serde_json::Value as Json;
use toml::de::DeValue;

pub(super) use collection::{Entries, List, Map, Named, Nested, Placed, Switch};
pub(super) use number::{Flag, Numbers, Rate, Whole};
pub(super) use reference::{Reference, Referred, SecretName};
pub(super) use scalar::Scalar;
pub(super) use text::{Choice, Parsed};
pub(super) use unit::{Bound, Size, Time, Wait};

use super::read::{Slot, Table, shorten};
use super::value::quoted;

/// One shape of values: what is wanted, and how it is read.
pub(super) trait Kind: Sync {
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

/// Values that can be printed as TOML, for the reference.
pub(super) trait Print: Kind {
    /// The value as it would stand in the file.
    fn print(&self, value: &Self::Value) -> String;
}

/// A key of a section.
pub(super) struct Field<K, A> {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// What may stand there.
    pub(crate) kind: K,
    /// What holds without it.
    pub(crate) absent: A,
    /// One sentence.
    pub(crate) doc: &'static str,
}

impl<K, A> Field<K, A> {
    /// A key of a section.
    pub(crate) const fn new(key: &'static str, kind: K, absent: A, doc: &'static str) -> Self {
        Self {
            key,
            kind,
            absent,
            doc,
        }
    }
}

/// What holds where a key is absent.
pub(super) trait Absence<K: Kind>: Sync {
    /// What a reader gets.
    type Taken;

    /// The value in the place of one that is not there.
    fn absent(&self, field: &Field<K, Self>, table: &mut Table<'_>) -> Option<K::Value>
    where
        Self: Sized;

    /// What a reader gets for a value, or for none.
    fn taken(&self, value: Option<K::Value>) -> Self::Taken;

    /// The default, for people. None: the key must be there.
    fn words(&self, kind: &K) -> Option<String>;
}

/// The key must be there. Holds an example value, as TOML.
pub(super) struct Required(pub(crate) &'static str);

/// The key can be left out. Says in words what holds then.
pub(super) struct Optional(pub(crate) &'static str);

/// The key can be left out: this value holds then.
pub(super) struct Is<V>(pub(crate) V);

/// The key can be left out: the list or map is empty then. Says in words what that means.
pub(super) struct Empty(pub(crate) &'static str);

/// The key can be left out: this text holds then.
pub(super) struct Written(pub(crate) &'static str);

/// The table can be left out: the defaults of its keys hold then.
pub(super) struct Defaults;

impl<K: Kind> Absence<K> for Required {
    type Taken = Option<K::Value>;

    fn absent(&self, field: &Field<K, Self>, table: &mut Table<'_>) -> Option<K::Value> {
        table.missing(field.key, self.0);
        None
    }

    fn taken(&self, value: Option<K::Value>) -> Self::Taken {
        value
    }

    fn words(&self, _kind: &K) -> Option<String> {
        None
    }
}

impl<K: Kind> Absence<K> for Optional {
    type Taken = Option<K::Value>;

    fn absent(&self, _field: &Field<K, Self>, _table: &mut Table<'_>) -> Option<K::Value> {
        None
    }

    fn taken(&self, value: Option<K::Value>) -> Self::Taken {
        value
    }

    fn words(&self, _kind: &K) -> Option<String> {
        Some(self.0.to_owned())
    }
}

impl<K: Print> Absence<K> for Is<K::Value>
where
    K::Value: Clone + Sync,
{
    type Taken = K::Value;

    fn absent(&self, _field: &Field<K, Self>, _table: &mut Table<'_>) -> Option<K::Value> {
        None
    }

    fn taken(&self, value: Option<K::Value>) -> Self::Taken {
        value.unwrap_or_else(|| self.0.clone())
    }

    fn words(&self, kind: &K) -> Option<String> {
        Some(format!("`{}`", kind.print(&self.0)))
    }
}

impl<K: Kind> Absence<K> for Empty
where
    K::Value: Default,
{
    type Taken = K::Value;

    fn absent(&self, _field: &Field<K, Self>, _table: &mut Table<'_>) -> Option<K::Value> {
        None
    }

    fn taken(&self, value: Option<K::Value>) -> Self::Taken {
        value.unwrap_or_default()
    }

    fn words(&self, _kind: &K) -> Option<String> {
        Some(self.0.to_owned())
    }
}

impl<T> Absence<Parsed<T>> for Written {
    type Taken = Option<T>;

    fn absent(&self, field: &Field<Parsed<T>, Self>, table: &mut Table<'_>) -> Option<T> {
        (field.kind.parse)(self.0, &table.reader().folder).ok()
    }

    fn taken(&self, value: Option<T>) -> Self::Taken {
        value
    }

    fn words(&self, _kind: &Parsed<T>) -> Option<String> {
        Some(quoted(self.0))
    }
}

impl<T> Absence<Nested<T>> for Defaults {
    type Taken = Option<T>;

    fn absent(&self, field: &Field<Nested<T>, Self>, table: &mut Table<'_>) -> Option<T> {
        table.empty(field.key, field.kind.section, field.kind.read)
    }

    fn taken(&self, value: Option<T>) -> Self::Taken {
        value
    }

    fn words(&self, _kind: &Nested<T>) -> Option<String> {
        Some("the defaults of its keys".to_owned())
    }
}

/// A table of the file.
pub(super) struct Section {
    /// How it stands in the file: `[server]`, `limits = { .. }`.
    pub(crate) heading: &'static str,
    pub(crate) doc: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) fields: &'static [&'static dyn Described],
    /// What to say of keys that it does not have, but that people look for; and, as `true` and
    /// `false`, of these in the place of the table.
    pub(crate) hints: &'static [(&'static str, &'static str)],
    /// The key that a bare text or number in the place of the table was probably meant for.
    pub(crate) short: Option<&'static str>,
    /// Whether values that do not belong here may be secrets, and must not be shown.
    pub(crate) private: bool,
}

impl Section {
    /// What a value in the place of the table was probably meant for.
    pub(crate) fn meant(&self, value: &DeValue<'_>) -> Option<String> {
        match value {
            DeValue::Boolean(flag) => {
                let word = flag.to_string();
                let hint = self.hints.iter().find(|(known, _)| *known == word);
                hint.map(|(_, hint)| (*hint).to_owned())
            }
            DeValue::Array(_) | DeValue::Table(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
                None
            }
            DeValue::String(_) | DeValue::Integer(_) => {
                let short = self.short(value)?;
                let required = self.fields.iter().filter(|field| field.default().is_none());
                let others = required.map(|field| field.key());
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
        let field = self.fields.iter().find(|field| field.key() == short)?;
        (field.schema().get("type")?.as_str()? == kind).then(|| format!("{short} = {text}"))
    }
}

/// What the reference tells of a field, whatever its kind.
pub(super) trait Described: Sync {
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
}

impl<K: Kind, A: Absence<K>> Described for Field<K, A> {
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
        self.absent.words(&self.kind)
    }

    fn schema(&self) -> Json {
        self.kind.schema()
    }

    fn section(&self) -> Option<&'static Section> {
        self.kind.section()
    }
}
