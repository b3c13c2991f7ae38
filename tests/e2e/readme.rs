//! The results that the README shows for its configuration.

use std::path::Path;

use windlass_tests::{Gateway, Request, Upstream};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_config_of_the_readme_does_what_its_comments_say() {
    let upstream = Upstream::echo();
    let config = read("host/examples/filters.toml")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:3000", &upstream.address().to_string());
    let gateway = Gateway::with_config(config).start();
    assert_eq!(gateway.get("/orders/1").status, 401);
    let with_key = |key: &str| Request::get("/orders/1").header("x-api-key", key);
    assert_eq!(gateway.send(&with_key("wrong")).status, 403);
    assert_eq!(gateway.send(&with_key("example-key")).status, 200);
    assert_eq!(upstream.only_request().header("x-consumer"), Some("acme"));
    // Ten at once, of which one is spent, and five a second: this load takes less than a second.
    let report = gateway
        .load(with_key("example-key"))
        .connections(4)
        .run(200);
    assert_eq!(report.status(200) + report.status(429), 200);
    assert!(
        (9..100).contains(&report.status(200)),
        "{:?}",
        report.statuses
    );
}

#[test]
fn the_error_of_the_readme_is_the_one_that_check_prints() {
    let config = read("host/examples/filters.toml").replace(
        "[\"keys\", \"plan\", \"stamp\"]",
        "[\"plan\", \"keys\", \"stamp\"]",
    );
    let checked = Gateway::with_config(config).check();
    assert_eq!(checked.code, Some(2));
    let readme = read("README.md");
    let shown = readme
        .split("```")
        .find(|block| block.starts_with("\nwindlass.toml:"))
        .expect("an error in the README");
    let printed = &checked.errors;
    assert!(
        printed.contains(shown.trim()),
        "{shown}\nis not in\n{printed}"
    );
}
