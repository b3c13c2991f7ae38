//! A table of the file, while its reader takes the keys that it knows.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, Slot};
use crate::config::elsewhere;
use crate::config::field::Section;
use crate::config::problem::{Problem, Problems};
use crate::config::source::{Source, Span};
use crate::config::value::{backticked, nearest};

/// A table of the file. What its reader does not take is an unknown key.
pub(in crate::config) struct Table<'a> {
    pub(crate) reader: &'a mut Reader,
    pub(super) values: &'a DeTable<'a>,
    /// Its header, or the whole of an inline table.
    pub(super) span: Span,
    /// Its name in reports: ``filter `keys` ``; empty for the root.
    pub(crate) owner: String,
    /// The prefix of its keys in reports: `limits.`.
    pub(super) prefix: String,
    /// Its own name, where the operator gave it one.
    pub(super) name: Option<&'a str>,
    pub(super) section: &'static Section,
    /// The keys whose values were refused, as a whole or in part.
    pub(super) refused: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(crate) fn root(
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

    /// The table of a slot, which belongs to the same owner; one of the root owns itself.
    pub(crate) fn nested(
        slot: &'a mut Slot<'_>,
        values: &'a DeTable<'a>,
        section: &'static Section,
    ) -> Self {
        let title = slot.owner.is_empty().then(|| slot.key.clone());
        Self::entry(slot, values, title, section)
    }

    /// The table of a slot, which is called `title` in reports; as its parent where there is none.
    pub(crate) fn entry(
        slot: &'a mut Slot<'_>,
        values: &'a DeTable<'a>,
        title: Option<String>,
        section: &'static Section,
    ) -> Self {
        let (owner, prefix) = match title {
            Some(title) => (title, String::new()),
            None => (slot.owner.to_owned(), format!("{}.", slot.key)),
        };
        Self {
            owner,
            prefix,
            span: slot.span,
            ..Self::root(slot.reader, values, section)
        }
    }

    /// A table of a slot, with a name of the operator's choice, which stands at `span`.
    pub(crate) fn titled(
        slot: &'a mut Slot<'_>,
        (name, span): (&'a str, Span),
        values: &'a DeTable<'a>,
        section: &'static Section,
    ) -> Self {
        let own = format!("{} `{}`", slot.key, name.escape_debug());
        let owner = match slot.owner {
            "" => own,
            owner => format!("{owner}: {own}"),
        };
        Self {
            span,
            name: Some(name),
            ..Self::entry(slot, values, Some(owner), section)
        }
    }

    /// Reads the value of a key, if it is there, and remembers whether something was wrong with it.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Slot<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.get(key)?;
        let before = self.reader.problems.len();
        let read = read(&mut self.slot(key, value.get_ref(), value.span().into()));
        if self.reader.problems.is_fatal_since(before) {
            self.refused.push(key);
        }
        read
    }

    /// Whether a key stands there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.known().contains(&key), "no field is `{key}`");
        self.values.get(key)
    }

    /// Whether nothing was wrong with the value of a key. Where something was, a default
    /// may stand in for it, and what is said of that would be false.
    pub(crate) fn is_sound(&self, key: &str) -> bool {
        debug_assert!(self.known().contains(&key), "no field is `{key}`");
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
        let list = self.value(key);
        let list = list.and_then(|value| value.get_ref().as_array());
        let items = list.into_iter().flat_map(|list| list.iter());
        items.map(|item| item.span().into()).collect()
    }

    /// The name that the operator gave the table; empty where there is none.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::from(self.name.unwrap_or_default())
    }

    /// The file.
    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(self.reader.problems.source())
    }

    /// The problems so far.
    pub(crate) fn problems(&self) -> Problems {
        self.reader.problems.clone()
    }

    /// Where the table begins.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Where the value of a key stands; the table's own place without it.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.value(key)
            .map_or(self.span, |value| value.span().into())
    }

    /// Where the first of these keys that is there stands.
    pub(crate) fn span_of_first(&self, keys: &[&str]) -> Span {
        let there = keys.iter().find(|key| self.has(key));
        there.map_or(self.span, |key| self.span_of(key))
    }

    /// The same, if nothing was wrong with any of them.
    pub(crate) fn span_if_sound(&self, keys: &[&str]) -> Option<Span> {
        let are_sound = keys.iter().all(|key| self.is_sound(key));
        are_sound.then(|| self.span_of_first(keys))
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
        let table = self.value(key)?.get_ref().as_table()?;
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

    /// Reports an error of the value of a key.
    pub(crate) fn error_at(&mut self, key: &str, message: &str) -> &mut Problem {
        self.error(self.span_of(key), message)
    }

    /// Warns of the value of a key.
    pub(crate) fn warning_at(&mut self, key: &str, message: &str) -> &mut Problem {
        self.warning(self.span_of(key), message)
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
        self.reader.earlier(sort, text, span)
    }

    /// The texts of this sort that stood before, each with its line.
    pub(crate) fn all_earlier(&self, sort: &str) -> Vec<(String, usize)> {
        let source = self.reader.problems.source();
        let seen = self.reader.seen.iter();
        let seen = seen.filter(|((known, _), _)| known == sort);
        seen.map(|((_, text), span)| (text.clone(), source.position(span.start).line))
            .collect()
    }

    /// The one of these keys that is there. Reports several, with the cure, and that there is none,
    /// with the message and the cure of `none`.
    pub(crate) fn exactly_one(
        &mut self,
        keys: &[&'static str],
        none: (&str, &str),
        cure: &str,
    ) -> Option<&'static str> {
        let there: Vec<&str> = keys.iter().copied().filter(|key| self.has(key)).collect();
        let (span, message, cure) = match there.as_slice() {
            [one] => return Some(*one),
            [] if self.is_incomplete() || keys.iter().any(|key| self.is_hinted(key)) => {
                return None;
            }
            [] => (self.span, none.0.to_owned(), none.1),
            [first, second, ..] => {
                let span = self.span_of(first).max(self.span_of(second));
                let message = format!("has both `{first}` and `{second}`, wanted exactly one");
                (span, message, cure)
            }
        };
        let table = match self.prefix.strip_suffix('.') {
            Some(key) => format!("`{key}` "),
            None => String::new(),
        };
        let problem = self.error(span, &format!("{table}{message}"));
        if !cure.is_empty() {
            problem.help(cure);
        }
        None
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
            let elsewhere = || {
                elsewhere::hint(name)
                    .filter(|_| !is_slip)
                    .map(str::to_owned)
            };
            let help = match (
                self.section.hint(name).or_else(elsewhere),
                meant.or_else(|| nearest(name, known.iter().copied())),
            ) {
                (Some(hint), _) => hint,
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => format!("known keys: {}", backticked(known.iter().copied())),
            };
            let message = format!("unknown key `{}{}`", self.prefix, name.escape_debug());
            self.error(span, &message).help(help);
        }
    }

    /// The keys of the section.
    fn known(&self) -> Vec<&'static str> {
        let keys = self.section.keys();
        keys.into_iter().map(|key| key.key).collect()
    }

    /// Whether a key that the section does not have was probably meant for this one: that is
    /// reported, and says how it is called.
    pub(crate) fn has_meant(&self, key: &str) -> bool {
        let mut there = self.values.keys().map(|key| key.get_ref().as_ref());
        let is_like = |there| self.section.hint(there).is_none() && self.meant(there) == Some(key);
        self.is_hinted(key) || there.any(is_like)
    }

    /// Whether the hint of a key that is there names this one.
    fn is_hinted(&self, key: &str) -> bool {
        let called = format!("called `{key}`");
        let there = self.values.keys().map(|key| key.get_ref().as_ref());
        let mut hints = there.filter_map(|there| self.section.hint(there));
        hints.any(|hint| hint.contains(&called))
    }

    /// The key that was probably meant by one that is not known.
    fn meant(&self, name: &str) -> Option<&'static str> {
        let free = self.known().into_iter().filter(|key| !self.has(key));
        nearest(name, free)
    }

    /// A value that is read as that of a key.
    pub(crate) fn slot<'b>(
        &'b mut self,
        key: &str,
        value: &'b DeValue<'b>,
        span: Span,
    ) -> Slot<'b> {
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
