//! One repository of a registry, by the OCI distribution specification 1.1: manifests and blobs, and the login.
//!
//! It asks without a login first. If the registry answers 401, it gets a token, or sends Basic credentials, and asks
//! once more. It sends a password only by TLS, to this machine, or where the operator said `plain_http`. It checks no
//! digest: the caller does.

use std::time::Instant;

use http::{HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use ureq::Body;
use zeroize::Zeroizing;

use super::artifact::MANIFEST_TYPES;
use super::challenge::{LoginChallenge, challenge};
use super::client::{self, Ask, HttpClient, TransferError, is_local, shown};
use super::login::{Login, header};
use super::{DistributionError, ServerSettings};
use crate::model::oci::OciReference;
use crate::model::sha256::Sha256;

/// The largest manifest. Bytes: what the specification asks registries to accept.
const MAX_MANIFEST: u64 = 4 << 20;

/// The largest answer of a login server. Bytes.
const MAX_TOKEN: u64 = 1 << 20;

/// A repository.
#[derive(Debug)]
pub(super) struct RegistryClient {
    pub(super) http: HttpClient,
    server: ServerSettings,
    /// `https://registry.example/v2/team/name`.
    base: String,
    repository: String,
    /// The requested access: `pull`, or `pull,push`.
    actions: &'static str,
    authorization: Option<HeaderValue>,
}

/// An answer of a login server.
#[derive(Deserialize)]
struct RegistryToken {
    token: Option<String>,
    access_token: Option<String>,
}

impl RegistryClient {
    /// The repository of a reference, until `end`.
    pub(super) fn new(
        server: ServerSettings,
        reference: &OciReference,
        actions: &'static str,
        end: Instant,
    ) -> Result<Self, DistributionError> {
        let (host, repository) = address(reference);
        let is_plain = server.plain_http || (is_local(host) && server.ca.is_none());
        let scheme = if is_plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{repository}");
        Ok(Self {
            http: HttpClient::new(&server, &base, end)?,
            server,
            base,
            repository,
            actions,
            authorization: None,
        })
    }

    /// The URL of a part of the repository.
    pub(super) fn url(&self, part: &str) -> String {
        format!("{}/{part}", self.base)
    }

    /// The manifest of a tag or a digest, as it was pushed.
    pub(super) fn manifest(&mut self, tag_or_digest: &str) -> Result<Vec<u8>, DistributionError> {
        let url = self.url(&format!("manifests/{tag_or_digest}"));
        let mut answer = self.call(&Ask {
            accept: MANIFEST_TYPES,
            ..Ask::get(&url)
        })?;
        match answer.status() {
            StatusCode::OK => Ok(HttpClient::body(&url, &mut answer, MAX_MANIFEST)?),
            _ => Err(client::refused(&url, answer).into()),
        }
    }

    /// A blob of this size.
    pub(super) fn blob(&mut self, digest: Sha256, size: u64) -> Result<Vec<u8>, DistributionError> {
        let url = self.url(&format!("blobs/{}", digest.digest()));
        // A blob is mostly asked for after its manifest, so the login is known by now; if not, HEAD gets it.
        if self.authorization.is_none() {
            let head = Ask {
                method: Method::HEAD,
                ..Ask::get(&url)
            };
            self.call(&head)?;
        }
        let login = self.authorization.as_ref();
        Ok(self.http.download(&url, login, size)?)
    }

    /// The answer to a request, which is sent again with a login if the registry asks for one.
    pub(super) fn call(&mut self, ask: &Ask<'_>) -> Result<Response<Body>, DistributionError> {
        let answer = self.send(ask)?;
        if answer.status() != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return Ok(answer);
        }
        self.authorization = self.log_in(ask.url, &answer)?;
        match self.authorization {
            Some(_) => self.send(ask),
            None => Ok(answer),
        }
    }

    fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, DistributionError> {
        // An upload may go elsewhere.
        let is_own = client::is_same_server(ask.url, &self.base);
        Ok(self.http.call(&Ask {
            method: ask.method.clone(),
            login: self.authorization.as_ref().filter(|_| is_own),
            ..*ask
        })?)
    }

    /// The credentials to send from now on. None: there is no login, and the registry's answer says what that means.
    fn log_in(
        &self,
        url: &str,
        answer: &Response<Body>,
    ) -> Result<Option<HeaderValue>, DistributionError> {
        let login = match &self.server.login {
            Some(login) => Some(login.clone()),
            None => Login::of_docker(&self.server.host)?,
        };
        match challenge(answer.headers()) {
            Some(LoginChallenge::Token {
                realm,
                service,
                scope,
            }) => {
                let scope = scope
                    .unwrap_or_else(|| format!("repository:{}:{}", self.repository, self.actions));
                let pairs = [("service", service.as_deref()), ("scope", Some(&*scope))];
                let pairs: Vec<(&str, &str)> = pairs
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                self.token(&realm, &pairs, login.as_ref()).map(Some)
            }
            Some(LoginChallenge::Basic) => Ok(login.as_ref().map(Login::basic).transpose()?),
            None => Err(TransferError::Protocol {
                url: shown(url),
                what: "wants a login and does not say which",
            }
            .into()),
        }
    }

    /// A token of the server at `realm`.
    fn token(
        &self,
        realm: &str,
        pairs: &[(&str, &str)],
        login: Option<&Login>,
    ) -> Result<HeaderValue, DistributionError> {
        let may_be_open = self.server.plain_http || is_local(client::host_of(realm));
        let is_safe =
            realm.starts_with("https://") || (may_be_open && realm.starts_with("http://"));
        if !is_safe {
            return Err(protocol(
                realm,
                "is where the registry sends logins, and has no TLS",
            ));
        }
        let form = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
            let mut text = Zeroizing::new(String::new());
            for (name, value) in pairs {
                let separator = if text.is_empty() { "" } else { "&" };
                text.push_str(separator);
                text.push_str(name);
                text.push('=');
                text.extend(percent_encoding::utf8_percent_encode(
                    value,
                    percent_encoding::NON_ALPHANUMERIC,
                ));
            }
            text
        };
        let mut answer = match login {
            Some(Login::Refresh(token)) => {
                let own = [
                    ("grant_type", "refresh_token"),
                    ("client_id", "windlass"),
                    ("refresh_token", token.as_str()),
                ];
                let body = form(&mut own.into_iter().chain(pairs.iter().copied()));
                self.http.call(&Ask {
                    method: Method::POST,
                    body: Some(("application/x-www-form-urlencoded", body.as_bytes())),
                    ..Ask::get(realm)
                })?
            }
            password => {
                let separator = if realm.contains('?') { '&' } else { '?' };
                let query = form(&mut pairs.iter().copied());
                let url = format!("{realm}{separator}{}", query.as_str());
                let login = password.map(Login::basic).transpose()?;
                self.http.call(&Ask {
                    login: login.as_ref(),
                    ..Ask::get(&url)
                })?
            }
        };
        if answer.status() != StatusCode::OK {
            return Err(client::refused(realm, answer).into());
        }
        let body = Zeroizing::new(HttpClient::body(realm, &mut answer, MAX_TOKEN)?);
        let read: Result<RegistryToken, _> = serde_json::from_slice(&body);
        let read = read.map_err(|_| protocol(realm, "gave a login that is not JSON"))?;
        let token = read.token.or(read.access_token).map(Zeroizing::new);
        let token = token.ok_or_else(|| protocol(realm, "gave a login without a token"))?;
        Ok(header("Bearer", &token)?)
    }
}

fn protocol(url: &str, what: &'static str) -> DistributionError {
    let url = shown(url);
    TransferError::Protocol { url, what }.into()
}

/// The host that is asked, and the repository there: Docker Hub has its API elsewhere, and its own images in `library/`.
fn address(reference: &OciReference) -> (&str, String) {
    let OciReference {
        registry,
        repository,
        ..
    } = reference;
    match (registry.as_str(), repository.contains('/')) {
        ("docker.io", true) => ("registry-1.docker.io", repository.clone()),
        ("docker.io", false) => ("registry-1.docker.io", format!("library/{repository}")),
        (registry, _) => (registry, repository.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn base(text: &str, server: ServerSettings) -> String {
        let reference = OciReference::parse(text).unwrap();
        let end = Instant::now() + Duration::from_secs(1);
        let server = ServerSettings {
            host: reference.registry.clone(),
            ..server
        };
        let client = RegistryClient::new(server, &reference, "pull", end);
        client.map(|client| client.base).unwrap()
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        let none = ServerSettings::default;
        assert_eq!(
            base("oci://localhost:5000/a:1", none()),
            "http://localhost:5000/v2/a"
        );
        assert_eq!(
            base("oci://127.0.0.1:1/a:1", none()),
            "http://127.0.0.1:1/v2/a"
        );
        let plain = ServerSettings {
            plain_http: true,
            ..none()
        };
        assert_eq!(
            base("oci://r.example/a/b:1", plain),
            "http://r.example/v2/a/b"
        );
    }

    #[test]
    fn docker_hub_has_its_names_elsewhere() {
        let at = |text| {
            let reference = OciReference::parse(text).unwrap();
            let (host, repository) = address(&reference);
            format!("{host} {repository}")
        };
        assert_eq!(at("oci://docker.io/a:1"), "registry-1.docker.io library/a");
        assert_eq!(at("oci://docker.io/a/b:1"), "registry-1.docker.io a/b");
        assert_eq!(at("oci://ghcr.io/a:1"), "ghcr.io a");
    }
}
