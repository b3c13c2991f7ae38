//! Opens the `[store]`: the storage, its sync, and the counters that go with it.

use std::sync::Arc;

use super::service_runtime::GatewayServiceRuntime;
use super::{Gateway, ProcessResources, ProcessResourcesError};
use crate::config::{self, Config};
use crate::control::service::{ControlService, ServiceRuntime};
use crate::control::storage::Storage;
use crate::control::storage::redis::RedisStorage;
use crate::control::storage::sqlite::SqliteStorage;
use crate::control::sync::{StorageSync, SyncSettings};
use crate::filter_store::secrets::SecretValue;
use crate::limits::{
    LeasePolicy, LeaseState, LeasedLimits, LimitFigures, LimitStore, LocalLimits, RateCounters,
    RateFigures,
};
use crate::shared_store::redis_server::RedisSettings;

/// The counters, and what is behind them.
pub(crate) struct StorageServices {
    /// The counters.
    pub(crate) limits: Arc<dyn LimitStore>,
    /// The same counters, where several gateways share them.
    pub(crate) leased: Option<Arc<LeasedLimits>>,
    /// The counters of bounds without a key.
    pub(crate) rates: Arc<RateCounters>,
    /// Where there is a `[store]`.
    pub(crate) sync: Option<Arc<StorageSync>>,
}

impl StorageServices {
    /// Without `[store]`: counters are in memory, and nothing is kept.
    pub(crate) fn none(config: &Config) -> Self {
        Self {
            limits: Arc::new(LocalLimits::default()),
            leased: None,
            rates: Arc::new(RateCounters::local(config.server.max_rate_counters)),
            sync: None,
        }
    }
}

impl ProcessResources {
    /// How the shared counters stand, where several gateways share them.
    #[must_use]
    pub(crate) fn leases(&self) -> Option<LeaseState> {
        self.leased.as_ref().map(|leased| leased.state())
    }

    /// The same of bounds without a key.
    #[must_use]
    pub(crate) fn rate_leases(&self) -> Option<LeaseState> {
        self.rates.leases()
    }

    /// How the counters in this gateway's memory stand, for metrics.
    #[must_use]
    pub(crate) fn limits(&self) -> LimitFigures {
        self.limits.figures()
    }

    /// How the counters of bounds without a key stand, for metrics.
    #[must_use]
    pub(crate) fn rates(&self) -> RateFigures {
        self.rates.figures()
    }
}

/// The rules of selling, and what of the running gateway they reach.
pub(crate) struct ControlServices {
    /// The rules.
    pub(crate) service: Arc<ControlService>,
    runtime: Arc<GatewayServiceRuntime>,
}

impl ControlServices {
    /// Where there is a `[store]`.
    pub(crate) fn open(durable: &StorageServices) -> Option<Self> {
        let keeper = durable.sync.as_ref()?;
        let limits = Arc::clone(&durable.limits);
        let works = Arc::new(GatewayServiceRuntime::new(
            Arc::clone(keeper),
            limits,
            durable.leased.clone(),
        ));
        let reached: Arc<dyn ServiceRuntime> = works.clone();
        Some(Self {
            service: Arc::new(ControlService::new(Arc::clone(keeper.storage()), reached)),
            runtime: works,
        })
    }

    /// The keys and plans of this configuration are shown, and cannot be changed.
    pub(crate) fn put_in_use(&self, gateway: &Gateway) {
        let services = &gateway.services;
        let keys = Arc::clone(&services.keys.configured);
        self.runtime.put_in_use(services.plans.clone(), keys);
        let plans = services.plans.configured().iter();
        let plans = plans.map(|plan| plan.plan().clone());
        self.service
            .set_configured(plans, services.keys.configured.entries());
    }
}

/// Open the store and read it, as the configuration says.
pub(crate) fn open(config: &Config) -> Result<StorageServices, ProcessResourcesError> {
    let Some(store) = &config.store else {
        return Ok(StorageServices::none(config));
    };
    let most_rates = config.server.max_rate_counters;
    let (ledger, limits, leased, rates): (Arc<dyn Storage>, Arc<dyn LimitStore>, _, _) =
        match &store.place {
            config::StorePlace::Sqlite(path) => (
                Arc::new(SqliteStorage::open(path)?),
                Arc::new(LocalLimits::new(store.max_counters).with_recording()),
                None,
                RateCounters::local(most_rates),
            ),
            config::StorePlace::Redis(place) => {
                let settings = redis(config, place)?;
                let ledger = RedisStorage::open(&settings)?;
                let leased = LeasedLimits::start(&settings, policy(store))?;
                let rates = rate_leases(settings, policy(store), most_rates)?;
                let rates = RateCounters::shared(rates);
                (Arc::new(ledger), leased.clone(), Some(leased), rates)
            }
        };
    let settings = SyncSettings {
        flush_interval: store.flush_interval,
        // A file is this gateway's own: nobody else changes it.
        max_staleness: leased.as_ref().map(|_| store.max_staleness),
        allow_stale: store.on_stale == config::OnStale::Allow,
        usage_days: store.usage_days,
    };
    let name = ledger.name();
    let keeper = StorageSync::start(ledger, Arc::clone(&limits), settings)?;
    if keeper.is_loaded() {
        let state = keeper.state();
        tracing::info!(
            keys = state.keys,
            plans = keeper.plans().snapshot().len(),
            revision = state.revision,
            "read keys and plans from {name}"
        );
    }
    Ok(StorageServices {
        limits,
        leased,
        rates: Arc::new(rates),
        sync: Some(Arc::new(keeper)),
    })
}

/// Leases of bounds without a key, with room, a thread and names in the store of their own: a flood of new
/// addresses holds up no plan.
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

/// How a Redis is spoken to, with its password.
pub(super) fn redis(
    config: &Config,
    place: &config::RedisPlace,
) -> Result<RedisSettings, ProcessResourcesError> {
    let password = place.password.and_then(|place| config.secrets.get(place));
    let password = match password {
        None => None,
        Some(secret) => {
            let told = |cause: String| ProcessResourcesError::Password {
                secret: Arc::clone(&secret.name),
                cause,
            };
            let value = SecretValue::read(&secret.from);
            let value = value.map_err(|error| told(error.to_string()))?;
            let text = value.login();
            Some(text.ok_or_else(|| told("it is not UTF-8".to_owned()))?)
        }
    };
    Ok(RedisSettings {
        url: place.url.clone(),
        password,
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
