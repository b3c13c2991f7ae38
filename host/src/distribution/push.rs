//! Pushes a plugin: its layer, its configuration, and the manifest that names both.

use std::time::Instant;

use http::{Method, StatusCode};

use super::artifact::{self, ComponentNames, MANIFEST};
use super::client::{self, Ask};
use super::registry::RegistryClient;
use super::{DistributionError, FetchBounds};
use crate::model::oci::OciReference;
use crate::model::sha256::Sha256;

/// Pushes a plugin under the tag of a reference, and gives the digest of its manifest. `title` is its file's name.
///
/// # Errors
///
/// The registry does not take it.
pub(crate) fn push(
    bounds: &FetchBounds,
    reference: &OciReference,
    wasm: &[u8],
    names: &ComponentNames,
    title: &str,
) -> Result<Sha256, DistributionError> {
    let server = bounds.server(&reference.registry);
    let end = Instant::now() + bounds.timeout;
    let mut registry = RegistryClient::new(server, reference, "pull,push", end)?;
    let config = artifact::config(wasm, names);
    let manifest = artifact::manifest(wasm, &config, title);
    registry.upload(wasm)?;
    registry.upload(&config)?;
    let digest = Sha256::of(&manifest);
    let name = reference.tag.clone().unwrap_or_else(|| digest.digest());
    registry.put_manifest(&name, &manifest)?;
    Ok(digest)
}

impl RegistryClient {
    /// Uploads a blob. A registry that has it already keeps one copy.
    fn upload(&mut self, bytes: &[u8]) -> Result<(), DistributionError> {
        let digest = Sha256::of(bytes).digest();
        let uploads = self.url("blobs/uploads/");
        // This first: its answer asks for the login that writing needs.
        let answer = self.call(&Ask {
            method: Method::POST,
            body: Some(("application/octet-stream", &[])),
            ..Ask::get(&uploads)
        })?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(client::refused(&uploads, answer).into());
        }
        let to = client::location(&uploads, answer.headers())?;
        let separator = if to.contains('?') { '&' } else { '?' };
        let to = format!("{to}{separator}digest={digest}");
        let answer = self.call(&Ask {
            method: Method::PUT,
            body: Some(("application/octet-stream", bytes)),
            ..Ask::get(&to)
        })?;
        match answer.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(client::refused(&to, answer).into()),
        }
    }

    fn put_manifest(&mut self, name: &str, manifest: &[u8]) -> Result<(), DistributionError> {
        let url = self.url(&format!("manifests/{name}"));
        let answer = self.call(&Ask {
            method: Method::PUT,
            body: Some((MANIFEST, manifest)),
            ..Ask::get(&url)
        })?;
        match answer.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(client::refused(&url, answer).into()),
        }
    }
}
