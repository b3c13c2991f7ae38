//! The signature algorithms of RFC 7518 and RFC 8037, by the key that each needs.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, EdDSAParameters, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

/// The algorithm of a signature. There is no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// Ed25519, called `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

/// The kind of key that an algorithm needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFamily {
    Rsa(&'static RsaParameters),
    Elliptic(&'static EcdsaVerificationAlgorithm),
    Edwards(&'static EdDSAParameters),
    Secret(hmac::Algorithm),
}

impl Algorithm {
    /// The algorithms that verify with a public key.
    pub(crate) const PUBLIC: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The algorithms that verify with a shared secret.
    pub(crate) const SECRET: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];

    /// The algorithm of this name (`alg`). Names are case-sensitive.
    #[must_use]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        let mut all = Self::PUBLIC.into_iter().chain(Self::SECRET);
        all.find(|algorithm| algorithm.name() == name)
    }

    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    pub(super) fn family(self) -> KeyFamily {
        match self {
            Self::Rs256 => KeyFamily::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => KeyFamily::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => KeyFamily::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => KeyFamily::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => KeyFamily::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => KeyFamily::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => KeyFamily::Elliptic(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => KeyFamily::Elliptic(&ECDSA_P384_SHA384_FIXED),
            Self::Es512 => KeyFamily::Elliptic(&ECDSA_P521_SHA512_FIXED),
            Self::EdDsa => KeyFamily::Edwards(&ED25519),
            Self::Hs256 => KeyFamily::Secret(hmac::HMAC_SHA256),
            Self::Hs384 => KeyFamily::Secret(hmac::HMAC_SHA384),
            Self::Hs512 => KeyFamily::Secret(hmac::HMAC_SHA512),
        }
    }
}
