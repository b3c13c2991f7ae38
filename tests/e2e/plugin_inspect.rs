//! `windlass plugin inspect`: what a component is, needs and costs.

use std::path::Path;

use serde_json::Value;
use windlass_tests::{Finished, sha256};

/// A filter that does what its settings say; its steps are in `tests/guests/rust`.
const ACTOR: &str = concat!(env!("OUT_DIR"), "/actor.wasm");

fn guest(path: &str) -> String {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    guests.join(path).display().to_string()
}

fn inspect(arguments: &[&str]) -> Finished {
    Finished::of(&[&["plugin", "inspect"], arguments].concat(), None)
}

fn json(arguments: &[&str]) -> Value {
    let done = inspect(&[&["--json"], arguments].concat());
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
    serde_json::from_str(&done.output).unwrap()
}

#[test]
fn the_page_has_the_facts_of_a_component() {
    let file = guest("c/filter.wasm");
    let settings = "{ header = \"x-api-key\" }";
    let done = inspect(&[&file, "--settings", settings]);
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
    let digest = sha256(&std::fs::read(&file).unwrap());
    for part in [
        digest.as_str(),
        "3 core instances, 1 memory, ",
        "phases        request\n",
        "windlass:filter/request-phase@0.1.0",
        "needs the grant `keys`",
        "--settings: accepted",
        "an exchange with all its phases",
        "refused: 401",
        "allow    = { interfaces = [\"keys\"]",
        "plugin   = ",
    ] {
        assert!(done.output.contains(part), "no {part} in\n{}", done.output);
    }
}

#[test]
fn json_has_the_same_facts() {
    let report = json(&[ACTOR]);
    let phases: Vec<_> = report["phases"].as_array().unwrap().iter().collect();
    assert_eq!(phases.len(), 5, "{report}");
    assert_eq!(report["refused"], Value::Null);
    assert_eq!(report["settings"]["from"], "no settings");
    assert!(
        report["memory_bytes"].as_u64().unwrap() > 65_536,
        "{report}"
    );
    assert!(
        report["call"]["exchanges"].as_u64().unwrap() > 0,
        "{report}"
    );
    assert!(
        report["call"]["median_us"].as_f64().unwrap() > 0.0,
        "{report}"
    );
    assert!(report["instantiate_us"].as_f64().unwrap() > 0.0, "{report}");
    let imports = report["imports"].as_array().unwrap();
    let granted = |import: &&Value| import["grant"] == "cache";
    assert_eq!(imports.iter().filter(granted).count(), 1, "{report}");
}

#[test]
fn go_and_javascript_show_their_parts_and_the_stubs_of_wasi() {
    for (path, instances, memories) in [("go/filter.wasm", 4, 1), ("javascript/filter.wasm", 8, 2)]
    {
        let report = json(&[&guest(path), "--settings", "{ header = \"x-api-key\" }"]);
        assert_eq!(report["core_instances"], instances, "{path}");
        assert_eq!(report["memories"], memories, "{path}");
        let traps = |import: &&Value| import["traps"] == true;
        let imports = report["imports"].as_array().unwrap();
        assert!(imports.iter().filter(traps).count() > 0, "{path}: {report}");
    }
}

#[test]
fn settings_and_the_request_come_from_the_cases_beside_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let build = folder.path().join("build");
    std::fs::create_dir(&build).unwrap();
    let file = build.join("actor.wasm");
    std::fs::copy(ACTOR, &file).unwrap();
    let cases = "settings = { when = \"x-act\", request = [{ respond = { status = 418, reason = \"tea\" } }] }\n\
                 [[case]]\nname = \"tea\"\nrequest = { path = \"/pot\", headers = { x-act = \"1\" } }\n";
    std::fs::write(folder.path().join("cases.toml"), cases).unwrap();
    let report = json(&[file.to_str().unwrap()]);
    assert_eq!(report["call"]["outcome"], "refused: 418 `tea`", "{report}");
    assert_eq!(report["call"]["of_case"], true);
}

#[test]
fn rejected_settings_are_named_and_a_failing_call_is_no_cost() {
    let rejected = inspect(&[
        ACTOR,
        "--settings",
        "{ complaints = [[\"/when\", \"is odd\"]] }",
    ]);
    assert_eq!(rejected.code, Some(1));
    assert!(
        rejected.output.contains("`/when`: is odd"),
        "{}",
        rejected.output
    );
    let traps = json(&[ACTOR, "--settings", "{ request = [\"trap\"] }"]);
    assert_eq!(traps["call"]["failed"], true, "{traps}");
    assert!(
        traps["call"]["outcome"]
            .as_str()
            .unwrap()
            .contains("trapped"),
        "{traps}"
    );
}

#[test]
fn a_component_that_does_not_load_is_refused_in_the_words_of_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.wasm");
    std::fs::write(&file, "no WebAssembly").unwrap();
    let done = inspect(&[file.to_str().unwrap()]);
    assert_eq!(done.code, Some(1));
    let words = "its plugin is not WebAssembly: it does not begin with `\\0asm`";
    assert!(done.output.contains(words), "{}", done.output);
    let missing = inspect(&[folder.path().join("none.wasm").to_str().unwrap()]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.errors.contains("none.wasm` cannot be read"),
        "{}",
        missing.errors
    );
    let wrong = inspect(&[ACTOR, "--settings", "{ a = "]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.errors.contains("`--settings` takes a table"),
        "{}",
        wrong.errors
    );
}
