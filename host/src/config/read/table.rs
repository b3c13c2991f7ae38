//! A table of the file, while its reader takes the keys that it knows.

use std::sync::Arc;

use toml::de::DeTable;

use super::{Reader, Slot};
use crate::config::elsewhere;
use crate::config::field::{Absence, Field, Kind, Section};
use crate::config::problem::Problem;
use crate::config::source::Span;
use crate::config::value::nearest;

/// A table of the file. What its reader does not take is an unknown key.
pub(in crate::config) struct Table<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) values: &'a DeTable<'a>,
    /// Its header, or the whole of an inline table.
    pub(super) span: Span,
    /// What it is called in reports: ``filter `keys` ``; empty for the root.
    pub(super) owner: String,
    /// What stands before its keys in reports: `limits.`.
    pub(super) prefix: String,
    /// Its own name, where the operator gave it one.
    pub(super) name: Option<&'a str>,
    pub(super) section: &'static Section,
    /// The keys whose values were refused, as a whole or in part.
    pub(super) refused: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn root(
        reader: &'a mut Reader,
        values: &'a DeTable<'a>,
        section: &'static Section,
    ) -> Self {
        Self {
            reader,
            values,
            span: Span::default(),
            owner: String::new(),
            prefix: String::new(),
            name: None,
            section,
            refused: Vec::new(),
        }
    }

    /// The value of a key, or what holds without it.
    pub(crate) fn take<K: Kind, A: Absence<K>>(&mut self, field: &Field<K, A>) -> A::Taken {
        let value = match self.values.get(field.key) {
            Some(value) => {
                let before = self.reader.problems.len();
                let mut slot = self.slot(field.key, value.get_ref(), value.span().into());
                let value = field.kind.read(&mut slot);
                if self.reader.problems.is_fatal_since(before) {
                    self.refused.push(field.key);
                }
                value
            }
            None => field.absent.absent(field, self),
        };
        field.absent.taken(value)
    }

    /// Whether a key stands there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some()
    }

    /// Whether nothing was wrong with what `take` found of a key. Where something was, a default
    /// may stand in for it, and what is said of that would be false.
    pub(crate) fn is_sound(&self, key: &str) -> bool {
        !self.refused.contains(&key)
    }

    /// Whether these keys are what the operator meant: nothing was wrong with them, and no unknown key
    /// may stand for one of them.
    pub(crate) fn are_whole(&self, keys: &[&str]) -> bool {
        let known = self.known();
        let mut unknown = self.values.keys().map(|key| key.get_ref().as_ref());
        let is_theirs = |name: &str| self.meant(name).is_none_or(|meant| keys.contains(&meant));
        keys.iter().all(|key| self.is_sound(key))
            && !unknown.any(|name| !known.contains(&name) && is_theirs(name))
    }

    /// Where the items of a list stand.
    pub(crate) fn spans_of_items(&self, key: &str) -> Vec<Span> {
        let list = self.values.get(key);
        let list = list.and_then(|value| value.get_ref().as_array());
        let items = list.into_iter().flat_map(|list| list.iter());
        items.map(|item| item.span().into()).collect()
    }

    /// The name that the operator gave the table; empty where there is none.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::from(self.name.unwrap_or_default())
    }

    /// What it is called in reports.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Where the table begins.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Where the value of a key stands; the table's own place without it.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.values
            .get(key)
            .map_or(self.span, |value| value.span().into())
    }

    /// Whether a key stands in the table under another.
    pub(crate) fn has_part(&self, key: &str, part: &str) -> bool {
        self.part(key, part).is_some()
    }

    /// Where the value of a key in the table under another stands; that table's place without it.
    pub(crate) fn span_of_part(&self, key: &str, part: &str) -> Span {
        self.part(key, part).unwrap_or_else(|| self.span_of(key))
    }

    fn part(&self, key: &str, part: &str) -> Option<Span> {
        let table = self.values.get(key)?.get_ref().as_table()?;
        Some(table.get(part)?.span().into())
    }

    /// Whether something of the file may have been lost to a syntax error.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.reader.incomplete
    }

    /// Reports an error of this table.
    pub(crate) fn error(&mut self, span: Span, message: &str) -> &mut Problem {
        let message = self.say(message);
        self.reader.problems.error(span, message)
    }

    /// Warns of something in this table.
    pub(crate) fn warning(&mut self, span: Span, message: &str) -> &mut Problem {
        let message = self.say(message);
        self.reader.problems.warning(span, message)
    }

    /// Warns of those of these keys that are there, as they change nothing; `why` follows that.
    ///
    /// Not where the key that they need may have been lost to a syntax error.
    pub(crate) fn idle(&mut self, keys: &[&str], why: &str) {
        for key in keys {
            if self.has(key) && !self.is_incomplete() {
                let message = format!("`{}{key}` changes nothing {why}", self.prefix);
                self.warning(self.span_of(key), &message);
            }
        }
    }

    /// The line where the same text of the same sort stood before; else remembers this one.
    pub(crate) fn earlier(&mut self, sort: &str, text: &str, span: Span) -> Option<usize> {
        let known = (sort.to_owned(), text.to_owned());
        let first = *self.reader.seen.entry(known).or_insert(span);
        let source = self.reader.problems.source();
        (first != span).then(|| source.position(first.start).line)
    }

    /// The texts of this sort that stood before, each with its line.
    pub(crate) fn all_earlier(&self, sort: &str) -> Vec<(String, usize)> {
        let source = self.reader.problems.source();
        let seen = self.reader.seen.iter();
        let seen = seen.filter(|((known, _), _)| known == sort);
        seen.map(|((_, text), span)| (text.clone(), source.position(span.start).line))
            .collect()
    }

    /// What all readers share.
    pub(crate) fn reader(&mut self) -> &mut Reader {
        self.reader
    }

    /// Reports that a key is missing.
    ///
    /// Not where it is there under another name: this is reported instead.
    pub(crate) fn missing(&mut self, key: &str, example: &str) {
        if self.reader.incomplete || self.has_meant(key) {
            return;
        }
        let message = format!("`{}{key}` is missing", self.prefix);
        let help = format!("add `{key} = {example}`");
        self.error(self.span, &message).help(help);
    }

    /// Reads a table that is not there, for its defaults.
    pub(crate) fn empty<T>(
        &mut self,
        key: &'static str,
        section: &'static Section,
        read: fn(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        let nothing = DeTable::new();
        let span = self.span;
        self.slot(key, &toml::de::DeValue::Boolean(false), span)
            .nested(&nothing, section, read)
    }

    /// Reports the keys that the section does not have.
    pub(crate) fn finish(mut self) {
        let known = self.known();
        for (key, value) in self.values {
            let (name, span) = (key.get_ref().as_ref(), Span::from(key.span()));
            if known.contains(&name) {
                continue;
            }
            if self.section.private {
                self.reader.problems.mask(value.span().into());
            }
            let meant = self.meant(name);
            // One letter too many is a slip, whatever the word is elsewhere.
            let is_slip = meant.is_some_and(|meant| {
                name.strip_prefix(meant) == Some("s") || meant.strip_prefix(name) == Some("s")
            });
            let elsewhere = || elsewhere::hint(name).filter(|_| !is_slip);
            let help = match (
                self.hint(name).or_else(elsewhere),
                meant.or_else(|| nearest(name, known.iter().copied())),
            ) {
                (Some(hint), _) => hint.to_owned(),
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => {
                    let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
                    format!("known keys: {}", known.join(", "))
                }
            };
            let message = format!("unknown key `{}{}`", self.prefix, name.escape_debug());
            self.error(span, &message).help(help);
        }
    }

    /// The keys of the section.
    fn known(&self) -> Vec<&'static str> {
        self.section
            .fields
            .iter()
            .map(|field| field.key())
            .collect()
    }

    /// Whether a key that the section does not have was probably meant for this one: that is
    /// reported, and says how it is called.
    pub(crate) fn has_meant(&self, key: &str) -> bool {
        let mut there = self.values.keys().map(|key| key.get_ref().as_ref());
        let called = format!("called `{key}`");
        there.any(|there| match self.hint(there) {
            Some(hint) => hint.contains(&called),
            None => self.meant(there) == Some(key),
        })
    }

    /// What the section says of a key that it does not have.
    fn hint(&self, name: &str) -> Option<&'static str> {
        let mut hints = self.section.hints.iter();
        hints.find(|(word, _)| *word == name).map(|(_, hint)| *hint)
    }

    /// The key that was probably meant by one that is not known.
    fn meant(&self, name: &str) -> Option<&'static str> {
        let free = self.known().into_iter().filter(|key| !self.has(key));
        nearest(name, free)
    }

    fn slot<'b>(&'b mut self, key: &str, value: &'b toml::de::DeValue<'b>, span: Span) -> Slot<'b> {
        Slot {
            reader: self.reader,
            value,
            span,
            owner: &self.owner,
            key: format!("{}{key}", self.prefix),
            is_part: false,
        }
    }

    fn say(&self, message: &str) -> String {
        if self.owner.is_empty() {
            message.to_owned()
        } else {
            format!("{}: {message}", self.owner)
        }
    }
}
