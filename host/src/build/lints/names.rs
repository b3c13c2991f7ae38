//! Names in the templates of `builtin:transform`, and in the settings of `builtin:authorizer`, that stand for nothing.

use super::{LintContext, can_set};
use crate::build::backticked::backticked;
use crate::config::{FilterConfig, PluginSource, Problems, RouteConfig, Span};

/// Look at every template of every transform, and at what every authorizer puts into events.
pub(super) fn lint(known: &LintContext<'_>, problems: &mut Problems) {
    let config = known.config;
    for (place, filter) in config.filters.iter().enumerate() {
        let PluginSource::Builtin(plugin) = &filter.plugin else {
            continue;
        };
        let routes = config.routes.iter();
        let routes = routes.filter(|route| route.filters.iter().any(|one| one.filter == place));
        let routes: Vec<&RouteConfig> = routes.collect();
        // One that no route uses is told of as unused.
        if routes.is_empty() {
            continue;
        }
        let look = TemplateLint {
            context: known,
            filter,
            routes: &routes,
        };
        match plugin.as_str() {
            "transform" => texts(
                filter,
                &filter.settings.json,
                String::new(),
                &mut |text, span| {
                    for name in placeholders(text) {
                        look.placeholder(name, span, problems);
                    }
                },
            ),
            "authorizer" => look.events(problems),
            _ => {}
        }
    }
}

/// A filter, and the routes that have it.
struct TemplateLint<'a> {
    context: &'a LintContext<'a>,
    filter: &'a FilterConfig,
    routes: &'a [&'a RouteConfig],
}

/// Every text of some settings, with its place in the file.
fn texts(
    filter: &FilterConfig,
    value: &serde_json::Value,
    pointer: String,
    look: &mut impl FnMut(&str, Span),
) {
    match value {
        serde_json::Value::String(text) => {
            let span = filter.settings.spans.get(&pointer).copied();
            look(text, span.unwrap_or(filter.span));
        }
        serde_json::Value::Array(values) => {
            for (place, value) in values.iter().enumerate() {
                texts(filter, value, format!("{pointer}/{place}"), look);
            }
        }
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                texts(filter, value, format!("{pointer}/{name}"), look);
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

/// The names between `${` and `}`; `$${` is a literal.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("${").filter(|(at, _)| {
        let before = text.get(..*at).unwrap_or_default();
        !before.ends_with('$')
    });
    starts.filter_map(|(at, mark)| {
        let rest = text.get(at + mark.len()..)?;
        rest.split_once('}').map(|(name, _)| name)
    })
}

impl TemplateLint<'_> {
    /// A name in a template.
    fn placeholder(&self, name: &str, span: Span, problems: &mut Problems) {
        let mut lacks = |what: &str, name: &str, help: String| {
            let message = format!(
                "filter `{}`: a template names the {what} `{name}`, which no route of the filter has: the template never has a value",
                self.filter.name
            );
            problems.warning(span, message).help(help);
        };
        if let Some(param) = name.strip_prefix("path.") {
            let param = param.trim_end_matches('+');
            if let Some(help) = self.lacks_parameter(param) {
                lacks("path parameter", param, help);
            }
        }
        if let Some(variable) = name.strip_prefix("attribute.api.variable.") {
            let variable = variable.trim_end_matches('!');
            if let Some(help) = self.lacks_variable(variable) {
                lacks("stage variable", variable, help);
            }
        } else if let Some(attribute) = name.strip_prefix("attribute.") {
            let attribute = attribute.trim_end_matches('!');
            let mut routes = self.routes.iter();
            if !routes.any(|route| can_set(self.context, route, attribute)) {
                let help = format!("put a filter that sets `{attribute}` into `filters`");
                lacks("attribute", attribute, help);
            }
        }
    }

    /// The names of what an authorizer is told.
    fn events(&self, problems: &mut Problems) {
        for (key, what) in [
            ("path_parameters", "path parameter"),
            ("variables", "stage variable"),
        ] {
            let names = self.filter.settings.json.get(key);
            let names = names.and_then(serde_json::Value::as_array);
            for (place, name) in names.into_iter().flatten().enumerate() {
                let Some(name) = name.as_str() else { continue };
                let help = match key {
                    "variables" => self.lacks_variable(name),
                    _ => self.lacks_parameter(name),
                };
                let Some(help) = help else { continue };
                let span = self.filter.settings.spans.get(&format!("/{key}/{place}"));
                let message = format!(
                    "filter `{}`: `{key}` names the {what} `{}`, which no route of the filter has: it is in no event",
                    self.filter.name,
                    name.escape_debug()
                );
                let span = span.copied().unwrap_or(self.filter.span);
                problems.warning(span, message).help(help);
            }
        }
    }

    /// The cure, if no route has this path parameter.
    fn lacks_parameter(&self, name: &str) -> Option<String> {
        let mut all = self.routes.iter().flat_map(|route| parameters(&route.path));
        let lacks = all.all(|parameter| parameter != name);
        lacks.then(|| parameters_of(self.routes))
    }

    /// The cure, if no route's API has this stage variable.
    fn lacks_variable(&self, name: &str) -> Option<String> {
        let mut apis = self.routes.iter().filter_map(|route| {
            let place = route.api?;
            self.context.config.apis.get(place)
        });
        let has = apis.any(|api| api.variables.contains_key(name));
        let help = "stage variables are `variables = { .. }` of the route's `[api.<name>]`";
        (!has).then(|| help.to_owned())
    }
}

/// Says which parameters the paths of these routes have.
pub(super) fn parameters_of(routes: &[&RouteConfig]) -> String {
    let all = routes.iter().flat_map(|route| parameters(&route.path));
    let mut all: Vec<&str> = all.collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [] => "their paths have no parameters: one is written `{name}`".to_owned(),
        all => format!("their paths have {}", backticked(all.iter().copied())),
    }
}

/// The parameters of a route's path.
pub(super) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    let segments = path.split('/');
    segments.filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_end_matches('+'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_no_placeholders() {
        let found = |text: &'static str| placeholders(text).collect::<Vec<_>>();
        assert_eq!(
            found("/${path.id}/$${no}/${path.rest+}"),
            ["path.id", "path.rest+"]
        );
        assert_eq!(found("${open"), [""; 0]);
    }
}
