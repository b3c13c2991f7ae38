//! The key that each signature algorithm needs.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, EdDSAParameters, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

use crate::model::signature::Algorithm;

/// The kind of key that an algorithm needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFamily {
    Rsa(&'static RsaParameters),
    Elliptic(&'static EcdsaVerificationAlgorithm),
    Edwards(&'static EdDSAParameters),
    Secret(hmac::Algorithm),
}

impl Algorithm {
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
