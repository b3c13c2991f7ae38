//! The versions, ciphers and key exchanges of TLS.
//!
//! Pure. It promises that each choice has forward secrecy and authenticated encryption only, and that a
//! key exchange that withstands quantum computers is preferred.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::config::{CipherPolicy, TlsVersion};

/// The cryptography of both sides: all that rustls has, with X25519MLKEM768 first.
pub(super) fn default() -> Arc<CryptoProvider> {
    of(CipherPolicy::Intermediate)
}

/// The cryptography of this policy.
pub(super) fn of(policy: CipherPolicy) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| allows_suite(policy, suite));
    // AES with 128 bits first, which costs least and is as good; the sort is stable.
    provider
        .cipher_suites
        .sort_by_key(|suite| !is_aes_128(suite));
    provider.kx_groups = match policy {
        CipherPolicy::Intermediate | CipherPolicy::Strong => {
            let mut groups = provider.kx_groups;
            // The sort is stable: the others keep their order for peers without it.
            groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
            groups
        }
        CipherPolicy::Nist => vec![
            aws_lc_rs::kx_group::SECP256R1MLKEM768,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ],
    };
    Arc::new(provider)
}

/// The versions from this one on.
pub(super) fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    static FROM_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match lowest {
        TlsVersion::V1_2 => &FROM_1_2,
        TlsVersion::V1_3 => &FROM_1_3,
    }
}

fn allows_suite(policy: CipherPolicy, suite: &SupportedCipherSuite) -> bool {
    use CipherSuite as Suite;
    let is_chacha = matches!(
        suite.suite(),
        Suite::TLS13_CHACHA20_POLY1305_SHA256
            | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    );
    match policy {
        CipherPolicy::Intermediate => true,
        CipherPolicy::Strong => !is_aes_128(suite),
        CipherPolicy::Nist => !is_chacha,
    }
}

fn is_aes_128(suite: &SupportedCipherSuite) -> bool {
    use CipherSuite as Suite;
    matches!(
        suite.suite(),
        Suite::TLS13_AES_128_GCM_SHA256
            | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(policy: CipherPolicy) -> Vec<NamedGroup> {
        of(policy).kx_groups.iter().map(|one| one.name()).collect()
    }

    #[test]
    fn the_post_quantum_key_exchange_is_preferred_and_the_classic_ones_remain() {
        let wanted = [
            NamedGroup::X25519MLKEM768,
            NamedGroup::X25519,
            NamedGroup::secp256r1,
            NamedGroup::secp384r1,
        ];
        assert_eq!(groups(CipherPolicy::Intermediate), wanted);
        assert_eq!(groups(CipherPolicy::Strong), wanted);
        let nist = [
            NamedGroup::secp256r1MLKEM768,
            NamedGroup::secp256r1,
            NamedGroup::secp384r1,
        ];
        assert_eq!(groups(CipherPolicy::Nist), nist);
    }

    #[test]
    fn a_policy_has_only_its_ciphers() {
        let has = |policy, part: &str| {
            let provider = of(policy);
            let mut names = provider.cipher_suites.iter();
            names.any(|suite| format!("{:?}", suite.suite()).contains(part))
        };
        for (policy, aes_128, aes_256, chacha) in [
            (CipherPolicy::Intermediate, true, true, true),
            (CipherPolicy::Strong, false, true, true),
            (CipherPolicy::Nist, true, true, false),
        ] {
            assert_eq!(has(policy, "AES_128"), aes_128, "{policy:?}");
            assert_eq!(has(policy, "AES_256"), aes_256, "{policy:?}");
            assert_eq!(has(policy, "CHACHA20"), chacha, "{policy:?}");
        }
    }
}
