//! Makes filters, and shares them: one compiled component for each digest, one filter for each
//! component with its settings.
//!
//! A filter that a reload does not change keeps its instances, its cache and its breaker. A filter that
//! no configuration uses any more is dropped with its last request. If a callout or a secret that a
//! filter may use changes, the filter is made anew, with an empty cache.

mod description;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::bindings::lifecycle::Diagnostic;
use super::bounds::FilterBounds;
use super::breaker::CircuitBreaker;
use super::component::{CompiledComponent, ComponentError, Phases};
use super::component_cache::ComponentCache;
use super::component_digest::ComponentDigest;
use super::contribution::{self, ContributionError};
use super::documents::{self, Documents};
use super::engine::FilterEngine;
use super::exports::Exports;
use super::facts::Facts;
use super::failure::CallFailure;
use super::filter::{Filter, FilterFigures};
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::instance_source::{InstanceCode, InstanceSource};
use super::job_queue::JobSender;
use super::output::one_line;
use super::pool::{INSTANCES_PER_WORKER, InstancePool};
use super::series::{SeriesError, SeriesTable};
use super::standard::{StandardEngine, is_standard};
use super::{linker, maker};
use crate::filter_store::cache::{CacheOrigin, Caches};
use crate::model::filter::{HostInterface, Isolation, OnError};
pub(crate) use description::PluginDescription;

/// The identity of a filter, beside its component and its documents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FilterSpec {
    pub(crate) name: Arc<str>,
    /// Its settings as JSON.
    pub(crate) settings: String,
    pub(crate) grants: Grants,
    /// The callouts and secrets that the grants name.
    pub(crate) origin: CacheOrigin,
    pub(crate) bounds: FilterBounds,
    /// How a request goes on when it fails.
    pub(crate) on_error: OnError,
    /// Whether its instances serve many requests.
    pub(crate) isolation: Isolation,
}

/// Why a filter cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its plugin is not a usable component.
    #[error("its plugin {0}")]
    Component(#[from] ComponentError),
    /// Its component does not fit the contract's types.
    #[error("its plugin does not fit this gateway's contract: {0}")]
    Link(String),
    /// A call failed while it was made.
    #[error("it failed while it was {doing}: it {failure}")]
    Start {
        /// The step that failed.
        doing: &'static str,
        failure: CallFailure,
    },
    /// `on_error = "skip"` for a component that may have read the request's body before it fails.
    #[error(
        "its plugin is a component on `wasi:http`, through which the request and the response pass: it cannot be skipped; remove `on_error = \"skip\"`"
    )]
    SkippedHandler,
    /// It rejects its settings.
    #[error("it rejects its settings")]
    Settings {
        complaints: Vec<Diagnostic>,
        /// What it wrote to its log meanwhile.
        said: Option<String>,
    },
    /// Its addition to the description of its APIs is invalid.
    #[error("its addition to the description of its APIs {0}")]
    Contribution(#[from] ContributionError),
    /// It declares invalid series.
    #[error("it {0}")]
    Series(#[from] SeriesError),
}

/// Two filters of one key are the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FilterKey {
    component: ComponentDigest,
    spec: FilterSpec,
    /// The digests of its documents: a key can outlive its filter, and keeps no bytes.
    documents: BTreeMap<String, [u8; 32]>,
}

/// Makes and shares filters.
#[derive(Debug)]
pub(crate) struct FilterRegistry {
    engine: FilterEngine,
    cache: ComponentCache,
    workers: usize,
    max_instances: u32,
    makers: JobSender<InstancePool>,
    caches: Caches,
    standard: StandardEngine,
    components: Mutex<HashMap<ComponentDigest, CompiledComponent>>,
    filters: Mutex<HashMap<FilterKey, Weak<Filter>>>,
}

impl FilterRegistry {
    /// A registry for this many workers.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub(crate) fn new(
        engine: FilterEngine,
        cache: ComponentCache,
        workers: usize,
        max_instances: u32,
    ) -> std::io::Result<Self> {
        Ok(Self {
            engine,
            cache,
            workers,
            max_instances,
            makers: maker::start()?,
            caches: Caches::default(),
            standard: StandardEngine::default(),
            components: Mutex::default(),
            filters: Mutex::default(),
        })
    }

    #[must_use]
    pub(crate) fn engine(&self) -> &FilterEngine {
        &self.engine
    }

    /// How many instances this many filters may need: each worker's, in the old and the new
    /// configuration during a reload.
    ///
    /// # Errors
    ///
    /// They are too many: gives the number that `[wasm] max_instances` would have to be.
    pub(crate) fn check_room(&self, filters: usize) -> Result<(), u64> {
        let needed = 2 * filters * self.workers * INSTANCES_PER_WORKER;
        let needed = u64::try_from(needed).unwrap_or(u64::MAX);
        if needed > u64::from(self.max_instances) {
            return Err(needed);
        }
        Ok(())
    }

    /// The compiled component of these bytes.
    ///
    /// # Errors
    ///
    /// They are not a usable component.
    pub(crate) fn component(&self, wasm: &[u8]) -> Result<CompiledComponent, ComponentError> {
        let digest = ComponentDigest::of(wasm);
        let mut components = self.components.lock();
        components.retain(|_, component| component.is_shared());
        if let Some(component) = components.get(&digest) {
            return Ok(component.clone());
        }
        let component = match is_standard(wasm) {
            false => CompiledComponent::compile(&self.engine, &self.cache, digest, wasm)?,
            true => {
                let engine = self.standard.engine()?;
                CompiledComponent::compile_standard(engine, &self.cache, digest, wasm)?
            }
        };
        components.insert(digest, component.clone());
        Ok(component)
    }

    /// The filter of this component, spec and documents: the one that is in use already, or a new one, with
    /// its instances.
    ///
    /// # Errors
    ///
    /// It cannot be linked, started or configured.
    pub(crate) fn filter(
        &self,
        component: CompiledComponent,
        spec: FilterSpec,
        documents: Documents,
    ) -> Result<Arc<Filter>, LoadError> {
        let key = FilterKey {
            component: component.digest,
            spec: spec.clone(),
            documents: documents::digests(&documents),
        };
        let mut filters = self.filters.lock();
        filters.retain(|_, filter| filter.strong_count() > 0);
        if let Some(filter) = filters.get(&key).and_then(Weak::upgrade) {
            return Ok(filter);
        }
        let filter = match component.is_standard {
            false => self.make(component, spec, Arc::new(documents))?,
            true => self.make_standard(component, spec)?,
        };
        filters.insert(key, Arc::downgrade(&filter));
        Ok(filter)
    }

    /// How many components are compiled and in use.
    #[must_use]
    pub(crate) fn components(&self) -> usize {
        let components = self.components.lock();
        components
            .values()
            .filter(|component| component.is_shared())
            .count()
    }

    fn make(
        &self,
        component: CompiledComponent,
        spec: FilterSpec,
        documents: Arc<Documents>,
    ) -> Result<Arc<Filter>, LoadError> {
        let link_error = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let linked = linker::link(&self.engine, &component, &spec.grants).map_err(link_error)?;
        let exports = Exports::find(&linked.instance_pre, &component).map_err(link_error)?;
        let may_call = |interface: HostInterface| {
            component.interfaces.contains(&interface) && spec.grants.interface(interface)
        };
        let asks_for_tokens = may_call(HostInterface::Jwt);
        let asks_servers = may_call(HostInterface::Callout);
        let cache = self.caches.of(&spec.name, spec.origin);
        let blank = SeriesTable::default();
        let mut source = InstanceSource {
            services: FilterServices::new(cache.clone(), blank, documents.clone()),
            name: spec.name,
            engine: self.engine.clone(),
            code: Some(InstanceCode {
                pre: linked.instance_pre,
                exports,
            }),
            settings: spec.settings,
            grants: Arc::new(spec.grants),
            bounds: spec.bounds,
            debug_lines: component.debug_lines.clone(),
            made: AtomicU64::new(0),
        };
        let mut first = start("instantiated", source.instantiate(1))?;
        let info = start("described", first.describe())?;
        let setup = start("configured", first.configure(&source.settings))?;
        let setup = setup.map_err(|diagnostics| LoadError::Settings {
            complaints: complaints(diagnostics),
            said: first.take_said(),
        })?;
        let advice = first.take_advice();
        let mut phases = component.phases;
        phases.response &= !advice.skips_response;
        let contribution = start(
            "asked for its addition to the description of its APIs",
            first.contribute(),
        )?;
        let contribution = contribution
            .as_deref()
            .map(contribution::read)
            .transpose()?;
        drop(first);
        let facts = Facts {
            plugin: one_line(&format!("{} {}", info.name, info.version)).into_owned(),
            summary: one_line(&info.summary).into_owned(),
            provides: setup.provides,
            sometimes: setup.sometimes,
            requires: setup.requires,
            advice,
            contribution,
        };
        let series = SeriesTable::new(setup.series)?;
        source.services = FilterServices::new(cache, series, documents);
        let source = Arc::new(source);
        let breaker = Arc::new(CircuitBreaker::new(spec.bounds.breaker));
        let makers = self.makers.clone();
        let pool = InstancePool::new(self.workers, source.clone(), breaker.clone(), makers);
        match spec.isolation {
            Isolation::Shared => start("given its instances", pool.fill())?,
            Isolation::Request => pool.prepare(),
        }
        Ok(Arc::new(Filter {
            component,
            phases,
            source,
            on_error: spec.on_error,
            isolation: spec.isolation,
            facts,
            denied: linked.denied,
            uses_secrets: linked.uses_secrets,
            stubbed: linked.stubbed,
            verifies_tokens: asks_for_tokens,
            uses_callouts: asks_servers,
            handler: None,
            pool,
            breaker,
            figures: self.figures(),
        }))
    }

    /// The filter of a component on `wasi:http`. It has no phases and no instances that wait.
    fn make_standard(
        &self,
        component: CompiledComponent,
        spec: FilterSpec,
    ) -> Result<Arc<Filter>, LoadError> {
        if spec.on_error == OnError::Skip {
            return Err(LoadError::SkippedHandler);
        }
        let handler = self.standard.link(&component.component, &spec.settings);
        let handler = handler
            .map_err(|error| LoadError::Link(format!("{error:#}")))?
            .map_err(|complaints| LoadError::Settings {
                complaints,
                said: None,
            })?;
        let cache = self.caches.of(&spec.name, spec.origin);
        let source = Arc::new(InstanceSource {
            services: FilterServices::new(cache, SeriesTable::default(), Arc::default()),
            name: spec.name,
            engine: self.engine.clone(),
            code: None,
            debug_lines: component.debug_lines.clone(),
            settings: spec.settings,
            grants: Arc::new(spec.grants),
            bounds: spec.bounds,
            made: AtomicU64::new(0),
        });
        let breaker = Arc::new(CircuitBreaker::new(spec.bounds.breaker));
        let makers = self.makers.clone();
        let pool = InstancePool::new(self.workers, source.clone(), breaker.clone(), makers);
        let facts = Facts {
            plugin: "a component on wasi:http".to_owned(),
            ..Facts::default()
        };
        Ok(Arc::new(Filter {
            component,
            phases: Phases::default(),
            source,
            on_error: spec.on_error,
            isolation: Isolation::Request,
            facts,
            denied: Vec::new(),
            uses_secrets: false,
            stubbed: Vec::new(),
            verifies_tokens: false,
            uses_callouts: false,
            handler: Some(handler),
            pool,
            breaker,
            figures: self.figures(),
        }))
    }

    fn figures(&self) -> Box<[FilterFigures]> {
        (0..self.workers)
            .map(|_| FilterFigures::default())
            .collect()
    }
}

fn start<T>(doing: &'static str, result: Result<T, CallFailure>) -> Result<T, LoadError> {
    result.map_err(|failure| LoadError::Start { doing, failure })
}

fn complaints(mut complaints: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for complaint in &mut complaints {
        complaint.message = one_line(&complaint.message).into_owned();
    }
    if complaints.is_empty() {
        complaints.push(Diagnostic {
            at: String::new(),
            message: "the plugin rejects the settings and does not say why".into(),
        });
    }
    complaints
}
