//! A signed token in its compact form (RFC 7515, section 7.1), split into its parts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::TokenError;
use super::json::{self, JsonBounds};

/// The longest token that is verified. Bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// The longest header, encoded. Bytes.
const MAX_HEADER: usize = 4 * 1024;

/// The longest signature, encoded: that of an RSA key of 8192 bits. Bytes.
const MAX_SIGNATURE: usize = 1366;

const HEADER_BOUNDS: JsonBounds = JsonBounds {
    depth: 4,
    values: 64,
};

/// A token that is not verified yet.
#[derive(Debug)]
pub(super) struct SignedToken<'a> {
    pub(crate) header: TokenHeader,
    /// The bytes that the signature covers.
    pub(crate) signing_input: &'a [u8],
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

/// The members of a token's header that are used. None of them names a URL to fetch a key from.
#[derive(Debug)]
pub(super) struct TokenHeader {
    /// `alg`.
    pub(crate) algorithm: String,
    /// `kid`.
    pub(crate) key_id: Option<String>,
    /// `typ`.
    pub(crate) kind: Option<String>,
    /// `jwk`: the key of a proof. It has no meaning in an access token.
    pub(crate) key: Option<Map<String, Value>>,
}

impl<'a> SignedToken<'a> {
    /// Splits a token. Its payload stays encoded until the signature is verified.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        // Five parts are an encrypted token, which only its recipient can read.
        if payload.contains('.') {
            return Err(TokenError::Malformed);
        }
        if header.len() > MAX_HEADER || signature.len() > MAX_SIGNATURE {
            return Err(TokenError::TooLarge);
        }
        Ok(Self {
            header: TokenHeader::read(json::object(&decode(header)?, HEADER_BOUNDS)?)?,
            signing_input: signed.as_bytes(),
            signature: decode(signature)?,
            payload,
        })
    }

    /// The decoded payload.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.payload)
    }
}

impl TokenHeader {
    fn read(mut object: Map<String, Value>) -> Result<Self, TokenError> {
        // RFC 7515, section 4.1.11: a reader that does not understand a listed extension must
        // refuse. An empty list is malformed, and so is one of names that the header does not
        // have; the three need no distinction.
        if object.contains_key("crit") {
            return Err(TokenError::CriticalExtension);
        }
        let mut text = |name: &str| match object.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Malformed),
        };
        let (algorithm, key_id, kind) = (text("alg")?, text("kid")?, text("typ")?);
        Ok(Self {
            algorithm: algorithm.ok_or(TokenError::Malformed)?,
            key_id,
            kind,
            key: match object.remove("jwk") {
                Some(Value::Object(key)) => Some(key),
                Some(_) | None => None,
            },
        })
    }
}

/// Decodes unpadded base64url without stray bits, spaces or line ends.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Malformed)
}
