//! `[[route]]`: match, chain and end.

mod split;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use toml::de::DeTable;

use super::plan::{BURST, bucket};
use super::respond;
use crate::config::field::{
    Bound, Empty, Field, Is, List, Nested, Optional, Parsed, Rate as RateKind, Reference, Referred,
    Required, Section, Size, Time,
};
use crate::config::model::{
    FilterReference, FixedResponse, NOWHERE, Redirect, RouteConfig, RouteEnd, RouteTimeouts,
};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::value::name::line;
use crate::config::value::{host, message, path};

/// `[[route]]`.
pub(super) static ROUTE: Section = Section {
    heading: "[[route]]",
    doc: "Which requests go through which filters to where. Exactly one of `upstream`, `split`, `respond` and `redirect`.",
    fields: &[
        &NAME,
        &API,
        &PATH,
        &METHODS,
        &HOSTS,
        &FILTERS,
        &UPSTREAM,
        &split::SPLIT,
        &split::SPLIT_ON,
        &RESPOND,
        &REDIRECT,
        &MAX_BODY,
        &CONNECT_TIMEOUT,
        &FIRST_BYTE_TIMEOUT,
        &IDLE_TIMEOUT,
        &TOTAL_TIMEOUT,
        &RATE,
        &BURST,
    ],
    hints: &[
        (
            "filter",
            "it is called `filters`, a list in the order in which they run",
        ),
        (
            "plugins",
            "it is called `filters`, a list in the order in which they run",
        ),
    ],
    short: None,
    private: false,
};

static NAME: Field<Parsed<String>, Optional> = Field::new(
    "name",
    Parsed {
        words: "a text of one line",
        pattern: "",
        private: false,
        parse: |text, _| line(text),
    },
    Optional(
        "its methods, hosts and path, such as `GET,PUT api.example.com/orders/{id}` or `ANY /orders`",
    ),
    "Its name, the attribute `route.id`; unique.",
);

static API: Field<Reference, Optional> = Field::new(
    "api",
    Reference(Group::Api),
    Optional("no API"),
    "The API that it belongs to.",
);

static PATH: Field<Parsed<String>, Required> = Field::new(
    "path",
    Parsed {
        words: "a path such as `\"/orders/{id}\"`, or `\"$default\"`",
        pattern: "^(/|\\$default$)",
        private: false,
        parse: |text, _| path::pattern(text),
    },
    Required("\"/orders/{id}\""),
    "Its pattern: `{name}` is one segment, `{name+}` at the end one or more, `$default` what no other route takes.",
);

static METHODS: Field<List<Parsed<Option<Method>>>, Empty> = Field::new(
    "methods",
    List {
        of: Parsed {
            words: "a method such as `\"GET\"`, or `\"ANY\"`",
            pattern: "^[A-Z0-9!#$%&'*+.^_`|~-]+$",
            private: false,
            parse: |text, _| message::method(text),
        },
        least: 1,
        repeats: false,
    },
    Empty("`[\"ANY\"]`"),
    "Its methods.",
);

static HOSTS: Field<List<Parsed<String>>, Empty> = Field::new(
    "hosts",
    List {
        of: Parsed {
            words: "a host such as `\"api.example.com\"` or `\"*.example.com\"`",
            pattern: "",
            private: false,
            parse: |text, _| host::pattern(text),
        },
        least: 1,
        repeats: false,
    },
    Empty("any host"),
    "Its hosts; `*.` stands for every name below.",
);

static FILTERS: Field<List<Reference>, Empty> = Field::new(
    "filters",
    List {
        of: Reference(Group::Filter),
        least: 0,
        repeats: true,
    },
    Empty("none"),
    "Its filters, in the order in which they run.",
);

static UPSTREAM: Field<Reference, Optional> = Field::new(
    "upstream",
    Reference(Group::Upstream),
    Optional("the route ends in the gateway"),
    "Where the request goes after the filters.",
);

static RESPOND: Field<Nested<FixedResponse>, Optional> = Field::new(
    "respond",
    Nested {
        section: &respond::RESPOND,
        read: respond::respond,
    },
    Optional("no fixed response"),
    "Answers with a fixed response after the filters.",
);

static REDIRECT: Field<Nested<Redirect>, Optional> = Field::new(
    "redirect",
    Nested {
        section: &respond::REDIRECT,
        read: respond::redirect,
    },
    Optional("no redirect"),
    "Answers with a redirect after the filters.",
);

static MAX_BODY: Field<Bound, Is<Option<u64>>> = Field::new(
    "max_body",
    Bound(Size {
        least: 0,
        most: 1 << 40,
        of: Some,
    }),
    Is(Some(10 << 20)),
    "The largest request body; beyond it 413.",
);

static CONNECT_TIMEOUT: Field<Time, Optional> = Field::new(
    "connect_timeout",
    Time::USUAL,
    Optional("that of the upstream"),
    "Lowers the upstream's `connect_timeout` for this route.",
);

static FIRST_BYTE_TIMEOUT: Field<Time, Optional> = Field::new(
    "first_byte_timeout",
    Time::USUAL,
    Optional("that of the upstream"),
    "Lowers the upstream's `first_byte_timeout` for this route.",
);

static IDLE_TIMEOUT: Field<Time, Optional> = Field::new(
    "idle_timeout",
    Time::USUAL,
    Optional("that of the upstream"),
    "Lowers the upstream's `idle_timeout` for this route.",
);

static TOTAL_TIMEOUT: Field<Time, Optional> = Field::new(
    "total_timeout",
    Time::USUAL,
    Optional("that of the upstream"),
    "Lowers the upstream's `total_timeout` for this route.",
);

static RATE: Field<RateKind, Optional> = Field::new(
    "rate",
    RateKind,
    Optional("no rate"),
    "Requests a second of all clients together, on each gateway; beyond it 429 `throttled`.",
);

/// What a route is called in reports.
pub(super) fn title(values: &DeTable<'_>) -> String {
    let text = |key: &str| values.get(key).and_then(|value| value.get_ref().as_str());
    match text(NAME.key).or_else(|| text(PATH.key)) {
        Some(text) if line(text).is_ok() => format!("route `{text}`"),
        Some(_) | None => "route".to_owned(),
    }
}

/// Reads one `[[route]]`.
pub(super) fn route(table: &mut Table<'_>) -> Option<RouteConfig> {
    let name = table.take(&NAME);
    let api = table.take(&API);
    let path = table.take(&PATH);
    let methods = table.take(&METHODS);
    let hosts = table.take(&HOSTS);
    let filters = table.take(&FILTERS);
    let end = end(table);
    let max_body = table.take(&MAX_BODY);
    let timeouts = timeouts(table);
    let rate = bucket(table, &RATE, &BURST);
    let methods = any_alone(table, methods);
    if let (Some(RouteEnd::Split(split)), Some(path)) = (&end, &path) {
        split::param(table, split, path);
    }
    let api = api.map(|api| api.place);
    let base = api.and_then(|api| table.reader().base_paths.get(&api).cloned());
    let is_match_whole = path.is_some() && is_match_whole(table, api);
    // The error is reported: stand-ins let the rest of the route be looked at.
    let path = path.unwrap_or_else(|| "$default".to_owned());
    let end = end.unwrap_or_else(|| RouteEnd::Respond(FixedResponse::default()));
    let full = full_path(base.as_deref().unwrap_or_default(), &path);
    let before = table.reader().problems.len();
    let name = match name {
        None if !is_match_whole => default_name(&methods, &hosts, &full),
        name => unique(table, name, &methods, &hosts, &full),
    };
    // The router need not report such a route again.
    let is_twice = table.reader().problems.is_fatal_since(before) && !table.has(NAME.key);
    Some(RouteConfig {
        name: Arc::from(name),
        api,
        path,
        path_span: table.span_of(PATH.key),
        methods,
        hosts,
        filters: chain(table, &filters),
        end,
        max_body,
        timeouts,
        rate,
        is_match_whole: is_match_whole && !is_twice,
        span: table.span(),
    })
}

/// Its filters. One that does not exist keeps its place: it may be what the others need.
fn chain(table: &Table<'_>, filters: &[Referred]) -> Vec<FilterReference> {
    let items = table.spans_of_items(FILTERS.key).into_iter();
    let reference = |span| {
        let known = filters.iter().find(|filter| filter.span == span);
        FilterReference {
            filter: known.map_or(NOWHERE, |filter| filter.place),
            span,
        }
    };
    items.map(reference).collect()
}

/// Whether it is certain which requests it takes.
fn is_match_whole(table: &mut Table<'_>, api: Option<usize>) -> bool {
    let keys = [API.key, PATH.key, METHODS.key, HOSTS.key];
    let is_base_known = api.is_none_or(|api| !table.reader().unsure_apis.contains(&api));
    is_base_known && table.are_whole(&keys)
}

/// What it lowers of the upstream's time-outs.
fn timeouts(table: &mut Table<'_>) -> RouteTimeouts {
    let mut take = |field: &Field<Time, Optional>| -> Option<Duration> {
        let value = table.take(field);
        if !table.has(UPSTREAM.key) && !table.has(split::SPLIT.key) {
            table.idle(&[field.key], "without `upstream` or `split`");
        }
        value
    };
    RouteTimeouts {
        connect: take(&CONNECT_TIMEOUT),
        first_byte: take(&FIRST_BYTE_TIMEOUT),
        idle: take(&IDLE_TIMEOUT),
        total: take(&TOTAL_TIMEOUT),
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

/// The end; reports none, and several.
fn end(table: &mut Table<'_>) -> Option<RouteEnd> {
    let upstream = table.take(&UPSTREAM);
    let respond = table.take(&RESPOND);
    let redirect = table.take(&REDIRECT);
    let split = split::split(table);
    let ends = [UPSTREAM.key, split::SPLIT.key, RESPOND.key, REDIRECT.key];
    let there: Vec<&str> = ends.into_iter().filter(|key| table.has(key)).collect();
    match there.as_slice() {
        [] if table.is_incomplete() => {}
        [] => {
            let span = table.span();
            table
                .error(
                    span,
                    "has no end: wanted one of `upstream`, `split`, `respond` and `redirect`",
                )
                .help("add `upstream = \"<name>\"`");
        }
        [_] => {}
        [one, other, ..] => {
            let span = table.span_of(one).max(table.span_of(other));
            let message = format!("has both `{one}` and `{other}`, wanted exactly one end");
            table.error(span, &message);
        }
    }
    let respond = respond.map(RouteEnd::Respond);
    let redirect = redirect.map(RouteEnd::Redirect);
    let upstream = upstream.map(|upstream| RouteEnd::Upstream(upstream.place));
    let split = split.map(RouteEnd::Split);
    upstream.or(split).or(respond).or(redirect)
}

/// The methods; empty is any.
fn any_alone(table: &mut Table<'_>, methods: Vec<Option<Method>>) -> Vec<Method> {
    let some: Vec<Method> = methods.iter().flatten().cloned().collect();
    let holds_any = some.len() < methods.len();
    if holds_any && !some.is_empty() {
        let span = table.span_of(METHODS.key);
        table
            .error(
                span,
                "`methods` holds `ANY` beside others, though it stands for all",
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
    let span = table.span_of(if given { NAME.key } else { PATH.key });
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
