//! Certificates are used as soon as their files change, and bad ones never.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use windlass_tests::Gateway;

use crate::openssl;
use crate::wire::{Authority, Identity, client_tls, empty, http1, read, run};

const CONFIG: &str = "\
[[listener]]
address = \"127.0.0.1:0\"
tls = { certificate = \"api.pem\", key = \"api.key\" }
[[route]]
path = \"$default\"
respond = { body = \"x\" }
";

fn start(identity: &Identity) -> Gateway {
    Gateway::with_config(CONFIG)
        .file("api.pem", &identity.certificate)
        .file("api.key", &identity.key)
        .start()
}

/// Replaces both files as tools do, each as a whole.
fn put(folder: &Path, identity: &Identity) {
    for (name, text) in [
        ("api.pem", &identity.certificate),
        ("api.key", &identity.key),
    ] {
        let fresh = folder.join("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, folder.join(name)).unwrap();
    }
}

fn presents(gateway: &Gateway, identity: &Identity) -> bool {
    let seen = openssl::connect(gateway.address(), &["-servername", "shop.test"]);
    let pem = seen.certificate().expect("a certificate");
    openssl::is_same(&identity.certificate, &pem)
}

fn wait_for_reloads(gateway: &Gateway, result: &str, count: f64) {
    gateway.metrics_when(&format!("{result}: {count}"), |metrics| {
        let all = metrics.by("windlass_certificate_reloads_total", "result");
        all.get(result) == Some(&count)
    });
}

#[test]
fn changed_files_are_used_without_a_reload() {
    let authority = Authority::new();
    let first = authority.issue(&["shop.test"]);
    let gateway = start(&first);
    assert!(presents(&gateway, &first));
    let next = authority.issue(&["shop.test"]);
    put(gateway.folder(), &next);
    wait_for_reloads(&gateway, "done", 1.0);
    assert!(presents(&gateway, &next));
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("its certificates were read again"));
    assert!(line.contains("listener `127.0.0.1:0`"), "{line}");
}

#[test]
fn files_that_cannot_be_used_are_told_and_the_old_certificate_stays() {
    let authority = Authority::new();
    let first = authority.issue(&["shop.test"]);
    let gateway = start(&first);
    let other = authority.issue(&["shop.test"]);
    let mixed = Identity {
        certificate: other.certificate.clone(),
        key: first.key.clone(),
    };
    let cut = Identity {
        certificate: other.certificate.get(..200).unwrap().to_owned(),
        key: other.key.clone(),
    };
    let bad = [
        (
            authority.expired(&["shop.test"]),
            "api.pem` holds a certificate that expired on 2001-01-01",
        ),
        (
            authority.early(&["shop.test"]),
            "is not valid before 2090-01-01",
        ),
        (mixed, "api.key` does not belong to the certificate in"),
        (cut, "api.pem` is cut short"),
    ];
    for (number, (identity, text)) in (1_u8..).zip(bad) {
        put(gateway.folder(), &identity);
        wait_for_reloads(&gateway, "refused", f64::from(number));
        let line = gateway.log().wait_for_line(|line| line.contains(text));
        assert!(
            line.contains("the changed certificates are not used, and the old ones stay"),
            "{line}"
        );
        assert!(!line.contains("PRIVATE"), "{line}");
        assert!(presents(&gateway, &first), "{text}");
    }
    put(gateway.folder(), &other);
    wait_for_reloads(&gateway, "done", 1.0);
    assert!(
        presents(&gateway, &other),
        "a good one is used after bad ones"
    );
}

#[test]
fn a_reload_refuses_an_expired_certificate_in_the_place_of_a_valid_one() {
    let authority = Authority::new();
    let first = authority.issue(&["shop.test"]);
    let gateway = start(&first);
    put(gateway.folder(), &authority.expired(&["shop.test"]));
    let lines = gateway.reload(CONFIG).join("\n");
    assert!(
        lines.contains("the new configuration has errors"),
        "{lines}"
    );
    assert!(
        lines.contains("holds a certificate that expired on 2001-01-01"),
        "{lines}"
    );
    assert!(presents(&gateway, &first));
}

/// A client that resumes sends no second certificate, whichever file has changed.
#[test]
fn sessions_are_resumed_after_a_reload_and_after_a_change_of_files() {
    let authority = Authority::new();
    let gateway = start(&authority.issue(&["shop.test"]));
    let session = gateway.folder().join("session");
    let session = session.to_str().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let options = ["-servername", "shop.test", version];
        let save = [&options[..], &["-sess_out", session]].concat();
        let resume = [&options[..], &["-sess_in", session]].concat();
        let first = request(&gateway, &save);
        assert!(first.contains("New, TLS"), "{first}");
        let lines = gateway.reload(CONFIG).join("\n");
        assert!(lines.contains("a new configuration is in use"), "{lines}");
        let again = request(&gateway, &resume);
        assert!(again.contains("Reused, TLS"), "{again}");
    }
}

/// Makes a request, so that a session of TLS 1.3 arrives.
fn request(gateway: &Gateway, options: &[&str]) -> String {
    let input = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
    openssl::exchange(gateway.address(), options, input).output
}

/// A client at whose request a certificate changes notices nothing.
#[test]
fn a_hundred_changes_under_load_cost_no_request() {
    let authority = Authority::new();
    let identities = [&["localhost"], &["localhost"]].map(|names| authority.issue(names));
    let [one, other] = &identities;
    let gateway = start(one);
    let is_over = AtomicBool::new(false);
    let tls = client_tls(&authority, &["http/1.1"]);
    let request = || async {
        let request = Request::get("/").header("host", "localhost");
        let mut client = http1(gateway.address(), Some(&tls)).await;
        let response = client.send_request(request.body(empty()).unwrap()).await;
        let (head, text) = read(response.unwrap()).await;
        assert_eq!((head.status.as_u16(), &*text), (200, "x"));
    };
    std::thread::scope(|scope| {
        let client = || {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                run(request());
                count += 1;
            }
            count
        };
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        for round in 0..100 {
            put(gateway.folder(), if round % 2 == 0 { other } else { one });
            let lines = gateway.reload(CONFIG).join("\n");
            let is_done = lines.contains("a new configuration is in use");
            assert!(is_done, "{round}: {lines}");
        }
        is_over.store(true, Ordering::Relaxed);
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        assert!(counts.sum::<u32>() > 100);
    });
}
