//! The command line.

use std::path::Path;

use windlass_tests::{Finished, Gateway, Request, Upstream, key_digest};

use crate::config::{api_key, filtered};

#[test]
fn a_new_key_is_shown_once_and_works_by_the_lines_that_are_printed() {
    let made = Finished::of(
        &["key", "new", "--id", "acme-1", "--consumer", "acme \"inc\""],
        None,
    );
    assert_eq!(made.code, Some(0), "{}", made.errors);
    let key = made.output.trim_end();
    assert!(
        !made.errors.contains(key),
        "the key is on standard error too"
    );
    assert!(made.errors.contains(&key_digest(key)), "{}", made.errors);
    let entry = made.errors.split_once("[[key]]").expect("an entry").1;
    let upstream = Upstream::echo();
    let config = filtered(&["keys"], upstream.address()) + &api_key("{}") + "\n[[key]]" + entry;
    let gateway = Gateway::with_config(config).start();
    let request = Request::get("/").header("x-api-key", key);
    assert_eq!(gateway.send(&request).status, 200);
}

#[test]
fn two_new_keys_differ() {
    let make = || Finished::of(&["key", "new", "--id", "a", "--consumer", "b"], None).output;
    assert_ne!(make(), make());
}

#[test]
fn the_digest_of_a_key_is_read_from_standard_input() {
    for input in ["a-key", "a-key\n", "a-key\r\n"] {
        let digest = Finished::of(&["key", "digest"], Some(input));
        assert_eq!(digest.code, Some(0), "{}", digest.errors);
        assert_eq!(digest.output.trim_end(), key_digest("a-key"));
    }
    assert_eq!(Finished::of(&["key", "digest"], Some("")).code, Some(2));
}

#[test]
fn every_example_passes_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let result = Finished::of(&["check", "--config", path.to_str().unwrap()], None);
        assert_eq!(
            result.code,
            Some(0),
            "{}:\n{}",
            path.display(),
            result.errors
        );
        assert!(result.output.contains("good"), "{}", result.output);
        // Another program on this machine may use the addresses of the examples.
        let taken = result.errors.matches("is in use now").count();
        // The demo's token issuer does not run here.
        let lacking = result.errors.matches("verifier `demo` has no keys").count();
        assert_eq!(
            result.errors.matches("warning: ").count(),
            taken + lacking,
            "{} gives warnings: {}",
            path.display(),
            result.errors
        );
        checked += 1;
    }
    assert!(checked >= 5, "{checked} examples");
}

#[test]
fn a_start_with_errors_prints_all_of_them_and_exits_2() {
    let config =
        "[[route]]\npath = \"orders\"\nupstream = \"ordres\"\n[upstream.orders]\nendpoints = []\n";
    let refused = Gateway::with_config(config).run_refused();
    assert_eq!(refused.code, Some(2));
    for place in ["windlass.toml:2:", "windlass.toml:3:", "windlass.toml:5:"] {
        assert!(
            refused.errors.contains(place),
            "no {place} in\n{}",
            refused.errors
        );
    }
    assert!(
        refused.errors.contains("did you mean `orders`?"),
        "{}",
        refused.errors
    );
}

#[test]
fn an_address_in_use_stops_the_start_with_a_cure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!(
        "[[listener]]\naddress = \"{address}\"\n[[route]]\npath = \"/\"\nrespond = {{ body = \"ok\" }}\n"
    );
    let refused = Gateway::with_config(config).run_refused();
    assert_eq!(refused.code, Some(1), "{}", refused.errors);
    assert!(
        refused.errors.contains(&address.to_string()),
        "{}",
        refused.errors
    );
    assert!(refused.errors.contains("is in use"), "{}", refused.errors);
}

#[test]
fn a_second_gateway_on_one_address_is_refused() {
    let config = "[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n";
    let first = Gateway::with_config(config).start();
    let address = first.address();
    let config = format!("[[listener]]\naddress = \"{address}\"\n{config}");
    let second = Gateway::with_config(config).run_refused();
    assert_eq!(second.code, Some(1), "{}", second.errors);
    assert_eq!(first.get("/").status, 200);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = Finished::of(&["check", "--config", "nowhere.toml"], None);
    assert_ne!(missing.code, Some(0));
    assert!(
        missing.errors.contains("nowhere.toml"),
        "{}",
        missing.errors
    );
}
