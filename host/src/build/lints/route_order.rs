//! Routes that get no request, and routes of which only the order in the file decides.

use super::Lint;
use crate::build::chains::{methods, spec};
use crate::config::RouteConfig;
use crate::route::Coverage;

impl Lint<'_> {
    /// Warns of the first route that hides another one, and of the first that may take requests before it.
    pub(super) fn route_order(&mut self) {
        let config = self.config;
        let of_routes: Vec<_> = config.routes.iter().map(methods).collect();
        let ranked = config.routes.iter().zip(&of_routes);
        let ranked = ranked.filter(|(route, _)| route.priority.is_some() || route.when.is_some());
        let ranked = ranked.filter_map(|(route, methods)| {
            let coverage = Coverage::of(spec(config, route, methods))?;
            Some((route, coverage))
        });
        let ranked: Vec<(&RouteConfig, Coverage<'_>)> = ranked.collect();
        if ranked.is_empty() {
            return;
        }
        for (index, (route, methods)) in config.routes.iter().zip(&of_routes).enumerate() {
            let Some(own) = Coverage::of(spec(config, route, methods)) else {
                continue;
            };
            let mut others = ranked.iter();
            if let Some((other, _)) = others.find(|(_, other)| other.hides(&own)) {
                let message = format!(
                    "no request ever reaches it: route `{}` comes before it by its `priority`, and takes them all",
                    other.name
                );
                self.warn(route, message).help(
                    "give it a lower `priority` than the other route has, or narrow the other route down",
                );
                continue;
            }
            let earlier = config.routes.get(..index).unwrap_or_default();
            let is_earlier =
                |other: &RouteConfig| earlier.iter().any(|one| std::ptr::eq(one, other));
            let mut others = ranked.iter();
            let rival = others.find(|(other, coverage)| coverage.rivals(&own) && is_earlier(other));
            if let Some((other, _)) = rival {
                let message = format!(
                    "a request can meet its conditions and those of route `{}`, which is tried first since it comes first in the file",
                    other.name
                );
                self.warn(route, message)
                    .help("give one of the two a `priority`, or a condition that tells them apart");
            }
        }
    }
}
