//! Names in the templates of `builtin:transform` that stand for nothing.

use crate::config::{Config, Filter, PluginSource, Problems, Route, Span};

/// Look at every template of every transform.
pub(super) fn look(config: &Config, problems: &mut Problems) {
    for (place, filter) in config.filters.iter().enumerate() {
        if filter.plugin != PluginSource::Builtin("transform".to_owned()) {
            continue;
        }
        let routes = config.routes.iter();
        let routes = routes.filter(|route| route.filters.iter().any(|one| one.filter == place));
        let routes: Vec<&Route> = routes.collect();
        // One that no route uses is told of as unused.
        if !routes.is_empty() {
            texts(
                filter,
                &filter.settings.json,
                String::new(),
                &mut |text, span| {
                    for name in placeholders(text) {
                        one(config, filter, &routes, name, span, problems);
                    }
                },
            );
        }
    }
}

/// Every text of some settings, with its place in the file.
fn texts(
    filter: &Filter,
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

/// What stands between `${` and `}`; `$${` is a literal.
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

fn one(
    config: &Config,
    filter: &Filter,
    routes: &[&Route],
    name: &str,
    span: Span,
    problems: &mut Problems,
) {
    let mut lacks = |what: &str, name: &str, help: String| {
        let message = format!(
            "filter `{}`: a template names the {what} `{name}`, which no route of the filter has: its edit is left out",
            filter.name
        );
        problems.warning(span, message).help(help);
    };
    if let Some(param) = name.strip_prefix("path.") {
        let param = param.trim_end_matches('+');
        let has = |route: &&Route| parameters(&route.path).any(|known| known == param);
        if !routes.iter().any(has) {
            let all = routes.iter().flat_map(|route| parameters(&route.path));
            let mut all: Vec<String> = all.map(|known| format!("`{known}`")).collect();
            all.sort_unstable();
            all.dedup();
            let help = match all.as_slice() {
                [] => "their paths have no parameters: one is written `{name}`".to_owned(),
                all => format!("their paths have {}", all.join(", ")),
            };
            lacks("path parameter", param, help);
        }
    }
    if let Some(variable) = name.strip_prefix("attribute.api.variable.") {
        let variable = variable.trim_end_matches('!');
        let has = |route: &&Route| {
            let api = route.api.and_then(|place| config.apis.get(place));
            api.is_some_and(|api| api.variables.contains_key(variable))
        };
        if !routes.iter().any(has) {
            let help = "stage variables are `variables = { .. }` of the route's `[api.<name>]`";
            lacks("stage variable", variable, help.to_owned());
        }
    }
}

/// The parameters of a route's path.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
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
