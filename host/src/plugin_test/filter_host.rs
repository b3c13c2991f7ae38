//! The host of one case or check: a filter engine, and one filter in a chain of its own.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::{TestBench, TestError};
use crate::build::ProcessResources;
use crate::chain::Chain;
use crate::config::{Config, Key, PluginCases, PluginSource, Problems, Settings};
use crate::error::ErrorFormat;
use crate::filter_store::secrets::{SecretValue, Secrets};
use crate::keys::KeyDigest;
use crate::wasm::bounds::FilterBounds;
use crate::wasm::component::CompiledComponent;
use crate::wasm::registry::{LoadError, PluginDescription};
use crate::wasm::{Filter, Services, WorkerFilter};

/// The configuration of all tests; the filter's table is filled in.
const BASE: &str = "\
[[listener]]
address = \"127.0.0.1:0\"

[wasm]
max_instances = 64

[[route]]
path = \"$default\"
filters = [\"NAME\"]
respond = {}

[filter.NAME]
plugin = \"builtin:cors\"
";

/// A host for one filter.
pub(super) struct FilterHost {
    resources: ProcessResources,
    config: Config,
    component: CompiledComponent,
    services: Arc<Services>,
}

/// A filter in a chain of its own.
pub(super) struct FilterUnderTest {
    pub(super) filter: Arc<Filter>,
    pub(super) worker_filter: Rc<WorkerFilter>,
    pub(super) chain: Rc<Chain>,
}

/// Why a filter does not start.
#[derive(Debug)]
pub(super) enum Rejected {
    /// It rejects its settings: JSON pointers and messages.
    Settings(Vec<(String, String)>),
    /// It failed.
    Failed(String),
}

impl FilterHost {
    /// A host for the filter with these settings.
    pub(super) fn new(bench: &TestBench<'_>, settings: &Settings) -> Result<Self, TestError> {
        let plan = bench.plan;
        let callouts = bench.callouts.as_ref().map(|server| server.address);
        let config = config(plan.cases, plan.name, callouts).map_err(input)?;
        let config = fill_in(config, plan.cases, plan.plugin, settings);
        let workers = NonZeroUsize::MIN;
        let resources = ProcessResources::without_store(&config, workers)
            .map_err(|error| TestError::Input(error.to_string()))?;
        let mut problems = Problems::new(Arc::clone(&config.source));
        let component = filter(&config)
            .and_then(|filter| resources.component_of(&config, filter, &mut problems));
        let Some(component) = component else {
            return Err(input(problems));
        };
        let secrets = plan.cases.secrets.iter().map(|secret| {
            let value = SecretValue::new(secret.value.clone().into_bytes());
            (Arc::clone(&secret.name), value)
        });
        let services = resources.services_of(&config, secrets.collect::<Secrets>(), &mut problems);
        match services {
            Some(services) if !problems.is_fatal() => Ok(Self {
                resources,
                config,
                component,
                services: Arc::new(services),
            }),
            _ => Err(input(problems)),
        }
    }

    /// Start the filter. `tune` changes its bounds; filters with different bounds share no instance.
    pub(super) fn load(
        &self,
        tune: impl FnOnce(&mut FilterBounds),
    ) -> Result<Result<FilterUnderTest, Rejected>, TestError> {
        let mut problems = Problems::new(Arc::clone(&self.config.source));
        let loaded = filter(&self.config).and_then(|filter| {
            let resources = &self.resources;
            resources.single_filter(&self.config, filter, &self.component, tune, &mut problems)
        });
        match loaded {
            None => Err(input(problems)),
            Some(Ok(filter)) => {
                filter.enroll_bounds(&self.services);
                let worker_filter = WorkerFilter::for_worker(&filter, 0);
                let (uses, services) = (vec![Rc::clone(&worker_filter)], self.services.clone());
                let chain = Chain::new(uses, services, Arc::<ErrorFormat>::default());
                Ok(Ok(FilterUnderTest {
                    filter,
                    worker_filter,
                    chain: Rc::new(chain),
                }))
            }
            Some(Err(LoadError::Settings { complaints, .. })) => {
                let complaints = complaints.into_iter();
                let complaints = complaints.map(|complaint| (complaint.at, complaint.message));
                Ok(Err(Rejected::Settings(complaints.collect())))
            }
            Some(Err(error)) => Ok(Err(Rejected::Failed(error.to_string()))),
        }
    }

    /// The same with other settings.
    pub(super) fn load_with(
        &mut self,
        settings: Json,
    ) -> Result<Result<FilterUnderTest, Rejected>, TestError> {
        if let Some(filter) = self.config.filters.first_mut() {
            filter.settings.json = settings;
        }
        self.load(|_| {})
    }

    /// What the component says about itself.
    pub(super) fn describe(&self) -> Result<PluginDescription, String> {
        let filter = filter(&self.config).ok_or_else(String::new)?;
        self.resources
            .description_of(&self.config, filter, &self.component)
            .map_err(|error| error.to_string())
    }

    /// The largest head, the most fields and the longest target that a listener takes by default.
    pub(super) fn head_limits(&self) -> (usize, usize, usize) {
        let listener = self.config.listeners.first();
        listener.map_or((0, 0, 0), |listener| {
            (listener.max_head, listener.max_headers, listener.max_uri)
        })
    }

    /// The bounds of the filter.
    pub(super) fn body_limit(&self) -> u64 {
        filter(&self.config).map_or(0, |filter| filter.limits.body)
    }
}

/// Bounds with which an instance is replaced only if it fails, and the filter is never suspended.
pub(super) fn keep_instance(bounds: &mut FilterBounds) {
    bounds.recycle_calls = u32::MAX;
    bounds.recycle_age = Duration::MAX;
    bounds.recycle_growth = u64::MAX;
    bounds.breaker.failures = u32::MAX;
}

fn filter(config: &Config) -> Option<&crate::config::FilterConfig> {
    config.filters.first()
}

fn input(problems: Problems) -> TestError {
    let messages = problems.iter().map(|problem| match &problem.help {
        Some(help) => format!("{}; {help}", problem.message),
        None => problem.message.clone(),
    });
    TestError::Input(messages.collect::<Vec<_>>().join("\n"))
}

/// The configuration with the names that grants refer to.
fn config(
    cases: &PluginCases,
    name: &str,
    callouts: Option<SocketAddr>,
) -> Result<Config, Problems> {
    let mut text = BASE.replace("NAME", name);
    for callout in &cases.callouts {
        let (name, address) = (
            &callout.name,
            callouts.unwrap_or(([127, 0, 0, 1], 1).into()),
        );
        text.extend([
            "[callout.",
            name,
            "]\nallow_http = true\nurl = \"http://",
            &address.to_string(),
            "/",
            name,
            "\"\n",
        ]);
    }
    for upstream in &cases.upstreams {
        text.extend([
            "[upstream.",
            &upstream.name,
            "]\nendpoints = [{ address = \"127.0.0.1:1\" }]\n",
        ]);
    }
    for secret in &cases.secrets {
        // The value is that of the case.
        text.extend(["[secret.", &secret.name, "]\nenv = \"UNUSED\"\n"]);
    }
    Config::parse("windlass.toml", &text, Path::new(""))
}

fn fill_in(
    mut config: Config,
    cases: &PluginCases,
    plugin: &PluginSource,
    settings: &Settings,
) -> Config {
    for (callout, case) in config.callouts.iter_mut().zip(&cases.callouts) {
        callout.basic = case.basic;
    }
    config.plans.clone_from(&cases.plans);
    config.verifiers.clone_from(&cases.verifiers);
    let keys = cases.keys.iter().map(|key| Key {
        id: Arc::clone(&key.id),
        consumer: Arc::clone(&key.consumer),
        digest: *KeyDigest::of(key.key.as_bytes()).as_bytes(),
        plans: key.plans.clone(),
        enabled: key.enabled,
        expires: key.expires,
        attributes: key.attributes.clone(),
        span: key.span,
    });
    config.keys = keys.collect();
    if let Some(filter) = config.filters.first_mut() {
        filter.plugin = plugin.clone();
        filter.settings = settings.clone();
        filter.documents.clone_from(&cases.documents);
        filter.allow.clone_from(&cases.allow);
        filter.limits = cases.limits;
    }
    config
}
