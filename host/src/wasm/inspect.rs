//! Looks at a component for its author: its imports and exports, what it says about itself, and what one start costs.
//!
//! `windlass plugin inspect` shows it. No settings are needed for this, since nothing is configured. Nothing here is on
//! a request's way.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::bindings::lifecycle::PluginInfo;
use super::bounds::FilterBounds;
use super::component::CompiledComponent;
use super::engine::FilterEngine;
use super::exports::Exports;
use super::filter::Filter;
use super::filter_services::FilterServices;
use super::grants::Grants;
use super::instance_source::{InstanceCode, InstanceSource};
use super::linker;
use super::output::one_line;
use super::registry::LoadError;
use super::series::SeriesTable;
use crate::filter_store::cache::{CacheOrigin, Caches};
use crate::model::filter::HostInterface;

/// The facts of a component, without settings.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// Its imports with their versions, in the order of the file.
    pub(crate) imports: Vec<String>,
    /// Its exports with their versions.
    pub(crate) exports: Vec<String>,
    /// The host interfaces that it imports and that need a grant.
    pub(crate) interfaces: Arc<[HostInterface]>,
    /// WASI interfaces that it imports, and whose functions trap.
    pub(crate) stubbed: Vec<String>,
    /// The size of its machine code. Bytes.
    pub(crate) machine_code: usize,
    /// Its answer to `describe`.
    pub(crate) description: SelfDescription,
    /// How long one instantiation takes: the median.
    pub(crate) instantiation: Duration,
}

/// What a plugin says about itself.
#[derive(Debug)]
pub(crate) struct SelfDescription {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    /// JSON Schema of its settings, as the plugin gives it.
    pub(crate) schema: Option<String>,
}

impl From<PluginInfo> for SelfDescription {
    fn from(info: PluginInfo) -> Self {
        Self {
            name: one_line(&info.name).into_owned(),
            version: one_line(&info.version).into_owned(),
            summary: one_line(&info.summary).into_owned(),
            schema: info.settings_schema,
        }
    }
}

impl Inspection {
    /// Looks at a component, with all grants that it could use.
    ///
    /// # Errors
    ///
    /// It does not fit the contract, or fails before it is configured.
    pub(crate) fn of(
        engine: &FilterEngine,
        component: &CompiledComponent,
        bounds: FilterBounds,
    ) -> Result<Self, LoadError> {
        let (source, stubbed) = source(engine, component, bounds)?;
        let failed = |doing| move |failure| LoadError::Start { doing, failure };
        let mut first = source.instantiate(1).map_err(failed("instantiated"))?;
        let description = first.describe().map_err(failed("described"))?.into();
        drop(first);
        let instantiation = median_time(|| source.instantiate(1).map(drop));
        let image = component.component.image_range();
        let ty = component.component.component_type();
        let names = |name: &str| name.to_owned();
        Ok(Self {
            imports: ty
                .imports(&engine.engine)
                .map(|(name, _)| names(name))
                .collect(),
            exports: ty
                .exports(&engine.engine)
                .map(|(name, _)| names(name))
                .collect(),
            interfaces: Arc::clone(&component.interfaces),
            stubbed,
            machine_code: image.end.addr().saturating_sub(image.start.addr()),
            description,
            instantiation: instantiation.map_err(failed("instantiated"))?,
        })
    }
}

/// What makes instances of the component, and the WASI interfaces whose functions trap.
fn source(
    engine: &FilterEngine,
    component: &CompiledComponent,
    bounds: FilterBounds,
) -> Result<(InstanceSource, Vec<String>), LoadError> {
    let link_error = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
    let grants = Grants {
        interfaces: component.interfaces.to_vec(),
        ..Grants::default()
    };
    let linked = linker::link(engine, component, &grants).map_err(link_error)?;
    let exports = Exports::find(&linked.instance_pre, component).map_err(link_error)?;
    let cache = Caches::default().of("inspected", CacheOrigin::default());
    let source = InstanceSource {
        name: Arc::from("inspected"),
        engine: engine.clone(),
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
    Ok((source, linked.stubbed))
}

impl Filter {
    /// How long it takes to make one more instance and to configure it: the median.
    ///
    /// # Errors
    ///
    /// One could not be made.
    pub(crate) fn start_time(&self) -> Result<Duration, super::CallFailure> {
        median_time(|| self.source.start_instance().map(drop))
    }
}

/// The most starts that are timed.
const MOST_STARTS: usize = 51;

/// How long starts are timed.
const STARTS_TIME: Duration = Duration::from_secs(1);

/// The median time of some work, which is done at least once.
fn median_time<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let begin = Instant::now();
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed());
        if times.len() >= MOST_STARTS || begin.elapsed() >= STARTS_TIME {
            break;
        }
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}
