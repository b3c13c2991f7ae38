//! Finds the route of a request: first by host, then by path and method.
//!
//! The rules, in order; the first that tells two routes apart decides:
//!
//! 1. **Host.** A route that names the host comes before one with `*.suffix` (the longest
//!    suffix first; it covers any number of labels in front, as in nginx and ALB), and that
//!    before one without hosts. Case and port do not matter.
//! 2. **Path**, as in
//!    [API Gateway's HTTP APIs](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html#http-api-develop-routes.evaluation):
//!    a match of the full path, then one with a greedy parameter, then `$default`. Of two of
//!    one kind the first segment that differs decides: literal, `{name}`, `{name+}`. The
//!    `$default` below a base path is to those like a greedy parameter that comes last.
//! 3. **Method.** A route that names it comes before one for `ANY`.
//! 4. **Conditions.** A route with more of them comes before one with fewer; of two with as many, the one
//!    that comes first in the list.
//!
//! **Priority** overrides all of that: routes with a lower one are tried first, as if the others were not
//! there.
//!
//! A route that does not take the method is passed over, at every step, as in API Gateway: with
//! `GET /pets/{id}` and `ANY /{rest+}`, a `POST /pets/1` takes the second. So is a group of
//! hosts without a route for the request: a route without hosts serves every host. (nginx stays
//! in the `server` it chose; there, a common `/health` is written into each.)
//!
//! A parameter takes no empty segment: `/orders/` is neither `/orders/{id}` nor
//! `/orders/{rest+}` nor `/orders`. A `HEAD` is not served by a route for `GET` alone, as in
//! API Gateway: a list of methods says what it says, and the answer to the `HEAD` names it.
//!
//! So is a route whose conditions do not hold.
//!
//! The order of the routes in the config matters for routes with as many conditions at the same place only.

use http::Method;

use super::conditions::RequestFacts;
use super::hosts::{self, HostPattern, Hosts};
use super::params::PathParams;
use super::path::split_query;
use super::pattern::{self, Pattern, PatternError};
use super::trie::{self, Holds, Methods};
use crate::model::condition::Conditions;

/// The priority of a route that has none.
pub(crate) const LAST_PRIORITY: u32 = u32::MAX;

/// A route as the router needs it. Its place in the list given to [`Router::new`] is its
/// identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteSpec<'a> {
    /// The base path: `/shop/v1`, or empty. Its segments are literal. A route of
    /// `/` takes the base path itself too, and `$default` what begins with it.
    pub(crate) base: &'a str,
    /// `/orders/{id}`, `/files/{rest+}` or `$default`.
    pub(crate) path: &'a str,
    /// The methods that it takes; at least one entry.
    pub(crate) methods: &'a [MethodMatch],
    /// Names or `*.suffix`; none is any host.
    pub(crate) hosts: &'a [String],
    /// What else it demands.
    pub(crate) conditions: &'a Conditions,
    /// Routes with a lower one are tried first; [`LAST_PRIORITY`] is that of a route without one.
    pub(crate) priority: u32,
}

/// One entry of a route's methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MethodMatch {
    /// `ANY`: each method that no other route of the same path and host names.
    Any,
    /// This method. Methods are case-sensitive (RFC 9110 section 9.1).
    Only(Method),
}

/// The fault of one route. The text names the fault, not the route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RouteError {
    /// The route, by its place in the list.
    pub(crate) route: usize,
    /// The earlier route that it collides with, if that is the matter.
    pub(crate) other: Option<usize>,
    /// Which part of the route to point at.
    pub(crate) part: RoutePart,
    /// One sentence, lower case, without period.
    pub(crate) message: String,
    /// The cure, where one can be named.
    pub(crate) help: Option<String>,
}

/// A part of a [`RouteSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoutePart {
    /// `path`.
    Path,
    /// `methods`.
    Methods,
    /// `hosts`, and which entry of it.
    Host(usize),
}

/// A route that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Its place in the list that the router was built from.
    pub(crate) route: usize,
    /// The parameters that its pattern bound.
    pub(crate) params: PathParams,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoute {
    /// No route has this path on this host: 404.
    #[error("no route matches the path")]
    Path,
    /// There are routes, but none takes the method: 405.
    #[error("no route of this path accepts the method")]
    Method {
        /// Their methods, for the `Allow` field (RFC 9110 section 15.5.6): sorted, each once,
        /// at least one.
        allow: Vec<Method>,
    },
}

/// All routes of a config, ready to be searched. Never changes; share it freely.
#[derive(Debug)]
pub(crate) struct Router {
    /// The routes of each priority, the lowest first.
    tiers: Vec<(u32, Hosts)>,
    /// By route.
    names: Vec<Box<[Box<str>]>>,
    /// By route; none without conditions.
    conditions: Vec<Option<Box<Conditions>>>,
}

impl Router {
    /// Builds the router.
    ///
    /// # Errors
    ///
    /// Every fault of every route, in the order of the routes: a path, host or list of methods
    /// that cannot be read, and a route that would take just what an earlier one takes.
    pub(crate) fn new(specs: &[RouteSpec<'_>]) -> Result<Self, Vec<RouteError>> {
        let conditions = specs.iter().map(|spec| {
            let is_any = spec.conditions.count() > 0;
            is_any.then(|| Box::new(spec.conditions.clone()))
        });
        let mut priorities: Vec<u32> = specs.iter().map(|spec| spec.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let tiers = priorities.into_iter();
        let mut router = Self {
            tiers: tiers.map(|tier| (tier, Hosts::default())).collect(),
            names: Vec::with_capacity(specs.len()),
            conditions: conditions.collect(),
        };
        let mut errors = Vec::new();
        for (route, spec) in specs.iter().enumerate() {
            match read(route, spec) {
                Ok((pattern, hosts)) => router.add(route, specs, &pattern, &hosts, &mut errors),
                Err(mut faults) => errors.append(&mut faults),
            }
        }
        if errors.is_empty() {
            Ok(router)
        } else {
            Err(errors)
        }
    }

    /// Finds the route of a request that meets no conditions. `host` is the request's host, with or without
    /// port; `path` is the normalised path ([`normalize`](super::normalize)); a query after it is not looked
    /// at.
    ///
    /// # Errors
    ///
    /// [`NoRoute`] tells 404 and 405 apart.
    pub(crate) fn find(&self, host: &str, method: &Method, path: &str) -> Result<Match, NoRoute> {
        self.find_where(host, method, path, &|_| false)
    }

    /// Finds the route of a request.
    ///
    /// # Errors
    ///
    /// [`NoRoute`] tells 404 and 405 apart.
    pub(crate) fn find_for(&self, request: &RequestFacts<'_>) -> Result<Match, NoRoute> {
        let holds = |route: usize| {
            let conditions = self.conditions.get(route).and_then(Option::as_deref);
            conditions.is_none_or(|conditions| request.meets(conditions))
        };
        self.find_where(request.host, request.method, request.path, &holds)
    }

    fn find_where(
        &self,
        host: &str,
        method: &Method,
        path: &str,
        holds: Holds<'_>,
    ) -> Result<Match, NoRoute> {
        let (path, _) = split_query(path);
        for (_, hosts) in &self.tiers {
            let host = hosts.request_name(host);
            for group in hosts.matching(&host) {
                if let Some((route, params)) = trie::find(&group.root, method, path, holds) {
                    return Ok(Match { route, params });
                }
                if let Some(route) = group.default.choose(method, holds) {
                    return Ok(Match {
                        route,
                        params: PathParams::default(),
                    });
                }
            }
        }
        Err(self.refuse(host, path, holds))
    }

    /// The names of a route's parameters, in the order of [`PathParams::ranges`]. Empty for a route
    /// that is not in the list.
    #[must_use]
    pub(crate) fn names(&self, route: usize) -> &[Box<str>] {
        self.names.get(route).map_or(&[], |names| names)
    }

    #[cold]
    fn refuse(&self, host: &str, path: &str, holds: Holds<'_>) -> NoRoute {
        let mut allow = Vec::new();
        for (_, hosts) in &self.tiers {
            for group in hosts.matching(&hosts.request_name(host)) {
                trie::collect_methods(&group.root, path.strip_prefix('/'), holds, &mut allow);
                allow.extend(group.default.list(holds).cloned());
            }
        }
        if allow.is_empty() {
            return NoRoute::Path;
        }
        allow.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        allow.dedup();
        NoRoute::Method { allow }
    }

    /// Claims every (host, path, method) of a route. At most one error for each pair of routes.
    fn add(
        &mut self,
        route: usize,
        specs: &[RouteSpec<'_>],
        pattern: &Pattern,
        hosts: &[HostPattern],
        errors: &mut Vec<RouteError>,
    ) {
        let Some(spec) = specs.get(route) else { return };
        let of_priority = |tier: &&mut (u32, Hosts)| tier.0 == spec.priority;
        let Some((_, tier)) = self.tiers.iter_mut().find(of_priority) else {
            return;
        };
        let count = |route: usize| specs.get(route).map_or(0, |spec| spec.conditions.count());
        let is_same = |other: &&usize| {
            let other = specs.get(**other);
            other.is_some_and(|other| other.conditions == spec.conditions)
        };
        let mut claim = |methods: &mut Methods, host: &HostPattern| {
            for method in spec.methods {
                let name = match method {
                    MethodMatch::Any => None,
                    MethodMatch::Only(method) => Some(method),
                };
                let claimed = if spec.conditions.count() == 0 {
                    methods.claim(name, route)
                } else if let Some(other) = methods.conditional(name).iter().find(is_same) {
                    Err(*other)
                } else {
                    methods.add(name, route, |other| count(other) < count(route));
                    Ok(())
                };
                if let Err(other) = claimed
                    && !errors
                        .iter()
                        .any(|error| error.route == route && error.other == Some(other))
                {
                    errors.push(collision(route, other, method, host, specs));
                }
            }
        };
        for host in hosts {
            let group = tier.routes(host);
            match pattern {
                Pattern::Default => claim(&mut group.default, host),
                Pattern::Below { segments } => claim(group.root.below(segments), host),
                Pattern::Path { segments, .. } => {
                    claim(group.root.end_of(segments), host);
                    if let (Some((_, base)), false, "/") =
                        (segments.split_last(), spec.base.is_empty(), spec.path)
                    {
                        claim(group.root.end_of(base), host);
                    }
                }
            }
        }
        self.names.push(match pattern {
            Pattern::Default | Pattern::Below { .. } => Box::default(),
            Pattern::Path { names, .. } => names.clone().into_boxed_slice(),
        });
    }
}

/// Reads the parts of one route, each on its own, so that all faults are told at once.
fn read(
    route: usize,
    spec: &RouteSpec<'_>,
) -> Result<(Pattern, Vec<HostPattern>), Vec<RouteError>> {
    let mut errors = Vec::new();
    let mut fault = |part, complaint: PatternError| {
        errors.push(RouteError {
            route,
            other: None,
            part,
            message: complaint.message,
            help: complaint.help,
        });
    };
    let pattern = pattern::parse_below(spec.base, spec.path)
        .map_err(|complaint| fault(RoutePart::Path, complaint));
    if let Err(complaint) = check_methods(spec.methods) {
        fault(RoutePart::Methods, complaint);
    }
    let mut patterns = Vec::new();
    for (place, host) in spec.hosts.iter().enumerate() {
        match hosts::parse(host) {
            Ok(pattern) if patterns.contains(&pattern) => {
                fault(
                    RoutePart::Host(place),
                    PatternError::new(format!("host `{host}` is named twice"), None),
                );
            }
            Ok(pattern) => patterns.push(pattern),
            Err(complaint) => fault(RoutePart::Host(place), complaint),
        }
    }
    if spec.hosts.is_empty() {
        patterns.push(HostPattern::Any);
    }
    match pattern {
        Ok(pattern) if errors.is_empty() => Ok((pattern, patterns)),
        Ok(_) | Err(()) => Err(errors),
    }
}

fn check_methods(methods: &[MethodMatch]) -> Result<(), PatternError> {
    if methods.is_empty() {
        return Err(PatternError::new(
            "the list of methods is empty".to_owned(),
            "leave `methods` out for `ANY`".to_owned(),
        ));
    }
    for (place, method) in methods.iter().enumerate() {
        if methods.iter().take(place).any(|earlier| earlier == method) {
            let text = method_text(method);
            return Err(PatternError::new(
                format!("method `{text}` is named twice"),
                None,
            ));
        }
    }
    Ok(())
}

fn collision(
    route: usize,
    other: usize,
    method: &MethodMatch,
    host: &HostPattern,
    specs: &[RouteSpec<'_>],
) -> RouteError {
    let path = |route: usize| specs.get(route).map_or_else(String::new, full_path);
    let place = match host {
        HostPattern::Any => String::new(),
        HostPattern::Exact(name) => format!(" on host `{name}`"),
        HostPattern::Suffix(name) => format!(" on host `*.{name}`"),
    };
    let method = method_text(method);
    let message = if path(route) == path(other) {
        format!("`{method} {}`{place} is there already", path(route))
    } else {
        format!(
            "`{method} {}`{place} matches just what `{method} {}` matches",
            path(route),
            path(other)
        )
    };
    let help =
        "names of parameters do not tell routes apart; methods, hosts and `when` do".to_owned();
    RouteError {
        route,
        other: Some(other),
        part: RoutePart::Path,
        message,
        help: Some(help),
    }
}

/// The path with what stands before it, for people.
fn full_path(spec: &RouteSpec<'_>) -> String {
    let slash = if spec.base.is_empty() || spec.path.starts_with('/') {
        ""
    } else {
        "/"
    };
    format!("{}{slash}{}", spec.base, spec.path)
}

fn method_text(method: &MethodMatch) -> &str {
    match method {
        MethodMatch::Any => "ANY",
        MethodMatch::Only(method) => method.as_str(),
    }
}

#[cfg(test)]
mod tests;
