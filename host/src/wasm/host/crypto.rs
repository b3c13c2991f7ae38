//! `windlass:host/crypto`.

use wasmtime::Result;

use crate::filter_store::crypto;
use crate::filter_store::crypto::Hash;
use crate::filter_store::secrets::SecretValue;
use crate::wasm::bindings::crypto::{Hash as WitHash, Host};
use crate::wasm::notices::printable;
use crate::wasm::state::InstanceState;

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
        let known = self.services.as_ref()?.secrets.find(name);
        match known {
            Some(secret) if self.grants.secret(name) => Some(secret),
            _ => {
                self.no_secret(name, known.is_some());
                None
            }
        }
    }

    #[cold]
    fn no_secret(&self, name: &str, is_known: bool) {
        let name = printable(name);
        self.notice(&if is_known {
            format!(
                "secret `{name}` is not granted; add `secrets = [\"{name}\"]` to the filter's `allow`"
            )
        } else {
            format!("there is no secret `{name}`; add `[secret.{name}]` to the configuration, and `secrets = [\"{name}\"]` to the filter's `allow`")
        });
    }
}

impl Host for InstanceState {
    fn digest(&mut self, hash: WitHash, data: Vec<u8>) -> Result<Vec<u8>> {
        self.charge_call()?;
        super::in_phase(self)?;
        Ok(crypto::digest(hash.into(), &data))
    }

    fn hmac_verify(
        &mut self,
        hash: WitHash,
        secret: String,
        data: Vec<u8>,
        tag: Vec<u8>,
    ) -> Result<bool> {
        self.charge_call()?;
        super::in_phase(self)?;
        let secret = self.secret(&secret);
        Ok(secret.is_some_and(|secret| secret.matches_hmac(hash.into(), &data, &tag)))
    }

    fn hmac_sign(
        &mut self,
        hash: WitHash,
        secret: String,
        data: Vec<u8>,
    ) -> Result<Result<Vec<u8>, String>> {
        self.charge_call()?;
        super::in_phase(self)?;
        match self.secret(&secret) {
            Some(secret) => Ok(Ok(secret.hmac(hash.into(), &data))),
            None => Ok(Err(format!(
                "there is no secret `{secret}`, or it is not granted"
            ))),
        }
    }
}
