//! Header fields that a filter reads, and that a filter before it has removed.

use super::LintContext;
use crate::build::backticked::backticked;
use crate::config::{self, PluginSource, Problems, Span};
use crate::wasm::Filter;

/// Plugins that remove the credential that they read, unless their settings say `hide = false`.
const HIDING: [&str; 2] = ["api-key", "jwt"];

/// A filter that reads fields, and one before it that removes them.
struct HidingPair<'a> {
    hides: &'a config::FilterConfig,
    reads: &'a config::FilterConfig,
    fields: Vec<&'a str>,
    /// Where the second stands in the list of the first route.
    span: Span,
    routes: Vec<&'a str>,
}

/// Look at the order of every route's filters. Each pair is told of once.
pub(super) fn lint(known: &LintContext<'_>, problems: &mut Problems) {
    let mut pairs: Vec<HidingPair<'_>> = Vec::new();
    for route in &known.config.routes {
        let places = route.filters.iter().enumerate();
        for (place, reference) in places {
            let before = route.filters.iter().take(place);
            for earlier in before.filter(|earlier| earlier.filter != reference.filter) {
                let pair = pairs.iter_mut().find(|pair| {
                    let is = |filter: &config::FilterConfig, place: usize| {
                        let other = known.config.filters.get(place);
                        other.is_some_and(|other| std::ptr::eq(filter, other))
                    };
                    is(pair.hides, earlier.filter) && is(pair.reads, reference.filter)
                });
                match pair {
                    Some(pair) => pair.routes.push(&route.name),
                    None => pairs.extend(pair_of(known, earlier.filter, reference.filter).map(
                        |(hides, reads, fields)| HidingPair {
                            hides,
                            reads,
                            fields,
                            span: reference.span,
                            routes: vec![&route.name],
                        },
                    )),
                }
            }
        }
    }
    for pair in &pairs {
        warn(pair, problems);
    }
}

/// These two filters, and the fields that the second reads and the first removes, if there are some.
fn pair_of<'a>(
    known: &LintContext<'a>,
    earlier: usize,
    later: usize,
) -> Option<(
    &'a config::FilterConfig,
    &'a config::FilterConfig,
    Vec<&'a str>,
)> {
    let config = known.config;
    let (hides, reads) = (config.filters.get(earlier)?, config.filters.get(later)?);
    if !is_hiding(hides) {
        return None;
    }
    let read = |place: usize| {
        let filter: Option<&Filter> = known.filters.get(place)?.as_deref();
        Some(&filter?.facts().advice.read_fields)
    };
    let (hidden, read) = (read(earlier)?, read(later)?);
    let mut fields: Vec<&str> = Vec::new();
    for field in read.iter().filter(|field| hidden.contains(field)) {
        if !fields.contains(&field.as_str()) {
            fields.push(field);
        }
    }
    (!fields.is_empty()).then_some((hides, reads, fields))
}

fn is_hiding(filter: &config::FilterConfig) -> bool {
    let PluginSource::Builtin(plugin) = &filter.plugin else {
        return false;
    };
    let hide = filter.settings.json.get("hide");
    HIDING.contains(&plugin.as_str()) && hide != Some(&serde_json::Value::Bool(false))
}

fn warn(pair: &HidingPair<'_>, problems: &mut Problems) {
    let (hides, reads) = (&pair.hides.name, &pair.reads.name);
    let fields = backticked(pair.fields.iter().copied());
    let routes = super::routes_named(&pair.routes);
    let keep = format!("set `hide = false` in the settings of `{hides}`");
    problems
        .warning(
            pair.span,
            format!(
                "filter `{reads}` reads {fields}, and filter `{hides}` before it has removed that on {routes}"
            ),
        )
        .help(if is_hiding(pair.reads) {
            keep
        } else {
            format!("{keep}, or put `{reads}` before `{hides}`")
        });
}
