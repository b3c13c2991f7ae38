//! One key that verifies signatures, read from a JWK (RFC 7517, RFC 7518, RFC 8037).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use serde_json::{Map, Value};

use super::algorithm::KeyFamily;
use super::token::decode;
use crate::model::signature::Algorithm;
use crate::model::word::Word as _;

/// The shortest RSA modulus. Bits (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// The longest RSA modulus: larger ones cost more to verify than a request is worth. Bits.
const MAX_RSA_BITS: usize = 8192;

/// The shortest HMAC secret. Bytes (RFC 7518, section 3.2, for HS256).
pub(crate) const MIN_SECRET: usize = 32;

/// Why a key of a set is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyDefect {
    /// It is not an object, or a member that every key has is missing or has the wrong type.
    #[error("is not a well-formed JWK")]
    Malformed,
    /// Its type or curve is of no supported algorithm.
    #[error("has a `kty` or `crv` that is not supported")]
    Unsupported,
    /// It is a secret in a set of public keys.
    #[error("is a shared secret, which a set of public keys cannot have")]
    Secret,
    /// It is a private key, and published.
    #[error("is a private key")]
    Private,
    /// `use` or `key_ops` gives it another purpose.
    #[error("is not for signatures")]
    OtherUse,
    /// Its `alg` does not fit its type.
    #[error("has an `alg` that its type does not have, or that is not supported")]
    Algorithm,
    /// An RSA modulus is too short or too long.
    #[error("has an RSA modulus of less than 2048 or more than 8192 bits")]
    Size,
}

/// One key, ready for use.
pub(crate) struct VerifyingKey {
    pub(super) key_id: Option<String>,
    /// The material for each algorithm that it verifies.
    by_algorithm: Vec<(Algorithm, Material)>,
    /// Identifies the key by its material, its id and its use.
    pub(super) thumbprint: [u8; 32],
    withdrawn: AtomicBool,
}

enum Material {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Reads a public key.
    ///
    /// # Errors
    ///
    /// The key cannot be used.
    pub(crate) fn from_jwk(jwk: &Value) -> Result<Self, KeyDefect> {
        let jwk = jwk.as_object().ok_or(KeyDefect::Malformed)?;
        let key_id = optional_text(jwk, "kid")?;
        check_use(jwk)?;
        let kind = text(jwk, "kty")?;
        if kind == "oct" {
            return Err(KeyDefect::Secret);
        }
        if jwk.contains_key("d") {
            return Err(KeyDefect::Private);
        }
        let public = match kind {
            "RSA" => PublicKey::rsa(jwk)?,
            "EC" => PublicKey::elliptic(jwk)?,
            "OKP" => PublicKey::edwards(jwk)?,
            _ => return Err(KeyDefect::Unsupported),
        };
        let only = match optional_text(jwk, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::from_name(name).ok_or(KeyDefect::Algorithm)?),
        };
        let mut by_algorithm = Vec::new();
        for algorithm in Algorithm::PUBLIC {
            if only.is_none_or(|only| only == algorithm)
                && let Some(parsed) = public.parse(algorithm)?
            {
                by_algorithm.push((algorithm, Material::Public(parsed)));
            }
        }
        if by_algorithm.is_empty() {
            return Err(KeyDefect::Algorithm);
        }
        Ok(Self {
            key_id: key_id.map(str::to_owned),
            thumbprint: public.thumbprint(key_id, only),
            by_algorithm,
            withdrawn: AtomicBool::new(false),
        })
    }

    /// A shared secret, for the HMAC algorithms whose digest is not longer than it (RFC 7518,
    /// section 3.2). None: it is too short for all of them.
    #[must_use]
    pub(crate) fn from_secret(secret: &[u8]) -> Option<Self> {
        let fits =
            |algorithm: &hmac::Algorithm| secret.len() >= algorithm.digest_algorithm().output_len();
        let by_algorithm: Vec<_> = Algorithm::SECRET
            .into_iter()
            .filter_map(|algorithm| match algorithm.family() {
                KeyFamily::Secret(hmac) if fits(&hmac) => {
                    let key = hmac::Key::new(hmac, secret);
                    Some((algorithm, Material::Secret(Box::new(key))))
                }
                KeyFamily::Secret(_)
                | KeyFamily::Rsa(_)
                | KeyFamily::Elliptic(_)
                | KeyFamily::Edwards(_) => None,
            })
            .collect();
        (!by_algorithm.is_empty()).then(|| Self {
            key_id: None,
            by_algorithm,
            thumbprint: fingerprint(&[b"secret", secret]),
            withdrawn: AtomicBool::new(false),
        })
    }

    #[must_use]
    pub(crate) fn verifies(&self, algorithm: Algorithm) -> bool {
        self.by_algorithm.iter().any(|(one, _)| *one == algorithm)
    }

    /// Whether `signature` was made by this key over `message`.
    #[must_use]
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let mut all = self.by_algorithm.iter();
        match all.find(|(one, _)| *one == algorithm) {
            Some((_, Material::Public(key))) => key.verify_sig(message, signature).is_ok(),
            Some((_, Material::Secret(key))) => hmac::verify(key, message, signature).is_ok(),
            None => false,
        }
    }

    /// Marks the key as withdrawn, because its issuer no longer lists it. Tokens that it signed
    /// are rejected from now on.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    #[must_use]
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }
}

/// The numbers of a public key.
enum PublicKey {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Elliptic { curve: Algorithm, point: Vec<u8> },
    Edwards(Vec<u8>),
}

impl PublicKey {
    fn rsa(jwk: &Map<String, Value>) -> Result<Self, KeyDefect> {
        let modulus = number(jwk, "n")?;
        let exponent = number(jwk, "e")?;
        let bits = modulus.first().map_or(0, |first| {
            modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0)
        });
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(KeyDefect::Size);
        }
        // With exponent 1 every number is its own signature; with an even one there is none.
        if exponent == [1] || exponent.last().is_none_or(|last| last % 2 == 0) {
            return Err(KeyDefect::Malformed);
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    fn elliptic(jwk: &Map<String, Value>) -> Result<Self, KeyDefect> {
        let (curve, length) = match text(jwk, "crv")? {
            "P-256" => (Algorithm::Es256, 32),
            "P-384" => (Algorithm::Es384, 48),
            "P-521" => (Algorithm::Es512, 66),
            _ => return Err(KeyDefect::Unsupported),
        };
        // An uncompressed point (SEC 1, section 2.3.3). Coordinates have the curve's length, zeros
        // included (RFC 7518, section 6.2.1.2).
        let mut point = vec![4];
        for name in ["x", "y"] {
            let coordinate = octets(jwk, name)?;
            if coordinate.len() != length {
                return Err(KeyDefect::Malformed);
            }
            point.extend(coordinate);
        }
        Ok(Self::Elliptic { curve, point })
    }

    fn edwards(jwk: &Map<String, Value>) -> Result<Self, KeyDefect> {
        if text(jwk, "crv")? != "Ed25519" {
            return Err(KeyDefect::Unsupported);
        }
        Ok(Self::Edwards(octets(jwk, "x")?))
    }

    /// The key for an algorithm. None: the algorithm belongs to another type.
    fn parse(&self, algorithm: Algorithm) -> Result<Option<ParsedPublicKey>, KeyDefect> {
        let parsed = match (self, algorithm.family()) {
            (Self::Rsa { modulus, exponent }, KeyFamily::Rsa(parameters)) => {
                let components = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                components.to_parsed_public_key(parameters)
            }
            (Self::Elliptic { curve, point }, KeyFamily::Elliptic(parameters))
                if *curve == algorithm =>
            {
                ParsedPublicKey::new(parameters, point)
            }
            (Self::Edwards(point), KeyFamily::Edwards(parameters)) => {
                ParsedPublicKey::new(parameters, point)
            }
            (Self::Rsa { .. } | Self::Elliptic { .. } | Self::Edwards(_), _) => return Ok(None),
        };
        parsed.map(Some).map_err(|_| KeyDefect::Malformed)
    }

    fn thumbprint(&self, key_id: Option<&str>, only: Option<Algorithm>) -> [u8; 32] {
        let id = key_id.unwrap_or_default().as_bytes();
        // A missing key id differs from an empty one.
        let named: &[u8] = if key_id.is_some() { b"kid" } else { b"" };
        let only = only.map_or("", Algorithm::word).as_bytes();
        match self {
            Self::Rsa { modulus, exponent } => {
                fingerprint(&[b"RSA", modulus, exponent, named, id, only])
            }
            Self::Elliptic { curve, point } => {
                fingerprint(&[b"EC", curve.word().as_bytes(), point, named, id, only])
            }
            Self::Edwards(point) => fingerprint(&[b"OKP", b"", point, named, id, only]),
        }
    }
}

/// A digest of parts, each preceded by its length.
fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().try_into().unwrap_or_default()
}

/// Checks that the key may verify signatures, by the members of RFC 7517, sections 4.2 and 4.3,
/// that it has.
fn check_use(jwk: &Map<String, Value>) -> Result<(), KeyDefect> {
    if optional_text(jwk, "use")?.is_some_and(|word| word != "sig") {
        return Err(KeyDefect::OtherUse);
    }
    let Some(operations) = jwk.get("key_ops") else {
        return Ok(());
    };
    let operations = operations.as_array().ok_or(KeyDefect::Malformed)?;
    if operations.iter().any(|one| one == "verify") {
        Ok(())
    } else {
        Err(KeyDefect::OtherUse)
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, KeyDefect> {
    optional_text(jwk, name)?.ok_or(KeyDefect::Malformed)
}

fn optional_text<'a>(
    jwk: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, KeyDefect> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyDefect::Malformed),
    }
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyDefect> {
    decode(text(jwk, name)?).map_err(|_| KeyDefect::Malformed)
}

/// Reads a number, without the leading zeros that some issuers write.
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyDefect> {
    let octets = octets(jwk, name)?;
    Ok(octets.into_iter().skip_while(|octet| *octet == 0).collect())
}
