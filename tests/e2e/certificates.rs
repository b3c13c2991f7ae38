//! Certificates that clients would refuse, and files without a certificate, are errors at the
//! start.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use windlass_tests::{Builder, Finished, Gateway, Upstream};

use crate::config::upstream;
use crate::wire::{Authority, Identity};

const ROUTE: &str = "[[route]]\npath = \"$default\"\nrespond = { body = \"x\" }\n";

fn listener() -> String {
    let tls = "tls = { certificate = \"api.pem\", key = \"api.key\" }";
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{tls}\n{ROUTE}")
}

/// The outcome of `windlass check` with these two files.
fn check(certificate: &[u8], key: &[u8]) -> Finished {
    with(certificate, key).check()
}

fn with(certificate: &[u8], key: &[u8]) -> Builder {
    Gateway::with_config(listener())
        .file("api.pem", certificate)
        .file("api.key", key)
}

fn issue() -> (Authority, Identity) {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    (authority, identity)
}

#[test]
fn an_expired_certificate_is_a_warning_and_a_metric() {
    let authority = Authority::new();
    let expired = authority.expired(&["localhost"]);
    let builder = with(expired.certificate.as_bytes(), expired.key.as_bytes());
    let checked = builder.check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let text =
        "api.pem` (line 1) expired on 2001-01-01T00:00:00Z: clients that verify it refuse it";
    assert!(checked.errors.contains(text), "{}", checked.errors);
    assert!(checked.errors.contains("warning"), "{}", checked.errors);
    let gateway = builder.start();
    gateway
        .log()
        .wait_for_line(|line| line.contains("expired on 2001-01-01"));
    let ends = gateway
        .metrics()
        .by("windlass_certificate_expiry_timestamp_seconds", "shown_to");
    assert_eq!(ends["listener"], 978_307_200.0);
}

#[test]
fn certificates_of_all_sides_have_their_end_as_a_metric() {
    let (authority, identity) = issue();
    let endpoint = Upstream::text("one");
    let config = format!(
        "{}[admin]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"api.pem\", key = \"api.key\" }}\n{}tls = {{ ca = \"ca.pem\", certificate = \"api.pem\", key = \"api.key\" }}\n",
        listener().replace("respond = { body = \"x\" }", "upstream = \"app\""),
        upstream("app", &[endpoint.address()]),
    );
    let checked = Gateway::with_config(config)
        .file("api.pem", &authority.expired(&["localhost"]).certificate)
        .file("api.key", &identity.key)
        .file("ca.pem", &authority.pem)
        .check();
    for whose in ["listener `127.0.0.1:0`", "`[admin] tls`", "upstream `app`"] {
        let text = format!("{whose}: the certificate in");
        assert!(
            checked.errors.contains(&text),
            "{whose}: {}",
            checked.errors
        );
    }
}

#[test]
fn authorities_that_have_all_ended_are_a_warning() {
    let authority = Authority::new();
    let ended = authority.expired(&["ended"]).certificate;
    let endpoint = Upstream::text("one");
    let config = format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n{}tls = {{ ca = \"ca.pem\" }}\n",
        upstream("app", &[endpoint.address()]),
    );
    for (ca, told) in [(ended.clone(), true), (ended + &authority.pem, false)] {
        let checked = Gateway::with_config(&config).file("ca.pem", ca).check();
        let text = "every certificate in `ca`";
        assert_eq!(checked.errors.contains(text), told, "{}", checked.errors);
    }
}

/// Common mistakes in PEM files, each with an error that says how to fix it.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_file_that_cannot_be_used_is_told_with_its_line_and_cure() {
    let (authority, identity) = issue();
    let (certificate, key) = (identity.certificate.as_bytes(), identity.key.as_bytes());
    let other = authority.issue(&["localhost"]);
    let chain = |parts: &[&str]| parts.concat().into_bytes();
    let der = rustls::pki_types::CertificateDer::from_pem_slice(certificate).unwrap();
    let cut = &certificate[..300];
    let both = chain(&[&identity.key, &other.key]);
    let reversed = chain(&[&authority.pem, &identity.certificate]);
    let request = identity
        .certificate
        .replace("CERTIFICATE", "CERTIFICATE REQUEST");
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END EC PRIVATE KEY-----\n";
    let indented = identity.certificate.replace('\n', "\n  ");
    let indented = format!("  {indented}");
    let one_line = identity.certificate.replace('\n', "\\n");
    let garbled = identity.certificate.replacen("MII", "M!I", 1);
    let nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(
            identity
                .certificate
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        )
        .collect();
    let cases: [(&str, &[u8], &[u8], &str); 17] = [
        ("empty", b"\n", key, "api.pem` is empty"),
        (
            "cut short",
            cut,
            key,
            "api.pem` is cut short: the block that begins at line 1",
        ),
        ("DER", &der, key, "api.pem` is DER, not PEM"),
        ("UTF-16", &utf16, key, "api.pem` is text in UTF-16"),
        (
            "a key",
            key,
            key,
            "api.pem` holds a private key and no certificate",
        ),
        (
            "a request",
            request.as_bytes(),
            key,
            "api.pem` holds a certificate request",
        ),
        (
            "indented",
            indented.as_bytes(),
            key,
            "api.pem` is not PEM: line 1 begins with spaces",
        ),
        (
            "one line",
            one_line.as_bytes(),
            key,
            "api.pem` is not PEM: line 1 has `\\n`",
        ),
        (
            "garbled",
            garbled.as_bytes(),
            key,
            "api.pem` is not PEM: line 2 is not base64",
        ),
        (
            "no certificate",
            nothing.as_bytes(),
            key,
            "api.pem` is damaged",
        ),
        ("the wrong order", &reversed, key, "number 2 (line "),
        (
            "a text",
            b"hello",
            key,
            "api.pem` holds no certificate in PEM",
        ),
        (
            "another key",
            certificate,
            other.key.as_bytes(),
            "api.key` does not belong to the certificate",
        ),
        (
            "no key",
            certificate,
            certificate,
            "api.key` holds a certificate and no private key",
        ),
        (
            "two keys",
            certificate,
            &both,
            "api.key` holds more than one private key",
        ),
        (
            "a password",
            certificate,
            locked.as_bytes(),
            "locked with a password (line 1)",
        ),
        (
            "an old password",
            certificate,
            old.as_bytes(),
            "locked with a password (line 1)",
        ),
    ];
    for (what, certificate, key, text) in cases {
        let checked = check(certificate, key);
        assert_eq!(checked.code, Some(2), "{what}: {}", checked.errors);
        assert!(checked.errors.contains(text), "{what}: {}", checked.errors);
        assert!(
            checked.errors.contains("= help: "),
            "{what}: {}",
            checked.errors
        );
    }
}

/// Unusual but valid PEM files are accepted.
#[test]
fn line_ends_marks_and_texts_around_the_blocks_are_taken() {
    let (authority, identity) = issue();
    let full = format!("{}{}", identity.certificate, authority.pem);
    let crlf = full.replace('\n', "\r\n");
    let marked = format!("\u{feff}Bag Attributes\n    friendlyName: api\nsubject=CN = api\n{full}");
    let together = format!("{}{full}", identity.key);
    for (certificate, key) in [
        (&crlf, &identity.key),
        (&marked, &identity.key),
        (&together, &together),
    ] {
        let checked = check(certificate.as_bytes(), key.as_bytes());
        assert_eq!((checked.code, &*checked.errors), (Some(0), ""));
    }
}

#[test]
fn a_chain_that_is_not_in_order_is_a_warning() {
    let (_, identity) = issue();
    let stranger = Authority::new();
    let chain = format!("{}{}", identity.certificate, stranger.pem);
    let checked = check(chain.as_bytes(), identity.key.as_bytes());
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert!(
        checked.errors.contains("did not sign the one before it"),
        "{}",
        checked.errors
    );
}

/// A start reports the errors of both files, as `windlass check` does.
#[test]
fn both_files_are_told_at_once_by_a_start_too() {
    let refused = with(b"", b"").run_refused();
    assert_eq!(refused.code, Some(2));
    for name in ["api.pem` is empty", "api.key` is empty"] {
        assert!(refused.errors.contains(name), "{}", refused.errors);
    }
}

/// A certificate for a different kind of key than the key file has.
#[test]
fn a_self_signed_certificate_of_todays_openssl_is_taken() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let checked = check(pem.as_bytes(), key.serialize_pem().as_bytes());
    assert_eq!((checked.code, &*checked.errors), (Some(0), ""));
}

#[test]
fn a_host_that_no_certificate_is_for_is_a_warning() {
    let (_, identity) = issue();
    let with_hosts = |config: &str| {
        Gateway::with_config(config)
            .file("api.pem", &identity.certificate)
            .file("api.key", &identity.key)
            .check()
    };
    let hosts = |hosts: &str| format!("{}hosts = [{hosts}]\n", listener());
    let told = "no certificate of a listener is for the host `api.example.com`";
    let odd = hosts("\"localhost\", \"api.example.com\"");
    let checked = with_hosts(&odd);
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert!(checked.errors.contains(told), "{}", checked.errors);
    assert_eq!(checked.errors.matches("warning: ").count(), 1);
    let clear = "[[listener]]\naddress = \"127.0.0.1:0\"\nmax_connections = 10\n";
    let proxy = "[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\n";
    for meant in [
        hosts("\"localhost\""),
        hosts("\"*.example.com\""),
        format!("{odd}{clear}"),
        format!("{odd}{proxy}"),
    ] {
        let checked = with_hosts(&meant);
        assert_eq!((checked.code, &*checked.errors), (Some(0), ""), "{meant}");
    }
}

/// rustls accepts no certificates of version 1, which `openssl x509 -req` makes without `-extfile`.
#[test]
fn a_certificate_that_tls_cannot_use_is_an_error_and_never_clear_text() {
    let certificate = include_str!("certificates/x509v1.pem");
    let key = include_str!("certificates/x509v1.key");
    let refused = |finished: &Finished| {
        assert_eq!(finished.code, Some(2), "{}", finished.errors);
        let text = "api.pem` holds a certificate that TLS cannot use (line 1)";
        assert!(finished.errors.contains(text), "{}", finished.errors);
    };
    let bad = with(certificate.as_bytes(), key.as_bytes());
    refused(&bad.check());
    refused(&bad.run_refused());
    let (_, identity) = issue();
    let gateway = with(identity.certificate.as_bytes(), identity.key.as_bytes()).start();
    for (file, text) in [("api.pem", certificate), ("api.key", key)] {
        std::fs::write(gateway.folder().join(file), text).unwrap();
    }
    gateway.signal(Signal::HUP);
    let line = |line: &str| line.contains("holds a certificate that TLS cannot use");
    gateway.log().wait_for_line(line);
    let mut clear = TcpStream::connect(gateway.address()).unwrap();
    clear
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // A reset ends the connection too.
    let _ = clear.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}
