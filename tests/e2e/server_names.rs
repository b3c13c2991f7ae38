//! A listener with several certificates presents the one that the client asks for, as OpenSSL sees it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use windlass_tests::{Builder, Gateway};

use crate::openssl;
use crate::wire::{Authority, Identity};

const ROUTE: &str = "[[route]]\npath = \"$default\"\nrespond = { body = \"x\" }\n";

/// A gateway with these certificates, the first of which is the default one.
fn with(tls: &str, certificates: &[&Identity]) -> Builder {
    let mut entries = String::new();
    for number in 1..certificates.len() {
        let _ = write!(
            entries,
            "{{ certificate = \"{number}.pem\", key = \"{number}.key\" }}, "
        );
    }
    let config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"0.pem\", key = \"0.key\", certificates = [{entries}]{tls} }}\n{ROUTE}"
    );
    let mut builder = Gateway::with_config(config);
    for (number, identity) in certificates.iter().enumerate() {
        builder = builder
            .file(&format!("{number}.pem"), &identity.certificate)
            .file(&format!("{number}.key"), &identity.key);
    }
    builder
}

/// The position of the certificate that a client gets.
fn presented(address: SocketAddr, more: &[&str], certificates: &[&Identity]) -> Option<usize> {
    let seen = openssl::connect(address, more);
    let pem = seen.certificate()?;
    certificates
        .iter()
        .position(|one| openssl::is_same(&one.certificate, &pem))
}

#[test]
fn the_name_that_a_client_asks_for_picks_the_certificate() {
    let authority = Authority::new();
    let issue = |names: &[&str]| authority.issue(names);
    let all = [
        issue(&["default.test"]),
        issue(&["shop.test", "*.shop.test"]),
        issue(&["eu.shop.test"]),
        issue(&["*.eu.shop.test", "Mixed.Test"]),
        issue(&["192.0.2.1", "xn--bcher-kva.test"]),
    ];
    let all: Vec<&Identity> = all.iter().collect();
    let gateway = with("", &all).start();
    for (name, wanted) in [
        ("default.test", 0),
        ("shop.test", 1),
        ("SHOP.test", 1),
        ("www.shop.test", 1),
        ("eu.shop.test", 2),
        ("a.eu.shop.test", 3),
        ("mixed.test", 3),
        ("xn--bcher-kva.test", 4),
        // A wildcard is for one label.
        ("a.b.shop.test", 0),
        ("test", 0),
        ("unknown.example", 0),
    ] {
        let got = presented(gateway.address(), &["-servername", name], &all);
        assert_eq!(got, Some(wanted), "{name}");
    }
    let nameless = presented(gateway.address(), &["-noservername"], &all);
    assert_eq!(nameless, Some(0));
}

#[test]
fn a_client_gets_a_certificate_with_a_kind_of_key_that_it_verifies() {
    let authority = Authority::new();
    let all = [
        authority.issue(&["default.test"]),
        authority.issue(&["shop.test"]),
        authority.issue_rsa(&["shop.test"]),
    ];
    let all: Vec<&Identity> = all.iter().collect();
    let gateway = with("", &all).start();
    let address = gateway.address();
    for (algorithms, wanted) in [
        ("ecdsa_secp256r1_sha256", 1),
        ("rsa_pss_rsae_sha256", 2),
        ("rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256", 1),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let more = ["-servername", "shop.test", "-sigalgs", algorithms, version];
            let got = presented(address, &more, &all);
            assert_eq!(got, Some(wanted), "{algorithms} {version}");
        }
    }
}

#[test]
fn a_certificate_that_no_client_can_get_is_a_warning() {
    let authority = Authority::new();
    let all = [
        authority.issue(&["shop.test", "*.shop.test"]),
        authority.issue(&["shop.test"]),
        authority.issue_rsa(&["shop.test"]),
        authority.issue(&["192.0.2.1"]),
    ];
    let all: Vec<&Identity> = all.iter().collect();
    let checked = with("", &all).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let told = |text: &str| {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    };
    told("1.pem` is never presented: certificates before it have all of its names");
    told("3.pem` is never presented: its certificate has no DNS name");
    assert_eq!(
        checked.errors.matches("warning: ").count(),
        2,
        "{}",
        checked.errors
    );
}

#[test]
fn each_certificate_that_cannot_be_used_is_told_at_its_place() {
    let authority = Authority::new();
    let good = authority.issue(&["shop.test"]);
    let mixed = Identity {
        certificate: authority.issue(&["a.test"]).certificate,
        key: authority.issue(&["b.test"]).key,
    };
    let empty = Identity {
        certificate: String::new(),
        key: String::new(),
    };
    let checked = with("", &[&good, &mixed, &empty]).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    for text in [
        "1.key` does not belong to the certificate in",
        "2.pem` is empty",
        "2.key` is empty",
    ] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}

#[test]
fn the_lowest_version_and_the_ciphers_are_as_configured() {
    let authority = Authority::new();
    let only = authority.issue(&["shop.test"]);
    let only = [&only];
    for (tls, works, fails) in [
        ("", vec!["-tls1_2", "-tls1_3"], vec!["-tls1_1"]),
        (", min_version = \"1.3\"", vec!["-tls1_3"], vec!["-tls1_2"]),
        (
            ", cipher_policy = \"strong\"",
            vec!["-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384"],
            vec![
                "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
                "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
            ],
        ),
        (
            ", cipher_policy = \"nist\"",
            vec![
                "-tls1_3 -groups P-256",
                "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
            ],
            vec![
                "-tls1_3 -groups X25519",
                "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
            ],
        ),
    ] {
        let gateway = with(tls, &only).start();
        let got = |options: &str| {
            let options: Vec<&str> = options.split(' ').collect();
            presented(gateway.address(), &options, &only)
        };
        for options in works {
            assert_eq!(got(options), Some(0), "{tls} {options}");
        }
        for options in fails {
            assert_eq!(got(options), None, "{tls} {options}");
        }
    }
}

/// RFC 7301 section 3.2: a server that has none of the client's protocols refuses the handshake.
#[test]
fn a_client_whose_protocols_the_listener_does_not_speak_is_refused() {
    let authority = Authority::new();
    let only = authority.issue(&["shop.test"]);
    let gateway = with("", &[&only]).start();
    let ends = |protocols: &str| {
        let seen = openssl::connect(gateway.address(), &["-alpn", protocols]);
        let chosen = seen.output.split_once("ALPN protocol: ");
        chosen.map(|(_, rest)| rest.lines().next().unwrap().to_owned())
    };
    assert_eq!(ends("http/1.1").as_deref(), Some("http/1.1"));
    assert_eq!(ends("http/1.1,h2").as_deref(), Some("h2"));
    assert_eq!(ends("spdy/3,imap"), None);
}
