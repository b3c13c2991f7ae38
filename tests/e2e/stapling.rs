//! An OCSP response from a file reaches clients, and a newer one as soon as it is there.

use std::path::Path;

use windlass_tests::Gateway;

use crate::openssl;
use crate::wire::Authority;

const CONFIG: &str = "\
[[listener]]
address = \"127.0.0.1:0\"
tls = { certificate = \"api.pem\", key = \"api.key\", ocsp = \"api.ocsp\" }
[[route]]
path = \"$default\"
respond = { body = \"x\" }
";

/// Lets OpenSSL answer as the authority's responder: `V` is a good certificate, `R` a revoked one.
pub(crate) fn respond(folder: &Path, state: &str) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, index) = (at("api.pem"), at("index"));
    let told = openssl::run(&["x509", "-noout", "-serial", "-in", &certificate]).output;
    let serial = told.trim().strip_prefix("serial=").unwrap();
    let revoked = if state == "R" { "200101000000Z" } else { "" };
    let line = format!("{state}\t490101000000Z\t{revoked}\t{serial}\tunknown\t/CN=x\n");
    std::fs::write(&index, line).unwrap();
    let (ca, key, fresh) = (at("ca.pem"), at("ca.key"), at("fresh"));
    let told = openssl::run(&[
        "ocsp",
        "-index",
        &index,
        "-CA",
        &ca,
        "-rsigner",
        &ca,
        "-rkey",
        &key,
        "-issuer",
        &ca,
        "-cert",
        &certificate,
        "-ndays",
        "1",
        "-respout",
        &fresh,
        "-noverify",
    ]);
    assert!(Path::new(&fresh).exists(), "{}", told.output);
    std::fs::rename(fresh, at("api.ocsp")).unwrap();
}

#[test]
fn a_response_is_stapled_and_a_newer_one_takes_its_place() {
    let authority = Authority::new();
    let own = authority.issue(&["shop.test"]);
    let (ca, key) = (authority.pem.clone(), authority.key_pem());
    let gateway = Gateway::with_config(CONFIG)
        .file("api.pem", &own.certificate)
        .file("api.key", &own.key)
        .file("ca.pem", ca)
        .file("ca.key", key)
        .in_folder(|folder| respond(folder, "V"))
        .start();
    let staple = || openssl::connect(gateway.address(), &["-status"]).output;
    let first = staple();
    assert!(
        first.contains("OCSP Response Status: successful"),
        "{first}"
    );
    assert!(first.contains("Cert Status: good"), "{first}");
    respond(gateway.folder(), "R");
    gateway
        .log()
        .wait_for_line(|line| line.contains("api.ocsp` says that the certificate is revoked"));
    gateway
        .log()
        .wait_for_line(|line| line.contains("its certificates were read again"));
    let without = staple();
    assert!(
        without.contains("OCSP response: no response sent"),
        "{without}"
    );
    std::fs::write(gateway.folder().join("api.ocsp"), "x").unwrap();
    gateway
        .log()
        .wait_for_line(|line| line.contains("api.ocsp` is no OCSP response in DER"));
}
