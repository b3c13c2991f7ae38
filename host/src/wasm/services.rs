//! The services of one configuration that host interfaces call: its keys, plans, secrets, verifiers
//! and callouts.
//!
//! They come with each exchange. The services of one filter are in [`super::filter_services`]; those
//! stay when the configuration is reloaded.

use std::sync::Arc;

use crate::callout::Callouts;
use crate::filter_store::secrets::Secrets;
use crate::keys::{Keys, RejectCounters};
use crate::limits::{LimitStore, PlanBook, RateCounters};
use crate::tokens::TokenVerifiers;

/// The services of one configuration. Each worker has a copy, so that workers share no reference count.
#[derive(Clone)]
pub(crate) struct Services {
    /// The keys that were issued.
    pub(crate) keys: Keys,
    /// Keys that were not accepted, as each worker counts them.
    pub(crate) rejects: Arc<[RejectCounters]>,
    /// The worker that has this copy: its index in `rejects`.
    pub(crate) worker: usize,
    /// Usage plans, by name: the configuration's, and those of the store as they are now.
    pub(crate) plans: PlanBook,
    /// The counters; they outlive the configuration.
    pub(crate) limits: Arc<dyn LimitStore>,
    /// The counters of bounds without a key; they outlive the configuration, too.
    pub(crate) rates: Arc<RateCounters>,
    /// The clock of the counters; one a process.
    pub(crate) secrets: Arc<Secrets>,
    /// The verifiers of tokens, by name.
    pub(crate) verifiers: Arc<TokenVerifiers>,
    /// The servers that filters may ask.
    pub(crate) callouts: Arc<Callouts>,
    /// The configuration's routes and filters, for filters that describe them.
    pub(crate) apis: Arc<ApiDescription>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// The routes of a configuration, with the additions of their filters to a description.
#[derive(Debug, Default)]
pub(crate) struct ApiDescription {
    /// As JSON.
    pub(crate) text: Box<str>,
    /// Its SHA-256.
    pub(crate) digest: [u8; 32],
}
