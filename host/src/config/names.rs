//! The names that the file defines, gathered before anything is read, so that a reference to what
//! is itself wrong is not reported as a reference to nothing.

use toml::de::DeTable;
use windlass_config_derive::Word;

use super::source::Span;
use crate::model::word::Word;

/// A table of tables with names of the operator's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub(super) enum Group {
    /// `[secret.<name>]`.
    Secret,
    /// `[verifier.<name>]`.
    Verifier,
    /// `[callout.<name>]`.
    Callout,
    /// `[api.<name>]`.
    Api,
    /// `[plan.<name>]`.
    Plan,
    /// `[filter.<name>]`.
    Filter,
    /// `[upstream.<name>]`.
    Upstream,
}

impl Group {
    /// Its word in a sentence.
    pub(crate) fn with_article(self) -> &'static str {
        match self {
            Self::Secret => "a secret",
            Self::Verifier => "a verifier",
            Self::Callout => "a callout",
            Self::Api => "an API",
            Self::Plan => "a plan",
            Self::Filter => "a filter",
            Self::Upstream => "an upstream",
        }
    }
}

/// The names of a file, in the order in which they stand there.
#[derive(Debug, Default)]
pub(super) struct Names {
    list: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    group: Group,
    index: usize,
    text: String,
    span: Span,
    used: bool,
}

impl Names {
    /// All names of a file.
    pub(crate) fn collect(root: &DeTable<'_>) -> Self {
        let mut names = Self::default();
        for group in Group::all() {
            let table = root
                .get(group.word())
                .and_then(|value| value.get_ref().as_table());
            let mut keys: Vec<_> = table.into_iter().flat_map(|table| table.keys()).collect();
            keys.sort_by_key(|key| key.span().start);
            for (index, key) in keys.into_iter().enumerate() {
                names.list.push(Name {
                    group,
                    index,
                    text: key.get_ref().to_string(),
                    span: key.span().into(),
                    used: false,
                });
            }
        }
        names
    }

    /// The names of a group.
    pub(crate) fn of(&self, group: Group) -> impl Iterator<Item = &str> {
        let same = move |name: &&Name| name.group == group;
        self.list.iter().filter(same).map(|name| name.text.as_str())
    }

    /// The index of a name in its group.
    pub(crate) fn index(&self, group: Group, text: &str) -> Option<usize> {
        let mut names = self.list.iter();
        let name = names.find(|name| name.group == group && name.text == text)?;
        Some(name.index)
    }

    /// The name at an index of a group.
    pub(crate) fn at(&self, group: Group, index: usize) -> &str {
        let mut names = self.list.iter();
        let name = names.find(|name| name.group == group && name.index == index);
        name.map_or("", |name| &name.text)
    }

    /// The index of a name in its group, which is used from now on.
    pub(crate) fn use_name(&mut self, group: Group, text: &str) -> Option<usize> {
        let mut names = self.list.iter_mut();
        let name = names.find(|name| name.group == group && name.text == text)?;
        name.used = true;
        Some(name.index)
    }

    /// The names that nothing used, and where they are defined.
    pub(crate) fn unused(&self) -> impl Iterator<Item = (Group, &str, Span)> {
        let unused = self.list.iter().filter(|name| !name.used);
        unused.map(|name| (name.group, name.text.as_str(), name.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_order_of_the_file() {
        let root = DeTable::parse("[filter.z]\n[upstream.u]\n[filter.a]\nx = 1").unwrap();
        let mut names = Names::collect(root.get_ref());
        assert_eq!(names.of(Group::Filter).collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(names.index(Group::Filter, "a"), Some(1));
        assert_eq!(names.at(Group::Filter, 1), "a");
        assert_eq!(names.at(Group::Plan, 0), "");
        assert_eq!(names.use_name(Group::Filter, "a"), Some(1));
        assert_eq!(names.use_name(Group::Upstream, "a"), None);
        let unused: Vec<&str> = names.unused().map(|(_, name, _)| name).collect();
        assert_eq!(unused, ["z", "u"]);
    }
}
