//! Signatures of artifacts, as `cosign sign --key` writes them into a registry.
//!
//! A signature is an artifact of its own in the same repository, under the tag `sha256-<digest of the manifest>.sig`.
//! Each of its layers is a payload ("simple signing"), and an annotation of the layer has the signature of the payload's
//! bytes. A payload counts only if the key signed it and if it names the digest of the manifest: a good signature of
//! another artifact says nothing of this one. It checks no certificate and no transparency log: the operator's key is what
//! is trusted.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    ParsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::registry::RegistryClient;
use super::{DistributionError, TransferError};
use crate::model::sha256::Sha256;

/// The type of a layer that is a payload.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The annotation with the signature, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// The `type` of a payload.
const PAYLOAD_TYPE: &str = "cosign container image signature";

/// The most signatures of an artifact that are looked at.
const MOST_SIGNATURES: usize = 32;

/// The largest payload. Bytes.
const MAX_PAYLOAD: u64 = 64 * 1024;

/// The largest key file. Bytes.
const MAX_KEY: u64 = 64 * 1024;

/// The algorithms: each key fits those of its own kind. cosign signs with SHA-256 whatever the curve, and its newer
/// versions with the digest that belongs to the curve.
const ALGORITHMS: [&dyn VerificationAlgorithm; 4] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ED25519,
];

/// Why an artifact is not signed as it must be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the key `{file}` cannot be read: {cause}")]
    KeyFile { file: String, cause: std::io::Error },
    #[error("the key `{0}` is not a public key in PEM of ECDSA (P-256 or P-384) or Ed25519")]
    Key(String),
    #[error("`{0}` is not signed: its repository has no tag `{tag}` with a signature", tag = tag(*.1))]
    Unsigned(String, Sha256),
    #[error("`{artifact}` is signed, but none of its signatures is by the key `{key}`")]
    OtherKey { artifact: String, key: String },
    #[error("`{artifact}` has a signature by the key `{key}`, but it is for another artifact")]
    OtherArtifact { artifact: String, key: String },
}

impl SignatureError {
    /// How to mend it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::KeyFile { .. } => "paths are relative to the folder of the configuration file",
            Self::Key(_) => "`cosign generate-key-pair` writes such a key to `cosign.pub`",
            Self::Unsigned(..) => {
                "sign it with `cosign sign --key cosign.key`; cosign 3 writes this format only with `--new-bundle-format=false`"
            }
            Self::OtherKey { .. } | Self::OtherArtifact { .. } => {
                "look who pushed it, and whether `signed_by` names the key of its author"
            }
        }
    }
}

/// The tag of the signatures of a manifest.
fn tag(manifest: Sha256) -> String {
    format!("sha256-{manifest}.sig")
}

/// A public key that signs artifacts.
#[derive(Debug)]
pub(crate) struct SignerKey {
    /// The file, for errors.
    name: String,
    /// The key, once for each algorithm that it fits.
    keys: Vec<ParsedPublicKey>,
}

impl SignerKey {
    /// Reads a key from a PEM file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is of another kind.
    pub(crate) fn read(path: &Path) -> Result<Self, SignatureError> {
        let name = path.display().to_string();
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_KEY).read_to_end(&mut text));
        if let Err(cause) = read {
            return Err(SignatureError::KeyFile { file: name, cause });
        }
        let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(&text) else {
            return Err(SignatureError::Key(name));
        };
        let keys = ALGORITHMS.iter();
        let keys: Vec<_> = keys
            .filter_map(|algorithm| ParsedPublicKey::new(*algorithm, &*key).ok())
            .collect();
        match keys.is_empty() {
            true => Err(SignatureError::Key(name)),
            false => Ok(Self { name, keys }),
        }
    }

    fn signed(&self, signature: &PayloadSignature) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| {
            key.verify_sig(&signature.payload, &signature.signature)
                .is_ok()
        })
    }

    /// Whether one of the signatures is by this key, and of this manifest.
    ///
    /// # Errors
    ///
    /// None is.
    pub(super) fn check(
        &self,
        artifact: &str,
        manifest: Sha256,
        signatures: &[PayloadSignature],
    ) -> Result<(), SignatureError> {
        let (artifact, key) = (artifact.to_owned(), self.name.clone());
        let mut is_ours = false;
        for signature in signatures.iter().filter(|signature| self.signed(signature)) {
            if signature.names(manifest) {
                return Ok(());
            }
            is_ours = true;
        }
        Err(match (is_ours, signatures.is_empty()) {
            (true, _) => SignatureError::OtherArtifact { artifact, key },
            (false, false) => SignatureError::OtherKey { artifact, key },
            (false, true) => SignatureError::Unsigned(artifact, manifest),
        })
    }
}

/// A payload and its signature: what the key is compared with, also when it comes from the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PayloadSignature {
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The form in the cache.
#[derive(Serialize, Deserialize)]
struct StoredSignature {
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: SignedImage,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SignedImage {
    docker_manifest_digest: String,
}

impl PayloadSignature {
    /// Whether the payload is of this manifest.
    fn names(&self, manifest: Sha256) -> bool {
        let read: Result<SimpleSigning, _> = serde_json::from_slice(&self.payload);
        read.is_ok_and(|payload| {
            let critical = payload.critical;
            let digest = Sha256::from_digest(&critical.image.docker_manifest_digest);
            critical.kind == PAYLOAD_TYPE && digest == Some(manifest)
        })
    }

    /// Signatures for the cache.
    pub(super) fn to_stored(signatures: &[Self]) -> Vec<u8> {
        let stored = signatures.iter().map(|signature| StoredSignature {
            payload: BASE64_STANDARD.encode(&signature.payload),
            signature: BASE64_STANDARD.encode(&signature.signature),
        });
        let stored: Vec<_> = stored.collect();
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Signatures of the cache. They are checked as those of a registry are.
    pub(super) fn from_stored(bytes: &[u8]) -> Vec<Self> {
        let stored: Vec<StoredSignature> = serde_json::from_slice(bytes).unwrap_or_default();
        let signatures = stored.into_iter().filter_map(|stored| {
            Some(Self {
                payload: BASE64_STANDARD.decode(stored.payload).ok()?,
                signature: BASE64_STANDARD.decode(stored.signature).ok()?,
            })
        });
        signatures.take(MOST_SIGNATURES).collect()
    }
}

#[derive(Deserialize)]
struct SignatureManifest {
    #[serde(default)]
    layers: Vec<SignatureLayer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureLayer {
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: std::collections::HashMap<String, String>,
}

/// The signatures that a repository has for a manifest; none if there is no such tag.
pub(super) fn fetch(
    registry: &mut RegistryClient,
    manifest: Sha256,
) -> Result<Vec<PayloadSignature>, DistributionError> {
    let found = match registry.manifest(&tag(manifest)) {
        Ok(found) => found,
        Err(DistributionError::Transfer(TransferError::Status { status, .. }))
            if status == StatusCode::NOT_FOUND =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let found: SignatureManifest =
        serde_json::from_slice(&found).unwrap_or(SignatureManifest { layers: Vec::new() });
    let mut signatures = Vec::new();
    let layers = found.layers.into_iter();
    for layer in layers
        .filter(|layer| layer.media_type == SIMPLE_SIGNING)
        .take(MOST_SIGNATURES)
    {
        let signature = layer.annotations.get(SIGNATURE);
        let signature = signature.and_then(|text| BASE64_STANDARD.decode(text).ok());
        let (Some(signature), Some(digest)) = (signature, Sha256::from_digest(&layer.digest))
        else {
            continue;
        };
        // The signature is of the payload's bytes, so its digest needs no check.
        let payload = registry.blob(digest, MAX_PAYLOAD)?;
        signatures.push(PayloadSignature { payload, signature });
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _,
    };

    use super::*;

    /// A key as PEM, and a function that signs with it.
    type Signer = (String, Box<dyn Fn(&[u8]) -> Vec<u8>>);

    fn pem(der: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn ecdsa(algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> Signer {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let public = pem(key.public_key().as_der().unwrap().as_ref());
        let sign = move |bytes: &[u8]| {
            key.sign(&SystemRandom::new(), bytes)
                .unwrap()
                .as_ref()
                .to_vec()
        };
        (public, Box::new(sign))
    }

    fn ed25519() -> Signer {
        let key = Ed25519KeyPair::generate().unwrap();
        let public = pem(key.public_key().as_der().unwrap().as_ref());
        (
            public,
            Box::new(move |bytes: &[u8]| key.sign(bytes).as_ref().to_vec()),
        )
    }

    fn key(public: &str) -> Result<SignerKey, SignatureError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cosign.pub");
        std::fs::write(&path, public).unwrap();
        SignerKey::read(&path)
    }

    fn payload(manifest: Sha256, kind: &str) -> Vec<u8> {
        let payload = serde_json::json!({
            "critical": {
                "identity": { "docker-reference": "registry.example/a" },
                "image": { "docker-manifest-digest": manifest.digest() },
                "type": kind,
            },
            "optional": null,
        });
        payload.to_string().into_bytes()
    }

    fn signature(signer: &Signer, manifest: Sha256, kind: &str) -> PayloadSignature {
        let payload = payload(manifest, kind);
        PayloadSignature {
            signature: (signer.1)(&payload),
            payload,
        }
    }

    #[test]
    fn signatures_of_every_kind_of_key_are_checked() {
        let (ours, other) = (Sha256::of(b"ours"), Sha256::of(b"other"));
        let signers = [
            ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            ed25519(),
        ];
        for signer in &signers {
            let key = key(&signer.0).unwrap();
            let check = |signatures: &[PayloadSignature]| {
                key.check("a", ours, signatures)
                    .map_err(|error| error.to_string())
            };
            let good = signature(signer, ours, PAYLOAD_TYPE);
            assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
            let replayed = signature(signer, other, PAYLOAD_TYPE);
            let error = check(std::slice::from_ref(&replayed)).unwrap_err();
            assert!(error.contains("is for another artifact"), "{error}");
            assert!(check(&[signature(signer, ours, "atomic container signature")]).is_err());
            assert_eq!(check(&[replayed, good.clone()]), Ok(()));
            // Any other byte of it.
            for index in [0, good.payload.len() / 2, good.payload.len() - 1] {
                let mut bad = good.clone();
                bad.payload[index] ^= 1;
                assert!(
                    check(&[bad])
                        .unwrap_err()
                        .contains("none of its signatures")
                );
            }
            let stranger = ed25519();
            let error = check(&[signature(&stranger, ours, PAYLOAD_TYPE)]).unwrap_err();
            assert!(
                error.contains("none of its signatures is by the key"),
                "{error}"
            );
            assert!(check(&[]).unwrap_err().contains("is not signed"));
        }
    }

    /// `openssl dgst -sha256 -sign` with a P-384 key: aws-lc-rs verifies that, but does not sign so.
    #[test]
    fn p384_with_sha256_is_checked() {
        let public = BASE64_STANDARD.decode("MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEMRauumZqn3atGl9yxz4kvrwqHPHKViqDNeSE4c+OuyOSTITIsHu4hd+PcI7/6caiyBt86pAj6fpUkjbcKQMYGcVpbOhYrK4Q3Mb5A1m4t5FF2Aqow+88iSK2Zlb22BZ2");
        let key = key(&pem(&public.unwrap())).unwrap();
        let manifest = Sha256::of(b"ours");
        let payload = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"registry.example/a"}},"image":{{"docker-manifest-digest":"{}"}},"type":"cosign container image signature"}},"optional":null}}"#,
            manifest.digest()
        );
        let signature = PayloadSignature {
            payload: payload.into_bytes(),
            signature: BASE64_STANDARD.decode("MGUCMQC79vg5j9WbiJIT0BGL/h3twBCGA2+tlUiGtDMbamlmonuO07flwPrxQU9Je5iNCWECMEzkDSDfTkJR9CrqjeC+xyNgnPMBZFswgXA049IwqX8g0keQo/fg/pfsjG6whiUwAA==").unwrap(),
        };
        assert!(key.check("a", manifest, &[signature]).is_ok());
    }

    #[test]
    fn stored_signatures_are_the_same() {
        let all = [signature(&ed25519(), Sha256::of(b"x"), PAYLOAD_TYPE)];
        assert_eq!(
            PayloadSignature::from_stored(&PayloadSignature::to_stored(&all)),
            all
        );
        assert_eq!(PayloadSignature::from_stored(b"junk"), []);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let private =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
        for text in ["", "x", private, &pem(b"junk")] {
            let error = key(text).unwrap_err().to_string();
            assert!(error.contains("is not a public key"), "{error}");
        }
        let error = SignerKey::read(Path::new("/nonexistent/cosign.pub")).unwrap_err();
        assert!(error.to_string().contains("cannot be read"));
    }
}
