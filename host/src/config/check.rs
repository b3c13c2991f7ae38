//! What concerns several sections at once.

use super::names::Group;
use super::read::{Reader, Table};
use super::source::Span;

/// Reports a list of tables that cannot be left out.
pub(super) fn presence(table: &mut Table<'_>, key: &str, example: &str) {
    if table.has(key) || table.is_incomplete() {
        return;
    }
    let message = format!("there is no `[[{key}]]`: at least one is needed");
    table
        .error(Span::default(), &message)
        .help(format!("add {example}"));
}

/// Warns of what is defined and not used. Says nothing beside errors: mending them may use it.
pub(super) fn unused(reader: &mut Reader) {
    if reader.incomplete || reader.problems.is_fatal() {
        return;
    }
    for (group, name, span) in reader.names.unused() {
        let by = match group {
            Group::Secret => "no filter's `allow` names it",
            Group::Api | Group::Filter => "no route names it",
            Group::Plan => "no key and no filter's settings name it",
            Group::Upstream => "no route and no filter's `allow` names it",
        };
        let message = format!("{} `{name}` is not used: {by}", group.word());
        reader.problems.warning(span, message);
    }
}
