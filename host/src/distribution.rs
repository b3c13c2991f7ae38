//! Plugins that are not files of this machine: fetched from OCI registries and HTTPS servers, and pushed there.
//!
//! The build of a configuration comes here before it compiles a plugin, and `windlass plugin push` and `pull`. It
//! promises that no byte is handed out whose SHA-256 is not the one that was asked for, that a fetch has an end (time,
//! size, redirects), that a login is sent only to the server it is for, and that a plugin in the cache needs no
//! network. It blocks, so no worker calls it. It deliberately does not look into components, and trusts no tag.

mod artifact;
mod challenge;
mod client;
mod login;
mod push;
mod registry;
mod signature;
mod store;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use artifact::{ArtifactError, ArtifactManifest};
use client::HttpClient;
use registry::RegistryClient;
use signature::PayloadSignature;
use store::BlobStore;

use crate::model::oci::{OciReference, OciReferenceError};
use crate::model::sha256::Sha256;

pub(crate) use artifact::ComponentNames;
pub(crate) use client::TransferError;
pub(crate) use login::{Login, LoginError};
pub(crate) use push::push;
pub(crate) use signature::{SignatureError, SignerKey};

/// How to reach a server, and who logs in to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerSettings {
    /// Its host, with its port if one is written in references.
    pub(crate) host: String,
    /// The authorities that may sign its certificate, PEM. None: those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// Whether it is asked without TLS although it is on another machine.
    pub(crate) plain_http: bool,
    /// None: Docker's configuration file is asked when a registry wants a login.
    pub(crate) login: Option<Login>,
}

/// The bounds of one fetch, and the servers that need more than their name.
#[derive(Debug, Clone)]
pub(crate) struct FetchBounds {
    /// The largest plugin. Bytes.
    pub(crate) max_size: u64,
    /// For everything that one plugin takes.
    pub(crate) timeout: Duration,
    pub(crate) servers: Vec<ServerSettings>,
}

impl FetchBounds {
    /// The settings of a host.
    fn server(&self, host: &str) -> ServerSettings {
        let known = self.servers.iter().find(|server| server.host == host);
        known.cloned().unwrap_or_else(|| ServerSettings {
            host: host.to_owned(),
            ..ServerSettings::default()
        })
    }
}

/// Why there is no plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DistributionError {
    /// The server could not be reached, or does not give it.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// There is no usable login.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The artifact is not a plugin.
    #[error("`{reference}` {cause}")]
    Artifact {
        reference: String,
        cause: ArtifactError,
    },
    #[error("`{name}` has the SHA-256 {found}, wanted {wanted}")]
    Digest {
        /// The part of the server's answer that was checked.
        name: String,
        found: Sha256,
        wanted: Sha256,
    },
    #[error("`{name}` has {found} bytes, more than the {limit} that a plugin may have")]
    TooLarge {
        name: String,
        found: u64,
        limit: u64,
    },
    /// The artifact is not signed as the configuration wants it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("`{0}` names a tag, and a tag can be moved to other code at any time")]
    NoDigest(Box<OciReference>),
    #[error("`{text}` {cause}")]
    Reference {
        text: String,
        cause: OciReferenceError,
    },
}

impl DistributionError {
    /// How to mend it.
    #[must_use]
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            Self::Transfer(error) => error.help(),
            Self::Login(error) => Some(error.help()),
            Self::Artifact { cause, .. } => Some(cause.help().to_owned()),
            Self::Digest { .. } => Some(
                "if the plugin was meant to change, write its new digest; else somebody changed it on the way or on the server".to_owned(),
            ),
            Self::TooLarge { found, .. } => {
                let enough = found.div_ceil(1 << 20);
                Some(format!("set `[plugins] max_size = \"{enough}MiB\"` (at most 256MiB), or make the plugin smaller"))
            }
            Self::Signature(error) => Some(error.help().to_owned()),
            Self::NoDigest(_) => None,
            Self::Reference { .. } => Some("write it as `oci://registry.example/team/name:1.0.0`".to_owned()),
        }
    }
}

/// Fetches plugins, by way of a cache on disk.
#[derive(Debug)]
pub(crate) struct PluginFetcher {
    bounds: FetchBounds,
    store: Option<BlobStore>,
}

/// A plugin, and the digest of the manifest that names it.
#[derive(Debug)]
pub(crate) struct PulledPlugin {
    pub(crate) wasm: Vec<u8>,
    pub(crate) manifest: Sha256,
}

impl PluginFetcher {
    /// With a cache in this folder of at most this many bytes, or without one.
    #[must_use]
    pub(crate) fn new(bounds: FetchBounds, cache: Option<(PathBuf, u64)>) -> Self {
        let store = cache.and_then(|(folder, limit)| BlobStore::open(folder, limit));
        Self { bounds, store }
    }

    /// Whether a restart finds the plugins again without a network.
    #[must_use]
    pub(crate) fn keeps_plugins(&self) -> bool {
        self.store.is_some()
    }

    /// The file at a URL, which must have this digest.
    ///
    /// # Errors
    ///
    /// It cannot be had, or is another file.
    pub(crate) fn download(&self, url: &str, wanted: Sha256) -> Result<Vec<u8>, DistributionError> {
        if let Some(bytes) = self.stored(wanted) {
            return Ok(bytes);
        }
        let bytes = self.download_any(url)?;
        self.keep(url, wanted, &bytes)?;
        Ok(bytes)
    }

    /// The file at a URL, whatever it is.
    ///
    /// # Errors
    ///
    /// It cannot be had.
    pub(crate) fn download_any(&self, url: &str) -> Result<Vec<u8>, DistributionError> {
        let server = self.bounds.server(client::host_of(url));
        let http = HttpClient::new(&server, url, self.end())?;
        let login = server.login.as_ref().map(Login::basic).transpose()?;
        Ok(http.download(url, login.as_ref(), self.bounds.max_size)?)
    }

    /// The plugin of an artifact whose digest is written, and which `signer` has signed if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be had, is something else, or is not signed.
    pub(crate) fn artifact(
        &self,
        reference: &OciReference,
        signer: Option<&SignerKey>,
    ) -> Result<Vec<u8>, DistributionError> {
        let Some(digest) = reference.digest else {
            return Err(DistributionError::NoDigest(Box::new(reference.clone())));
        };
        let mut registry = None;
        let manifest = match self.stored(digest) {
            Some(bytes) => bytes,
            None => {
                let bytes = self
                    .registry(&mut registry, reference)?
                    .manifest(&digest.digest())?;
                self.keep(&reference.to_string(), digest, &bytes)?;
                bytes
            }
        };
        self.check_signer(reference, digest, signer, &mut registry)?;
        self.layer(reference, &manifest, &mut registry)
    }

    /// Checks that the artifact is signed. Signatures of the cache save the registry; they are checked as others are.
    fn check_signer(
        &self,
        reference: &OciReference,
        manifest: Sha256,
        signer: Option<&SignerKey>,
        registry: &mut Option<RegistryClient>,
    ) -> Result<(), DistributionError> {
        let Some(signer) = signer else { return Ok(()) };
        let artifact = reference.to_string();
        let stored = self
            .store
            .as_ref()
            .and_then(|store| store.load_signatures(manifest));
        let stored = stored.map(|bytes| PayloadSignature::from_stored(&bytes));
        if stored.is_some_and(|stored| signer.check(&artifact, manifest, &stored).is_ok()) {
            return Ok(());
        }
        let found = signature::fetch(self.registry(registry, reference)?, manifest)?;
        signer.check(&artifact, manifest, &found)?;
        if let Some(store) = &self.store {
            store.save_signatures(manifest, &PayloadSignature::to_stored(&found));
        }
        Ok(())
    }

    /// The plugin of an artifact by its tag, its digest or both.
    ///
    /// # Errors
    ///
    /// It cannot be had, or is something else.
    pub(crate) fn pull(
        &self,
        reference: &OciReference,
        signer: Option<&SignerKey>,
    ) -> Result<PulledPlugin, DistributionError> {
        if let Some(manifest) = reference.digest {
            let wasm = self.artifact(reference, signer)?;
            return Ok(PulledPlugin { wasm, manifest });
        }
        let mut registry = None;
        let tag = reference.tag.as_deref().unwrap_or_default();
        let bytes = self.registry(&mut registry, reference)?.manifest(tag)?;
        let manifest = Sha256::of(&bytes);
        self.check_signer(reference, manifest, signer, &mut registry)?;
        let wasm = self.layer(reference, &bytes, &mut registry)?;
        Ok(PulledPlugin { wasm, manifest })
    }

    /// The digest that a tag has now.
    ///
    /// # Errors
    ///
    /// The registry does not say.
    pub(crate) fn digest_of_tag(
        &self,
        reference: &OciReference,
    ) -> Result<Sha256, DistributionError> {
        let mut registry = None;
        let tag = reference.tag.as_deref().unwrap_or_default();
        let bytes = self.registry(&mut registry, reference)?.manifest(tag)?;
        Ok(Sha256::of(&bytes))
    }

    /// The plugin that a manifest names.
    fn layer(
        &self,
        reference: &OciReference,
        manifest: &[u8],
        registry: &mut Option<RegistryClient>,
    ) -> Result<Vec<u8>, DistributionError> {
        let of_artifact = |cause| DistributionError::Artifact {
            reference: reference.to_string(),
            cause,
        };
        let manifest = ArtifactManifest::parse(manifest).map_err(of_artifact)?;
        let layer = manifest.plugin().map_err(of_artifact)?;
        let (wanted, limit) = (layer.digest, self.bounds.max_size);
        if layer.size > limit {
            return Err(DistributionError::TooLarge {
                name: reference.to_string(),
                found: layer.size,
                limit,
            });
        }
        if let Some(bytes) = self.stored(wanted) {
            return Ok(bytes);
        }
        let bytes = self
            .registry(registry, reference)?
            .blob(wanted, layer.size)?;
        self.keep(&format!("{reference}: its layer"), wanted, &bytes)?;
        Ok(bytes)
    }

    /// The client of the reference's repository, made at its first use: what is in the cache needs none.
    fn registry<'a>(
        &self,
        made: &'a mut Option<RegistryClient>,
        reference: &OciReference,
    ) -> Result<&'a mut RegistryClient, DistributionError> {
        match made {
            Some(registry) => Ok(registry),
            None => {
                let server = self.bounds.server(&reference.registry);
                let registry = RegistryClient::new(server, reference, "pull", self.end())?;
                Ok(made.insert(registry))
            }
        }
    }

    fn end(&self) -> Instant {
        Instant::now() + self.bounds.timeout
    }

    fn stored(&self, digest: Sha256) -> Option<Vec<u8>> {
        self.store.as_ref()?.load(digest)
    }

    /// Checks bytes, and keeps them for the next time.
    fn keep(&self, name: &str, wanted: Sha256, bytes: &[u8]) -> Result<(), DistributionError> {
        let found = Sha256::of(bytes);
        if found != wanted {
            return Err(DistributionError::Digest {
                name: name.to_owned(),
                found,
                wanted,
            });
        }
        if let Some(store) = &self.store {
            store.save(wanted, bytes);
        }
        Ok(())
    }
}
