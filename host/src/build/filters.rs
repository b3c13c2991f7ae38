//! The filters of a configuration: reads, compiles, grants and configures their plugins.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::granted::{allow_line, granted_all, grants};
use super::named_grants::builtin;
use super::spans::{bound_span, document_at, settings_span};
use super::{attributes, cache_origin, documents};
use crate::config::{self, Config, PluginSource, Problems, backticked};
use crate::filter_store::secrets::Secrets;
use crate::http::headers::is_allowed_from_clients;
use crate::model::filter::OnError;
use crate::model::word::Word as _;
use crate::wasm::bounds::{CALL_CPU, FilterBounds};
use crate::wasm::breaker::BreakerSettings;
use crate::wasm::component::CompiledComponent;
use crate::wasm::registry::{FilterSpec, LoadError};
use crate::wasm::{Filter, FilterRegistry, series};

/// The largest plugin file that is read. Bytes.
const MAX_PLUGIN: u64 = 256 * 1024 * 1024;

/// Load all filters, in the order of the configuration. None for each that does not load, and for each with a
/// setting that could not be read, since its plugin might complain about exactly that. `secrets` is none if
/// one of them cannot be read.
pub(crate) fn load(
    config: &Config,
    registry: &FilterRegistry,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> Vec<Option<Arc<Filter>>> {
    if let Err(needed) = registry.check_room(config.filters.len()) {
        problems
            .error(
                config::Span::default(),
                format!("the filters need up to {needed} instances, more than `[wasm] max_instances` allows"),
            )
            .help(format!("set `max_instances = {needed}` or more, use fewer workers, or fewer filters"));
        return config.filters.iter().map(|_| None).collect();
    }
    let filters = config.filters.iter();
    let loaded: Vec<_> = filters
        .map(|filter| load_one(config, filter, registry, secrets, problems))
        .collect();
    check_series(config, &loaded, problems);
    loaded
}

/// Refuse series that cannot be in one `/metrics`, which all filters share.
fn check_series(config: &Config, loaded: &[Option<Arc<Filter>>], problems: &mut Problems) {
    let filters = config.filters.iter().zip(loaded);
    let filters: Vec<_> = filters
        .filter_map(|(filter, loaded)| Some((filter, loaded.as_ref()?)))
        .collect();
    let tables = filters.iter().map(|(_, loaded)| &loaded.services().series);
    for clash in series::clashes(tables) {
        let (Some((first, _)), Some((second, _))) =
            (filters.get(clash.first), filters.get(clash.second))
        else {
            continue;
        };
        let (one, two) = (&clash.second_spec, &clash.first_spec);
        problems
            .error_of(
                *second,
                format!(
                    "its metric {} `{}` and the {} `{}` of filter `{}` would both write `windlass_{}`",
                    one.kind.as_str(),
                    one.name,
                    two.kind.as_str(),
                    two.name,
                    first.name,
                    clash.name
                ),
            )
            .help("series of one name are of one kind in all plugins: rename one of them");
    }
}

fn load_one(
    config: &Config,
    filter: &config::FilterConfig,
    registry: &FilterRegistry,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> Option<Arc<Filter>> {
    let component = component(filter, registry, problems);
    let documents = documents::read(filter, problems);
    let component = component?;
    documents::warn(filter, component.reads_documents, problems);
    let documents = documents.filter(|_| filter.is_whole)?;
    let grants = grants(config, filter);
    let spec = FilterSpec {
        name: filter.name.clone(),
        settings: filter.settings.json.to_string(),
        origin: cache_origin::cache_origin(config, &grants, secrets),
        grants,
        bounds: bounds(filter),
        on_error: filter.on_error,
        isolation: filter.isolation,
    };
    match registry.filter(component, spec, documents) {
        Ok(loaded) => {
            warn_of_denied(config, filter, &loaded, problems);
            attributes::check(config, filter, &loaded, problems);
            report_advice(filter, &loaded, problems);
            refuse_windows(config, filter, &loaded, problems);
            warn_of_slow_chunks(filter, &loaded, problems);
            Some(loaded)
        }
        Err(error) => {
            report(filter, &error, problems);
            None
        }
    }
}

fn component(
    filter: &config::FilterConfig,
    registry: &FilterRegistry,
    problems: &mut Problems,
) -> Option<CompiledComponent> {
    let name = &filter.name;
    let compiled = match &filter.plugin {
        PluginSource::Builtin(plugin) => match windlass_builtin_plugins::builtin(plugin) {
            Some(builtin) => registry.component(builtin.component),
            None => {
                let known = windlass_builtin_plugins::BUILTIN_PLUGINS.iter();
                let known: Vec<_> = known
                    .map(|builtin| format!("builtin:{}", builtin.name))
                    .collect();
                let list = backticked(known.iter().map(String::as_str));
                problems
                    .error(
                        filter.plugin_span,
                        format!("filter `{name}` names `builtin:{plugin}`, which does not come with this gateway"),
                    )
                    .help(format!("there are {list}"));
                return None;
            }
        },
        PluginSource::File(path) => match read(path) {
            Ok(wasm) => registry.component(&wasm),
            Err(error) => {
                let path = path.display();
                problems
                    .error_of(
                        filter,
                        format!("its plugin `{path}` cannot be read: {error}"),
                    )
                    .help("paths are relative to the folder of the configuration file");
                return None;
            }
        },
    };
    compiled
        .map_err(|error| {
            problems.error_of(filter, format!("its plugin {error}"));
        })
        .ok()
}

fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_PLUGIN {
        return Err(std::io::Error::other(format!(
            "it has {size} bytes, more than the {MAX_PLUGIN} that a plugin may have"
        )));
    }
    std::fs::read(path)
}

fn bounds(filter: &config::FilterConfig) -> FilterBounds {
    FilterBounds {
        cpu: call_cpu(filter),
        wait: filter.limits.wait,
        start_cpu: filter.limits.start_cpu,
        memory: filter.limits.memory,
        body: filter.limits.body,
        recycle_calls: filter.recycle.calls.get(),
        recycle_age: filter.recycle.age,
        recycle_growth: filter.recycle.growth,
        breaker: BreakerSettings {
            failures: filter.breaker.failures.get(),
            window: filter.breaker.window,
            backoff: filter.breaker.backoff,
            max_backoff: filter.breaker.max_backoff,
        },
    }
}

/// The CPU time of one call: the operator's, or the default of the plugin.
fn call_cpu(filter: &config::FilterConfig) -> Duration {
    let by_default = builtin(filter).map_or(CALL_CPU, |builtin| builtin.cpu);
    filter.limits.cpu.unwrap_or(by_default)
}

/// Warn of interfaces that are imported and not granted: a call traps. The warning has the line that grants
/// them, ready to paste. It is no error, since some toolchains import every interface of a world.
fn warn_of_denied(
    config: &Config,
    filter: &config::FilterConfig,
    loaded: &Filter,
    problems: &mut Problems,
) {
    let interfaces: Vec<_> = loaded.denied().iter().map(|name| name.word()).collect();
    if interfaces.is_empty() {
        return;
    }
    let name = &filter.name;
    let list = backticked(interfaces.iter().copied());
    let grants = granted_all(grants(config, filter), loaded);
    problems
        .warning(
            filter.plugin_span,
            format!(
                "filter `{name}` is not granted all that it uses; it imports {list}: a call fails"
            ),
        )
        .help(format!("to grant it: {}", allow_line(&grants)));
}

/// Fields with unusual names that filters read: they are not treated as look-alikes of others.
pub(super) fn read_fields(filters: &[Option<Arc<Filter>>]) -> impl Iterator<Item = HeaderName> {
    let filters = filters.iter().flatten();
    let names = filters.flat_map(|filter| &filter.facts().advice.read_fields);
    names
        .filter(|name| is_allowed_from_clients(name))
        .filter_map(|name| HeaderName::try_from(&**name).ok())
}

/// Report the filter's own warnings, and warn if it may be skipped although endpoints trust a field that it
/// sets.
fn report_advice(filter: &config::FilterConfig, loaded: &Filter, problems: &mut Problems) {
    let name = &filter.name;
    let advice = &loaded.facts().advice;
    for (at, message) in &advice.warnings {
        let subject = subject(filter, at);
        problems.warning(settings_span(filter, at), format!("{subject}: {message}"));
    }
    if loaded.on_error() == OnError::Skip && !advice.trusted_fields.is_empty() {
        let fields = backticked(advice.trusted_fields.iter().map(String::as_str));
        problems
            .warning_of(
                filter,
                format!(
                    "if it fails, requests go on without it (`on_error = \"skip\"`), and the endpoint gets the client's own {fields} in place of the filter's"
                ),
            )
            .help(format!(
                "set `on_error = \"deny\"` for `{name}`, or remove {fields} by another filter before it"
            ));
    }
}

/// Refuse sliding windows with a shared store: each gateway counts its own, so a limit for all would not
/// hold.
fn refuse_windows(
    config: &Config,
    filter: &config::FilterConfig,
    loaded: &Filter,
    problems: &mut Problems,
) {
    let store = config.store.as_ref().map(|store| &store.place);
    if !matches!(store, Some(config::StorePlace::Redis(_))) {
        return;
    }
    let bounds = loaded.facts().advice.bounds.iter().enumerate();
    for (place, bound) in bounds.filter(|(_, bound)| bound.is_sliding) {
        problems
            .error_of(
                filter,
                format!(
                    "bound `{}` is a sliding window, which each gateway counts alone, and the gateways on the `url` of `[store]` are to share what they count",
                    bound.name
                ),
            )
            .at(bound_span(filter, place, "algorithm"))
            .help("set `algorithm = \"token-bucket\"`, which they share; it admits up to its `burst` at once and `limit` a window beside that, so lower `burst` if that is too much");
    }
}

/// Warn of filters with much CPU time for each chunk: a chunk is between two connections, so its call cannot
/// run on a fiber.
fn warn_of_slow_chunks(filter: &config::FilterConfig, loaded: &Filter, problems: &mut Problems) {
    let phases = loaded.phases();
    // No `builtin:` plugin asks for a body in `chunks`.
    let is_builtin = matches!(filter.plugin, PluginSource::Builtin(_));
    if is_builtin || !loaded.runs_on_fiber() || !(phases.request_body || phases.response_body) {
        return;
    }
    let (name, cpu) = (&filter.name, call_cpu(filter));
    problems
        .warning(
            filter.span,
            format!(
                "filter `{name}` may use {cpu:?} of processor time for each piece of a body that it asks for in `chunks`, and its worker waits for that call with all its other requests"
            ),
        )
        .help("if it asks for `whole` bodies only, this does not happen; else lower `limits.cpu`");
}

fn report(filter: &config::FilterConfig, error: &LoadError, problems: &mut Problems) {
    let LoadError::Settings(complaints) = error else {
        problems.error_of(filter, error);
        return;
    };
    for complaint in complaints {
        let span = settings_span(filter, &complaint.at);
        let subject = subject(filter, &complaint.at);
        problems.error(span, format!("{subject}: {}", complaint.message));
    }
}

/// The filter that a complaint is of, with the document that it is about, if it is about one.
fn subject(filter: &config::FilterConfig, at: &str) -> String {
    let name = &filter.name;
    match document_at(filter, at) {
        Some(document) => format!(
            "filter `{name}`: its document `{}`, `{}`",
            document.name,
            document.path.display()
        ),
        None => format!("filter `{name}`"),
    }
}
