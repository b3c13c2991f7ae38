//! Debian's `testssl.sh`, which looks for weak protocols and ciphers and for known vulnerabilities.

use std::process::Command;

use serde_json::Value;
use windlass_tests::Gateway;

use crate::wire::Authority;

const CONFIG: &str = "\
[[listener]]
address = \"127.0.0.1:0\"
tls = { certificate = \"api.pem\", key = \"api.key\" }
[[route]]
path = \"$default\"
respond = { body = \"x\" }
";

/// Findings about a certificate that no public authority has signed: it names no place of revocations, nothing in the
/// DNS says who may sign it, and it is valid for longer than such authorities allow.
const PRIVATE_CERTIFICATE: [&str; 3] = ["cert_revocation", "DNS_CAArecord", "cert_validityPeriod"];

#[test]
#[ignore = "slow: testssl.sh takes more than a minute"]
fn testssl_finds_nothing_above_low() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let gateway = Gateway::with_config(CONFIG)
        .file("api.pem", &identity.certificate)
        .file("api.key", &identity.key)
        .file("ca.pem", &authority.pem)
        .start();
    let (folder, port) = (gateway.folder(), gateway.address().port());
    let report = folder.join("report.json");
    let ended = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off"])
        // Protocols, ciphers, forward secrecy, preferences, defaults and vulnerabilities.
        .args(["-p", "-s", "-f", "-P", "-S", "-U"])
        .arg("--add-ca")
        .arg(folder.join("ca.pem"))
        .arg("--jsonfile")
        .arg(&report)
        .arg(format!("localhost:{port}"))
        .output()
        .expect("Debian's package `testssl.sh`");
    let output = String::from_utf8_lossy(&ended.stdout);
    let report = std::fs::read(&report).unwrap_or_else(|_| panic!("no report: {output}"));
    let findings: Vec<Value> = serde_json::from_slice(&report).unwrap();
    assert!(findings.len() > 60, "it gave up early: {output}");
    let is_bad = |finding: &&Value| {
        let severity = finding["severity"].as_str().unwrap_or_default();
        let id = finding["id"].as_str().unwrap_or_default();
        matches!(severity, "MEDIUM" | "HIGH" | "CRITICAL" | "FATAL")
            && !PRIVATE_CERTIFICATE.contains(&id)
    };
    let bad: Vec<&Value> = findings.iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
