//! `windlass plugin inspect`: what a component is, what it needs, and what it costs on this machine.
//!
//! [`crate::cli`] calls [`inspect`] and prints the [`InspectionReport`]. The component is loaded by the gateway's own code, so a
//! component that would not load is refused with the words of `windlass check`. Costs are measured on a fake exchange
//! ([`sample`]) in this process, without sockets. Nothing is put in use.

mod cost;
mod report;
mod sample;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use report::InspectionReport;
pub(crate) use sample::SampleError;

use report::{CallReport, ComponentReport, LoadReport, SettingsReport};
use sample::Sample;

use crate::build::filters::bounds;
use crate::build::granted::{allow_line, granted_all};
use crate::build::{ProcessResources, ProcessResourcesError};
use crate::config::{Config, Problems};
use crate::filter_store::cache::CacheOrigin;
use crate::wasm::anatomy::Anatomy;
use crate::wasm::component::CompiledComponent;
use crate::wasm::grants::Grants;
use crate::wasm::inspect::Inspection;
use crate::wasm::registry::{FilterSpec, LoadError};
use crate::wasm::{Filter, Services, documents::Documents};

/// The name of the inspected filter in a configuration.
const NAME: &str = "inspected";

/// The component to inspect.
#[derive(Debug)]
pub(crate) struct InspectionRequest<'a> {
    /// The component's file.
    pub(crate) file: &'a Path,
    /// The settings to measure with: a TOML table, as it would be written in a configuration.
    pub(crate) settings: Option<&'a str>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error("`{}` cannot be read; name the component that a build wrote, such as `build/NAME.wasm`", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(
        "the settings have an error; `--settings` takes a table such as `{{ allow = [\"blue\"] }}`\n{0}"
    )]
    Settings(Problems),
    #[error(transparent)]
    Resources(#[from] ProcessResourcesError),
}

/// Looks at a component and measures it.
///
/// # Errors
///
/// A file cannot be read, or the settings are no table. A component that would not load is no error: the report says why.
pub(crate) fn inspect(request: &InspectionRequest<'_>) -> Result<InspectionReport, InspectError> {
    let unreadable = |error| InspectError::Unreadable(request.file.to_owned(), error);
    let wasm = std::fs::read(request.file).map_err(unreadable)?;
    let sample = Sample::find(request.file, request.settings)?;
    let bench = Bench::new(&sample)?;
    let mut report = InspectionReport::of_file(request.file, &wasm, Anatomy::read(&wasm).ok());
    let loaded = bench.resources.registry.component(&wasm);
    let component = match loaded {
        Ok(component) => component,
        Err(error) => {
            report.refused = Some(LoadError::from(error).to_string());
            return Ok(report);
        }
    };
    bench.describe(&component, &mut report);
    if report.refused.is_none() {
        bench.configure(&component, &sample, &mut report)?;
    }
    Ok(report)
}

/// A gateway without a filter of its own, in which the inspected one is made.
struct Bench {
    resources: ProcessResources,
    config: Config,
}

impl Bench {
    fn new(sample: &Sample) -> Result<Self, InspectError> {
        let text = format!(
            "[server]\nworkers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"$default\"\nfilters = [\"{NAME}\"]\nrespond = {{}}\n[filter.{NAME}]\nplugin = \"{NAME}.wasm\"\nsettings = {}\n",
            sample.settings
        );
        let config = Config::parse(&sample.origin(), &text, Path::new(""))
            .map_err(InspectError::Settings)?;
        let resources = ProcessResources::without_store(&config, NonZeroUsize::MIN)?;
        Ok(Self { resources, config })
    }

    /// The component's statements without settings.
    fn describe(&self, component: &CompiledComponent, report: &mut InspectionReport) {
        let Some(filter) = self.config.filters.first() else {
            return;
        };
        let engine = self.resources.registry.engine();
        match Inspection::of(engine, component, bounds(filter)) {
            Ok(inspection) => report.component = Some(ComponentReport::new(component, inspection)),
            Err(error) => report.refused = Some(error.to_string()),
        }
    }

    /// The filter's answer to settings, and the cost of its calls.
    fn configure(
        &self,
        component: &CompiledComponent,
        sample: &Sample,
        report: &mut InspectionReport,
    ) -> Result<(), InspectError> {
        let engine = self.resources.registry.engine();
        let before = engine.budget.used();
        let made = self.make(component, sample);
        let instances = crate::wasm::INSTANCES_PER_WORKER as u64;
        let memory = engine.budget.used().saturating_sub(before) / instances;
        let filter = match made {
            Ok(filter) => filter,
            Err(error) => {
                let rejected = SettingsReport::rejected(sample, &error);
                if !matches!(error, LoadError::Settings { .. }) || sample.is_given() {
                    report.refused = Some(error.to_string());
                }
                report.settings = Some(rejected);
                return Ok(());
            }
        };
        report.settings = Some(SettingsReport::accepted(sample));
        let secrets = match filter.uses_secrets() {
            true => sample.secret_names(),
            false => Vec::new(),
        };
        report.lacks_secrets = filter.uses_secrets() && secrets.is_empty();
        let needed = Grants {
            interfaces: component_interfaces(report),
            secrets,
            ..Grants::default()
        };
        let needed = granted_all(needed, &filter);
        report.allow = (needed != Grants::default()).then(|| allow_line(&needed));
        report.load = Some(LoadReport::new(&filter, memory));
        if let Some(services) = self.services(sample)? {
            let cost = cost::measure(&filter, &services, &engine.budget, sample);
            report.call = Some(CallReport::new(cost, sample));
        }
        Ok(())
    }

    fn make(
        &self,
        component: &CompiledComponent,
        sample: &Sample,
    ) -> Result<Arc<Filter>, LoadError> {
        let registry = &self.resources.registry;
        let Some(filter) = self.config.filters.first() else {
            return Err(LoadError::Settings {
                complaints: Vec::new(),
                said: None,
            });
        };
        let grants = Grants {
            interfaces: component.interfaces().to_vec(),
            attributes: vec!["*".to_owned()],
            secrets: sample.secret_names(),
            ..Grants::default()
        };
        let spec = FilterSpec {
            name: Arc::from(NAME),
            settings: filter.settings.json.to_string(),
            grants,
            origin: CacheOrigin::default(),
            bounds: bounds(filter),
            on_error: filter.on_error,
            isolation: filter.isolation,
        };
        registry.filter(component.clone(), spec, Documents::default())
    }

    /// The services of a configuration without keys and plans.
    fn services(&self, sample: &Sample) -> Result<Option<Arc<Services>>, InspectError> {
        let text = "[server]\nworkers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"$default\"\nrespond = {}\n";
        let config = Config::parse("the fake exchange", text, Path::new(""))
            .map_err(InspectError::Settings)?;
        let mut problems = config.warnings.clone();
        let secrets = sample.secrets();
        let services = self.resources.services_of(&config, secrets, &mut problems);
        Ok(services.map(Arc::new))
    }
}

/// The interfaces that the component imports and that need a grant.
fn component_interfaces(report: &InspectionReport) -> Vec<crate::model::filter::HostInterface> {
    let component = report.component.as_ref();
    component
        .map(|component| component.interfaces.to_vec())
        .unwrap_or_default()
}
