//! The keys of a table and their texts, for reports, the reference page and the JSON Schema.
//!
//! Nothing here reads a value: a [`Field`] of any kind is described in the same way.

use serde_json::{Map, Value as Json, json};
use toml::de::{DeTable, DeValue};

use crate::config::value::shorten;

/// A key of a table.
pub(crate) struct Field<K: ?Sized> {
    /// Its name in the file.
    pub(crate) key: &'static str,
    pub(crate) absent: Absence,
    /// One sentence.
    pub(crate) doc: &'static str,
    /// Names that people look for, with spaces between.
    pub(crate) synonyms: &'static str,
    pub(crate) kind: K,
}

/// A key of any kind.
pub(crate) type AnyField = Field<dyn Described>;

/// The values that a key can have, for the reference.
pub(crate) trait Described: Sync {
    /// The wanted value, for people.
    fn words(&self) -> String;

    /// The wanted value, for editors.
    fn schema(&self) -> Json;

    /// The section that a value is, or is made of.
    fn section(&self) -> Option<&'static Section>;
}

impl<K: ?Sized> Field<K> {
    /// The value without the key, in words. None: it must be there.
    pub(crate) fn default(&self) -> Option<String> {
        match self.absent {
            Absence::Required(_) => None,
            Absence::Default(Absence::EMPTY) => Some("the defaults of its keys".to_owned()),
            Absence::Default(value) => Some(format!("`{value}`")),
            Absence::Words(words) => Some(words.to_owned()),
        }
    }
}

/// The value of a key that is absent.
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
    Key(&'static AnyField),
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
    pub(crate) fn keys(&self) -> Vec<&'static AnyField> {
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
                let words = key.synonyms.split_whitespace();
                words
                    .map(|word| (word, format!("it is called `{}`", key.key)))
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

    /// The value that was probably meant where another is in the place of the table.
    pub(crate) fn meant(&self, value: &DeValue<'_>) -> Option<String> {
        if let Some(flag) = value.as_bool() {
            return self.hint(&flag.to_string());
        }
        let short = self.short(value)?;
        let keys = self.keys().into_iter();
        let others = keys.filter(|key| key.default().is_none() && self.short != Some(key.key));
        let others = others.map(|other| format!("{} = ..", other.key));
        let all: Vec<String> = std::iter::once(short).chain(others).collect();
        Some(format!("write `{{ {} }}`", all.join(", ")))
    }

    /// A bare text or number as a key with its value: `path = \"/healthz\"`.
    pub(crate) fn short(&self, value: &DeValue<'_>) -> Option<String> {
        let (kind, text) = match (value.as_str(), value.as_integer()) {
            (Some(text), _) => ("string", format!("\"{}\"", shorten(text))),
            (None, Some(integer)) => ("integer", integer.to_string()),
            (None, None) => return None,
        };
        let short = self.short?;
        let field = self.keys().into_iter().find(|field| field.key == short)?;
        (field.kind.schema().get("type")?.as_str()? == kind).then(|| format!("{short} = {text}"))
    }

    /// The section as a schema.
    pub(crate) fn schema(&self) -> Json {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in self.keys() {
            let mut schema = field.kind.schema();
            let description = match field.default() {
                Some(default) => format!("{} Default: {default}.", field.doc),
                None => {
                    required.push(field.key);
                    field.doc.to_owned()
                }
            };
            if let Json::Object(members) = &mut schema {
                members.insert("description".to_owned(), Json::String(description));
            }
            properties.insert(field.key.to_owned(), schema);
        }
        json!({
            "type": "object",
            "description": self.doc,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}
