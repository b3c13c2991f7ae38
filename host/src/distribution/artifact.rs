//! Manifests: which layer of an artifact is the plugin, and the manifest of one that is pushed.
//!
//! The layout is that of the CNCF's Wasm working group: a configuration of the type
//! `application/vnd.wasm.config.v0+json` and one layer of the type `application/wasm`. What decides is the layer's type,
//! so artifacts of `wkg` and `oras`, and those of older tools, are plugins too.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::config::backticked;
use crate::model::sha256::Sha256;

/// The types of manifests that a registry may answer with: also those that are refused, so that the error names them.
pub(super) const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// The type of a manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The type of a configuration of the Wasm layout.
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The type of the layer that Windlass pushes.
pub(super) const WASM_LAYER: &str = "application/wasm";

/// The types of layers that are WebAssembly: the layout's, and those of tools before it.
const WASM_LAYERS: [&str; 3] = [
    WASM_LAYER,
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// A manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArtifactManifest {
    schema_version: u32,
    media_type: Option<String>,
    #[serde(default)]
    layers: Vec<RawLayer>,
    /// Those of an index.
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLayer {
    media_type: String,
    digest: String,
    size: u64,
}

/// A layer that is a plugin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PluginLayer {
    pub(super) digest: Sha256,
    pub(super) size: u64,
}

/// Why an artifact is no plugin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error("has a manifest that is not valid JSON of the OCI image specification")]
    Malformed,
    #[error("is an index of several images, not a plugin")]
    Index,
    #[error("has a manifest of schema version {0}, wanted 2")]
    Schema(u32),
    /// No layer is WebAssembly.
    #[error("has no layer of the type `{WASM_LAYER}`, but {0}")]
    NoPlugin(String),
    #[error("has {0} layers that are WebAssembly, wanted exactly one")]
    Several(usize),
    #[error("has a layer whose digest is not a SHA-256")]
    LayerDigest,
}

impl ArtifactError {
    /// How to mend it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Index => "write the digest of the manifest in it that has the plugin",
            _ => {
                "push a plugin with `windlass plugin push`, `wkg oci push` or `oras push REFERENCE NAME.wasm:application/wasm`"
            }
        }
    }
}

impl ArtifactManifest {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| ArtifactError::Malformed)?;
        let kind = manifest.media_type.as_deref().unwrap_or_default();
        if manifest.manifests.is_some() || kind.contains(".index.") || kind.contains(".list.") {
            return Err(ArtifactError::Index);
        }
        match manifest.schema_version {
            2 => Ok(manifest),
            other => Err(ArtifactError::Schema(other)),
        }
    }

    /// The one layer that is WebAssembly.
    pub(super) fn plugin(&self) -> Result<PluginLayer, ArtifactError> {
        let is_wasm = |layer: &&RawLayer| WASM_LAYERS.contains(&layer.media_type.as_str());
        let found: Vec<&RawLayer> = self.layers.iter().filter(is_wasm).collect();
        match found.as_slice() {
            [layer] => Ok(PluginLayer {
                digest: Sha256::from_digest(&layer.digest).ok_or(ArtifactError::LayerDigest)?,
                size: layer.size,
            }),
            [] => {
                let kinds = self.layers.iter().take(5).map(|layer| &*layer.media_type);
                let kinds: Vec<&str> = kinds.collect();
                Err(ArtifactError::NoPlugin(match kinds.as_slice() {
                    [] => "no layer at all".to_owned(),
                    _ => {
                        let kinds = backticked(kinds);
                        kinds
                            .chars()
                            .flat_map(char::escape_debug)
                            .take(300)
                            .collect()
                    }
                }))
            }
            several => Err(ArtifactError::Several(several.len())),
        }
    }
}

/// The names that a component imports and exports, for those who look at the artifact.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ComponentNames {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// A configuration of the Wasm layout. The date is fixed, so that the same file has the same digest whenever and
/// wherever it is pushed.
pub(super) fn config(wasm: &[u8], names: &ComponentNames) -> Vec<u8> {
    bytes(&json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [Sha256::of(wasm).digest()],
        "component": { "imports": names.imports, "exports": names.exports },
    }))
}

/// The manifest of a plugin. `title` is the file's name, by which other tools save it.
pub(super) fn manifest(wasm: &[u8], config: &[u8], title: &str) -> Vec<u8> {
    bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": WASM_CONFIG,
            "digest": Sha256::of(config).digest(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": WASM_LAYER,
            "digest": Sha256::of(wasm).digest(),
            "size": wasm.len(),
            "annotations": { "org.opencontainers.image.title": title },
        }],
    }))
}

fn bytes(json: &Json) -> Vec<u8> {
    json.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(manifest: &Json) -> Result<PluginLayer, ArtifactError> {
        ArtifactManifest::parse(&bytes(manifest))?.plugin()
    }

    fn layer(kind: &str) -> Json {
        json!({ "mediaType": kind, "digest": Sha256::of(b"x").digest(), "size": 1 })
    }

    #[test]
    fn what_is_pushed_is_found_again_and_always_the_same() {
        let config = config(b"wasm", &ComponentNames::default());
        let one = manifest(b"wasm", &config, "a.wasm");
        let layer = ArtifactManifest::parse(&one).unwrap().plugin().unwrap();
        assert_eq!((layer.digest, layer.size), (Sha256::of(b"wasm"), 4));
        assert_eq!(one, manifest(b"wasm", &config, "a.wasm"));
    }

    #[test]
    fn artifacts_of_other_tools_are_plugins() {
        for kind in WASM_LAYERS {
            // `oras` writes a configuration of its own, and may add other files.
            let manifest = json!({
                "schemaVersion": 2, "artifactType": "x",
                "config": { "mediaType": "application/vnd.oci.empty.v1+json" },
                "layers": [layer("text/plain"), layer(kind)],
            });
            assert!(plugin(&manifest).is_ok(), "{kind}");
        }
    }

    #[test]
    fn what_is_no_plugin_is_named() {
        for (manifest, text) in [
            (json!([]), "not valid JSON"),
            (
                json!({ "schemaVersion": 1, "layers": [] }),
                "schema version 1",
            ),
            (
                json!({ "schemaVersion": 2, "manifests": [] }),
                "is an index",
            ),
            (
                json!({ "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json" }),
                "is an index",
            ),
            (json!({ "schemaVersion": 2 }), "no layer at all"),
            (
                json!({ "schemaVersion": 2, "layers": [layer("application/vnd.oci.image.layer.v1.tar+gzip")] }),
                "but `application/vnd.oci.image.layer.v1.tar+gzip`",
            ),
            (
                json!({ "schemaVersion": 2, "layers": [layer(WASM_LAYER), layer(WASM_LAYER)] }),
                "has 2 layers",
            ),
            (
                json!({ "schemaVersion": 2, "layers": [{ "mediaType": WASM_LAYER, "digest": "sha512:00", "size": 1 }] }),
                "not a SHA-256",
            ),
            (
                json!({ "schemaVersion": 2, "layers": [{ "mediaType": WASM_LAYER, "digest": "x", "size": -1 }] }),
                "not valid JSON",
            ),
        ] {
            let error = plugin(&manifest).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
