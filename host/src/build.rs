//! Builds a [`Gateway`] from a configuration.
//!
//! A gateway is made whole before it is put in use, at the first start as at every reload. Requests
//! keep the one that they began with; it is dropped after the last of them. State that outlives
//! configurations (the filter engine, the counters of usage plans, caches) is in [`ProcessResources`].
//! `config/` reads the file before; `server/` puts the gateway in use.

mod apis;
mod attributes;
mod cache_origin;
mod callouts;
mod certificates;
mod chains;
pub(crate) mod cors_preflights;
mod description;
mod documents;
pub(crate) mod environment_check;
pub(crate) mod filters;
pub(crate) mod granted;
mod keys;
mod lints;
mod listeners;
mod named_grants;
mod plans;
mod plugins;
mod rates;
mod restart_only;
mod service_runtime;
pub(crate) mod settings_schemas;
pub(crate) mod single_filter;
mod spans;
mod storage;
mod trusted_fields;
mod upstreams;
mod verifiers;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::Method;

use restart_only::RestartOnly;

use storage::{ControlServices, StorageServices};

use crate::callout::CalloutThread;
use crate::config::{self, Config, Problems};
use crate::control::service::ControlService;
use crate::control::sync::{StorageSync, SyncError};
use crate::exchange::{BasePath, RouteInfo, Via};
use crate::http::tls::watcher::CertificateWatcher;
use crate::keys::{LiveKeys, RejectCounters};
use crate::limits;
use crate::limits::{LeasedLimits, LimitStore, LivePlans, RateCounters};
use crate::observe::route_stats::{RouteStatsRegistry, RouteStatsSet};
use crate::proxy::gateway::{Gateway, Route};
use crate::proxy::load::LoadBounds;
use crate::proxy::response_fields::ResponseFields;
use crate::runtime::active_requests::{ActiveRequestBound, ActiveRequests};
use crate::runtime::clock::Timestamp;
use crate::runtime::memory::{self, MemoryWatcher};
use crate::shared_store::StorageError;
use crate::tokens::KeySources;
use crate::upstream::endpoint::dns::{DnsResolver, LookupError, ResolvedAddresses};
use crate::upstream::endpoint::maintenance::Maintenance;
use crate::upstream::registry::UpstreamRegistry;
use crate::wasm::FilterRegistry;
use crate::wasm::component_cache::{ComponentCache, user_folder};
use crate::wasm::engine::{EngineError, EngineLimits, FilterEngine};
use crate::wasm::recorder::Recorder;

/// The state of the process that outlives configurations.
pub struct ProcessResources {
    pub(crate) registry: FilterRegistry,
    /// The counters of plans and of routes.
    pub(crate) limits: Arc<dyn LimitStore>,
    /// The counters of bounds without a key.
    pub(crate) rates: Arc<RateCounters>,
    /// The sync of keys, plans and usage, if there is a `[store]`.
    pub(crate) sync: Option<Arc<StorageSync>>,
    control: Option<ControlServices>,
    /// How many keys each worker rejected.
    pub(crate) rejects: Arc<[RejectCounters]>,
    /// The upstreams in use, and their changes at run time.
    pub(crate) upstreams: UpstreamRegistry,
    maintenance: Maintenance,
    /// The listeners' certificates in use.
    pub(crate) certificates: CertificateWatcher,
    /// The resolver of the configuration in use.
    dns: ArcSwap<DnsResolver>,
    workers: NonZeroUsize,
    /// The counters of the routes in use, and of requests without a route.
    routes: RouteStatsRegistry,
    unrouted: Arc<RouteStatsSet>,
    gateways_built: AtomicU64,
    gateways_in_memory: Arc<AtomicU64>,
    restart_only: RestartOnly,
    key_sources: KeySources,
    callout_thread: OnceLock<CalloutThread>,
    /// Whether it is made for a check, which puts nothing in use.
    is_for_check: bool,
    /// The active requests of all workers.
    active_requests: Arc<ActiveRequests>,
    memory: MemoryWatcher,
    /// The gateway's name in `Via`, if the configuration gives none.
    via: String,
}

impl std::fmt::Debug for ProcessResources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessResources")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// The reason why the process's resources cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProcessResourcesError {
    /// The filter engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread does not start.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// The store of keys and plans cannot be used.
    #[error("`[store]` cannot be used")]
    Store(#[from] StorageError),
    /// The store's password cannot be read.
    #[error("`[store] password`: secret `{secret}`: {cause}")]
    Password {
        /// The secret's name.
        secret: Arc<str>,
        cause: String,
    },
    /// The sync of keys and plans does not start.
    #[error("`[store]` cannot be used")]
    Sync(#[from] SyncError),
}

/// The totals of the filter engine.
fn engine_limits(config: &Config) -> EngineLimits {
    EngineLimits {
        max_instances: config.wasm.max_instances.get(),
        max_memory: config.wasm.max_memory,
        memory: config.wasm.memory,
    }
}

impl ProcessResources {
    /// Make the resources for this configuration and this many workers.
    ///
    /// # Errors
    ///
    /// The system gives no address space or no thread, or the store cannot be opened.
    pub fn new(config: &Config, workers: NonZeroUsize) -> Result<Self, ProcessResourcesError> {
        let durable = storage::open(config)?;
        let engine = FilterEngine::start(engine_limits(config))?;
        Self::open(config, workers, durable, engine)
    }

    /// The same without the store, which a running gateway may use: for `windlass check`.
    ///
    /// # Errors
    ///
    /// The system gives no address space or no thread.
    pub(crate) fn without_store(
        config: &Config,
        workers: NonZeroUsize,
    ) -> Result<Self, ProcessResourcesError> {
        let engine = FilterEngine::start(engine_limits(config))?;
        let resources = Self::open(config, workers, StorageServices::none(config), engine)?;
        Ok(Self {
            is_for_check: true,
            ..resources
        })
    }

    /// The same for a plugin's author: filters are recorded, and plugins that changed little compile fast.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(crate) fn for_author(
        config: &Config,
        workers: NonZeroUsize,
        recorder: Recorder,
    ) -> Result<Self, ProcessResourcesError> {
        let engine = FilterEngine::for_author(engine_limits(config), recorder)?;
        Self::open(config, workers, storage::open(config)?, engine)
    }

    fn open(
        config: &Config,
        workers: NonZeroUsize,
        durable: StorageServices,
        engine: FilterEngine,
    ) -> Result<Self, ProcessResourcesError> {
        let instances = config.wasm.max_instances.get();
        let cache = match &config.wasm.cache {
            config::CompileCache::Off => ComponentCache::off(),
            config::CompileCache::Folder(folder) => ComponentCache::in_folder(folder),
            config::CompileCache::UserFolder => match user_folder() {
                Some(folder) => ComponentCache::in_folder(&folder),
                None => ComponentCache::off(),
            },
        };
        let upstreams = UpstreamRegistry::default();
        let leaving = Arc::clone(upstreams.leaving());
        Ok(Self {
            registry: FilterRegistry::new(engine, cache, workers.get(), instances)?,
            rejects: (0..workers.get())
                .map(|_| RejectCounters::default())
                .collect(),
            upstreams,
            maintenance: Maintenance::start(leaving)?,
            certificates: CertificateWatcher::default(),
            dns: ArcSwap::from_pointee(DnsResolver::new(&config.server.resolvers)),
            workers,
            control: ControlServices::open(&durable),
            limits: durable.limits,
            rates: durable.rates,
            sync: durable.sync,
            routes: RouteStatsRegistry::default(),
            unrouted: Arc::new(RouteStatsSet::new(workers.get())),
            gateways_built: AtomicU64::new(0),
            gateways_in_memory: Arc::default(),
            restart_only: RestartOnly::from_config(config),
            key_sources: KeySources::new(config.server.max_used_proofs),
            callout_thread: OnceLock::new(),
            is_for_check: false,
            active_requests: Arc::default(),
            memory: MemoryWatcher::default(),
            via: format!("{:016x}", fastrand::u64(..)),
        })
    }

    /// The addresses of an endpoint's name. Blocks, so do not call it on a worker.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(crate) fn resolve(&self, name: &str) -> Result<ResolvedAddresses, LookupError> {
        self.maintenance.look_up(&self.dns.load(), name).result()
    }

    /// The key and plan service, if there is a `[store]`.
    #[must_use]
    pub(crate) fn service(&self) -> Option<&Arc<ControlService>> {
        self.control.as_ref().map(|control| &control.service)
    }

    /// The service cannot redefine the keys and plans of this configuration from now on.
    pub fn put_in_use(&self, gateway: &Gateway) {
        if let Some(control) = &self.control {
            control.put_in_use(gateway);
        }
        for filter in &gateway.filters {
            filter.enroll_bounds(&gateway.services);
        }
        let tls = gateway.tls.iter().chain([&gateway.admin_tls]);
        let tls = tls.flatten().map(Arc::clone);
        self.certificates.put_in_use(tls.collect());
        self.memory.put_in_use(gateway.load.max_memory);
        self.upstreams.put_in_use(&gateway.upstreams);
        self.dns.store(Arc::clone(&gateway.dns));
        self.maintenance.maintain(&gateway.upstreams, &gateway.dns);
    }

    fn load_bounds(&self, max_active_requests: usize, max_memory: Option<u64>) -> LoadBounds {
        LoadBounds {
            active_bound: ActiveRequestBound::new(max_active_requests, self.workers.get()),
            active_requests: Arc::clone(&self.active_requests),
            max_memory: max_memory.or_else(memory::default_bound),
            memory: Arc::clone(&self.memory.pressure),
        }
    }

    fn live_keys(&self) -> Option<LiveKeys> {
        self.sync.as_ref().map(|sync| sync.live_keys())
    }

    fn live_plans(&self) -> Arc<LivePlans> {
        let sync = self.sync.as_ref();
        sync.map_or_else(Arc::default, |sync| Arc::clone(&sync.plans))
    }

    /// Load the usage in the period of each plan's quota, before the plans of a configuration are in force.
    fn prepare(&self, plan: &limits::UsagePlan) -> Result<(), StorageError> {
        if let Some(sync) = &self.sync {
            return sync.prepare(plan);
        }
        if let Some(quota) = plan.quota
            && !self
                .limits
                .local()
                .periods(&plan.name)
                .contains(&quota.period)
        {
            let local = self.limits.local();
            local.track(&plan.name, quota.period, Timestamp::now());
        }
        Ok(())
    }

    /// Load the usage from before the start into the counters: once, after the first configuration is built
    /// and before the first request.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub(crate) fn restore(&self) -> Result<(), ProcessResourcesError> {
        match &self.sync {
            None => Ok(()),
            Some(sync) => Ok(sync.restore()?),
        }
    }

    /// The gateway drains, and a successor may use the store from now on. Later usage is added to the
    /// successor's counts.
    pub(crate) fn release_storage(&self) {
        if let Some(sync) = &self.sync {
            sync.release();
        }
    }

    /// Write the usage, give back the leases, and end the threads that look after the store.
    pub(crate) fn close(&self) {
        if let Some(sync) = &self.sync {
            sync.stop();
        }
        let leases = [self.limits.leased(), self.rates.leased()];
        leases.into_iter().flatten().for_each(LeasedLimits::stop);
    }

    /// How many configurations are in memory: one, and after a reload those that requests still use.
    #[must_use]
    pub(crate) fn gateways_in_memory(&self) -> u64 {
        self.gateways_in_memory.load(Ordering::Relaxed)
    }

    /// Warn of changes that a reload cannot make.
    fn check_restart_only(&self, config: &Config, problems: &mut Problems) {
        let fixed = RestartOnly::from_config(config);
        for name in self.restart_only.changed_keys(&fixed) {
            problems.warning(
                config::Span::default(),
                format!("a change of {name} takes a restart; what is in use stays as it is"),
            );
        }
    }

    /// Build a gateway from a configuration. All warnings and errors go to `problems`. None if there was an
    /// error.
    pub fn build(&self, config: Config, problems: &mut Problems) -> Option<Arc<Gateway>> {
        self.check_restart_only(&config, problems);
        let services = keys::services(&config, self, problems);
        let secrets = services.as_ref().map(|services| &*services.secrets);
        let filters = filters::load(&config, &self.registry, secrets, problems);
        let chains = chains::build(&config, &filters, problems);
        trusted_fields::check(&config, &chains, problems);
        cors_preflights::check(&config, &chains, problems);
        let router = chains::router(&config, problems);
        let rates = rates::enroll(&config, &*self.limits, problems);
        apis::check(&config, problems);
        plans::check(&config, problems);
        // Made anew with each configuration, since the system's files may have changed, too.
        let names = Arc::new(DnsResolver::new(&config.server.resolvers));
        let answered = upstreams::look_up_names(&config, &self.maintenance, &names);
        let tls = listeners::tls(&config, &self.certificates, problems);
        let certificates = certificates::check(&config, problems);
        // After the errors of the rest are found.
        let upstreams = upstreams::build(&config, &self.upstreams, &answered, secrets, problems);
        if problems.is_fatal() {
            return None;
        }
        let (mut services, router) = (services?, router?);
        services.apis = Arc::new(description::describe(&config, &filters));
        let mut lint = lints::Lint {
            config: &config,
            filters: &filters,
            router: &router,
            secrets: &services.secrets,
            problems,
        };
        lint.run();
        if problems.is_fatal() {
            return None;
        }
        let words = apis::words(&config);
        let bases = apis::finder(&config, &words);
        let via = config.server.via.as_deref().unwrap_or(&self.via);
        let response_fields = ResponseFields::new(&config.server);
        let mut client_fields = config.server.client_fields;
        client_fields.extend(filters::read_fields(&filters));
        let routes = config.routes.into_iter().zip(chains).zip(rates).enumerate();
        let routes = routes
            .map(|(index, ((route, filters), rates))| {
                let api = route.api.and_then(|index| config.apis.get(index));
                let words = route.api.and_then(|index| words.get(index));
                let base = api.and_then(|api| api.base_path.as_deref());
                let api_name = api.map(|api| &api.name);
                Route {
                    stats: self
                        .routes
                        .enroll(api_name, &route.name, self.workers.get()),
                    info: RouteInfo {
                        via: Via::new(via, &route.name),
                        name: route.name,
                        api: api.map(|api| api.name.clone()),
                        stage: api.map(|api| api.stage.clone()),
                        pattern: Arc::from(&*route.path),
                        variables: api.map(apis::variables).unwrap_or_default(),
                        base: base.and_then(BasePath::new),
                        params: router.names(index).into(),
                        rewrite: route.rewrite,
                        rates,
                    },
                    filters,
                    words: words.cloned().unwrap_or_default(),
                    lists_options: route.methods.contains(&Method::OPTIONS),
                    split: upstreams::split(&route.end, &upstreams),
                    end: route.end,
                    max_body: route.max_body,
                    timeouts: route.timeouts,
                }
            })
            .collect();
        self.routes.remove_unused();
        self.gateways_in_memory.fetch_add(1, Ordering::Relaxed);
        Some(Arc::new(Gateway {
            number: self.gateways_built.fetch_add(1, Ordering::Relaxed) + 1,
            response_fields,
            trusted_proxies: config.server.trusted_proxies,
            client_fields,
            forwarding: config.server.forwarding,
            listeners: config.listeners,
            tls: tls.listeners,
            admin_tls: tls.admin,
            certificates,
            routes,
            unrouted: Arc::clone(&self.unrouted),
            router,
            api_finder: bases,
            upstreams,
            dns: names,
            filters: filters.into_iter().flatten().collect(),
            services: Arc::new(services),
            access_format: config.log.access_format(),
            drain_timeout: config.server.drain_timeout,
            drain_delay: config.server.drain_delay,
            workers: u32::try_from(self.workers.get()).unwrap_or(u32::MAX),
            load: self.load_bounds(config.server.max_active_requests, config.server.max_memory),
            alive: Arc::clone(&self.gateways_in_memory),
        }))
    }
}
