//! The sections of the file: one reader each, beside the list of its keys.
//!
//! A reader takes every key before it gives up, so that every problem is found. It gives none
//! where something that was reported leaves nothing to go on with.

mod admin;
mod api;
mod bounds;
mod callout;
mod engine;
mod filter;
mod key;
mod plan;
mod respond;
mod response;
mod route;
mod server;
mod starts_on;
mod store;
mod tls;
mod upstream;
mod verifier;

use std::sync::Arc;

use super::check;
use super::field::{Defaults, Empty, Entries, Field, Named, Nested, Optional, Section};
use super::model::{
    Admin, Api, Callout, Config, FilterConfig, Key, Listener, Log, Plan, RouteConfig, Secret,
    Server, Store, UpstreamConfig, Verifier, Wasm,
};
use super::problem::Problems;
use super::read::Table;
use super::source::Source;

/// The file.
pub(super) static ROOT: Section = Section {
    heading: "windlass.toml",
    doc: "The configuration of one gateway.",
    fields: &[
        &SERVER, &LISTENER, &ADMIN, &WASM, &LOG, &STORE, &SECRET, &VERIFIER, &CALLOUT, &API, &PLAN,
        &KEY, &ROUTE, &FILTER, &UPSTREAM,
    ],
    hints: &[],
    short: None,
    private: false,
};

static SERVER: Field<Nested<Server>, Defaults> = Field::new(
    "server",
    Nested {
        section: &server::SERVER,
        read: server::server,
    },
    Defaults,
    "The process.",
);

static LISTENER: Field<Entries<Listener>, Empty> = Field::new(
    "listener",
    Entries {
        section: &server::LISTENER,
        least: 0,
        few: "",
        title: Some(|_| "listener".to_owned()),
        read: server::listener,
    },
    Empty("none, which is an error"),
    "Where clients connect.",
);

static ADMIN: Field<Nested<Admin>, Optional> = Field::new(
    "admin",
    Nested {
        section: &admin::ADMIN,
        read: admin::admin,
    },
    Optional("no admin listener"),
    "The operator's listener.",
);

static WASM: Field<Nested<Wasm>, Defaults> = Field::new(
    "wasm",
    Nested {
        section: &engine::WASM,
        read: engine::wasm,
    },
    Defaults,
    "Totals of the filter engine.",
);

static LOG: Field<Nested<Log>, Defaults> = Field::new(
    "log",
    Nested {
        section: &engine::LOG,
        read: engine::log,
    },
    Defaults,
    "The gateway's log and the access log.",
);

static STORE: Field<Nested<Store>, Optional> = Field::new(
    "store",
    Nested {
        section: &store::STORE,
        read: store::store,
    },
    Optional("only the keys and plans of this file"),
    "Where keys, plans and usage are kept.",
);

static SECRET: Field<Named<Secret>, Empty> = Field::new(
    "secret",
    Named {
        section: &key::SECRET,
        read: key::secret,
    },
    Empty("none"),
    "Values that filters use by name and never see.",
);

static VERIFIER: Field<Named<Verifier>, Empty> = Field::new(
    "verifier",
    Named {
        section: &verifier::VERIFIER,
        read: verifier::verifier,
    },
    Empty("none"),
    "Whose JSON Web Tokens filters accept.",
);

static CALLOUT: Field<Named<Callout>, Empty> = Field::new(
    "callout",
    Named {
        section: &callout::CALLOUT,
        read: callout::callout,
    },
    Empty("none"),
    "Servers that filters may ask.",
);

static API: Field<Named<Api>, Empty> = Field::new(
    "api",
    Named {
        section: &api::API,
        read: api::api,
    },
    Empty("none"),
    "Routes that are sold together.",
);

static PLAN: Field<Named<Plan>, Empty> = Field::new(
    "plan",
    Named {
        section: &plan::PLAN,
        read: plan::plan,
    },
    Empty("none"),
    "Usage plans.",
);

static KEY: Field<Entries<Key>, Empty> = Field::new(
    "key",
    Entries {
        section: &key::KEY,
        least: 0,
        few: "",
        title: Some(key::title),
        read: key::key,
    },
    Empty("none"),
    "API keys.",
);

static ROUTE: Field<Entries<RouteConfig>, Empty> = Field::new(
    "route",
    Entries {
        section: &route::ROUTE,
        least: 0,
        few: "",
        title: Some(route::title),
        read: route::route,
    },
    Empty("none, which is an error"),
    "Which requests go through which filters to where.",
);

static FILTER: Field<Named<FilterConfig>, Empty> = Field::new(
    "filter",
    Named {
        section: &filter::FILTER,
        read: filter::filter,
    },
    Empty("none"),
    "Plugins with their settings.",
);

static UPSTREAM: Field<Named<UpstreamConfig>, Empty> = Field::new(
    "upstream",
    Named {
        section: &upstream::UPSTREAM,
        read: upstream::upstream,
    },
    Empty("none"),
    "Named groups of endpoints.",
);

/// All sections, read.
pub(super) struct Parts {
    server: Server,
    listeners: Vec<Listener>,
    admin: Option<Admin>,
    wasm: Wasm,
    log: Log,
    store: Option<Store>,
    secrets: Vec<Secret>,
    verifiers: Vec<Verifier>,
    callouts: Vec<Callout>,
    apis: Vec<Api>,
    plans: Vec<Plan>,
    keys: Vec<Key>,
    routes: Vec<RouteConfig>,
    filters: Vec<FilterConfig>,
    upstreams: Vec<UpstreamConfig>,
}

/// Reads the file's tables.
pub(super) fn read(table: &mut Table<'_>) -> Option<Parts> {
    let server = table.take(&SERVER);
    let listeners = table.take(&LISTENER);
    let admin = table.take(&ADMIN);
    let wasm = table.take(&WASM);
    table.reader().max_memory = wasm.as_ref().map_or(u64::MAX, |wasm| wasm.max_memory);
    let log = table.take(&LOG);
    let store = table.take(&STORE);
    let secrets = table.take(&SECRET);
    let verifiers = table.take(&VERIFIER);
    let callouts = table.take(&CALLOUT);
    let apis = table.take(&API);
    let plans = table.take(&PLAN);
    let keys = table.take(&KEY);
    let routes = table.take(&ROUTE);
    let filters = table.take(&FILTER);
    let upstreams = table.take(&UPSTREAM);
    check::presence(
        table,
        LISTENER.key,
        "`[[listener]]` with `address = \"0.0.0.0:8080\"`",
    );
    check::presence(
        table,
        ROUTE.key,
        "`[[route]]` with `path = \"$default\"` and `upstream = \"<name>\"`",
    );
    Some(Parts {
        server: server?,
        listeners,
        admin,
        wasm: wasm?,
        log: log?,
        store,
        secrets,
        verifiers,
        callouts,
        apis,
        plans,
        keys,
        routes,
        filters,
        upstreams,
    })
}

impl Parts {
    /// The plans that could be read.
    pub(crate) fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The routes that could be read.
    pub(crate) fn routes(&self) -> &[RouteConfig] {
        &self.routes
    }

    /// The filters that could be read.
    pub(crate) fn filters(&self) -> &[FilterConfig] {
        &self.filters
    }

    /// The configuration, with what was warned of.
    pub(crate) fn into_config(self, source: Arc<Source>, warnings: Problems) -> Config {
        Config {
            source,
            warnings,
            server: self.server,
            listeners: self.listeners,
            admin: self.admin,
            wasm: self.wasm,
            log: self.log,
            store: self.store,
            secrets: self.secrets,
            verifiers: self.verifiers,
            callouts: self.callouts,
            apis: self.apis,
            plans: self.plans,
            keys: self.keys,
            routes: self.routes,
            filters: self.filters,
            upstreams: self.upstreams,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(section: &'static Section, look: &mut impl FnMut(&'static Section)) {
        look(section);
        for inside in section.fields.iter().filter_map(|field| field.section()) {
            each(inside, look);
        }
    }

    #[test]
    fn hints_are_of_what_a_section_does_not_have() {
        let mut count = 0;
        each(&ROOT, &mut |section| {
            let mut words: Vec<&str> = section.hints.iter().map(|(word, _)| *word).collect();
            count += words.len();
            for word in &words {
                let is_key = section.fields.iter().any(|field| field.key() == *word);
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
        each(&ROOT, &mut |section| {
            let there = |short| section.fields.iter().any(|field| field.key() == short);
            assert!(section.short.is_none_or(there), "{}", section.heading);
        });
    }
}
