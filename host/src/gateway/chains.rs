//! The chains of a configuration, and its router.

use std::sync::Arc;

use super::Route;
use crate::chain::{Cause, Misorder, check_order};
use crate::config::{self, Config, Problems};
use crate::route::{MethodMatch, Part, RouteSpec, Router};
use crate::wasm::Filter;

/// The filters of each route. An order in which a filter does not get what it requires is an error
/// at its word in the list.
pub fn build(
    config: &Config,
    filters: &[Option<Arc<Filter>>],
    problems: &mut Problems,
) -> Vec<Vec<Arc<Filter>>> {
    let chain = |route: &config::Route| {
        let references = route.filters.iter();
        let loaded: Option<Vec<_>> = references
            .map(|reference| filters.get(reference.filter)?.clone())
            .collect();
        // One that did not load was reported already.
        let loaded = loaded.unwrap_or_default();
        let facts: Vec<_> = loaded
            .iter()
            .map(|filter| (filter.facts(), filter.on_error()))
            .collect();
        for misorder in check_order(&facts) {
            report(route, &loaded, &misorder, problems);
        }
        loaded
    };
    config.routes.iter().map(chain).collect()
}

fn report(
    route: &config::Route,
    filters: &[Arc<Filter>],
    misorder: &Misorder,
    problems: &mut Problems,
) {
    let name = |place: usize| filters.get(place).map_or("", |filter| filter.name());
    let span = route.filters.get(misorder.place);
    let span = span.map_or(route.span, |reference| reference.span);
    let needs = format!(
        "filter `{}` requires attribute `{}`, which",
        name(misorder.place),
        misorder.attribute
    );
    let (why, help) = match misorder.cause {
        Cause::Nobody => (
            "no filter before it provides".to_owned(),
            format!(
                "put a filter that provides `{}` before it",
                misorder.attribute
            ),
        ),
        Cause::Later(place) => (
            format!("filter `{}` provides, but later in the list", name(place)),
            format!("move `{}` before `{}`", name(place), name(misorder.place)),
        ),
        Cause::Sometimes(place) => (
            format!("filter `{}` before it sets in some cases only", name(place)),
            format!(
                "put a filter that always provides `{}` before it",
                misorder.attribute
            ),
        ),
        Cause::Skipped(place) => (
            format!(
                "filter `{}` before it provides, but is left out when it fails (`on_error = \"skip\"`)",
                name(place)
            ),
            format!("set `on_error = \"deny\"` for `{}`", name(place)),
        ),
    };
    problems.error(span, format!("{needs} {why}")).help(help);
}

impl Route {
    /// Whether one of its filters asks of a request what none of the other's does.
    #[must_use]
    pub fn asks_more_than(&self, other: &Self) -> bool {
        let called =
            |filter: &Arc<Filter>| other.filters.iter().any(|own| Arc::ptr_eq(own, filter));
        let mut asking = self.filters.iter().filter(|filter| filter.phases().request);
        !asking.all(called)
    }
}

/// What stands before a route's path.
fn base<'c>(config: &'c Config, route: &config::Route) -> &'c str {
    let api = route.api.and_then(|place| config.apis.get(place));
    let base = api.and_then(|api| api.base_path.as_deref());
    base.unwrap_or_default()
}

/// The router of all routes. None where routes conflict.
pub fn router(config: &Config, problems: &mut Problems) -> Option<Router> {
    let methods = config.routes.iter().map(|route| {
        if route.methods.is_empty() {
            return vec![MethodMatch::Any];
        }
        let methods = route.methods.iter().cloned();
        methods.map(MethodMatch::Only).collect()
    });
    let methods: Vec<Vec<MethodMatch>> = methods.collect();
    let specs = config.routes.iter().zip(&methods);
    let specs: Vec<_> = specs
        .map(|(route, methods)| RouteSpec {
            base: base(config, route),
            path: &route.path,
            methods,
            hosts: &route.hosts,
        })
        .collect();
    match Router::new(&specs) {
        Ok(router) => Some(router),
        Err(errors) => {
            for error in errors {
                let route = config.routes.get(error.route);
                let span = route.map_or_else(config::Span::default, |route| match error.part {
                    Part::Path => route.path_span,
                    Part::Methods | Part::Host(_) => route.span,
                });
                let problem = problems.error(span, error.message);
                if let Some(help) = error.help {
                    problem.help(help);
                }
            }
            None
        }
    }
}
