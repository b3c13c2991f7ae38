//! Windlass refuses components that cannot be filters: at the start with exit code 2 and an error
//! that says how to fix it. A reload with one changes nothing.

use windlass_tests::{Builder, Upstream};

use crate::forge;
use crate::stage::{ACTOR, Stage};

/// A gateway whose only filter is this component.
fn with(component: &[u8], keys: &str) -> Builder {
    Stage::new()
        .filter("bad", component, keys)
        .lines("[[route]]\npath = \"/\"\nfilters = [\"bad\"]\nrespond = { status = 200 }")
        .builder()
}

/// Check that a start and `windlass check` fail, and that both name the line and give this reason.
fn refused(component: &[u8], keys: &str, why: &[&str]) {
    let builder = with(component, keys);
    for finished in [builder.run_refused(), builder.check()] {
        assert_eq!(finished.code, Some(2), "{}", finished.errors);
        assert!(
            finished.errors.contains("windlass.toml:"),
            "{}",
            finished.errors
        );
        assert!(
            finished.errors.contains("filter `bad`"),
            "{}",
            finished.errors
        );
        for why in why {
            assert!(
                finished.errors.contains(why),
                "not `{why}` in:\n{}",
                finished.errors
            );
        }
    }
}

fn acts_in_configure(step: &str) -> String {
    format!(
        "limits = {{ start_cpu = \"50ms\", memory = \"8MiB\" }}\nsettings = {{ configure = [{step}] }}"
    )
}

#[test]
fn a_text_is_not_webassembly() {
    refused(b"#!/bin/sh\necho no filter\n", "", &["is not WebAssembly"]);
}

#[test]
fn an_empty_file_is_not_webassembly() {
    refused(b"", "", &["is not WebAssembly"]);
}

#[test]
fn a_core_module_is_not_a_component() {
    let module = wat::parse_str("(module)").unwrap();
    refused(
        &module,
        "",
        &["is a core module, not a component", "wasm32-wasip2"],
    );
}

#[test]
fn a_component_that_is_cut_off_is_not_valid() {
    refused(&ACTOR[..ACTOR.len() / 2], "", &["is not a valid component"]);
}

#[test]
fn a_component_of_another_world_is_no_filter() {
    refused(
        &forge::bystander(),
        "",
        &[
            "does not export `windlass:filter/lifecycle@0.1.0`",
            "`wave`",
        ],
    );
}

#[test]
fn a_component_that_exports_nothing_is_no_filter() {
    let empty = wat::parse_str("(component)").unwrap();
    refused(
        &empty,
        "",
        &[
            "does not export `windlass:filter/lifecycle@0.1.0`",
            "exports nothing",
        ],
    );
}

#[test]
fn a_filter_of_another_version_of_the_contract_is_refused() {
    refused(
        &forge::of_another_version(),
        "",
        &["@0.2.0", "another version of the contract"],
    );
}

#[test]
fn an_import_that_nobody_offers_is_refused() {
    refused(
        &forge::with_unknown_import(),
        "",
        &["imports `windlass:forge/secrets", "does not offer"],
    );
}

#[test]
fn an_endless_start_is_refused() {
    let start = "(func $spin (loop (br 0))) (start $spin)";
    let keys = "limits = { start_cpu = \"50ms\" }";
    refused(
        &forge::filter("", start),
        keys,
        &["instantiated", "CPU time", "raise `limits.start_cpu`"],
    );
}

#[test]
fn a_start_that_traps_is_refused() {
    let start = "(func $fall (unreachable)) (start $fall)";
    refused(
        &forge::filter("", start),
        "",
        &["instantiated", "unreachable"],
    );
}

#[test]
fn a_table_that_is_too_large_is_refused() {
    refused(
        &forge::filter("", "(table 1000000 funcref)"),
        "",
        &["table"],
    );
}

#[test]
fn a_memory_that_is_too_large_is_refused() {
    let more = "(memory $large 1024)";
    refused(
        &forge::filter("", more),
        "limits = { memory = \"8MiB\" }",
        &["memory"],
    );
}

#[test]
fn an_endless_configure_is_refused() {
    refused(
        ACTOR,
        &acts_in_configure("\"loop\""),
        &["configured", "CPU time", "raise `limits.start_cpu`"],
    );
}

#[test]
fn a_configure_that_traps_is_refused() {
    refused(
        ACTOR,
        &acts_in_configure("\"panic\""),
        &[
            "configured",
            "trapped",
            "it wrote: ",
            "the actor panics as it was told",
        ],
    );
}

#[test]
fn a_configure_that_takes_memory_without_end_is_refused() {
    refused(
        ACTOR,
        &acts_in_configure("\"grow-until-refused\""),
        &["configured", "limits.memory"],
    );
}

#[test]
fn a_configure_that_ends_the_process_is_refused() {
    refused(
        ACTOR,
        &acts_in_configure("\"exit\""),
        &["configured", "exit"],
    );
}

#[test]
fn a_configure_that_calls_a_host_interface_is_refused() {
    for (interface, step) in [
        ("cache", r#"{ cache-get = "a" }"#),
        ("cache", r#"{ cache-put = ["a", "b", 1000] }"#),
        ("keys", r#"{ find-key = "a" }"#),
        ("limits", r#"{ take-inline = ["a", 1, 1, 1.0] }"#),
        ("crypto", r#"{ digest = ["sha256", "a"] }"#),
        ("metrics", "{ gauge = 1.0 }"),
    ] {
        let allow = format!("allow = {{ interfaces = [\"{interface}\"] }}");
        let keys = format!("{}\n{allow}", acts_in_configure(step));
        refused(ACTOR, &keys, &["configured", "no exchange"]);
    }
}

#[test]
fn settings_that_a_filter_refuses_are_shown_at_their_line() {
    let keys = "settings = { request = [\"trap\"], rekwest = [] }";
    refused(ACTOR, keys, &["unknown field `rekwest`", "rekwest = []"]);
}

#[test]
fn a_reload_that_brings_a_bad_filter_changes_nothing() {
    let upstream = Upstream::text("well");
    let good = format!(
        "[[route]]\npath = \"/\"\nupstream = \"main\"\n[upstream.main]\nendpoints = [{{ address = \"{}\" }}]",
        upstream.address(),
    );
    let gateway = Stage::new().lines(&good).start();
    let bad = acts_in_configure("\"loop\"");
    let lines = gateway.reload(format!(
        "[server]\nworkers = 1\n{good}\n[[route]]\npath = \"/bad\"\nfilters = [\"bad\"]\nupstream = \"main\"\n[filter.bad]\nplugin = \"actor.wasm\"\n{bad}"
    ));
    assert!(
        lines.iter().any(|line| line.contains("configured")),
        "{lines:?}"
    );
    assert_eq!(gateway.get("/").text(), "well");
    assert_eq!(gateway.get("/bad").status, 404);
}
