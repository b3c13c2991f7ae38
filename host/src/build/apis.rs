//! The parts of a route that come from its API: base paths, stage variables, and the format of errors.

use std::sync::Arc;

use crate::config::{self, Config, Problems, did_you_mean};
use crate::error::{Code, ErrorFormat, ErrorOverride};
use crate::model::condition::Conditions;
use crate::proxy::api_finder::ApiFinder;
use crate::route::{MethodMatch, RouteSpec, Router};

/// The reasons of the filters that come with the gateway.
const REASONS: [&str; 18] = [
    "api_key_missing",
    "api_key_rejected",
    "token_missing",
    "token_rejected",
    "several_tokens",
    "insufficient_scope",
    "no_usage_plan",
    "throttled",
    "quota_spent",
    "limits_unavailable",
    "cors_origin_refused",
    "transform_refused",
    "transform_failed",
    "transform_attribute_absent",
    "body_not_json",
    "body_encoded",
    "unsupported_media_type",
    "response_not_json",
];

/// Those of all other errors of a class.
const DEFAULTS: [&str; 2] = ["default_4xx", "default_5xx"];

/// How the errors of each API are worded.
pub(crate) fn words(config: &Config) -> Vec<Arc<ErrorFormat>> {
    let words = config.apis.iter().map(|api| {
        Arc::new(ErrorFormat {
            style: api.errors,
            overrides: api.responses.iter().map(override_of).collect(),
        })
    });
    words.collect()
}

fn override_of(response: &config::ApiResponse) -> ErrorOverride {
    ErrorOverride {
        code: (&*response.code).into(),
        status: response.status,
        headers: response.headers.clone(),
        body: response.body.clone(),
        escape_json: response.is_json,
    }
}

/// Warns of responses for a code that nothing has, where one is meant that the gateway knows. A
/// plugin may have reasons that nobody here knows of.
pub(crate) fn check(config: &Config, problems: &mut Problems) {
    let known = || {
        let codes = Code::ALL.iter().map(|code| code.as_str());
        codes.chain(REASONS).chain(DEFAULTS)
    };
    for api in &config.apis {
        for response in &api.responses {
            if known().any(|known| known == &*response.code) {
                continue;
            }
            if let Some(help) = did_you_mean(&response.code, known()) {
                let message = format!(
                    "api `{}`: responses `{}` is for a code that the gateway does not have",
                    api.name, response.code
                );
                problems.warning(response.span, message).help(help);
            }
        }
    }
}

/// An API's stage variables.
pub(crate) fn variables(api: &config::Api) -> Box<[(Box<str>, Arc<str>)]> {
    let variables = api.variables.iter();
    variables
        .map(|(name, value)| (name.as_str().into(), Arc::from(value.as_str())))
        .collect()
}

/// Finds the API of a path that no route has, with the format of its errors.
#[must_use]
pub(crate) fn finder(config: &Config, words: &[Arc<ErrorFormat>]) -> ApiFinder {
    let hosts: Vec<Vec<String>> = (0..words.len()).map(|index| hosts(config, index)).collect();
    let none = Conditions::default();
    let mut specs = Vec::new();
    let mut of_specs = Vec::new();
    for ((api, words), hosts) in config.apis.iter().zip(words).zip(&hosts) {
        if let Some(base) = &api.base_path {
            specs.push(RouteSpec {
                base,
                path: "$default",
                methods: &[MethodMatch::Any],
                hosts,
                conditions: &none,
                priority: 0,
            });
            of_specs.push(Arc::clone(words));
        }
    }
    // Of APIs with the same base path and host nobody knows which is meant: the first is.
    let router = loop {
        match Router::new(&specs) {
            Ok(router) => break Some(router),
            Err(errors) => {
                let later = errors.first().map(|error| error.route);
                let Some(later) = later.filter(|later| *later < specs.len()) else {
                    break None;
                };
                specs.remove(later);
                of_specs.remove(later);
            }
        }
    };
    ApiFinder::new(router, of_specs)
}

/// The hosts of an API's routes; none where one of them has none.
fn hosts(config: &Config, api: usize) -> Vec<String> {
    let mut hosts = Vec::new();
    for route in config.routes.iter().filter(|route| route.api == Some(api)) {
        if route.hosts.is_empty() {
            return Vec::new();
        }
        hosts.extend(route.hosts.iter().cloned());
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::BasePath;

    #[test]
    fn reasons_are_those_that_the_plugins_document() {
        let pages = [
            include_str!("../../../plugins/api-key/README.md"),
            include_str!("../../../plugins/jwt/README.md"),
            include_str!("../../../plugins/usage-plan/README.md"),
            include_str!("../../../plugins/transform/README.md"),
            include_str!("../../../plugins/cors/README.md"),
        ];
        for reason in REASONS {
            let named = format!("`{reason}`");
            assert!(pages.iter().any(|page| page.contains(&named)), "{reason}");
        }
    }

    #[test]
    fn the_segments_of_a_base_path_are_counted() {
        for (path, segments) in [("/shop", 1), ("/shop/v1", 2)] {
            assert_eq!(
                BasePath::new(path).map(|base| base.segments),
                Some(segments)
            );
        }
    }
}
