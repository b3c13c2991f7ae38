//! The filters of a configuration: reads, compiles, grants and configures their plugins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::granted::{allow_line, granted_all, grants};
use super::named_grants::builtin;
use super::plugins::{self, FetchedPlugins};
use super::spans::{bound_span, document_at, settings_span};
use super::{attributes, cache_origin, documents};
use crate::config::{self, Config, FilterConfig, PluginSource, Problems, backticked};
use crate::filter_store::secrets::Secrets;
use crate::http::headers::is_allowed_from_clients;
use crate::model::filter::OnError;
use crate::model::sha256::Sha256;
use crate::model::word::Word as _;
use crate::wasm::bounds::{CALL_CPU, FilterBounds};
use crate::wasm::breaker::BreakerSettings;
use crate::wasm::component::CompiledComponent;
use crate::wasm::registry::{FilterSpec, LoadError};
use crate::wasm::{Filter, FilterRegistry, series};

/// The largest plugin file that is read. Bytes.
const MAX_PLUGIN: u64 = 256 * 1024 * 1024;

/// Loads the filters of a configuration.
pub(super) struct FilterLoader<'a> {
    pub(super) config: &'a Config,
    pub(super) registry: &'a FilterRegistry,
    /// None if one of them cannot be read.
    pub(super) secrets: Option<&'a Secrets>,
    pub(super) problems: &'a mut Problems,
}

/// Load all filters of a configuration, in its order. None for each that does not load, and for each with a
/// setting that could not be read, since its plugin might complain about exactly that.
pub(super) fn load(
    config: &Config,
    registry: &FilterRegistry,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> Vec<Option<Arc<Filter>>> {
    let mut loader = FilterLoader {
        config,
        registry,
        secrets,
        problems,
    };
    loader.load()
}

impl FilterLoader<'_> {
    fn load(&mut self) -> Vec<Option<Arc<Filter>>> {
        let filters = &self.config.filters;
        if let Err(needed) = self.registry.check_room(filters.len()) {
            self.problems
                .error(
                    config::Span::default(),
                    format!("the filters need up to {needed} instances, more than `[wasm] max_instances` allows"),
                )
                .help(format!("set `max_instances = {needed}` or more, use fewer workers, or fewer filters"));
            return filters.iter().map(|_| None).collect();
        }
        let fetched = plugins::fetch(self.config, self.secrets, self.problems);
        let loaded = filters.iter();
        let loaded: Vec<_> = loaded
            .map(|filter| self.load_one(filter, &fetched))
            .collect();
        self.check_series(&loaded);
        loaded
    }

    /// Refuse series that cannot be in one `/metrics`, which all filters share.
    fn check_series(&mut self, loaded: &[Option<Arc<Filter>>]) {
        let filters = self.config.filters.iter().zip(loaded);
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
            let message = format!(
                "its metric {} `{}` and the {} `{}` of filter `{}` would both write `windlass_{}`",
                one.kind.as_str(),
                one.name,
                two.kind.as_str(),
                two.name,
                first.name,
                clash.name
            );
            self.problems
                .error_of(*second, message)
                .help("series of one name are of one kind in all plugins: rename one of them");
        }
    }

    fn load_one(&mut self, filter: &FilterConfig, fetched: &FetchedPlugins) -> Option<Arc<Filter>> {
        let component = self.component(filter, fetched);
        let documents = documents::read(filter, self.problems);
        let component = component?;
        documents::warn(filter, component.reads_documents, self.problems);
        let documents = documents.filter(|_| filter.is_whole)?;
        let grants = grants(self.config, filter);
        let spec = FilterSpec {
            name: filter.name.clone(),
            settings: filter.settings.json.to_string(),
            origin: cache_origin::cache_origin(self.config, &grants, self.secrets),
            grants,
            bounds: bounds(filter),
            on_error: filter.on_error,
            isolation: filter.isolation,
        };
        match self.registry.filter(component, spec, documents) {
            Ok(loaded) => {
                self.warn_of_denied(filter, &loaded);
                self.warn_of_no_secret(filter, &loaded);
                attributes::check(self.config, filter, &loaded, self.problems);
                self.report_advice(filter, &loaded);
                self.refuse_windows(filter, &loaded);
                self.warn_of_slow_chunks(filter, &loaded);
                Some(loaded)
            }
            Err(error) => {
                self.report(filter, &error);
                None
            }
        }
    }

    pub(super) fn component(
        &mut self,
        filter: &FilterConfig,
        fetched: &FetchedPlugins,
    ) -> Option<CompiledComponent> {
        let compiled = match &filter.plugin {
            PluginSource::Builtin(plugin) => match builtin(filter) {
                Some(builtin) => self.registry.component(builtin.component),
                None => {
                    self.unknown_plugin(filter, plugin);
                    return None;
                }
            },
            PluginSource::File(path) => match read(path) {
                Ok(wasm) => {
                    self.check_digest(filter, path, &wasm)?;
                    self.registry.component(&wasm)
                }
                Err(error) => {
                    let message =
                        format!("its plugin `{}` cannot be read: {error}", path.display());
                    self.problems
                        .error_of(filter, message)
                        .help(documents::unreadable_help(&error));
                    return None;
                }
            },
            // If it is not there, that is reported.
            PluginSource::Artifact(_) | PluginSource::Download(_) => {
                self.registry.component(fetched.get(&filter.name)?)
            }
        };
        compiled
            .map_err(|error| {
                self.problems
                    .error_of(filter, format!("its plugin {error}"));
            })
            .ok()
    }

    /// None, and an error, if the file is not the one that `sha256` names.
    fn check_digest(&mut self, filter: &FilterConfig, path: &Path, wasm: &[u8]) -> Option<()> {
        let Some(wanted) = filter.sha256 else {
            return Some(());
        };
        let found = Sha256::of(wasm);
        if found == wanted {
            return Some(());
        }
        let path = path.display();
        self.problems
            .error_of(filter, format!("its plugin `{path}` has another `sha256`, {found}"))
            .at(filter.sha256_span)
            .help("if the plugin was meant to change, write the new digest; else find out who changed the file");
        None
    }

    fn unknown_plugin(&mut self, filter: &FilterConfig, plugin: &str) {
        let known = windlass_builtin_plugins::BUILTIN_PLUGINS.iter();
        let known: Vec<_> = known
            .map(|builtin| format!("builtin:{}", builtin.name))
            .collect();
        let list = backticked(known.iter().map(String::as_str));
        let message = format!(
            "filter `{}` names `builtin:{plugin}`, which does not come with this gateway",
            filter.name
        );
        self.problems
            .error(filter.plugin_span, message)
            .help(format!("there are {list}"));
    }

    /// Warn of interfaces that are imported and not granted: a call traps. The warning has the line that
    /// grants them, ready to paste. It is no error, since some toolchains import every interface of a world.
    fn warn_of_denied(&mut self, filter: &FilterConfig, loaded: &Filter) {
        let interfaces: Vec<_> = loaded.denied().iter().map(|name| name.word()).collect();
        if interfaces.is_empty() {
            return;
        }
        let message = format!(
            "filter `{}` is not granted all that it uses; it imports {}: a call fails",
            filter.name,
            backticked(interfaces)
        );
        let grants = granted_all(grants(self.config, filter), loaded);
        self.problems
            .warning(filter.plugin_span, message)
            .help(format!("to grant it: {}", allow_line(&grants)));
    }

    /// Warn of a filter that signs or verifies with a secret, and is granted none: for it, every signature is wrong. It
    /// is no error, since some toolchains import all functions of an interface.
    fn warn_of_no_secret(&mut self, filter: &FilterConfig, loaded: &Filter) {
        let granted = grants(self.config, filter);
        if !loaded.uses_secrets() || !granted.secrets.is_empty() {
            return;
        }
        let message = format!(
            "filter `{}` signs or verifies with a secret, and is granted none: for it, every signature is wrong",
            filter.name
        );
        self.problems.warning(filter.plugin_span, message).help(
            "add `secrets = [\"..\"]` with the names that its settings use to its `allow`, and a `[secret.<name>]` for each",
        );
    }

    /// Report the filter's own warnings, and warn if it may be skipped although endpoints trust a field that
    /// it sets.
    fn report_advice(&mut self, filter: &FilterConfig, loaded: &Filter) {
        let advice = &loaded.facts().advice;
        for (at, message) in &advice.warnings {
            let subject = subject(filter, at);
            self.problems
                .warning(settings_span(filter, at), format!("{subject}: {message}"));
        }
        if loaded.on_error() == OnError::Skip && !advice.trusted_fields.is_empty() {
            let fields = backticked(advice.trusted_fields.iter().map(String::as_str));
            let message = format!(
                "if it fails, requests go on without it (`on_error = \"skip\"`), and the endpoint gets the client's own {fields} in place of the filter's"
            );
            self.problems.warning_of(filter, message).help(format!(
                "set `on_error = \"deny\"` for `{}`, or remove {fields} by another filter before it",
                filter.name
            ));
        }
    }

    /// Refuse sliding windows with a shared store: each gateway counts its own, so a limit for all would not
    /// hold.
    fn refuse_windows(&mut self, filter: &FilterConfig, loaded: &Filter) {
        let store = self.config.store.as_ref().map(|store| &store.place);
        if !matches!(store, Some(config::StorePlace::Redis(_))) {
            return;
        }
        let bounds = loaded.facts().advice.bounds.iter().enumerate();
        for (index, bound) in bounds.filter(|(_, bound)| bound.is_sliding) {
            let message = format!(
                "bound `{}` is a sliding window, which each gateway counts alone, and the gateways on the `url` of `[store]` are to share what they count",
                bound.name
            );
            self.problems
                .error_of(filter, message)
                .at(bound_span(filter, index, "algorithm"))
                .help("set `algorithm = \"token-bucket\"`, which they share; it admits up to its `burst` at once and `limit` a window beside that, so lower `burst` if that is too much");
        }
    }

    /// Warn of filters with much CPU time for each chunk: a chunk is between two connections, so its call
    /// cannot run on a fiber.
    fn warn_of_slow_chunks(&mut self, filter: &FilterConfig, loaded: &Filter) {
        let phases = loaded.phases();
        // No `builtin:` plugin asks for a body in `chunks`.
        let is_builtin = matches!(filter.plugin, PluginSource::Builtin(_));
        if is_builtin || !loaded.runs_on_fiber() || !(phases.request_body || phases.response_body) {
            return;
        }
        let message = format!(
            "filter `{}` may use {:?} of processor time for each piece of a body that it asks for in `chunks`, and its worker waits for that call with all its other requests",
            filter.name,
            call_cpu(filter)
        );
        self.problems.warning(filter.span, message).help(
            "if it asks for `whole` bodies only, this does not happen; else lower `limits.cpu`",
        );
    }

    fn report(&mut self, filter: &FilterConfig, error: &LoadError) {
        let LoadError::Settings { complaints, said } = error else {
            self.problems.error_of(filter, error);
            return;
        };
        for (index, complaint) in complaints.iter().enumerate() {
            let span = settings_span(filter, &complaint.at);
            let subject = subject(filter, &complaint.at);
            let said = said.as_ref().filter(|_| index == 0);
            self.problems
                .error(span, format!("{subject}: {}", complaint.message))
                .help_if(said.map(|said| format!("meanwhile the plugin wrote: {said}")));
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_PLUGIN {
        return Err(std::io::Error::other(format!(
            "it has {size} bytes, more than the {MAX_PLUGIN} that a plugin may have"
        )));
    }
    std::fs::read(path)
}

/// How much a filter may use.
pub(crate) fn bounds(filter: &FilterConfig) -> FilterBounds {
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
fn call_cpu(filter: &FilterConfig) -> Duration {
    let by_default = builtin(filter).map_or(CALL_CPU, |builtin| builtin.cpu);
    filter.limits.cpu.unwrap_or(by_default)
}

/// Fields with unusual names that filters read: they are not treated as look-alikes of others.
pub(super) fn read_fields(filters: &[Option<Arc<Filter>>]) -> impl Iterator<Item = HeaderName> {
    let filters = filters.iter().flatten();
    let names = filters.flat_map(|filter| &filter.facts().advice.read_fields);
    names
        .filter(|name| is_allowed_from_clients(name))
        .filter_map(|name| HeaderName::try_from(&**name).ok())
}

/// The filter that a complaint is of, with the document that it is about, if it is about one.
fn subject(filter: &FilterConfig, at: &str) -> String {
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
