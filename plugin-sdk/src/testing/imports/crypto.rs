//! `windlass:host/crypto`, with the secrets of the test.

pub use crate::bindings::lifecycle::windlass::host::crypto::Hash;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::testing::state::{State, serve_granted};

/// A digest.
pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    serve_granted("crypto", "digest", |_| match hash {
        Hash::Sha256 => Sha256::digest(data).to_vec(),
        Hash::Sha384 => Sha384::digest(data).to_vec(),
        Hash::Sha512 => Sha512::digest(data).to_vec(),
    })
}

/// Whether a tag is right.
pub fn hmac_verify(hash: Hash, secret: &str, data: &[u8], tag: &[u8]) -> bool {
    serve_granted("crypto", "hmac-verify", |state| {
        let key = find(state, secret);
        key.is_some_and(|key| hmac(hash, key, data) == tag)
    })
}

/// A tag.
pub fn hmac_sign(hash: Hash, secret: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    serve_granted("crypto", "hmac-sign", |state| {
        let key = find(state, secret);
        let key = key.ok_or_else(|| format!("there is no secret `{secret}`, or it is not granted"));
        Ok(hmac(hash, key?, data))
    })
}

fn find<'a>(state: &'a State, name: &str) -> Option<&'a [u8]> {
    let secret = state.gateway.secrets.get(name)?;
    state.gateway.grants.secret(name).then_some(secret)
}

/// A key of any length is legal (RFC 2104, section 2).
fn hmac(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    macro_rules! tag {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key).expect("a key of any length");
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match hash {
        Hash::Sha256 => tag!(Sha256),
        Hash::Sha384 => tag!(Sha384),
        Hash::Sha512 => tag!(Sha512),
    }
}
