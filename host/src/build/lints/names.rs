//! Names in the templates of `builtin:transform`, and in the settings of `builtin:authorizer`, that stand for nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Lint, UsedFilter};
use crate::config::{FilterConfig, PluginSource, RouteConfig, Span, backticked, parameters};

impl Lint<'_> {
    /// Look at every template of every transform, and at what every authorizer puts into events.
    pub(super) fn names(&mut self) {
        for used in self.used_filters() {
            let filter = used.filter;
            match &filter.plugin {
                PluginSource::Builtin(plugin) if plugin == "transform" => {
                    let settings = &filter.settings.json;
                    texts(filter, settings, String::new(), &mut |text, span| {
                        for name in placeholders(text) {
                            self.placeholder(&used, name, span);
                        }
                    });
                }
                PluginSource::Builtin(plugin) if plugin == "authorizer" => self.events(&used),
                PluginSource::Builtin(_)
                | PluginSource::File(_)
                | PluginSource::Artifact(_)
                | PluginSource::Download(_) => {}
            }
        }
    }

    /// A name in a template.
    fn placeholder(&mut self, used: &UsedFilter<'_>, name: &str, span: Span) {
        let (what, name, help) = if let Some(param) = name.strip_prefix("path.") {
            let param = param.trim_end_matches('+');
            ("path parameter", param, used.lacks_parameter(param))
        } else if let Some(variable) = name.strip_prefix("attribute.api.variable.") {
            let variable = variable.trim_end_matches('!');
            (
                "stage variable",
                variable,
                self.lacks_variable(used, variable),
            )
        } else if let Some(attribute) = name.strip_prefix("attribute.") {
            let attribute = attribute.trim_end_matches('!');
            let mut routes = used.routes.iter();
            let lacks = !routes.any(|route| self.can_set(route, attribute));
            let help = format!("put a filter that sets `{attribute}` into `filters`");
            ("attribute", attribute, lacks.then_some(help))
        } else {
            return;
        };
        let Some(help) = help else { return };
        let message = format!(
            "a template names the {what} `{name}`, which no route of the filter has: the template never has a value"
        );
        self.warn(used.filter, message).at(span).help(help);
    }

    /// The names that an authorizer gets.
    fn events(&mut self, used: &UsedFilter<'_>) {
        for (key, what) in [
            ("path_parameters", "path parameter"),
            ("variables", "stage variable"),
        ] {
            for (index, name) in used.filter.list_setting(key) {
                let help = match key {
                    "variables" => self.lacks_variable(used, name),
                    _ => used.lacks_parameter(name),
                };
                let Some(help) = help else { continue };
                let message = format!(
                    "`{key}` names the {what} `{}`, which no route of the filter has: it is in no event",
                    name.escape_debug()
                );
                self.warn(used.filter, message)
                    .at(used.filter.span_at(&format!("/{key}/{index}")))
                    .help(help);
            }
        }
    }

    /// The cure, if no route's API has this stage variable.
    fn lacks_variable(&self, used: &UsedFilter<'_>, name: &str) -> Option<String> {
        let mut apis = used
            .routes
            .iter()
            .filter_map(|route| route.api(self.config));
        let has = apis.any(|api| api.variables.contains_key(name));
        let help = "stage variables are `variables = { .. }` of the route's `[api.<name>]`";
        (!has).then(|| help.to_owned())
    }
}

impl UsedFilter<'_> {
    /// The cure, if no route has this path parameter.
    fn lacks_parameter(&self, name: &str) -> Option<String> {
        let mut all = self.routes.iter().flat_map(|route| parameters(&route.path));
        let lacks = all.all(|parameter| parameter != name);
        lacks.then(|| parameters_of(&self.routes))
    }
}

/// Every text of some settings, with its place in the file.
fn texts(filter: &FilterConfig, value: &Value, pointer: String, look: &mut impl FnMut(&str, Span)) {
    match value {
        Value::String(text) => {
            look(text, filter.span_at(&pointer));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                texts(filter, value, format!("{pointer}/{index}"), look);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                texts(filter, value, format!("{pointer}/{name}"), look);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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

/// Says which parameters the paths of these routes have.
pub(super) fn parameters_of(routes: &[&RouteConfig]) -> String {
    let all = routes.iter().flat_map(|route| parameters(&route.path));
    let all: BTreeSet<&str> = all.collect();
    match all.is_empty() {
        true => "their paths have no parameters: one is written `{name}`".to_owned(),
        false => format!("their paths have {}", backticked(all)),
    }
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
