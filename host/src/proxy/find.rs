//! Stop 4: finds the route of a request, by its target and host.

use std::sync::Arc;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HOST, ORIGIN};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use crate::config::RouteEnd;
use crate::error::{Code, ErrorFormat, RequestError};
use crate::exchange::{BasePath, Exchange};
use crate::model::rewrite::PathRewrite;
use crate::proxy::gateway::{Gateway, Route};
use crate::proxy::generation::Generation;
use crate::route::{self, Match, NoRoute, PathError, RequestFacts};
use crate::upstream::headers;

/// A route that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundRoute {
    /// Its index in the configuration.
    pub(crate) index: usize,
    /// Whether the request is a preflight that filters of the route answer, and nobody else.
    pub(crate) is_preflight: bool,
}

/// Apply the path rule, and find the route.
pub(crate) fn route(
    generation: &Generation,
    exchange: &mut Exchange,
) -> Result<FoundRoute, RequestError> {
    let gateway = &*generation.gateway;
    let head = &mut exchange.request;
    let target = route::normalize(head.target.as_str())
        .map_err(|error| RequestError::with_source(Code::BadPath, error))?;
    if let std::borrow::Cow::Owned(target) = target {
        head.target = PathAndQuery::try_from(target)
            .map_err(|error| RequestError::with_source(Code::BadPath, error))?;
        exchange.routed_target = head.target.clone();
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    let facts = RequestFacts {
        host,
        method: &head.method,
        path: head.target.path(),
        query: head.target.query().unwrap_or_default(),
        headers: &head.headers,
        client: exchange.client.ip,
    };
    let preflight = preflight(generation, facts);
    let is_preflight = preflight.is_some();
    let (method, found) = match preflight {
        Some(found) => found,
        None => {
            let found = gateway.router.find_for(&facts);
            (head.method.clone(), found.map_err(no_route)?)
        }
    };
    if route::may_have_other_readings(facts.path) {
        let method = &method;
        refuse_two_readings(gateway, RequestFacts { method, ..facts }, found.route)?;
    }
    if head.method == Method::HEAD {
        refuse_head(gateway, facts, found.route)?;
    }
    let info = generation.infos.get(found.route).ok_or(Code::Internal)?;
    exchange.route = Some(Arc::clone(info));
    exchange.params = found.params.ranges().collect();
    if let Some(base) = &info.base {
        strip_base(base, exchange)?;
    }
    if let Some(rule) = &info.rewrite.path {
        rewrite_path(rule, exchange)?;
    }
    Ok(FoundRoute {
        index: found.route,
        is_preflight,
    })
}

/// The route of a preflight of a browser, if filters of it answer those, and the method that it was
/// found by: that of a route which lists `OPTIONS`, else the one that the browser asks for.
fn preflight(generation: &Generation, facts: RequestFacts<'_>) -> Option<(Method, Match)> {
    if facts.method != Method::OPTIONS || !facts.headers.contains_key(ORIGIN) {
        return None;
    }
    let asked = facts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let asked = Method::from_bytes(asked.as_bytes()).ok()?;
    let gateway = &*generation.gateway;
    let find = |method: Method| {
        let facts = RequestFacts {
            method: &method,
            ..facts
        };
        let found = gateway.router.find_for(&facts).ok()?;
        Some((method, found))
    };
    let lists_options = |(_, found): &(Method, Match)| {
        let route = gateway.routes.get(found.route);
        route.is_some_and(|route| route.lists_options)
    };
    let found = find(Method::OPTIONS).filter(lists_options);
    let found = found.or_else(|| find(asked))?;
    let chain = generation.preflights.get(found.1.route)?;
    chain.is_some().then_some(found)
}

/// If a less careful server could read the path as the path of another route, the request must not bypass
/// the filters of that route.
fn refuse_two_readings(
    gateway: &Gateway,
    facts: RequestFacts<'_>,
    found: usize,
) -> Result<(), RequestError> {
    for reading in route::other_readings(facts.path) {
        let path = &*reading;
        let Ok(other) = gateway.router.find_for(&RequestFacts { path, ..facts }) else {
            continue;
        };
        let routes = &gateway.routes;
        let (Some(own), Some(other)) = (routes.get(found), routes.get(other.route)) else {
            return Err(Code::Internal.into());
        };
        if other.requires_filter_beyond(own) {
            let error = PathError::TwoReadings;
            return Err(RequestError::with_source(Code::BadPath, error));
        }
    }
    Ok(())
}

/// An endpoint answers `HEAD` as it does `GET` (RFC 9110 section 9.3.2): if `GET` must pass a filter, `HEAD`
/// must not bypass it by another route.
fn refuse_head(
    gateway: &Gateway,
    facts: RequestFacts<'_>,
    found: usize,
) -> Result<(), RequestError> {
    let method = &Method::GET;
    let Ok(get) = gateway.router.find_for(&RequestFacts { method, ..facts }) else {
        return Ok(());
    };
    let routes = &gateway.routes;
    let (Some(own), Some(other)) = (routes.get(found), routes.get(get.route)) else {
        return Err(Code::Internal.into());
    };
    if other.requires_filter_beyond(own) {
        Err(no_route(NoRoute::Method {
            allow: vec![Method::GET],
        }))
    } else {
        Ok(())
    }
}

/// A request that its route has forwarded before.
#[derive(Debug, thiserror::Error)]
#[error(
    "the request is in a loop: route `{0}` forwarded it before, and an endpoint of its upstream leads back to this gateway"
)]
struct LoopDetected(Arc<str>);

/// Refuse a request that the route has forwarded to an upstream before.
pub(crate) fn check_loop(route: &Route, exchange: &Exchange) -> Option<RequestError> {
    let sends = matches!(route.end, RouteEnd::Upstream(_) | RouteEnd::Split(_));
    let info = exchange.route.as_ref()?;
    let is_back = sends && info.via.is_in(&exchange.request.headers);
    let error =
        || RequestError::with_source(Code::LoopDetected, LoopDetected(Arc::clone(&info.name)));
    is_back.then(error)
}

/// Remove the base path of the API from the request's path.
fn strip_base(base: &BasePath, exchange: &mut Exchange) -> Result<(), RequestError> {
    let head = &mut exchange.request;
    let cut = route::skip(head.target.path(), base.segments);
    let below = head.target.as_str().get(cut..).unwrap_or_default();
    let slash = if below.starts_with('/') { "" } else { "/" };
    let target = PathAndQuery::try_from(format!("{slash}{below}"))
        .map_err(|error| RequestError::with_source(Code::BadPath, error))?;
    head.target = target.clone();
    exchange.routed_target = target;
    for range in &mut exchange.params {
        *range = range.start.saturating_sub(cut)..range.end.saturating_sub(cut);
    }
    headers::forward_prefix(&base.prefix, &mut head.headers);
    Ok(())
}

/// Give the request the path that its route writes. Parameters still point into the routed one.
fn rewrite_path(rule: &PathRewrite, exchange: &mut Exchange) -> Result<(), RequestError> {
    let target = exchange.routed_target.as_str();
    let written = route::rewrite(rule, target, &exchange.params)
        .map_err(|error| RequestError::with_source(Code::BadPath, error))?;
    if let Some(written) = written {
        exchange.request.target = PathAndQuery::try_from(written)
            .map_err(|error| RequestError::with_source(Code::BadPath, error))?;
    }
    Ok(())
}

/// The format of an error without a route: that of the API whose base path the request's path has.
pub(crate) fn words<'g>(
    generation: &'g Generation,
    exchange: &Exchange,
) -> Option<&'g ErrorFormat> {
    let head = &exchange.request;
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let bases = &generation.gateway.api_finder;
    bases.find(host.unwrap_or_default(), &head.method, head.target.path())
}

fn no_route(error: NoRoute) -> RequestError {
    match error {
        NoRoute::Path => Code::NoRoute.into(),
        NoRoute::Method { allow } => {
            let names: Vec<&str> = allow.iter().map(Method::as_str).collect();
            let refusal = RequestError::from(Code::MethodNotAllowed);
            match HeaderValue::try_from(names.join(", ")) {
                Ok(list) => refusal.with_header(ALLOW, list),
                Err(_) => refusal,
            }
        }
    }
}
