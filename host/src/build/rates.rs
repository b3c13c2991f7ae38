//! The rates that requests share: a route's, and the whole gateway's.
//!
//! This enrolls them with the limits. `proxy::rates` charges them.

use crate::config::{self, Config, Problems, Span};
use crate::exchange::Rates;
use crate::limits::{LimitStore, RateError, SharedRate};
use crate::model::plan::RateLimit;

/// The rates that the requests of each route share. Their buckets go by the names of the routes, and
/// are those of the configuration before.
pub(crate) fn enroll(
    config: &Config,
    limits: &dyn LimitStore,
    problems: &mut Problems,
) -> Vec<Rates> {
    let mut enroll = |name: &str, rate: Option<RateLimit>, span| {
        let enrolled = limits.local().shared_rate(name, rate?);
        report(enrolled, span, problems)
    };
    let gateway = enroll("gateway", config.server.rate, Span::default());
    let mut rates = |route: &config::RouteConfig| Rates {
        route: enroll(&format!("route {}", route.name), route.rate, route.span),
        gateway: gateway.clone(),
    };
    config.routes.iter().map(&mut rates).collect()
}

fn report(
    enrolled: Result<SharedRate, RateError>,
    span: Span,
    problems: &mut Problems,
) -> Option<SharedRate> {
    enrolled
        .map_err(|error| {
            problems.error(span, error.to_string());
        })
        .ok()
}
