//! `[[route]]`: match, chain and end.

mod end;
mod split;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use toml::de::DeTable;
use windlass_config_derive::FromTable;

use super::rate::ClientRateKeys;
use super::respond::FixedResponse;
use crate::config::field::{FromValue, Parsed, Reference, Then};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::name::line;
use crate::config::value::{host, message, path};
use crate::model::plan::RateLimit;

pub use end::*;

/// A request's match, its filters, and where it goes after them.
#[derive(Debug)]
pub struct RouteConfig {
    /// Its name: the attribute `route.id`. Unique.
    pub name: Arc<str>,
    /// The index of its API in the configuration's list.
    pub api: Option<usize>,
    /// Its pattern: `/orders/{id}`, `/files/{rest+}`, or `$default`.
    pub path: String,
    /// The `path` value in the file.
    pub(crate) path_span: Span,
    /// Its methods; empty is any.
    pub methods: Vec<Method>,
    /// Its hosts, lower-case; empty is any.
    pub hosts: Vec<String>,
    /// Its filters, in the order in which they run.
    pub filters: Vec<FilterReference>,
    /// Where the request goes after the chain.
    pub end: RouteEnd,
    /// The largest request body. None is no bound. Bytes.
    pub max_body: Option<u64>,
    pub timeouts: RouteTimeouts,
    /// The rate of all clients together, on each gateway.
    pub rate: Option<RateLimit>,
    /// Whether all that says which requests it takes could be read.
    pub(crate) is_match_whole: bool,
    /// The entry in the file.
    pub(crate) span: Span,
}

/// Which requests go through which filters, and where they go then. Exactly one of `upstream`,
/// `split`, `respond` and `redirect`.
#[derive(FromTable)]
#[table(heading = "[[route]]", title = title, into = RouteConfig, make = route)]
#[hint("filter plugins" => "it is called `filters`, a list in the order in which they run")]
pub(super) struct RouteKeys {
    /// Its unique name: the attribute `route.id`.
    #[key(
        absent = "its methods, hosts and path, such as `GET,PUT api.example.com/orders/{id}` or `ANY /orders`"
    )]
    name: Option<String>,
    /// The API that it belongs to.
    #[key(absent = "no API", kind = Reference(Group::Api))]
    api: Option<usize>,
    /// The path pattern: `{name}` matches one segment, `{name+}` at the end matches one or more,
    /// `$default` matches what no other route does.
    #[key(required = "/orders/{id}", kind = PATH)]
    path: Option<String>,
    /// The methods that it matches. `HEAD` is a method of its own. Other methods of this path go to
    /// `$default` if there is one, without these filters.
    #[key(absent = "`[\"ANY\"]`", each = METHOD, least = 1)]
    methods: Vec<Option<Method>>,
    /// The hosts that it matches. `*.` stands for every name below a domain.
    #[key(absent = "any host", each = HOST, least = 1)]
    hosts: Vec<String>,
    /// The filters, in the order in which they run.
    #[key(absent = "none", repeats)]
    filters: Vec<FilterReference>,
    #[key(flatten = EndKeys)]
    end: Option<RouteEnd>,
    /// The largest request body. A larger one gets 413.
    #[key(default = "10MiB", within = "0B"..="1TiB")]
    max_body: Option<u64>,
    #[key(flatten)]
    timeouts: RouteTimeouts,
    #[key(flatten = ClientRateKeys)]
    rate: Option<RateLimit>,
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
            let span = slot.span();
            Some(Self { filter, span })
        },
    };
}

const PATH: Parsed<String> = Parsed::new(
    "a path such as `\"/orders/{id}\"`, or `\"$default\"`",
    |text, _| path::pattern(text),
)
.matching("^(/|\\$default$)");

const METHOD: Parsed<Option<Method>> =
    Parsed::new("a method such as `\"GET\"`, or `\"ANY\"`", |text, _| {
        message::method(text)
    })
    .matching("^[A-Z0-9!#$%&'*+.^_`|~-]+$");

const HOST: Parsed<String> = Parsed::new(
    "a host such as `\"api.example.com\"` or `\"*.example.com\"`",
    |text, _| host::pattern(text),
);

/// What a route is called in reports.
fn title(values: &DeTable<'_>) -> String {
    let text = |key: &str| values.get(key).and_then(|value| value.get_ref().as_str());
    match text("name").or_else(|| text("path")) {
        Some(text) if line(text).is_ok() => format!("route `{text}`"),
        Some(_) | None => "route".to_owned(),
    }
}

fn route(table: &mut Table<'_>, keys: RouteKeys) -> RouteConfig {
    let methods = any_alone(table, keys.methods);
    if let (Some(RouteEnd::Split(split)), Some(path)) = (&keys.end, &keys.path) {
        split::param(table, split, path);
    }
    let api = keys.api;
    let base = api.and_then(|api| table.reader().base_paths.get(&api).cloned());
    let is_match_whole = keys.path.is_some() && is_match_whole(table, api);
    // The error is reported: stand-ins let the rest of the route be looked at.
    let path = keys.path.unwrap_or_else(|| "$default".to_owned());
    let end = keys.end;
    let end = end.unwrap_or_else(|| RouteEnd::Respond(FixedResponse::default()));
    let full = full_path(base.as_deref().unwrap_or_default(), &path);
    let before = table.reader().problems.len();
    let name = match keys.name {
        None if !is_match_whole => default_name(&methods, &keys.hosts, &full),
        name => unique(table, name, &methods, &keys.hosts, &full),
    };
    // The router need not report such a route again.
    let is_twice = table.reader().problems.is_fatal_since(before) && !table.has("name");
    RouteConfig {
        name: Arc::from(name),
        api,
        path,
        path_span: table.span_of("path"),
        methods,
        hosts: keys.hosts,
        filters: keys.filters,
        end,
        max_body: keys.max_body,
        timeouts: keys.timeouts,
        rate: keys.rate,
        is_match_whole: is_match_whole && !is_twice,
        span: table.span(),
    }
}

/// Whether it is certain which requests it takes.
fn is_match_whole(table: &mut Table<'_>, api: Option<usize>) -> bool {
    let keys = ["api", "path", "methods", "hosts"];
    let is_base_known = api.is_none_or(|api| !table.reader().unsure_apis.contains(&api));
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

/// A path below that of its API.
fn full_path(base: &str, path: &str) -> String {
    if !base.is_empty() && !path.starts_with('/') {
        format!("{base}/{path}")
    } else {
        format!("{base}{path}")
    }
}

/// The methods; empty is any.
fn any_alone(table: &mut Table<'_>, methods: Vec<Option<Method>>) -> Vec<Method> {
    let some: Vec<Method> = methods.iter().flatten().cloned().collect();
    let holds_any = some.len() < methods.len();
    if holds_any && !some.is_empty() {
        let span = table.span_of("methods");
        table
            .error(
                span,
                "`methods` holds `ANY` besides others, though `ANY` includes them",
            )
            .help("keep `ANY`, or the others");
    }
    if holds_any { Vec::new() } else { some }
}

/// The name; reports one that an earlier route has.
fn unique(
    table: &mut Table<'_>,
    name: Option<String>,
    methods: &[Method],
    hosts: &[String],
    path: &str,
) -> String {
    let given = name.is_some();
    let name = name.unwrap_or_else(|| default_name(methods, hosts, path));
    let span = table.span_of(if given { "name" } else { "path" });
    if let Some(line) = table.earlier("route", &name, span) {
        if given {
            table.error(
                span,
                &format!("`name` holds `{name}`, which line {line} has already"),
            );
        } else {
            let message = format!("`{name}` is already taken by the route in line {line}");
            table
                .error(span, &message)
                .help("only one route can take the same methods, hosts and path");
        }
    }
    name
}

fn default_name(methods: &[Method], hosts: &[String], path: &str) -> String {
    let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let methods = if methods.is_empty() {
        "ANY".to_owned()
    } else {
        methods.join(",")
    };
    format!("{methods} {}{path}", hosts.join(","))
}
