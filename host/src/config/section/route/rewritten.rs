//! `rewrite` of a `[[route]]`: another host and another path for its upstream.

use http::HeaderValue;
use windlass_config_derive::FromTable;

use super::RouteConfig;
use super::when::REGEX;
use crate::config::field::Parsed;
use crate::config::read::Table;
use crate::config::section::RouteEnd;
use crate::config::value::rewrite::{NamedPart, with_groups, with_parameters};
use crate::config::value::{Refused, host, path, there_are};
use crate::model::condition::TextPattern;
use crate::model::rewrite::{PathPart, PathRewrite, Rewrite};

/// Another host and another path for the upstream. The query stays.
#[derive(Debug, FromTable)]
#[table(heading = "rewrite = { .. }", short = "path", check = check)]
#[hint("prefix strip_prefix replace_prefix" => "end the route's `path` in `{rest+}`, and write `path = \"/new/{rest}\"`")]
#[hint("query" => "the query stays; the filter `builtin:transform` changes it")]
pub(crate) struct RewriteKeys {
    /// The `host` that endpoints get, instead of the one that the upstream's `host` says.
    #[key(absent = "that of the upstream", kind = HOST)]
    host: Option<HeaderValue>,
    /// The new path, with parameters of the route's path: `/v2/orders/{id}`.
    #[key(absent = "the path stays", kind = PARAMETERS)]
    path: Option<Vec<NamedPart>>,
    /// A regular expression that the whole path must match, without the base path of the API. Other paths stay.
    #[key(absent = "the path stays", kind = REGEX, synonyms = "path_regex")]
    regex: Option<TextPattern>,
    /// The new path of those that match `regex`. `$1` and `${name}` are groups of it.
    #[key(absent = "required with `regex`", kind = GROUPS, synonyms = "replacement substitution")]
    replace: Option<Vec<NamedPart>>,
}

const HOST: Parsed<HeaderValue> = Parsed::new(
    "a host such as `\"orders.internal\"`, with or without a port",
    |text| HeaderValue::try_from(host::literal(text)?).map_err(|_| Refused::plain()),
);

const PARAMETERS: Parsed<Vec<NamedPart>> =
    Parsed::new("a path such as `\"/v2/orders/{id}\"`", with_parameters).matching("^/");

const GROUPS: Parsed<Vec<NamedPart>> =
    Parsed::new("a path such as `\"/v2/$1\"`", with_groups).matching("^/");

/// Reports a table that says nothing, or too much.
fn check(table: &mut Table<'_>, keys: &RewriteKeys) {
    let has = ["host", "path", "regex", "replace"].map(|key| table.has(key));
    match has {
        [false, false, false, false] if !table.is_incomplete() => {
            table
                .error(table.span(), "`rewrite` changes nothing")
                .help("leave it out, or add `path = \"/v2/{rest}\"` or `host = \"..\"`");
        }
        [_, true, true, _] | [_, true, _, true] => {
            table
                .error_at("path", "`rewrite` has `path` besides `regex` and `replace`")
                .help("keep `path`, or the others");
        }
        [_, false, true, false] => table.missing("replace", "\"/v2/$1\""),
        [_, false, false, true] => table.missing("regex", "'/v1/(.*)'"),
        _ => groups(table, keys),
    }
}

/// Reports groups that the expression does not have.
fn groups(table: &mut Table<'_>, keys: &RewriteKeys) {
    let (Some(regex), Some(parts)) = (&keys.regex, &keys.replace) else {
        return;
    };
    for name in names(parts) {
        if group(regex, name).is_none() {
            let count = regex.groups().count().saturating_sub(1);
            let message =
                format!("`replace` names the group `{name}`, which `regex` does not have");
            let help = match count {
                1 => "write `${1}`: it has one group".to_owned(),
                0 => "put the parts to keep in parentheses".to_owned(),
                count => {
                    format!("write a group from `${{1}}` to `${{{count}}}`, or one by its name")
                }
            };
            table.error_at("replace", &message).help(help);
        }
    }
}

/// The names of the values in a new path.
fn names(parts: &[NamedPart]) -> impl Iterator<Item = &str> {
    parts.iter().filter_map(|part| match part {
        NamedPart::Value(name) => Some(&**name),
        NamedPart::Text(_) => None,
    })
}

/// The number of a group, by number or by name.
fn group(regex: &TextPattern, name: &str) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(number) => (number < regex.groups().count()).then_some(number),
        Err(_) => regex.groups().position(|known| known == Some(name)),
    }
}

/// The rewrite of a route whose path is known. Reports parameters that the path does not have, and a route
/// whose requests go nowhere.
pub(super) fn of_route(table: &mut Table<'_>, route: &RouteConfig, keys: RewriteKeys) -> Rewrite {
    let goes_on = matches!(route.end, RouteEnd::Upstream(_) | RouteEnd::Split(_));
    if !goes_on && (table.has("respond") || table.has("redirect")) {
        table
            .error_at(
                "rewrite",
                "`rewrite` is for requests that go to an upstream",
            )
            .help("remove it; a redirect says in `to` where it leads");
    }
    let known: Vec<&str> = path::parameters(&route.path).collect();
    if table.has("path") && table.is_sound("path") {
        let missing = keys.path.iter().flat_map(|parts| names(parts));
        let missing: Vec<&str> = missing.filter(|name| !known.contains(name)).collect();
        for name in missing {
            let message =
                format!("`rewrite.path` names the parameter `{name}`, which `path` does not have");
            let help = there_are(known.iter().copied(), "`path` has no parameters");
            table.error_at("rewrite", &message).help(help);
        }
    }
    let parameter = |name: &str| known.iter().position(|known| *known == name);
    let path = keys
        .path
        .map(|parts| PathRewrite::Parameters(resolve(parts, parameter)));
    let groups = keys.regex.zip(keys.replace).map(|(regex, parts)| {
        let parts = resolve(parts, |name| group(&regex, name));
        PathRewrite::Groups(regex, parts)
    });
    Rewrite {
        host: keys.host,
        path: path.or(groups),
    }
}

/// Looks up the names. One that does not exist was reported.
fn resolve(parts: Vec<NamedPart>, find: impl Fn(&str) -> Option<usize>) -> Vec<PathPart> {
    let parts = parts.into_iter().filter_map(|part| match part {
        NamedPart::Text(text) => Some(PathPart::Text(text.into())),
        NamedPart::Value(name) => find(&name).map(PathPart::Value),
    });
    parts.collect()
}
