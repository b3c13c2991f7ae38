//! The sections of the file: a struct for each, with the checks of its keys.
//!
//! A field of such a struct is a key of the file: its doc comment, type and attribute make the
//! reader, the default, the JSON Schema and the row of the reference (`windlass-config-derive`).
//! A reader takes every key before it gives up, so that every problem is found. It gives none
//! where something that was reported leaves nothing to go on with.

mod admin;
mod api;
mod bounds;
mod callout;
mod engine;
mod filter;
mod key;
mod listener;
mod plan;
mod plugin_cases;
mod plugins;
mod proxy_protocol;
mod rate;
mod respond;
mod response;
mod route;
mod secret;
mod security_headers;
mod server;
mod starts_on;
mod store;
mod tls;
mod upstream;
mod verifier;

use std::sync::Arc;

use windlass_config_derive::FromTable;

use super::problem::Problems;
use super::read::Table;
use super::source::{Source, Span};

pub use crate::model::admin::Role;
pub use crate::model::balance::BalancePolicy;
pub(crate) use crate::model::balance::Threshold;
pub use crate::model::error_body::{ErrorStyle, ResponsePart};
pub use crate::model::filter::{HostInterface, Isolation, OnError};
pub use crate::model::period::{Period, Weekday};
pub use crate::model::plan::RateLimit;
pub use crate::model::store::{OnUnavailable, SecretSource};
pub(crate) use admin::*;
pub(crate) use api::*;
pub use callout::*;
pub use engine::*;
pub use filter::*;
pub(crate) use key::*;
pub(crate) use listener::*;
pub(crate) use plan::*;
pub(crate) use plugin_cases::*;
pub use plugins::*;
pub use proxy_protocol::*;
pub(crate) use respond::*;
pub(crate) use response::*;
pub use route::*;
pub(crate) use secret::*;
pub(crate) use security_headers::{Frames, Referrer, SecurityHeaders, ServerHeader};
pub use server::*;
pub use store::*;
pub(crate) use tls::*;
pub use upstream::*;
pub use verifier::*;

/// The configuration of one gateway.
#[derive(Debug, FromTable)]
#[table(heading = "windlass.toml", keys = presence)]
pub struct Config {
    /// The file's name and text.
    #[key(with = Table::source)]
    pub source: Arc<Source>,
    /// The warnings. Later ones are added to it.
    #[key(with = Table::problems)]
    pub warnings: Problems,
    /// The process.
    #[key(default = "{}")]
    pub server: Server,
    /// Where clients connect.
    #[key(name = "listener", absent = "none, which is an error", entries)]
    pub listeners: Vec<Listener>,
    /// The operator's listener.
    #[key(absent = "no admin listener")]
    pub admin: Option<Admin>,
    /// Totals of the filter engine.
    #[key(default = "{}")]
    pub wasm: Wasm,
    /// How plugins are fetched.
    #[key(default = "{}")]
    pub plugins: Plugins,
    /// The gateway's log and the access log.
    #[key(default = "{}")]
    pub log: Log,
    /// Where keys, plans and usage are kept.
    #[key(absent = "only the keys and plans of this file")]
    pub store: Option<Store>,
    /// Values that filters use by name and never see.
    #[key(name = "secret", absent = "none", named)]
    pub secrets: Vec<Secret>,
    /// Whose JSON Web Tokens filters accept.
    #[key(name = "verifier", absent = "none", named)]
    pub verifiers: Vec<Verifier>,
    /// Servers that filters may ask.
    #[key(name = "callout", absent = "none", named)]
    pub callouts: Vec<Callout>,
    /// Routes that are sold together.
    #[key(name = "api", absent = "none", named)]
    pub apis: Vec<Api>,
    /// Usage plans.
    #[key(name = "plan", absent = "none", named)]
    pub plans: Vec<Plan>,
    /// API keys.
    #[key(name = "key", absent = "none", entries)]
    pub keys: Vec<Key>,
    /// Which requests go through which filters to where.
    #[key(name = "route", absent = "none, which is an error", entries)]
    pub routes: Vec<RouteConfig>,
    /// Plugins with their settings.
    #[key(name = "filter", absent = "none", named)]
    pub filters: Vec<FilterConfig>,
    /// Named groups of endpoints.
    #[key(name = "upstream", absent = "none", named)]
    pub upstreams: Vec<UpstreamConfig>,
}

/// Reports lists of tables that cannot be left out.
fn presence(table: &mut Table<'_>) {
    for (key, example) in [
        (
            "listener",
            "`[[listener]]` with `address = \"0.0.0.0:8080\"`",
        ),
        (
            "route",
            "`[[route]]` with `path = \"$default\"` and `upstream = \"<name>\"`",
        ),
    ] {
        if table.has(key) || table.is_incomplete() {
            continue;
        }
        let message = format!("there is no `[[{key}]]`: at least one is needed");
        table
            .error(Span::default(), &message)
            .help(format!("add {example}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::field::{FromTable, Section};

    fn each(section: &'static Section, look: &mut impl FnMut(&'static Section)) {
        look(section);
        let keys = section.keys().into_iter();
        for inside in keys.filter_map(|field| field.kind.section()) {
            each(inside, look);
        }
    }

    #[test]
    fn hints_are_of_what_a_section_does_not_have() {
        let mut count = 0;
        each(Config::SECTION, &mut |section| {
            let mut words: Vec<&str> = section.hints().into_iter().map(|(word, _)| word).collect();
            count += words.len();
            for word in &words {
                let is_key = section.keys().into_iter().any(|field| field.key == *word);
                assert!(!is_key, "{} has `{word}`", section.heading);
            }
            words.sort_unstable();
            let all = words.len();
            words.dedup();
            assert_eq!(words.len(), all, "{} has a hint twice", section.heading);
        });
        assert!(count > 80, "{count} hints");
    }

    #[test]
    fn a_short_form_is_that_of_a_key() {
        each(Config::SECTION, &mut |section| {
            let there = |short| section.keys().into_iter().any(|field| field.key == short);
            assert!(section.short.is_none_or(there), "{}", section.heading);
        });
    }
}
