//! Names in the settings of `builtin:sdk-metadata` that stand for nothing.

use http::Method;

use super::{Lint, UsedFilter};
use crate::config::{Config, FilterConfig, PluginSource, RouteConfig, backticked, did_you_mean};

/// The path of the document where the settings name none.
const DEFAULT_PATH: &str = "/openapi.json";

impl Lint<'_> {
    /// Look at every filter of this plugin, and at the routes that use it.
    pub(super) fn metadata(&mut self) {
        for filter in &self.config.filters {
            if filter.plugin.is_builtin("sdk-metadata") {
                self.unknown_apis(filter);
            }
        }
        for used in self.used_filters() {
            if used.filter.plugin.is_builtin("sdk-metadata") {
                let path = used.filter.text_setting("path").unwrap_or(DEFAULT_PATH);
                self.served(&used, "path", "document", path);
                if let Some(path) = used.filter.text_setting("manifest") {
                    self.served(&used, "manifest", "manifest", path);
                }
            }
        }
    }

    /// APIs that do not exist.
    fn unknown_apis(&mut self, filter: &FilterConfig) {
        let known: Vec<&str> = self.config.apis.iter().map(|api| &*api.name).collect();
        for (index, name) in filter.list_setting("apis") {
            if known.contains(&name) {
                continue;
            }
            let help = did_you_mean(name, known.iter().copied());
            let help = help.unwrap_or_else(|| match known.as_slice() {
                [] => {
                    "no `[api.<name>]` is there: leave `apis` out to describe all routes".to_owned()
                }
                known => format!("there are {}", backticked(known.iter().copied())),
            });
            let message = format!("it is to describe the API `{name}`, which does not exist");
            self.warn(filter, message)
                .at(filter.span_at(&format!("/apis/{index}")))
                .help(help);
        }
    }

    /// A path that none of the filter's routes takes.
    fn served(&mut self, used: &UsedFilter<'_>, key: &str, what: &str, path: &str) {
        let gets =
            |route: &RouteConfig| route.methods.is_empty() || route.methods.contains(&Method::GET);
        let may_serve = |route: &&RouteConfig| {
            (gets(route) && takes(&route.path, path))
                || may_edit_path(self.config, used.filter, route)
        };
        if used.routes.iter().any(may_serve) {
            return;
        }
        let message =
            format!("no route of the filter takes `GET {path}`, so it never serves the {what}");
        self.warn(used.filter, message)
            .at(used.filter.span_at(&format!("/{key}")))
            .help(format!(
                "add a route with `path = \"{path}\"` and this filter, or write the path of one of its routes as `{key}`"
            ));
    }
}

/// Whether a filter before this one may give its requests another path.
fn may_edit_path(config: &Config, filter: &FilterConfig, route: &RouteConfig) -> bool {
    let references = route.filters.iter();
    let filters = references.filter_map(|one| config.filters.get(one.filter));
    let mut before = filters.take_while(|one| one.name != filter.name);
    before.any(|one| match &one.plugin {
        PluginSource::Builtin(name) => name == "transform",
        PluginSource::File(_) | PluginSource::Artifact(_) | PluginSource::Download(_) => true,
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
