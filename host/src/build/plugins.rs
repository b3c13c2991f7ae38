//! Fetches the plugins of a configuration that are artifacts in registries or files at URLs.
//!
//! It runs at a start, a reload and a check, before the filters are made. Plugins are fetched at the same time, a few at
//! once, so that a slow registry delays only itself, and each is fetched once however many filters use it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::{self, CompileCache, Config, FilterConfig, PluginSource, Problems};
use crate::distribution::{
    DistributionError, FetchBounds, Login, PluginFetcher, ServerSettings, SignerKey,
};
use crate::filter_store::secrets::Secrets;
use crate::model::oci::OciReference;
use crate::model::sha256::Sha256;
use crate::wasm::component_cache::user_folder;

/// The most plugins that are fetched at the same time.
const AT_ONCE: usize = 4;

/// The fetched plugins, by the names of the filters that use them.
pub(super) type FetchedPlugins = HashMap<Arc<str>, Arc<Vec<u8>>>;

/// A plugin to fetch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted<'a> {
    /// With the key that must have signed it.
    Artifact(&'a OciReference, Option<&'a Path>),
    Download(&'a str, Sha256),
}

impl<'a> Wanted<'a> {
    /// None: the filter's plugin is here, or what was wrong with it is reported.
    fn of(filter: &'a FilterConfig) -> Option<Self> {
        match &filter.plugin {
            PluginSource::Builtin(_) | PluginSource::File(_) => None,
            PluginSource::Artifact(reference) => {
                Some(Self::Artifact(reference, filter.signed_by.as_deref()))
            }
            PluginSource::Download(url) => Some(Self::Download(url, filter.sha256?)),
        }
    }

    fn fetch(self, fetcher: &PluginFetcher) -> Result<Arc<Vec<u8>>, DistributionError> {
        let began = Instant::now();
        let (name, fetched) = match self {
            Self::Artifact(reference, key) => {
                let signer = key.map(SignerKey::read).transpose()?;
                (
                    reference.to_string(),
                    fetcher.artifact(reference, signer.as_ref()),
                )
            }
            Self::Download(url, sha256) => (url.to_owned(), fetcher.download(url, sha256)),
        };
        let fetched = fetched?;
        tracing::debug!(
            plugin = name.split('?').next(),
            bytes = fetched.len(),
            milliseconds = began.elapsed().as_millis(),
            "a plugin is here, and its digest is the one that the configuration names"
        );
        Ok(Arc::new(fetched))
    }
}

/// Fetch the plugins. Leaves out those that cannot be had; each of them is reported.
pub(super) fn fetch(
    config: &Config,
    secrets: Option<&Secrets>,
    problems: &mut Problems,
) -> FetchedPlugins {
    let mut fetched = FetchedPlugins::new();
    let mut users: Vec<(Wanted<'_>, Vec<&FilterConfig>)> = Vec::new();
    for filter in &config.filters {
        let Some(wanted) = Wanted::of(filter) else {
            continue;
        };
        match users.iter_mut().find(|(known, _)| *known == wanted) {
            Some((_, filters)) => filters.push(filter),
            None => users.push((wanted, vec![filter])),
        }
    }
    if users.is_empty() {
        return fetched;
    }
    // If a secret cannot be read, the start ends with that error; a login without it would only add another.
    let Some(servers) = servers(config, secrets) else {
        return fetched;
    };
    let fetcher = fetcher(config, servers);
    if !fetcher.keeps_plugins() {
        problems
            .warning(
                config::Span::default(),
                "fetched plugins are not kept, so each start and each reload needs the registry",
            )
            .help("name a folder: `[plugins] cache = \"/var/cache/windlass/plugins\"`");
    }
    let results = fetch_all(&users, &fetcher);
    for ((_, filters), result) in users.into_iter().zip(results) {
        for filter in filters {
            match &result {
                Some(Ok(wasm)) => drop(fetched.insert(filter.name.clone(), Arc::clone(wasm))),
                Some(Err(error)) => report(filter, error, &fetcher, problems),
                None => {}
            }
        }
    }
    fetched
}

type FetchResult = Result<Arc<Vec<u8>>, DistributionError>;

/// The results, in the order of what is wanted.
fn fetch_all(
    users: &[(Wanted<'_>, Vec<&FilterConfig>)],
    fetcher: &PluginFetcher,
) -> Vec<Option<FetchResult>> {
    let results: Vec<Mutex<Option<FetchResult>>> = users.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some((wanted, _)), Some(result)) = (users.get(index), results.get(index)) else {
                break;
            };
            *result.lock() = Some(wanted.fetch(fetcher));
        }
    };
    thread::scope(|scope| {
        for _ in 1..users.len().min(AT_ONCE) {
            // If the system gives no thread, the others do its work.
            drop(
                thread::Builder::new()
                    .name("fetch".to_owned())
                    .spawn_scoped(scope, work),
            );
        }
        work();
    });
    results.into_iter().map(Mutex::into_inner).collect()
}

fn report(
    filter: &FilterConfig,
    error: &DistributionError,
    fetcher: &PluginFetcher,
    problems: &mut Problems,
) {
    let help = match error {
        DistributionError::NoDigest(reference) => Some(pin(reference, fetcher)),
        other => other.help(),
    };
    let span = match (error, &filter.plugin) {
        (DistributionError::Digest { .. }, PluginSource::Download(_)) => filter.sha256_span,
        (DistributionError::Signature(_), _) => filter.signed_by_span,
        _ => filter.plugin_span,
    };
    problems
        .error_of(filter, format!("its plugin cannot be fetched: {error}"))
        .at(span)
        .help_if(help);
}

/// The line that pins a tag to what it is now.
fn pin(reference: &OciReference, fetcher: &PluginFetcher) -> String {
    match fetcher.digest_of_tag(reference) {
        Ok(digest) => {
            let pinned = reference.pinned(digest);
            format!("to use what the tag names now, write `plugin = \"{pinned}\"`")
        }
        Err(error) => format!(
            "add the digest of the manifest, `@sha256:..`, which `windlass plugin push` printed ({error})"
        ),
    }
}

/// A fetcher with the bounds and the cache of a configuration.
fn fetcher(config: &Config, servers: Vec<ServerSettings>) -> PluginFetcher {
    let plugins = &config.plugins;
    let bounds = FetchBounds {
        max_size: plugins.max_size,
        timeout: plugins.timeout,
        servers,
    };
    let folder = plugins.cache.clone().or_else(|| beside_compiled(config));
    PluginFetcher::new(bounds, folder.map(|folder| (folder, plugins.cache_size)))
}

/// `plugins` in the folder of compiled components.
fn beside_compiled(config: &Config) -> Option<PathBuf> {
    let folder = match &config.wasm.cache {
        CompileCache::Off => return None,
        CompileCache::Folder(folder) => folder.clone(),
        CompileCache::UserFolder => user_folder()?,
    };
    Some(folder.join("plugins"))
}

/// The servers of `[[plugins.registry]]`, with their passwords. None if one of them cannot be read.
fn servers(config: &Config, secrets: Option<&Secrets>) -> Option<Vec<ServerSettings>> {
    let registries = config.plugins.registries.iter();
    let servers = registries.map(|registry| {
        let login = match (&registry.username, registry.password) {
            (Some(username), Some(index)) => {
                let secret = secrets?.find(&config.secrets.get(index)?.name)?;
                Some(Login::Password {
                    username: username.clone(),
                    password: secret.login()?,
                })
            }
            (_, _) => None,
        };
        Some(ServerSettings {
            host: registry.host.clone(),
            ca: registry.ca.clone(),
            plain_http: registry.plain_http,
            login,
        })
    });
    servers.collect()
}
