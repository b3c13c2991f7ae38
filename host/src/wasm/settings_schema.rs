//! The schema of a plugin's settings, asked of the plugin without settings: for editors, which want it most while the
//! settings are wrong.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::bounds::FilterBounds;
use super::component::CompiledComponent;
use super::exports::Exports;
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::instance_source::{InstanceCode, InstanceSource};
use super::linker;
use super::registry::{FilterRegistry, LoadError};
use super::series::SeriesTable;
use crate::filter_store::cache::{CacheOrigin, Caches};

impl FilterRegistry {
    /// The schema that a plugin gives, as it gives it. None: it has none.
    ///
    /// # Errors
    ///
    /// The component does not fit the contract, or fails.
    pub(crate) fn settings_schema(
        &self,
        component: &CompiledComponent,
        bounds: FilterBounds,
    ) -> Result<Option<String>, LoadError> {
        // Its settings are environment variables.
        if component.is_standard {
            return Ok(None);
        }
        let link_error = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let grants = Grants::default();
        let linked = linker::link(self.engine(), component, &grants).map_err(link_error)?;
        let exports = Exports::find(&linked.instance_pre, component).map_err(link_error)?;
        let cache = Caches::default().of("schema", CacheOrigin::default());
        let source = InstanceSource {
            name: Arc::from("schema"),
            engine: self.engine().clone(),
            code: Some(InstanceCode {
                pre: linked.instance_pre,
                exports,
            }),
            debug_lines: component.debug_lines.clone(),
            settings: String::new(),
            grants: Arc::new(grants),
            services: FilterServices::new(cache, SeriesTable::default(), Arc::default()),
            bounds,
            made: AtomicU64::new(0),
        };
        let failed = |doing| move |failure| LoadError::Start { doing, failure };
        let mut instance = source.instantiate(1).map_err(failed("instantiated"))?;
        let info = instance.describe().map_err(failed("described"))?;
        Ok(info.settings_schema)
    }
}
