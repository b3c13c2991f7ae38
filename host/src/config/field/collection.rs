//! Kinds that hold others: lists, maps, and tables with a section of their own.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{FromTable, FromValue, Kind, Parsed, Section};
use crate::config::read::{Slot, Table};
use crate::config::source::Span;
use crate::config::value::name::is_name;
use crate::config::value::{Refused, quoted, shorten};

/// A list of one kind.
pub(crate) struct List<K> {
    /// The kind of each item.
    pub(crate) of: K,
    /// The fewest items.
    pub(crate) least: usize,
    /// Whether the same text can stand in it twice.
    pub(crate) repeats: bool,
}

impl<T: FromValue> FromValue for Vec<T> {
    type Kind = List<T::Kind>;
    const KIND: Self::Kind = List {
        of: T::KIND,
        least: 0,
        repeats: false,
    };
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn words(&self) -> String {
        let least = if self.least == 0 {
            ""
        } else {
            ", at least one"
        };
        format!("a list{least}; each: {}", self.of.words())
    }

    fn schema(&self) -> Json {
        let (items, least) = (self.of.schema(), self.least);
        json!({ "type": "array", "items": items, "minItems": least, "uniqueItems": !self.repeats })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Self::Value> {
        let DeValue::Array(array) = slot.value else {
            let text = slot.as_text();
            let cure = text.map(|text| format!("write `[\"{}\"]`", text.escape_debug()));
            slot.wants("a list").help_if(cure);
            return None;
        };
        if array.len() < self.least && !slot.reader.incomplete {
            slot.error("is empty, wanted at least one");
        }
        let mut seen: Vec<&str> = Vec::new();
        let mut values = Vec::new();
        for item in array {
            let text = item.get_ref().as_str();
            let mut slot = slot.item(item);
            if let Some(text) = text.filter(|text| !self.repeats && seen.contains(text)) {
                slot.error(&format!("lists `{}` twice", text.escape_debug()));
            }
            seen.extend(text);
            values.extend(self.of.read(&mut slot));
        }
        Some(values)
    }
}

/// One text, or a list of texts.
pub(crate) struct OneOrMore<T>(pub(crate) Parsed<T>);

impl<T> Kind for OneOrMore<T> {
    type Value = Vec<T>;

    fn words(&self) -> String {
        format!("{}, or a list of them", self.0.words())
    }

    fn schema(&self) -> Json {
        let one = self.0.schema();
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Vec<T>> {
        let DeValue::Array(array) = slot.value else {
            return self.0.read(slot).map(|value| vec![value]);
        };
        let items = array.iter();
        Some(
            items
                .filter_map(|item| self.0.read(&mut slot.item(item)))
                .collect(),
        )
    }
}

/// A table with keys of the operator's choice.
pub(crate) struct Map<K> {
    /// The kind of each value.
    pub(crate) of: K,
    /// Checks a key.
    pub(crate) key: fn(&str) -> Result<String, Refused>,
    /// The wanted key, for people.
    pub(crate) keys: &'static str,
}

impl<K: Kind> Kind for Map<K> {
    type Value = BTreeMap<String, K::Value>;

    fn words(&self) -> String {
        format!(
            "a table; each key: {}; each value: {}",
            self.keys,
            self.of.words()
        )
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": self.of.schema() })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Self::Value> {
        let table = slot.table(|value| {
            let pair = value.as_str().and_then(|text| text.split_once(['=', ':']));
            Some(match pair.map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, value)) if is_name(key) => {
                    format!("write `{{ {key} = \"{}\" }}`", shorten(value))
                }
                Some(_) | None => "write `{ <name> = \"<value>\" }`".to_owned(),
            })
        })?;
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let mut item = slot.member(name, value);
            match (self.key)(name) {
                Ok(name) => {
                    let value = self.of.read(&mut item);
                    let before = value.and_then(|value| values.insert(name.clone(), value));
                    if before.is_some() {
                        item.error(&format!("is the same as `{name}`, which is there already"));
                    }
                }
                Err(refused) => {
                    let mut slot = slot.at(Span::from(key.span()));
                    slot.refuse(Some(name), self.keys, refused);
                }
            }
        }
        Some(values)
    }
}

/// A table with a section of its own.
pub(crate) struct Nested<T> {
    /// Its keys.
    pub(crate) section: &'static Section,
    /// Its reader.
    pub(crate) read: fn(&mut Table<'_>) -> Option<T>,
}

impl<T> Nested<T> {
    pub(crate) const fn of<S: FromTable<Value = T>>() -> Self {
        Self {
            section: S::SECTION,
            read: S::read,
        }
    }

    /// Reads all keys of a table, and reports those that the section does not have.
    pub(crate) fn read_whole(&self, mut table: Table<'_>) -> Option<T> {
        let value = (self.read)(&mut table);
        table.finish();
        value
    }
}

impl<T> Kind for Nested<T> {
    type Value = T;

    fn words(&self) -> String {
        "a table".to_owned()
    }

    fn schema(&self) -> Json {
        self.section.schema()
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<T> {
        let table = slot.table(|value| self.section.meant(value))?;
        self.read_whole(Table::nested(slot, table, self.section))
    }

    fn section(&self) -> Option<&'static Section> {
        Some(self.section)
    }
}

/// A table with a section of its own, or `true` for what holds without any key of it.
pub(crate) struct Switch<T> {
    /// The table.
    pub(crate) table: Nested<T>,
    /// The value of `true`.
    pub(crate) on: fn(Span) -> T,
}

impl<T> Kind for Switch<T> {
    type Value = Option<T>;

    fn words(&self) -> String {
        "`true`, `false` or a table".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, self.table.schema()] })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Option<T>> {
        if let Some(is_on) = slot.value.as_bool() {
            return Some(is_on.then(|| (self.on)(slot.span)));
        }
        if slot.as_table().is_some() {
            return self.table.read(slot).map(Some);
        }
        let cure = match slot.as_text() {
            Some("yes" | "on" | "true") => Some("write `true`, without quotes".to_owned()),
            Some("no" | "off" | "false") => Some("write `false`, without quotes".to_owned()),
            Some(_) | None => self.table.section.meant(slot.value),
        };
        slot.wants(&self.words()).help_if(cure);
        None
    }

    fn section(&self) -> Option<&'static Section> {
        self.table.section()
    }
}

/// An array of tables.
pub(crate) struct Tables<T> {
    /// Each of them.
    pub(crate) each: Nested<T>,
    /// The fewest entries.
    pub(crate) least: usize,
    /// The cure where there are fewer.
    pub(crate) few: &'static str,
}

impl<T> Tables<T> {
    pub(crate) const fn of<S: FromTable<Value = T>>(least: usize, few: &'static str) -> Self {
        Self {
            each: Nested::of::<S>(),
            least,
            few,
        }
    }
}

impl<T> Kind for Tables<T> {
    type Value = Vec<T>;

    fn words(&self) -> String {
        "an array of tables".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.each.schema() })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Vec<T>> {
        let DeValue::Array(array) = slot.value else {
            let heading = self.each.section.heading;
            let help = match (self.each.section.short(slot.value), slot.value) {
                (Some(short), _) if !heading.starts_with('[') => format!("write `[{{ {short} }}]`"),
                (None, DeValue::Table(_)) if !heading.starts_with('[') => {
                    format!("put it into brackets: `{heading}`")
                }
                _other => format!("write `{heading}`"),
            };
            slot.wants("an array of tables").help(help);
            return None;
        };
        if array.len() < self.least && !slot.reader.incomplete {
            let found = match array.len() {
                0 => "is empty".to_owned(),
                some => format!("has {} only", counted(some)),
            };
            let message = format!("{found}, wanted at least {}", counted(self.least));
            slot.error(&message).help(self.few);
        }
        let mut values = Vec::new();
        for item in array {
            let mut slot = slot.item(item);
            let section = self.each.section;
            if let Some(table) = slot.table(|value| section.meant(value)) {
                let title = section.title.map(|title| title(table));
                let table = Table::entry(&mut slot, table, title, section);
                values.extend(self.each.read_whole(table));
            }
        }
        Some(values)
    }

    fn section(&self) -> Option<&'static Section> {
        self.each.section()
    }
}

/// A table of tables, each under a name of the operator's choice; in the order of the file.
pub(crate) struct Named<T>(Nested<T>);

impl<T> Named<T> {
    pub(crate) const fn of<S: FromTable<Value = T>>() -> Self {
        Self(Nested::of::<S>())
    }
}

impl<T> Kind for Named<T> {
    type Value = Vec<T>;

    fn words(&self) -> String {
        "a table for each name".to_owned()
    }

    fn schema(&self) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "additionalProperties": self.0.schema(),
        })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Vec<T>> {
        let section = self.0.section;
        let cure = || format!("each has a name of its own: `{}`", section.heading);
        let table = slot.table(|_| Some(cure()))?;
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut values = Vec::new();
        for (key, value) in entries {
            let (name, span) = (key.get_ref().as_ref(), Span::from(key.span()));
            if !is_name(name) {
                let message = format!(
                    "holds the name {}, wanted letters, digits, `_` and `-`, at most 64",
                    quoted(name)
                );
                slot.at(span).error(&message);
            }
            let mut item = slot.member(name, value);
            if let Some(table) = value.get_ref().as_table() {
                let table = Table::titled(slot, (name, span), table, section);
                values.extend(self.0.read_whole(table));
                continue;
            }
            if section.private {
                item.mask();
            }
            item.wants("a table").help(cure());
        }
        Some(values)
    }

    fn section(&self) -> Option<&'static Section> {
        self.0.section()
    }
}

fn counted(number: usize) -> String {
    match number {
        1 => "one".to_owned(),
        2 => "two".to_owned(),
        more => more.to_string(),
    }
}
