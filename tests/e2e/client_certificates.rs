//! Mutual TLS, with Debian's curl and openssl as the clients.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use windlass_tests::{Builder, Gateway, Upstream};

use crate::config::upstream;
use crate::openssl;
use crate::wire::{Authority, Identity};

/// Everything that a gateway with mutual TLS needs.
struct Setup {
    servers: Authority,
    clients: Authority,
    server: Identity,
}

impl Setup {
    fn new() -> Self {
        let servers = Authority::new();
        let server = servers.issue(&["shop.test"]);
        Self {
            clients: Authority::new(),
            servers,
            server,
        }
    }

    /// A gateway whose listener has these keys in `client_auth`.
    fn gateway(&self, keys: &str, routes: &str) -> Builder {
        let tls = format!(
            "tls = {{ certificate = \"api.pem\", key = \"api.key\", client_auth = {{ ca = \"clients.pem\"{keys} }} }}"
        );
        Gateway::with_config(format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n{tls}\n[log]\naccess = \"stdout\"\naccess_fields = [{FIELDS}]\n{routes}"
        ))
        .file("api.pem", &self.server.certificate)
        .file("api.key", &self.server.key)
        .file("servers.pem", &self.servers.pem)
        .file("clients.pem", &self.clients.pem)
    }
}

const FIELDS: &str = "\"tls_version\", \"tls_cipher\", \"attribute.client.cert.subject\", \
    \"attribute.client.cert.issuer\", \"attribute.client.cert.serial\", \"attribute.client.cert.fingerprint\", \
    \"attribute.client.cert.san\", \"attribute.client.cert.not-before\", \"attribute.client.cert.not-after\"";

const FIXED: &str = "[[route]]\npath = \"$default\"\nrespond = { body = \"x\" }\n";

/// Writes a client's certificate, and returns curl's options for it.
fn present(folder: &Path, identity: &Identity) -> Vec<String> {
    let (certificate, key) = (folder.join("client.pem"), folder.join("client.key"));
    std::fs::write(&certificate, &identity.certificate).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    vec![
        "--cert".to_owned(),
        path(&certificate),
        "--key".to_owned(),
        path(&key),
    ]
}

/// The status that curl gets; 0 without a response.
fn curl(gateway: &Gateway, options: &[String]) -> u16 {
    let (port, folder) = (gateway.address().port(), gateway.folder());
    let ended = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
        .arg(folder.join("servers.pem"))
        .args(["--resolve", &format!("shop.test:{port}:127.0.0.1")])
        .args(options)
        .arg(format!("https://shop.test:{port}/"))
        .output()
        .unwrap();
    String::from_utf8(ended.stdout).unwrap().parse().unwrap()
}

fn failures(gateway: &Gateway, reason: &str) -> f64 {
    let metrics = gateway.metrics();
    metrics.by("windlass_tls_handshake_failures_total", "reason")[reason]
}

#[test]
fn only_clients_with_a_good_certificate_are_served() {
    let setup = Setup::new();
    let good = setup.clients.client("orders", 7);
    let revoked = setup.clients.client("stolen", 8);
    let strange = Authority::new().client("orders", 7);
    let expired = setup.clients.expired(&["orders.test"]);
    let lists = setup.clients.revocations(&[8], 2090);
    for version in ["1.2", "1.3"] {
        let gateway = setup.gateway(", crl = [\"revoked.pem\"]", FIXED);
        let gateway = gateway.file("revoked.pem", &lists).start();
        let status = |identity: Option<&Identity>| {
            let mut options = vec![
                format!("--tlsv{version}"),
                "--tls-max".to_owned(),
                version.to_owned(),
            ];
            options.extend(
                identity
                    .iter()
                    .flat_map(|one| present(gateway.folder(), one)),
            );
            curl(&gateway, &options)
        };
        assert_eq!(status(Some(&good)), 200, "{version}");
        for (identity, reason) in [
            (None, "no_certificate"),
            (Some(&strange), "certificate_untrusted"),
            (Some(&expired), "certificate_expired"),
            (Some(&revoked), "certificate_revoked"),
        ] {
            assert_eq!(failures(&gateway, reason), 0.0, "{reason}");
            assert_eq!(status(identity), 0, "{version} {reason}");
            assert_eq!(failures(&gateway, reason), 1.0, "{version} {reason}");
        }
        assert_eq!(status(Some(&good)), 200, "{version}");
    }
}

#[test]
fn an_optional_certificate_may_be_absent_and_not_bad() {
    let setup = Setup::new();
    let gateway = setup.gateway(", mode = \"optional\"", FIXED).start();
    let good = setup.clients.client("orders", 7);
    let strange = Authority::new().client("orders", 7);
    let with = |identity: &Identity| curl(&gateway, &present(gateway.folder(), identity));
    assert_eq!(curl(&gateway, &[]), 200);
    assert_eq!(with(&good), 200);
    assert_eq!(with(&strange), 0);
    assert_eq!(failures(&gateway, "certificate_untrusted"), 1.0);
}

#[test]
fn the_facts_of_a_certificate_reach_filters_logs_and_endpoints() {
    let setup = Setup::new();
    let endpoint = Upstream::text("ok");
    let routes = format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n{}",
        upstream("app", &[endpoint.address()])
    );
    let keys = ", mode = \"optional\", forward = true";
    let gateway = setup.gateway(keys, &routes).start();
    let folder = gateway.folder();
    let leaf = setup.clients.client("a+b \"c\"", 0xab_cdef);
    let mut chained = Identity {
        certificate: leaf.certificate.clone() + &setup.clients.pem,
        key: leaf.key.clone(),
    };
    // PEM as OpenSSL reads it: each block begins a line.
    chained.certificate = chained.certificate.replace("\r\n", "\n");
    let mut options = present(folder, &chained);
    options.extend(
        [
            "-H",
            "client-cert: :Zm9yZ2Vk:",
            "-H",
            "Client-Cert-Chain: :Zm9yZ2Vk:",
        ]
        .map(str::to_owned),
    );
    assert_eq!(curl(&gateway, &options), 200);
    let forged = ["-H", "client-cert: :Zm9yZ2Vk:"].map(str::to_owned);
    assert_eq!(curl(&gateway, &forged), 200);
    let [with, without] = endpoint.received().try_into().ok().unwrap();
    let body = |pem: &str| -> String {
        let lines = pem.lines().filter(|line| !line.starts_with('-'));
        lines.map(str::trim).collect()
    };
    assert_eq!(
        with.header("client-cert"),
        Some(&*format!(":{}:", body(&leaf.certificate)))
    );
    let chain = format!(":{}:", body(&setup.clients.pem));
    assert_eq!(with.header("client-cert-chain"), Some(&*chain));
    assert_eq!(without.header("client-cert"), None, "forged");

    let file = folder.join("client.pem");
    let asked = |what: &str| {
        let told = openssl::run(&[
            "x509",
            "-in",
            file.to_str().unwrap(),
            "-noout",
            "-nameopt",
            "RFC2253",
            what,
        ]);
        told.output.trim().split_once('=').unwrap().1.to_owned()
    };
    let fingerprint = {
        let told = openssl::run(&[
            "x509",
            "-in",
            file.to_str().unwrap(),
            "-noout",
            "-sha256",
            "-fingerprint",
        ]);
        let (_, hex) = told.output.trim().split_once('=').unwrap();
        hex.replace(':', "").to_lowercase()
    };
    let expected = [
        ("attribute.client.cert.subject", asked("-subject")),
        ("attribute.client.cert.issuer", asked("-issuer")),
        ("attribute.client.cert.serial", asked("-serial")),
        ("attribute.client.cert.fingerprint", fingerprint),
        (
            "attribute.client.cert.san",
            "[\"DNS:orders.test\",\"URI:spiffe://test/orders\"]".to_owned(),
        ),
        ("tls_version", "TLSv1.3".to_owned()),
    ];
    assert!(gateway.terminate().success());
    let text = gateway.output().whole();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is_anonymous = |line: &&Value| line["attribute.client.cert.subject"].is_null();
    assert_eq!(lines.iter().filter(is_anonymous).count(), 1, "{text}");
    let line = lines.iter().find(|line| !is_anonymous(line)).unwrap();
    for (field, value) in expected {
        assert_eq!(line[field], *value, "{text}");
    }
    assert!(
        line["tls_cipher"].as_str().unwrap().starts_with("TLS_AES_"),
        "{text}"
    );
    assert!(
        line["attribute.client.cert.not-after"].as_i64()
            > line["attribute.client.cert.not-before"].as_i64()
    );
}

/// A resumed session has no certificate of its own: its facts are those of the first, and a change of the
/// trusted files ends it.
#[test]
fn a_resumed_session_keeps_its_certificate_until_it_is_revoked() {
    let setup = Setup::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let gateway = setup.gateway(", crl = [\"revoked.pem\"]", FIXED);
        let gateway = gateway
            .file("revoked.pem", setup.clients.revocations(&[], 2090))
            .start();
        let folder = gateway.folder();
        let identity = setup.clients.client("orders", 7);
        let options = present(folder, &identity);
        let session = folder.join("session").to_str().unwrap().to_owned();
        let ask = |more: &[&str]| {
            let input = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
            let always = [version, "-servername", "shop.test"];
            openssl::exchange(gateway.address(), &[&always, more].concat(), input).output
        };
        let first = ask(&[
            "-cert",
            &options[1],
            "-key",
            &options[3],
            "-sess_out",
            &session,
        ]);
        assert!(first.contains("HTTP/1.1 200"), "{first}");
        let resumed = ask(&["-sess_in", &session]);
        assert!(
            resumed.contains("Reused, TLS") && resumed.contains("HTTP/1.1 200"),
            "{resumed}"
        );
        let fresh = folder.join("fresh");
        std::fs::write(&fresh, setup.clients.revocations(&[7], 2090)).unwrap();
        std::fs::rename(&fresh, folder.join("revoked.pem")).unwrap();
        gateway
            .log()
            .wait_for_line(|line| line.contains("its certificates were read again"));
        let late = ask(&["-sess_in", &session]);
        assert!(
            !late.contains("Reused, TLS") && !late.contains("HTTP/1.1 200"),
            "{late}"
        );
        let again = ask(&["-cert", &options[1], "-key", &options[3]]);
        assert!(!again.contains("HTTP/1.1 200"), "{again}");
        assert!(gateway.terminate().success());
        let text = gateway.output().whole();
        let subjects = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        for line in subjects {
            assert_eq!(
                line["attribute.client.cert.subject"], "O=Example\\, Inc.,CN=orders",
                "{text}"
            );
        }
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn a_list_that_is_out_of_date_is_told_and_refuses_clients() {
    let setup = Setup::new();
    let builder = setup.gateway(", crl = [\"revoked.pem\"]", FIXED);
    let builder = builder.file("revoked.pem", setup.clients.revocations(&[], 2021));
    let checked = builder.check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let told = "revoked.pem` holds a revocation list that is out of date since 2021-01-01T00:00:00Z (line 1)";
    assert!(checked.errors.contains(told), "{}", checked.errors);
    let gateway = builder.start();
    let good = present(gateway.folder(), &setup.clients.client("orders", 7));
    assert_eq!(curl(&gateway, &good), 0);
    assert_eq!(failures(&gateway, "revocation_unknown"), 1.0);
}

#[test]
fn files_that_cannot_verify_clients_are_errors() {
    let setup = Setup::new();
    let keys = ", crl = [\"revoked.pem\", \"absent.pem\"]";
    let checked = setup
        .gateway(keys, FIXED)
        .file("clients.pem", &setup.server.key)
        .file("revoked.pem", &setup.servers.pem)
        .check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    for text in [
        "clients.pem` holds a private key and no certificate",
        "revoked.pem` holds no revocation list in PEM",
        "absent.pem` does not exist",
    ] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}
