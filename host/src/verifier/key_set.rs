//! The keys of one issuer (a JWK set, RFC 7517, section 5), and the choice of the key for a token.

use std::sync::Arc;

use serde_json::Value;

use super::TokenError;
use super::key::{KeyDefect, VerifyingKey};
use crate::model::signature::Algorithm;

/// The most keys of one set.
pub(crate) const MAX_KEYS: usize = 256;

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    pub(crate) keys: Vec<Arc<VerifyingKey>>,
    /// The keys of the set that are ignored.
    pub(crate) left_out: Vec<LeftOut>,
}

/// A key of a set that is ignored, so that one unreadable key does not disable the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Its index in the set.
    pub(crate) index: usize,
    pub(crate) key_id: Option<String>,
    pub(crate) defect: KeyDefect,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    /// It is not JSON.
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON, and not a set.
    #[error("it is not a JWK set: an object with a list `keys`")]
    NotASet,
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    /// None of its keys can be used.
    #[error("it has no key that can be used")]
    Empty,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    ///
    /// It is not a set, or has no key that can be used.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(json).map_err(KeySetError::Json)?;
        let entries = set.get("keys").and_then(Value::as_array);
        let entries = entries.ok_or(KeySetError::NotASet)?;
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut read = Self::default();
        for (index, jwk) in entries.iter().enumerate() {
            match VerifyingKey::from_jwk(jwk) {
                // A key that is listed twice is one key.
                Ok(key) if read.has(&key) => {}
                Ok(key) => read.keys.push(Arc::new(key)),
                Err(defect) => read.left_out.push(LeftOut {
                    index,
                    key_id: jwk.get("kid").and_then(Value::as_str).map(str::to_owned),
                    defect,
                }),
            }
        }
        if read.keys.is_empty() {
            Err(KeySetError::Empty)
        } else {
            Ok(read)
        }
    }

    /// A set of one key without an id.
    #[must_use]
    pub(crate) fn of(key: VerifyingKey) -> Self {
        Self {
            keys: vec![Arc::new(key)],
            left_out: Vec::new(),
        }
    }

    /// This set as the successor of `earlier`: keys in both keep their identity, and keys that
    /// this one lacks are withdrawn.
    #[must_use]
    pub(crate) fn succeed(mut self, earlier: &Self) -> Self {
        for key in &mut self.keys {
            let mut same = earlier.keys.iter();
            if let Some(same) = same.find(|other| other.thumbprint == key.thumbprint) {
                *key = Arc::clone(same);
            }
        }
        for key in &earlier.keys {
            if !self.has(key) {
                key.withdraw();
            }
        }
        self
    }

    fn has(&self, key: &VerifyingKey) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|other| other.thumbprint == key.thumbprint)
    }

    /// The one key for a token with this algorithm and key id.
    ///
    /// A token with a `kid` is for the key with that id, and for no key without one. A token
    /// without a `kid` is for the only key of the set that fits its algorithm, whether that has an
    /// id or not.
    ///
    /// # Errors
    ///
    /// There is none, or there are several.
    pub(super) fn find(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> Result<&Arc<VerifyingKey>, TokenError> {
        // An operator configures one secret: a `kid` beside it chooses nothing.
        let by_secret = Algorithm::SECRET.contains(&algorithm);
        let named = |key: &&Arc<VerifyingKey>| {
            by_secret || key_id.is_none() || key.key_id.as_deref() == key_id
        };
        let mut fit = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.verifies(algorithm));
        match (fit.next(), fit.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(TokenError::NoSingleKey),
            (None, _) if key_id.is_none() => Err(TokenError::NoSingleKey),
            (None, _) if self.keys.iter().any(|key| key.key_id.as_deref() == key_id) => {
                Err(TokenError::KeyMismatch)
            }
            (None, _) => Err(TokenError::UnknownKey),
        }
    }
}
