//! Fields of every response: security headers and `server`; and the redirect of a listener to HTTPS.

use windlass_tests::{Gateway, Reply, Request, Response, Upstream};

use crate::config::{all_to, start};
use crate::wire::Authority;

const USUAL: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];

fn with_server(lines: &str, rest: &str) -> Gateway {
    start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n",
        lines,
        "\n[[listener]]\naddress = \"127.0.0.1:0\"\n",
        rest,
    ])
}

fn values(response: &Response) -> Vec<(&'static str, Option<String>)> {
    USUAL
        .map(|(name, _)| (name, response.header(name).map(str::to_owned)))
        .to_vec()
}

fn usual() -> Vec<(&'static str, Option<String>)> {
    USUAL
        .map(|(name, value)| (name, Some(value.to_owned())))
        .to_vec()
}

#[test]
fn every_response_has_security_headers_also_errors() {
    let upstream = Upstream::text("well");
    let route = "[[route]]\npath = \"/app\"\nupstream = \"app\"\n[[route]]\npath = \"/old\"\nredirect = { to = \"/app\" }\n";
    let endpoints = format!(
        "[upstream.app]\nendpoints = [{{ address = \"{}\" }}]\n",
        upstream.address()
    );
    let gateway = with_server("security_headers = true", &format!("{route}{endpoints}"));
    for (path, status) in [("/app", 200), ("/old", 308), ("/nowhere", 404)] {
        let response = gateway.get(path);
        assert_eq!(response.status, status);
        assert_eq!(values(&response), usual(), "{path}");
        assert_eq!(
            response.header("strict-transport-security"),
            None,
            "RFC 6797 section 7.2"
        );
    }
    let malformed = gateway.send_raw("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert_eq!((malformed.status, values(&malformed)), (400, usual()));
}

#[test]
fn rfc6797_7_1_hsts_is_sent_over_https_alone() {
    let gateway = with_server(
        "security_headers = { hsts = \"8760h\", hsts_subdomains = true, frames = \"any\" }",
        "[[route]]\npath = \"$default\"\nrespond = {}\n",
    );
    assert_eq!(gateway.get("/").header("strict-transport-security"), None);
    let behind = gateway.send(&Request::get("/").header("x-forwarded-proto", "https"));
    let hsts = behind.header("strict-transport-security");
    assert_eq!(hsts, Some("max-age=31536000; includeSubDomains"));
    assert_eq!(behind.header("x-frame-options"), None);
}

#[test]
fn a_field_of_the_endpoint_stays_as_it_is() {
    let upstream = Upstream::fixed(
        Reply::status(200)
            .body("well")
            .header("x-frame-options", "DENY")
            .header("server", "app/1"),
    );
    let lines = all_to(upstream.address());
    let gateway = with_server("security_headers = true", &lines);
    let response = gateway.get("/");
    assert_eq!(response.header("x-frame-options"), Some("DENY"));
    assert_eq!(response.header("server"), Some("app/1"));
    for (word, sent) in [("off", None), ("edge", Some("edge"))] {
        let gateway = with_server(&format!("server_header = \"{word}\""), &lines);
        assert_eq!(gateway.get("/").header("server"), sent);
    }
}

#[test]
fn a_listener_redirects_to_https_with_host_path_and_query() {
    let upstream = Upstream::text("well");
    for (key, to) in [("true", ""), ("{ port = 8443 }", ":8443")] {
        let gateway = with_server(
            "",
            &format!("https_redirect = {key}\n{}", all_to(upstream.address())),
        );
        let request = Request::get("/a%20b?c=1").header("host", "shop.example:80");
        let response = gateway.send(&request);
        let location = format!("https://shop.example{to}/a%20b?c=1");
        assert_eq!(
            (response.status, response.header("location")),
            (308, Some(&*location))
        );
        let forwarded = gateway.send(&request.header("x-forwarded-proto", "https"));
        assert_eq!(
            forwarded.text(),
            "well",
            "the proxy in front got it over HTTPS"
        );
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_listener_with_tls_cannot_redirect_to_https() {
    let identity = Authority::new().issue(&["localhost"]);
    let checked = Gateway::with_config(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nhttps_redirect = true\ntls = { certificate = \"a.pem\", key = \"a.key\" }\n[[route]]\npath = \"$default\"\nrespond = {}\n",
    )
    .file("a.pem", &identity.certificate)
    .file("a.key", &identity.key)
    .check();
    assert_eq!(checked.code, Some(2));
    assert!(
        checked
            .errors
            .contains("`https_redirect` is for a listener without `tls`"),
        "{}",
        checked.errors
    );
}
