//! What a component says about itself, by a fresh instance that is dropped after it. For tests of plugins.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{FilterRegistry, FilterSpec, LoadError, start};
use crate::wasm::component::CompiledComponent;
use crate::wasm::documents::Documents;
use crate::wasm::exports::Exports;
use crate::wasm::filter_services::FilterServices;
use crate::wasm::instance_source::{InstanceCode, InstanceSource};
use crate::wasm::linker;
use crate::wasm::series::SeriesTable;

/// The result of `describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginDescription {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    /// JSON Schema of the settings, if there is one.
    pub(crate) settings_schema: Option<String>,
}

impl FilterRegistry {
    /// Call `describe` of a fresh instance.
    ///
    /// # Errors
    ///
    /// The component cannot be linked, or the instance trapped.
    pub(crate) fn describe(
        &self,
        component: &CompiledComponent,
        spec: FilterSpec,
    ) -> Result<PluginDescription, LoadError> {
        let link_error = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let linked = linker::link(&self.engine, component, &spec.grants).map_err(link_error)?;
        let exports = Exports::find(&linked.instance_pre, component).map_err(link_error)?;
        let cache = self.caches.of(&spec.name, spec.origin);
        let documents = Arc::<Documents>::default();
        let source = InstanceSource {
            services: FilterServices::new(cache, SeriesTable::default(), documents),
            name: spec.name,
            engine: self.engine.clone(),
            code: Some(InstanceCode {
                pre: linked.instance_pre,
                exports,
            }),
            debug_lines: component.debug_lines.clone(),
            settings: spec.settings,
            grants: Arc::new(spec.grants),
            bounds: spec.bounds,
            made: AtomicU64::new(0),
        };
        let mut instance = start("instantiated", source.instantiate(1))?;
        let info = start("described", instance.describe())?;
        Ok(PluginDescription {
            name: info.name,
            version: info.version,
            summary: info.summary,
            settings_schema: info.settings_schema,
        })
    }
}
