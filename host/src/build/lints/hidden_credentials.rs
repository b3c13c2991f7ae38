//! Header fields that a filter reads, and that a filter before it has removed.

use serde_json::Value;

use super::Lint;
use crate::config::{FilterConfig, Span, backticked};

/// Plugins that remove the credential that they read, unless their settings say `hide = false`.
const HIDING: [&str; 2] = ["api-key", "jwt"];

/// A filter that reads fields, and one before it that removes them.
struct HidingPair<'a> {
    hides: &'a FilterConfig,
    reads: &'a FilterConfig,
    fields: Vec<&'a str>,
    /// Where the second stands in the list of the first route.
    span: Span,
    routes: Vec<&'a str>,
}

impl<'a> Lint<'a> {
    /// Look at the order of every route's filters. Each pair is reported once.
    pub(super) fn hidden_credentials(&mut self) {
        let mut pairs: Vec<HidingPair<'a>> = Vec::new();
        let config = self.config;
        for route in &config.routes {
            for (index, reference) in route.filters.iter().enumerate() {
                let before = route.filters.iter().take(index);
                for earlier in before.filter(|earlier| earlier.filter != reference.filter) {
                    let Some(new) = self.pair(earlier.filter, reference.filter) else {
                        continue;
                    };
                    let same = pairs.iter_mut().find(|pair| {
                        std::ptr::eq(pair.hides, new.hides) && std::ptr::eq(pair.reads, new.reads)
                    });
                    match same {
                        Some(pair) => pair.routes.push(&route.name),
                        None => pairs.push(HidingPair {
                            span: reference.span,
                            routes: vec![&route.name],
                            ..new
                        }),
                    }
                }
            }
        }
        for pair in &pairs {
            self.warn_of_pair(pair);
        }
    }

    /// These two filters, and the fields that the second reads and the first removes, if there are some.
    fn pair(&self, earlier: usize, later: usize) -> Option<HidingPair<'a>> {
        let (config, filters) = (self.config, self.filters);
        let (hides, reads) = (config.filters.get(earlier)?, config.filters.get(later)?);
        let read = |index: usize| {
            let filter = filters.get(index)?.as_ref()?;
            Some(&filter.facts().advice.read_fields)
        };
        let (hidden, read) = (read(earlier)?, read(later)?);
        let mut fields: Vec<&str> = Vec::new();
        for field in read.iter().filter(|field| hidden.contains(field)) {
            if !fields.contains(&field.as_str()) {
                fields.push(field);
            }
        }
        (is_hiding(hides) && !fields.is_empty()).then_some(HidingPair {
            hides,
            reads,
            fields,
            span: Span::default(),
            routes: Vec::new(),
        })
    }

    fn warn_of_pair(&mut self, pair: &HidingPair<'_>) {
        let (hides, reads) = (&pair.hides.name, &pair.reads.name);
        let fields = backticked(pair.fields.iter().copied());
        let routes = super::routes_named(&pair.routes);
        let keep = format!("set `hide = false` in the settings of `{hides}`");
        let message = format!(
            "filter `{reads}` reads {fields}, and filter `{hides}` before it has removed that on {routes}"
        );
        let help = match is_hiding(pair.reads) {
            true => keep,
            false => format!("{keep}, or put `{reads}` before `{hides}`"),
        };
        self.problems.warning(pair.span, message).help(help);
    }
}

fn is_hiding(filter: &FilterConfig) -> bool {
    let mut plugins = HIDING.iter();
    let hide = filter.settings.json.get("hide");
    plugins.any(|plugin| filter.plugin.is_builtin(plugin)) && hide != Some(&Value::Bool(false))
}
