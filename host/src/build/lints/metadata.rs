//! Names in the settings of `builtin:sdk-metadata` that stand for nothing.

use crate::config::{Config, FilterConfig, PluginSource, Problems, RouteConfig, Span, nearest};
use http::Method;

/// The path of the document where the settings name none.
const DEFAULT_PATH: &str = "/openapi.json";

/// Look at every filter of this plugin that a route uses.
pub(super) fn lint(config: &Config, problems: &mut Problems) {
    for (place, filter) in config.filters.iter().enumerate() {
        if filter.plugin != PluginSource::Builtin("sdk-metadata".to_owned()) {
            continue;
        }
        apis(config, filter, problems);
        let routes = config.routes.iter();
        let routes = routes.filter(|route| route.filters.iter().any(|one| one.filter == place));
        let routes: Vec<&RouteConfig> = routes.collect();
        // One that no route uses is told of as unused.
        if routes.is_empty() {
            continue;
        }
        let text = |key: &str| filter.settings.json.get(key)?.as_str();
        let path = text("path").unwrap_or(DEFAULT_PATH);
        served(config, filter, &routes, ("path", Some(path)), problems);
        served(
            config,
            filter,
            &routes,
            ("manifest", text("manifest")),
            problems,
        );
    }
}

/// APIs that do not exist.
fn apis(config: &Config, filter: &FilterConfig, problems: &mut Problems) {
    let named = filter.settings.json.get("apis");
    let named = named.and_then(serde_json::Value::as_array);
    for (place, name) in named.into_iter().flatten().enumerate() {
        let Some(name) = name.as_str() else { continue };
        let known = || config.apis.iter().map(|api| &*api.name);
        if known().any(|api| api == name) {
            continue;
        }
        let help = match (nearest(name, known()), config.apis.is_empty()) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, true) => {
                "no `[api.<name>]` is there: leave `apis` out to describe all routes".to_owned()
            }
            (None, false) => {
                let known: Vec<_> = known().map(|api| format!("`{api}`")).collect();
                format!("there are {}", known.join(", "))
            }
        };
        let message = format!(
            "filter `{}`: it is to describe the API `{name}`, which does not exist",
            filter.name
        );
        let span = span(filter, &format!("/apis/{place}"));
        problems.warning(span, message).help(help);
    }
}

/// A path that none of the filter's routes takes.
fn served(
    config: &Config,
    filter: &FilterConfig,
    routes: &[&RouteConfig],
    (key, path): (&str, Option<&str>),
    problems: &mut Problems,
) {
    let Some(path) = path else { return };
    let gets =
        |route: &RouteConfig| route.methods.is_empty() || route.methods.contains(&Method::GET);
    let may_serve = |route: &&RouteConfig| {
        (gets(route) && takes(&route.path, path)) || may_edit_path(config, filter, route)
    };
    if routes.iter().any(may_serve) {
        return;
    }
    let what = if key == "path" {
        "document"
    } else {
        "manifest"
    };
    let message = format!(
        "filter `{}`: no route of the filter takes `GET {path}`, so it never serves the {what}",
        filter.name
    );
    let at = span(filter, &format!("/{key}"));
    problems.warning(at, message).help(format!(
        "add a route with `path = \"{path}\"` and this filter, or write the path of one of its routes as `{key}`"
    ));
}

/// Whether a filter before this one may give its requests another path.
fn may_edit_path(config: &Config, filter: &FilterConfig, route: &RouteConfig) -> bool {
    let references = route.filters.iter();
    let filters = references.filter_map(|one| config.filters.get(one.filter));
    let mut before = filters.take_while(|one| one.name != filter.name);
    before.any(|one| match &one.plugin {
        PluginSource::Builtin(name) => name == "transform",
        PluginSource::File(_) => true,
    })
}

/// Whether a route of this pattern takes the path.
fn takes(pattern: &str, path: &str) -> bool {
    if pattern == "$default" {
        return true;
    }
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        match segments.next() {
            Some(_) if wanted.ends_with("+}") => return true,
            Some(segment) if wanted == segment => {}
            Some(segment) if wanted.starts_with('{') && !segment.is_empty() => {}
            Some(_) | None => return false,
        }
    }
    segments.next().is_none()
}

/// Where a value of the settings stands; the filter's table for one that is left out.
fn span(filter: &FilterConfig, at: &str) -> Span {
    let span = filter.settings.spans.get(at).copied();
    span.unwrap_or(filter.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_the_patterns_that_take_it() {
        for (pattern, path, is) in [
            ("/openapi.json", "/openapi.json", true),
            ("/openapi.json", "/openapi.yaml", false),
            ("/docs/{file}", "/docs/openapi.json", true),
            ("/docs/{file}", "/openapi.json", false),
            ("/{rest+}", "/docs/openapi.json", true),
            ("/docs/{rest+}", "/docs", false),
            ("$default", "/any", true),
            ("/docs", "/docs/openapi.json", false),
        ] {
            assert_eq!(takes(pattern, path), is, "{pattern} {path}");
        }
    }
}
