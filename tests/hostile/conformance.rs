//! The conformance kit of `windlass plugin test`: a good filter passes it, and each check has a filter
//! that fails it.

use std::fs;

use tempfile::TempDir;
use windlass_tests::{Finished, command};

use crate::forge;
use crate::stage::ACTOR;

/// Run the kit, or one check, on a component with these cases.
fn kit(component: &[u8], cases: &str, check: &str) -> Finished {
    let folder = TempDir::new().unwrap();
    let (wasm, file) = (
        folder.path().join("bad.wasm"),
        folder.path().join("cases.toml"),
    );
    fs::write(&wasm, component).unwrap();
    fs::write(&file, cases).unwrap();
    let mut command = command(["plugin", "test", "--conformance", "--filter", check]);
    let output = command.arg(&wasm).arg(&file).output().unwrap();
    Finished {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The cases of an actor with these settings.
fn cases(settings: &str) -> String {
    format!(
        "settings = {{ {settings} }}
         allow = {{ interfaces = [\"cache\", \"metrics\"] }}
         [[case]]
         name = \"the base\"
         request = {{ method = \"POST\", headers = {{ x-key = \"1\" }}, body = [\"a\", \"b\"] }}
         response = {{ body = \"c\" }}
         expect.response = {{ status = 200 }}"
    )
}

/// Check that an actor with these settings fails a check for this reason, and that the actor that does
/// nothing of it passes.
fn fails(check: &str, settings: &str, why: &str) {
    let bad = kit(ACTOR, &cases(settings), check);
    let failed = format!("FAIL {check}");
    assert_eq!(bad.code, Some(1), "{}{}", bad.output, bad.errors);
    assert!(bad.output.contains(&failed), "{}", bad.output);
    assert!(bad.output.contains(why), "no `{why}` in\n{}", bad.output);
}

/// Every check, on a filter that has all phases, reads bodies and keeps notes.
#[test]
fn a_good_filter_passes_every_check() {
    let settings = "request = [\"chunks\"], request-body = [{ read-piece = [0, 100] }], \
        response = [{ set-header = [\"response\", \"x-a\", \"1\"] }, \"chunks\"], response-body = [\"done\"], log = [{ log = [\"info\", \"seen\"] }]";
    let done = kit(ACTOR, &cases(settings), "");
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
    for check in [
        "ok   describe",
        "ok   bad-settings",
        "ok   heads",
        "ok   bodies",
        "ok   cut-bodies",
        "ok   two-consumers",
        "ok   traps",
        "ok   reload",
        "ok   deadline",
        "ok   memory",
    ] {
        assert!(
            done.output.contains(check),
            "no `{check}` in\n{}",
            done.output
        );
    }
    assert!(
        done.output.contains("10 passed, 0 failed"),
        "{}",
        done.output
    );
}

/// The kit starts from a case with the key, so that a filter which refuses everything else passes.
#[test]
fn a_filter_that_refuses_everything_without_its_key_passes() {
    let cases = "[[key]]
        key = \"test-key\"
        id = \"a\"
        consumer = \"acme\"
        [[case]]
        name = \"no key\"
        expect.refusal = { status = 401 }
        [[case]]
        name = \"a key\"
        request = { headers = { x-api-key = \"test-key\" } }
        expect.attributes = { consumer.id = \"acme\" }
        expect.verdict = \"next\"";
    let cases = format!(
        "allow = {{ interfaces = [\"keys\"], attributes = [\"consumer.*\", \"api-key.*\", \"auth.*\", \"plan.*\"] }}\n{cases}"
    );
    let plugin = include_bytes!("../guests/c/filter.wasm");
    let cases = format!("settings = {{ header = \"x-api-key\" }}\n{cases}");
    let done = kit(plugin, &cases, "");
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
    assert!(
        done.output.contains("from the case `a key`"),
        "{}",
        done.output
    );
}

/// The kit holds for the first-party filters, too.
#[test]
fn the_filters_that_come_with_windlass_pass() {
    let key = "[[key]]\nkey = \"test-key\"\nid = \"k\"\nconsumer = \"acme\"\n";
    let with_key = format!(
        "{key}[[case]]\nname = \"a key\"\nrequest = {{ headers = {{ x-api-key = \"test-key\" }} }}\nexpect.verdict = \"next\""
    );
    let of_plan = format!(
        "[plan.large]\nrate = 1e9\n{key}plan = \"large\"\n[[case]]\nname = \"a plan\"\nattributes = {{ api-key.id = \"k\", plan.id = \"large\" }}\nexpect.verdict = \"next\""
    );
    for (name, cases) in [
        ("api-key", &*with_key),
        ("usage-plan", &of_plan),
        (
            "rate-limit",
            "settings = { bounds = [{ name = \"a\", by = \"client-address\", limit = 1_000_000_000, window = \"1s\" }] }\n[[case]]\nname = \"room\"\nexpect.verdict = \"next\"",
        ),
        (
            "cors",
            "settings = { origins = [\"https://app.example\"] }\n[[case]]\nname = \"an origin\"\nrequest = { headers = { origin = \"https://app.example\" } }\nexpect.response = { headers = { access-control-allow-origin = \"https://app.example\" } }",
        ),
        (
            "transform",
            "settings = { request = [{ op = \"set\", header = \"x-a\", value = \"1\" }] }\n[[case]]\nname = \"an edit\"\nexpect.request = { headers = { x-a = \"1\" } }",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("cases.toml"), cases).unwrap();
        let plugin = format!("builtin:{name}");
        let done = command(["plugin", "test", &plugin])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let output = String::from_utf8(done.stdout).unwrap();
        let errors = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(0), "{output}{errors}");
        assert!(output.contains("11 passed, 0 failed\n"), "{output}");
    }
}

#[test]
fn a_filter_that_keeps_something_of_each_exchange_fails_for_its_memory() {
    fails(
        "memory",
        "request = [{ grow = 400 }]",
        "in 25000 calls each",
    );
}

#[test]
fn a_filter_that_shows_one_clients_data_to_another_fails() {
    let settings = "request = [{ tell-last = \"x-conformance-request\" }]";
    fails("two-consumers", settings, "field `x-last`");
}

#[test]
fn a_filter_that_needs_a_field_of_every_client_fails() {
    let settings = "request = [{ need-header = \"x-key\" }]";
    fails("heads", settings, "a head without fields: no failure");
}

#[test]
fn a_filter_that_traps_on_a_body_fails() {
    for check in ["bodies", "cut-bodies"] {
        let settings = format!(
            "when = \"x-conformance={check}\", request = [\"chunks\"], request-body = [\"trap\"]"
        );
        fails(check, &settings, "no failure");
    }
}

#[test]
fn a_filter_whose_lock_outlives_a_call_that_ended_fails() {
    let settings = "request = [{ occupy = \"lock\" }, { note = \"a\" }], response = [{ cache-delete = \"lock\" }]";
    fails("traps", settings, "`occupied`");
}

#[test]
fn a_filter_that_two_configurations_cannot_share_fails() {
    let settings = "request = [{ occupy = \"lock\" }], response = [{ cache-delete = \"lock\" }]";
    fails("reload", settings, "`occupied`");
}

#[test]
fn a_filter_that_uses_most_of_its_cpu_time_fails() {
    let settings = "when = \"x-conformance=deadline\", request = [\"loop\"]";
    fails("deadline", settings, "CPU time");
}

#[test]
fn a_filter_whose_description_changes_fails() {
    let done = kit(&forge::describing_the_clock(), "", "describe");
    assert_eq!(done.code, Some(1), "{}{}", done.output, done.errors);
    assert!(done.output.contains("FAIL describe"), "{}", done.output);
}

#[test]
fn a_filter_that_traps_on_wrong_settings_fails() {
    let done = kit(&forge::configured_by_nothing_only(), "", "bad-settings");
    assert_eq!(done.code, Some(1), "{}{}", done.output, done.errors);
    assert!(done.output.contains("FAIL bad-settings"), "{}", done.output);
    assert!(done.output.contains("x-conformance"), "{}", done.output);
}

/// A check that cannot compare says so, and a check that is left out names the reason.
#[test]
fn a_check_that_says_nothing_is_skipped_with_a_reason() {
    let settings = "request = [{ occupy = \"once\" }]";
    let counted = kit(ACTOR, &cases(settings), "reload");
    assert_eq!(
        counted.code,
        Some(0),
        "{}{}",
        counted.output,
        counted.errors
    );
    assert!(
        counted
            .output
            .contains("skip reload: exchange 2 of the same kind ends with"),
        "{}",
        counted.output
    );
    let cases = format!("[conformance]\nskip = {{ heads = \"not today\" }}\n{}", {
        "[[case]]\nname = \"the base\""
    });
    let skipped = kit(ACTOR, &cases, "heads");
    assert!(
        skipped.output.contains("skip heads: not today"),
        "{}",
        skipped.output
    );
    let unknown = kit(ACTOR, "[conformance]\nskip = { hats = \"no\" }", "heads");
    assert_eq!(unknown.code, Some(2), "{}", unknown.output);
    assert!(
        unknown.errors.contains("`hats`, which is no check"),
        "{}",
        unknown.errors
    );
}
