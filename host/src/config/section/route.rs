//! `[[route]]`: match, chain and end.

mod end;
mod rewritten;
mod split;
mod when;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::Method;
use toml::de::DeTable;
use windlass_config_derive::FromTable;

use super::rate::ClientRateKeys;
use super::{Api, Config};
use crate::config::field::{FromValue, List, Parsed, Reference, Then};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::name::line;
use crate::config::value::{host, message, path};
use crate::model::condition::Conditions;
use crate::model::plan::RateLimit;
use crate::model::rewrite::Rewrite;

pub use end::*;
use rewritten::RewriteKeys;

/// Which requests go through which filters, and where they go then. Exactly one of `upstream`,
/// `split`, `respond` and `redirect`.
#[derive(Debug, FromTable)]
#[table(heading = "[[route]]", title = title, make = route)]
#[hint("headers header query cookies source source_ip path_regex" => "write it in `when = { .. }`, such as `when = { headers = { x-version = \"2\" } }`")]
#[hint("filter plugins" => "it is called `filters`, a list in the order in which they run")]
pub struct RouteConfig {
    /// Its unique name: the attribute `route.id`.
    #[key(
        absent = "its methods, hosts and path, such as `GET,PUT api.example.com/orders/{id}` or `ANY /orders`"
    )]
    pub name: Arc<str>,
    /// The API that it belongs to.
    #[key(absent = "no API", kind = Reference(Group::Api))]
    pub api: Option<usize>,
    /// The path pattern: `{name}` matches one segment, `{name+}` at the end matches one or more,
    /// `$default` matches what no other route does.
    #[key(required = "/orders/{id}", kind = PATH, instead = default_path)]
    pub path: String,
    /// The `path` value in the file.
    #[key(span_of = "path")]
    pub(crate) path_span: Span,
    /// The methods that it matches. `HEAD` is a method of its own. Other methods of this path go to
    /// `$default` if there is one, without these filters.
    #[key(absent = "`[\"ANY\"]`", kind = METHODS)]
    pub methods: Vec<Method>,
    /// The hosts that it matches. `*.` stands for every name below a domain.
    #[key(absent = "any host", each = HOST, least = 1)]
    pub hosts: Vec<String>,
    /// What it demands of requests beside that. Of routes at the same host, path and method, the one with more
    /// conditions is tried first, and of those with as many the first in this file. Such a route needs a `name`.
    #[key(absent = "no conditions", synonyms = "conditions match if")]
    pub(crate) when: Option<Conditions>,
    /// Routes with a number are tried before all others, whatever their hosts and paths; the lowest number first.
    #[key(absent = "after those with one", within = 1..=50_000)]
    pub(crate) priority: Option<u32>,
    /// The filters, in the order in which they run.
    #[key(absent = "none", repeats)]
    pub filters: Vec<FilterReference>,
    /// Another host and another path for the upstream.
    #[key(
        name = "rewrite",
        absent = "both stay",
        synonyms = "transform url_rewrite"
    )]
    pub(crate) rewrite_keys: Option<RewriteKeys>,
    /// The same, with its names looked up.
    #[key(skip)]
    pub(crate) rewrite: Rewrite,
    /// Where the request goes after the chain.
    #[key(flatten = EndKeys)]
    pub end: RouteEnd,
    /// The largest request body. A larger one gets 413.
    #[key(default = "10MiB", within = "0B"..="1TiB")]
    pub max_body: Option<u64>,
    #[key(flatten)]
    pub timeouts: RouteTimeouts,
    /// The rate of all clients together, on each gateway.
    #[key(flatten = ClientRateKeys)]
    pub rate: Option<RateLimit>,
    /// Whether it is certain which requests it takes.
    #[key(skip)]
    pub(crate) is_match_whole: bool,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// No conditions.
static NO_CONDITIONS: LazyLock<Conditions> = LazyLock::new(Conditions::default);

impl RouteConfig {
    /// What it demands beside host, path and method.
    pub(crate) fn conditions(&self) -> &Conditions {
        self.when.as_ref().unwrap_or(&NO_CONDITIONS)
    }

    /// Its API.
    pub(crate) fn api<'c>(&self, config: &'c Config) -> Option<&'c Api> {
        self.api.and_then(|index| config.apis.get(index))
    }

    /// The path before its own: that of its API.
    pub(crate) fn base_path<'c>(&self, config: &'c Config) -> &'c str {
        let base = self.api(config).and_then(|api| api.base_path.as_deref());
        base.unwrap_or_default()
    }
}

/// The time-outs of a route, which lower its upstream's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromTable)]
#[table(keys = only_upstreams)]
pub struct RouteTimeouts {
    /// Lowers the upstream's `connect_timeout` for this route.
    #[key(name = "connect_timeout", absent = "that of the upstream")]
    pub(crate) connect: Option<Duration>,
    /// Lowers the upstream's `first_byte_timeout` for this route.
    #[key(name = "first_byte_timeout", absent = "that of the upstream")]
    pub first_byte: Option<Duration>,
    /// Lowers the upstream's `idle_timeout` for this route.
    #[key(name = "idle_timeout", absent = "that of the upstream")]
    pub(crate) idle: Option<Duration>,
    /// Lowers the upstream's `total_timeout` for this route.
    #[key(name = "total_timeout", absent = "that of the upstream")]
    pub(crate) total: Option<Duration>,
}

/// The index of what is wrong itself, or is not there: no list has it.
///
/// Only in a configuration that has errors.
pub(crate) const NOWHERE: usize = usize::MAX;

/// A filter in a route's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterReference {
    /// The filter's index in the configuration's list, or [`NOWHERE`].
    pub filter: usize,
    /// The word in the route's list.
    pub span: Span,
}

/// The name of a filter. One that does not exist keeps its index: it may be what the others need.
impl FromValue for FilterReference {
    type Kind = Then<Reference, Self>;
    const KIND: Self::Kind = Then {
        of: Reference(Group::Filter),
        make: |filter, slot| {
            let filter = filter.unwrap_or(NOWHERE);
            let span = slot.span;
            Some(Self { filter, span })
        },
    };
}

pub(super) const PATH: Parsed<String> = Parsed::new(
    "a path such as `\"/orders/{id}\"`, or `\"$default\"`",
    path::pattern,
)
.matching("^(/|\\$default$)");

/// The methods; empty is any.
const METHODS: Then<List<Parsed<Option<Method>>>, Vec<Method>> = Then {
    of: List {
        of: Parsed::new("a method such as `\"GET\"`, or `\"ANY\"`", message::method)
            .matching("^[A-Z0-9!#$%&'*+.^_`|~-]+$"),
        least: 1,
        repeats: false,
    },
    make: |methods, _| {
        Some(
            methods?
                .into_iter()
                .collect::<Option<_>>()
                .unwrap_or_default(),
        )
    },
};

const HOST: Parsed<String> = Parsed::new(
    "a host such as `\"api.example.com\"` or `\"*.example.com\"`",
    host::pattern,
);

/// The name of a route in reports.
fn title(values: &DeTable<'_>) -> String {
    let text = |key: &str| values.get(key).and_then(|value| value.get_ref().as_str());
    match text("name").or_else(|| text("path")) {
        Some(text) if line(text).is_ok() => format!("route `{text}`"),
        Some(_) | None => "route".to_owned(),
    }
}

fn default_path() -> String {
    "$default".to_owned()
}

fn route(table: &mut Table<'_>, mut route: RouteConfig) -> RouteConfig {
    any_alone(table, &route.methods);
    if let RouteEnd::Split(split) = &route.end
        && table.has("path")
        && table.is_sound("path")
    {
        split::param(table, split, &route.path);
    }
    if let Some(keys) = route.rewrite_keys.take() {
        route.rewrite = rewritten::of_route(table, &route, keys);
    }
    let base = route
        .api
        .and_then(|api| table.reader.base_paths.get(&api).cloned());
    let is_match_whole = table.has("path") && is_match_whole(table, route.api);
    let before = table.reader.problems.len();
    let is_named = !route.name.is_empty();
    if !is_named && route.when.is_some() && !table.is_incomplete() {
        table
            .error_at("when", "has `when` without `name`")
            .help("add `name = \"..\"` to the route: logs and metrics tell routes apart by it");
    }
    if !is_named {
        route.name = default_name(&route, base.as_deref().unwrap_or_default());
    }
    if is_named || is_match_whole {
        unique(table, is_named, &route.name);
    }
    // The router need not report such a route again.
    let is_twice = table.reader.problems.is_fatal_since(before) && !table.has("name");
    route.is_match_whole = is_match_whole && !is_twice;
    route
}

/// Whether it is certain which requests it takes.
fn is_match_whole(table: &mut Table<'_>, api: Option<usize>) -> bool {
    let keys = ["api", "path", "methods", "hosts", "when", "priority"];
    let is_base_known = api.is_none_or(|api| !table.reader.unsure_apis.contains(&api));
    is_base_known && table.are_whole(&keys)
}

/// Warns of time-outs that there is no upstream for.
fn only_upstreams(table: &mut Table<'_>) {
    if !table.has("upstream") && !table.has("split") {
        let keys = [
            "connect_timeout",
            "first_byte_timeout",
            "idle_timeout",
            "total_timeout",
        ];
        table.idle(&keys, "without `upstream` or `split`");
    }
}

/// Reports `ANY` beside other methods.
fn any_alone(table: &mut Table<'_>, methods: &[Method]) {
    let is_any = methods.is_empty() && table.is_sound("methods");
    if is_any && table.spans_of_items("methods").len() > 1 {
        table
            .error_at(
                "methods",
                "`methods` holds `ANY` besides others, though `ANY` includes them",
            )
            .help("keep `ANY`, or the others");
    }
}

/// Reports a name that an earlier route has.
fn unique(table: &mut Table<'_>, is_named: bool, name: &str) {
    let key = if is_named { "name" } else { "path" };
    let Some(line) = table.earlier("route", name, table.span_of(key)) else {
        return;
    };
    if is_named {
        let message = format!("`name` holds `{name}`, which line {line} has already");
        table.error_at(key, &message);
    } else {
        let message = format!("`{name}` is already taken by the route in line {line}");
        table
            .error_at(key, &message)
            .help("only one route can take the same methods, hosts and path");
    }
}

/// Its methods, its hosts, and its path below that of its API.
fn default_name(route: &RouteConfig, base: &str) -> Arc<str> {
    let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    let methods = match methods.as_slice() {
        [] => "ANY".to_owned(),
        methods => methods.join(","),
    };
    let is_apart = !base.is_empty() && !route.path.starts_with('/');
    let slash = if is_apart { "/" } else { "" };
    let (hosts, path) = (route.hosts.join(","), &route.path);
    Arc::from(format!("{methods} {hosts}{base}{slash}{path}"))
}
