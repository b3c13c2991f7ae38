//! Fetches a key set, by its URL or through a discovery document.
//!
//! It promises that a fetch has a time limit and a size limit, that it follows no redirect, and
//! that the URL in a discovery document is fetched over TLS, however the document itself was
//! fetched. It blocks, so no worker calls it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::freshness::lifetime;
use crate::http::tls::pem;
use crate::verifier::{KeySet, KeySetError};

/// The largest key set or discovery document. Bytes.
pub(crate) const MAX_DOCUMENT: u64 = 1024 * 1024;

/// The largest head of an answer. Bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The location of a key set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum KeySetLocation {
    /// At this URL.
    Jwks(String),
    /// The URL is in this document (`OpenID` Connect Discovery 1.0, RFC 8414), which must name one
    /// of these issuers.
    Discovery {
        /// The document's URL.
        url: String,
        issuers: Vec<String>,
    },
}

impl KeySetLocation {
    /// The URL in the configuration.
    #[must_use]
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Jwks(url) | Self::Discovery { url, .. } => url,
        }
    }
}

/// The settings of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FetchSettings {
    pub(crate) location: KeySetLocation,
    /// The authorities that may sign the server's certificate, PEM. None: those that the system
    /// trusts.
    pub(crate) ca: Option<PathBuf>,
    /// The limit of the whole fetch.
    pub(crate) timeout: Duration,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The keys. None: the last answer's keys are still current.
    pub(crate) keys: Option<KeySet>,
    /// How long the answer is fresh, if it says so.
    pub(crate) lifetime: Option<Duration>,
    /// Identifies the answer.
    pub(crate) tag: Option<EntityTag>,
}

/// Identifies an answer: the URL of the set, and the entity tag that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntityTag {
    url: String,
    etag: String,
}

/// A URL for logs and errors, without its query, which may hold a secret.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The trusted certificates cannot be read.
    #[error("the trusted certificates could not be read: {0}")]
    Trust(String),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The server could not be reached, or its answer was cut short or too long.
    #[error("`{}`: {cause}", without_query(url))]
    Call {
        /// The requested URL.
        url: String,
        cause: ureq::Error,
    },
    /// The server answered with another status.
    #[error("`{}` answered with status {status}", without_query(url))]
    Status {
        /// The requested URL.
        url: String,
        /// The status of its answer.
        status: u16,
    },
    /// The server redirects, and Windlass follows no redirect.
    #[error(
        "`{}` redirects, and Windlass follows no redirect; write the URL that has the document",
        without_query(url)
    )]
    Redirect {
        /// The requested URL.
        url: String,
    },
    /// The document is not a set with usable keys.
    #[error("the key set at `{}` cannot be used: {cause}", without_query(url))]
    Set { url: String, cause: KeySetError },
    /// The discovery document is not valid.
    #[error("the discovery document at `{}` {what}", without_query(url))]
    Discovery {
        url: String,
        /// The error.
        what: &'static str,
    },
}

#[derive(Debug)]
pub(crate) struct Fetcher {
    settings: FetchSettings,
    agent: Agent,
}

impl Fetcher {
    /// A fetcher with these settings.
    ///
    /// # Errors
    ///
    /// The trusted certificates cannot be read.
    pub(crate) fn new(settings: FetchSettings) -> Result<Self, FetchError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .max_response_header_size(MAX_HEAD)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .accept("application/json, application/jwk-set+json");
        // Built for `http` URLs too: the keys that a discovery document names may need TLS
        // although the document does not.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&trusted(
                settings.ca.as_deref(),
                &settings.location,
            )?));
        config = config.tls_config(tls.build());
        Ok(Self {
            agent: config.build().new_agent(),
            settings,
        })
    }

    /// Fetches the keys, unless the last answer is still current.
    ///
    /// # Errors
    ///
    /// No set with usable keys could be fetched.
    pub(crate) fn fetch(&self, last: Option<&EntityTag>) -> Result<Fetched, FetchError> {
        let end = Instant::now() + self.settings.timeout;
        let (url, of_document) = match &self.settings.location {
            KeySetLocation::Jwks(url) => (url.clone(), None),
            KeySetLocation::Discovery { url, issuers } => {
                let (fields, document) = self.document(url, end)?;
                (set_url(url, issuers, &document)?, Some(lifetime(&fields)))
            }
        };
        let etag = last.filter(|tag| tag.url == url).map(|tag| &*tag.etag);
        let (fields, body) = self.get(&url, etag, end)?;
        let keys = match body {
            None => None,
            Some(body) => match KeySet::parse(&body) {
                Ok(keys) => Some(keys),
                Err(cause) => return Err(FetchError::Set { url, cause }),
            },
        };
        let lifetime = match (lifetime(&fields), of_document.flatten()) {
            (Some(set), Some(document)) => Some(set.min(document)),
            (set, document) => set.or(document),
        };
        let tag = match &keys {
            None => last.cloned(),
            Some(_) => fields.get(header::ETAG).and_then(|etag| {
                let etag = etag.to_str().ok()?.to_owned();
                Some(EntityTag { url, etag })
            }),
        };
        Ok(Fetched {
            keys,
            lifetime,
            tag,
        })
    }

    fn document(&self, url: &str, end: Instant) -> Result<(HeaderMap, Value), FetchError> {
        let (fields, body) = self.get(url, None, end)?;
        let document = serde_json::from_slice(&body.unwrap_or_default());
        let document = document.map_err(|_| discovery_error(url, "is not JSON"))?;
        Ok((fields, document))
    }

    /// The body at a URL. None: it is unchanged since it had this entity tag.
    fn get(
        &self,
        url: &str,
        etag: Option<&str>,
        end: Instant,
    ) -> Result<(HeaderMap, Option<Vec<u8>>), FetchError> {
        let failed = |cause| FetchError::Call {
            url: url.to_owned(),
            cause,
        };
        let left = end.saturating_duration_since(Instant::now());
        let mut request = self.agent.get(url);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        // Some steps would take a timeout of zero as none.
        let left = left.max(Duration::from_millis(1));
        let request = request.config().timeout_global(Some(left)).build();
        let mut answer = request.call().map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => {
                return Ok((std::mem::take(answer.headers_mut()), None));
            }
            status if status.is_redirection() => {
                return Err(FetchError::Redirect {
                    url: url.to_owned(),
                });
            }
            status => {
                return Err(FetchError::Status {
                    url: url.to_owned(),
                    status: status.as_u16(),
                });
            }
        }
        let body = answer.body_mut().with_config().limit(MAX_DOCUMENT);
        let body = body.read_to_vec().map_err(failed)?;
        Ok((std::mem::take(answer.headers_mut()), Some(body)))
    }
}

fn discovery_error(url: &str, what: &'static str) -> FetchError {
    FetchError::Discovery {
        url: url.to_owned(),
        what,
    }
}

/// The URL of the keys that the document names.
fn set_url(url: &str, issuers: &[String], document: &Value) -> Result<String, FetchError> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let issuer = text("issuer").ok_or_else(|| discovery_error(url, "has no `issuer`"))?;
    if !issuers.iter().any(|one| one == issuer) {
        return Err(discovery_error(
            url,
            "names another issuer than the verifier's",
        ));
    }
    let keys = text("jwks_uri").ok_or_else(|| discovery_error(url, "has no `jwks_uri`"))?;
    let scheme = |url: &str| url.parse::<Uri>().ok()?.scheme_str().map(str::to_owned);
    match (scheme(keys).as_deref(), scheme(url).as_deref()) {
        (Some("https"), _) | (Some("http"), Some("http")) => Ok(keys.to_owned()),
        (Some("http"), _) => Err(discovery_error(
            url,
            "has a `jwks_uri` without TLS; it must begin with `https:`",
        )),
        (Some(_) | None, _) => Err(discovery_error(
            url,
            "has a `jwks_uri` that is not an HTTP URL",
        )),
    }
}

fn trusted(
    ca: Option<&Path>,
    location: &KeySetLocation,
) -> Result<Vec<Certificate<'static>>, FetchError> {
    let own = |der: &[u8]| Certificate::from_der(der).to_owned();
    if let Some(ca) = ca {
        let found = pem::certificates(ca);
        let found = found.map_err(|error| FetchError::Trust(error.to_string()))?;
        return Ok(found.iter().map(|one| own(&one.der)).collect());
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() && location.url().starts_with("https:") {
        let text = "the system has none; install its `ca-certificates`, or name a file with `ca`";
        return Err(FetchError::Trust(text.to_owned()));
    }
    Ok(found.certs.iter().map(|one| own(one)).collect())
}
