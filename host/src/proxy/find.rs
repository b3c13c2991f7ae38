//! Stop 4, as the spine sees it: from a target and a host to a route.

use std::sync::Arc;

use http::header::{ALLOW, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use crate::context::Exchange;
use crate::error::{Code, RequestError};
use crate::gateway::Generation;
use crate::route::{self, NoRoute};

/// Apply the path rule, and find the route: its place in the configuration.
pub fn route(generation: &Generation, exchange: &mut Exchange) -> Result<usize, RequestError> {
    let gateway = &*generation.gateway;
    let head = &mut exchange.request;
    let target = route::normalize(head.target.as_str())
        .map_err(|error| RequestError::caused(Code::BadPath, error))?;
    if let std::borrow::Cow::Owned(target) = target {
        head.target = PathAndQuery::try_from(target)
            .map_err(|error| RequestError::caused(Code::BadPath, error))?;
        exchange.routed_target = head.target.clone();
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let found = gateway
        .router
        .find(host.unwrap_or_default(), &head.method, head.target.path())
        .map_err(no_route)?;
    let info = generation.infos.get(found.route).ok_or(Code::Internal)?;
    exchange.route = Some(Arc::clone(info));
    exchange.params = found.params.ranges().collect();
    Ok(found.route)
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
