//! Keys that nobody checks, checks that nobody passes, and checks that are left out.

use std::time::SystemTime;

use super::{Lint, more_keys};
use crate::build::granted::grants;
use crate::config::{FilterConfig, Key, OnError};
use crate::model::filter::HostInterface;

impl Lint<'_> {
    /// Look at the filters that check keys, and at what they check.
    pub(super) fn keys(&mut self) {
        let used = self.used_filters();
        for used in &used {
            self.skipped_check(used.filter);
        }
        let filters = used.iter().map(|used| used.filter);
        let checks = filters.filter(|filter| self.may_use(filter, HostInterface::Keys));
        let checks: Vec<&FilterConfig> = checks.collect();
        let config = self.config;
        for filter in &checks {
            let is_own = filter.plugin.is_builtin("api-key");
            if is_own && config.keys.is_empty() && config.store.is_none() {
                let message = format!(
                    "filter `{}` checks keys, and there are none: every request is refused",
                    filter.name
                );
                self.problems
                    .warning(filter.span, message)
                    .help("add a `[[key]]`, which `windlass key new` prints, or a `[store]`");
            }
        }
        self.expired_keys();
        if let (true, Some(key)) = (checks.is_empty(), config.keys.first()) {
            let message = format!(
                "key `{}` opens nothing: no filter of any route checks keys",
                key.id
            );
            self.problems.warning(key.span, message).help(
                "put a filter with `plugin = \"builtin:api-key\"` into the `filters` of a route",
            );
        }
    }

    /// Keys whose time is over.
    fn expired_keys(&mut self) {
        let now = SystemTime::now();
        let is_over = |key: &&Key| key.enabled && key.expires.is_some_and(|end| end <= now);
        let mut over = self.config.keys.iter().filter(is_over);
        let Some(first) = over.next() else { return };
        let message = format!(
            "key `{}`{} has expired: requests with it are refused",
            first.id,
            more_keys(over.count())
        );
        self.problems
            .warning(first.span, message)
            .help("remove it, or give it a later `expires`");
    }

    /// Whether a filter may use this interface.
    fn may_use(&self, filter: &FilterConfig, interface: HostInterface) -> bool {
        grants(self.config, filter).interface(interface)
    }

    /// A filter that lets requests pass by their credentials opens its routes where it is left out.
    fn skipped_check(&mut self, filter: &FilterConfig) {
        if filter.on_error != OnError::Skip {
            return;
        }
        let work = [
            (HostInterface::Keys, "checks keys", "a key"),
            (HostInterface::Jwt, "verifies tokens", "a token"),
        ];
        let mut work = work.into_iter();
        let Some((_, checks, credential)) =
            work.find(|(interface, ..)| self.may_use(filter, *interface))
        else {
            return;
        };
        let message = format!(
            "filter `{}` {checks}, and is left out when it fails (`on_error = \"skip\"`): requests pass without {credential} then",
            filter.name
        );
        self.problems
            .warning(filter.span, message)
            .help("write `on_error = \"deny\"`, which is the default");
    }
}
