//! `windlass:host/crypto`.

use wasmtime::Result;

use super::HostFunctions;
use super::functions::{HostError, answer};

use crate::filter_store::crypto;
use crate::filter_store::crypto::Hash;
use crate::filter_store::secrets::SecretValue;
use crate::wasm::bindings::crypto::Hash as WitHash;
use crate::wasm::notices::printable;
use crate::wasm::state::InstanceState;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_in_phase("digest", |_, (hash, data): (WitHash, Vec<u8>)| {
        Ok((crypto::digest(hash.into(), &data),))
    })?;
    functions.add_in_phase(
        "hmac-verify",
        |state, (hash, secret, data, tag): (WitHash, String, Vec<u8>, Vec<u8>)| {
            let secret = state.secret(&secret);
            Ok((secret.is_some_and(|secret| secret.matches_hmac(hash.into(), &data, &tag)),))
        },
    )?;
    functions.add_in_phase(
        "hmac-sign",
        |state, (hash, secret, data): (WitHash, String, Vec<u8>)| {
            let found = state.secret(&secret).ok_or_else(|| {
                HostError::Refused(format!(
                    "there is no secret `{secret}`, or it is not granted"
                ))
            });
            answer(found.map(|found| found.hmac(hash.into(), &data)))
        },
    )
}

impl From<WitHash> for Hash {
    fn from(hash: WitHash) -> Self {
        match hash {
            WitHash::Sha256 => Self::Sha256,
            WitHash::Sha384 => Self::Sha384,
            WitHash::Sha512 => Self::Sha512,
        }
    }
}

impl InstanceState {
    /// A secret that is granted and there. The log says why one is not, once.
    fn secret(&self, name: &str) -> Option<&SecretValue> {
        let secret = self.services.as_ref()?.secrets.find(name);
        match secret {
            Some(secret) if self.grants.secret(name) => Some(secret),
            _ => {
                self.no_secret(name, secret.is_some());
                None
            }
        }
    }

    #[cold]
    fn no_secret(&self, name: &str, exists: bool) {
        let name = printable(name);
        self.notice(&if exists {
            format!(
                "secret `{name}` is not granted; add `secrets = [\"{name}\"]` to the filter's `allow`"
            )
        } else {
            format!("there is no secret `{name}`; add `[secret.{name}]` to the configuration, and `secrets = [\"{name}\"]` to the filter's `allow`")
        });
    }
}
