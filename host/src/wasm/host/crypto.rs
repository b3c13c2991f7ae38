//! `windlass:host/crypto`.

use wasmtime::Result;

use super::super::bindings::crypto::{Hash as WitHash, Host};
use super::super::state::State;
use crate::store::crypto::{self, Hash};
use crate::store::secrets::Secret;

impl From<WitHash> for Hash {
    fn from(hash: WitHash) -> Self {
        match hash {
            WitHash::Sha256 => Self::Sha256,
            WitHash::Sha384 => Self::Sha384,
            WitHash::Sha512 => Self::Sha512,
        }
    }
}

impl State {
    /// A secret that is granted and there.
    fn secret(&self, name: &str) -> Option<&Secret> {
        if !self.grants.secret(name) {
            return None;
        }
        self.services.as_ref()?.secrets.find(name)
    }
}

impl Host for State {
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
        Ok(secret.is_some_and(|secret| crypto::hmac_verify(hash.into(), secret, &data, &tag)))
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
            Some(secret) => Ok(Ok(crypto::hmac_sign(hash.into(), secret, &data))),
            None => Ok(Err(format!(
                "there is no secret `{secret}`, or it is not granted"
            ))),
        }
    }
}
