//! Opens the `[store]`: the storage, its sync, and the counters that go with it.

use std::sync::Arc;

use super::service_runtime::GatewayServiceRuntime;
use super::{Gateway, ProcessResourcesError};
use crate::config::{self, Config};
use crate::control::service::ControlService;
use crate::control::storage::Storage;
use crate::control::storage::redis::RedisStorage;
use crate::control::storage::sqlite::SqliteStorage;
use crate::control::sync::{StorageSync, SyncSettings};
use crate::filter_store::secrets::SecretValue;
use crate::limits::{LeasePolicy, LeasedLimits, LimitStore, LocalLimits, RateCounters};
use crate::shared_store::redis_server::RedisSettings;

/// The counters, and what is behind them.
pub(crate) struct StorageServices {
    /// The counters.
    pub(crate) limits: Arc<dyn LimitStore>,
    /// The counters of bounds without a key.
    pub(crate) rates: Arc<RateCounters>,
    /// The sync, if there is a `[store]`.
    pub(crate) sync: Option<Arc<StorageSync>>,
}

impl StorageServices {
    /// Without `[store]`: counters are in memory, and nothing is kept.
    pub(crate) fn none(config: &Config) -> Self {
        Self {
            limits: Arc::new(LocalLimits::default()),
            rates: Arc::new(RateCounters::local(config.server.max_rate_counters)),
            sync: None,
        }
    }
}

/// The key and plan services, and the part of the running gateway that they reach.
pub(crate) struct ControlServices {
    pub(crate) service: Arc<ControlService>,
    runtime: Arc<GatewayServiceRuntime>,
}

impl ControlServices {
    /// None: there is no `[store]`.
    pub(crate) fn open(storage: &StorageServices) -> Option<Self> {
        let sync = storage.sync.as_ref()?;
        let limits = Arc::clone(&storage.limits);
        let runtime = Arc::new(GatewayServiceRuntime::new(Arc::clone(sync), limits));
        let storage = Arc::clone(&sync.storage);
        Some(Self {
            service: Arc::new(ControlService::new(storage, runtime.clone())),
            runtime,
        })
    }

    /// Shows the keys and plans of this configuration, which cannot be changed.
    pub(crate) fn put_in_use(&self, gateway: &Gateway) {
        let services = &gateway.services;
        let keys = Arc::clone(&services.keys.configured);
        self.runtime.put_in_use(services.plans.clone(), keys);
        let plans = services.plans.configured().values();
        let plans = plans.map(|plan| plan.plan.clone());
        self.service
            .set_configured(plans, services.keys.configured.entries());
    }
}

/// Opens the store of the configuration, and reads it.
pub(crate) fn open(config: &Config) -> Result<StorageServices, ProcessResourcesError> {
    let Some(store) = &config.store else {
        return Ok(StorageServices::none(config));
    };
    let most_rates = config.server.max_rate_counters;
    let (storage, limits, rates): (Arc<dyn Storage>, Arc<dyn LimitStore>, _) = match &store.place {
        config::StorePlace::Sqlite(path) => (
            Arc::new(SqliteStorage::open(path)?),
            Arc::new(LocalLimits::new(store.max_counters).with_recording()),
            RateCounters::local(most_rates),
        ),
        config::StorePlace::Redis(place) => {
            let settings = redis(config, place)?;
            (
                Arc::new(RedisStorage::open(&settings)?),
                LeasedLimits::start(&settings, policy(store))?,
                RateCounters::shared(rate_leases(settings, policy(store), most_rates)?),
            )
        }
    };
    let settings = SyncSettings {
        flush_interval: store.flush_interval,
        // A file is this gateway's own: nobody else changes it.
        max_staleness: limits.leased().map(|_| store.max_staleness),
        allow_stale: store.on_stale == config::OnStale::Allow,
        usage_days: store.usage_days,
    };
    let name = storage.name();
    let sync = StorageSync::start(storage, Arc::clone(&limits), settings)?;
    if sync.is_loaded() {
        let state = sync.state();
        tracing::info!(
            keys = state.keys,
            plans = sync.plans.snapshot().len(),
            revision = state.revision,
            "read keys and plans from {name}"
        );
    }
    Ok(StorageServices {
        limits,
        rates: Arc::new(rates),
        sync: Some(Arc::new(sync)),
    })
}

/// Leases of bounds without a key, with room, a thread and names in the store of their own, so that a
/// flood of new addresses delays no plan.
fn rate_leases(
    mut settings: RedisSettings,
    policy: LeasePolicy,
    max_counters: usize,
) -> Result<Arc<LeasedLimits>, ProcessResourcesError> {
    settings.prefix.push_str(":rates");
    let policy = LeasePolicy {
        max_counters,
        recording: false,
        ..policy
    };
    Ok(LeasedLimits::start(&settings, policy)?)
}

/// The settings for a Redis, with its password.
pub(super) fn redis(
    config: &Config,
    place: &config::RedisPlace,
) -> Result<RedisSettings, ProcessResourcesError> {
    let secret = place.password.and_then(|index| config.secrets.get(index));
    let password = secret.map(|secret| {
        let failed = |cause: String| ProcessResourcesError::Password {
            secret: Arc::clone(&secret.name),
            cause,
        };
        let value = SecretValue::read(&secret.from).map_err(|error| failed(error.to_string()))?;
        let text = value.login();
        text.ok_or_else(|| failed("it is not UTF-8".to_owned()))
    });
    Ok(RedisSettings {
        url: place.url.clone(),
        password: password.transpose()?,
        prefix: place.prefix.clone(),
        timeout: place.timeout,
    })
}

fn policy(store: &config::Store) -> LeasePolicy {
    LeasePolicy {
        max_lease: store.max_lease,
        on_unavailable: store.on_unavailable,
        max_counters: store.max_counters,
        max_wait: store.max_wait,
        recording: true,
    }
}
