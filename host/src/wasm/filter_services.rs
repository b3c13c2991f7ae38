//! The services of one filter that host interfaces call: its cache, its series, its documents.
//!
//! They stay when the configuration is reloaded. The services of one configuration are in
//! [`super::services`].

use std::sync::{Arc, OnceLock};

use super::charge::LastCharge;
use super::defined_rates::DefinedRates;
use super::documents::Documents;
use super::large_responses::LargeResponses;
use super::notices::Notices;
use super::series::SeriesTable;
use crate::filter_store::cache::FilterCache;

/// The services of one filter.
#[derive(Debug)]
pub(crate) struct FilterServices {
    pub(crate) cache: Arc<FilterCache>,
    pub(crate) series: SeriesTable,
    pub(crate) charged: LastCharge,
    /// The bounds that it defined.
    pub(crate) rates: OnceLock<Arc<DefinedRates>>,
    /// The files that the operator named for it.
    pub(crate) documents: Arc<Documents>,
    /// The notices about it that were logged.
    pub(crate) notices: Notices,
    /// The last large response that it gave.
    pub(crate) answers: LargeResponses,
}

impl FilterServices {
    /// The services of a filter that has done nothing yet.
    #[must_use]
    pub(crate) fn new(
        cache: Arc<FilterCache>,
        series: SeriesTable,
        documents: Arc<Documents>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache,
            series,
            charged: LastCharge::default(),
            rates: OnceLock::new(),
            documents,
            notices: Notices::default(),
            answers: LargeResponses::default(),
        })
    }
}
