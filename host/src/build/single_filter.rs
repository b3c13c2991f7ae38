//! Builds one filter without a gateway around it: no route, no upstream, no order to check. For
//! `windlass plugin test`.

use std::sync::Arc;

use super::filters::{FilterLoader, bounds};
use super::granted::grants;
use super::plugins::FetchedPlugins;
use super::{ProcessResources, documents, keys};
use crate::config::{Config, FilterConfig, Problems};
use crate::filter_store::cache::CacheOrigin;
use crate::filter_store::secrets::Secrets;
use crate::wasm::bounds::FilterBounds;
use crate::wasm::component::CompiledComponent;
use crate::wasm::registry::{FilterSpec, LoadError, PluginDescription};
use crate::wasm::{Filter, Services};

impl ProcessResources {
    /// The services of a configuration, with these secrets in place of those that it names.
    pub(crate) fn services_of(
        &self,
        config: &Config,
        secrets: Secrets,
        problems: &mut Problems,
    ) -> Option<Services> {
        keys::with_secrets(config, self, Some(secrets), problems)
    }

    /// The compiled component of a filter.
    pub(crate) fn component_of(
        &self,
        config: &Config,
        filter: &FilterConfig,
        problems: &mut Problems,
    ) -> Option<CompiledComponent> {
        let mut loader = FilterLoader {
            config,
            registry: &self.registry,
            secrets: None,
            problems,
        };
        // A plugin's file is on disk.
        loader.component(filter, &FetchedPlugins::new())
    }

    /// Build a filter. `tune` changes its bounds: filters with different bounds share no instance.
    /// None if a document cannot be read.
    ///
    /// # Errors
    ///
    /// The filter rejects its settings, or cannot be started.
    pub(crate) fn single_filter(
        &self,
        config: &Config,
        filter: &FilterConfig,
        component: &CompiledComponent,
        tune: impl FnOnce(&mut FilterBounds),
        problems: &mut Problems,
    ) -> Option<Result<Arc<Filter>, LoadError>> {
        let documents = documents::read(filter, problems)?;
        let mut spec = spec(config, filter);
        tune(&mut spec.bounds);
        Some(self.registry.filter(component.clone(), spec, documents))
    }

    /// A component's description of itself.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(crate) fn description_of(
        &self,
        config: &Config,
        filter: &FilterConfig,
        component: &CompiledComponent,
    ) -> Result<PluginDescription, LoadError> {
        self.registry.describe(component, spec(config, filter))
    }
}

fn spec(config: &Config, filter: &FilterConfig) -> FilterSpec {
    FilterSpec {
        name: filter.name.clone(),
        settings: filter.settings.json.to_string(),
        grants: grants(config, filter),
        origin: CacheOrigin::default(),
        bounds: bounds(filter),
        on_error: filter.on_error,
        isolation: filter.isolation,
    }
}
