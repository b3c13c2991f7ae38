//! Documents: files that a filter's table names and that the filter can read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use windlass_tests::{Gateway, sha256};

/// A filter that does what its settings say; its steps are in `tests/guests/rust`.
const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

/// `tests/guests/javascript/answers.js`.
const ANSWERS: &[u8] = include_bytes!("../guests/javascript/answers.wasm");

/// A route through an actor with these keys, which include `settings` and `documents`.
fn acting(keys: &str) -> String {
    format!(
        "[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nfilters = [\"reads\"]\nrespond = {{ body = \"passed\" }}\n[filter.reads]\nplugin = \"actor.wasm\"\n{keys}\n"
    )
}

/// The same with a request phase that reports the results of these steps.
fn reporting(documents: &str, steps: &str) -> String {
    acting(&format!(
        "{documents}\nsettings = {{ request = [{steps}, \"report\"] }}"
    ))
}

const READ_API: &str = r#"{ read-document = ["api", 0, 1000] }"#;

#[test]
fn a_filter_reads_the_documents_of_its_own_table_and_no_others() {
    let steps = format!(
        r#""documents", {{ document-size = "api" }}, {READ_API}, {{ read-document = ["api", 3, 4] }},
        {{ read-document = ["api", 9, 9] }}, {{ read-document = ["api", 10, 9] }}, {{ document-digest = "api" }},
        {{ document-size = "empty" }}, {{ read-document = ["empty", 0, 9] }},
        {{ document-size = "other" }}, {{ read-document = ["other", 0, 9] }}, {{ document-digest = "other" }},
        {{ read-document = ["api.yaml", 0, 9] }}, {{ read-document = ["../windlass.toml", 0, 9] }}"#
    );
    let config = reporting(
        "documents = { empty = \"empty\", api = \"api.yaml\" }",
        &steps,
    )
    // Another filter has its own documents.
        + "[filter.other]\nplugin = \"actor.wasm\"\ndocuments = { other = \"api.yaml\" }\n";
    let gateway = Gateway::with_config(config)
        .file("actor.wasm", ACTOR)
        .file("api.yaml", "openapi: x")
        .file("empty", "")
        .start();
    let report = gateway.get("/").json();
    let digest = sha256(b"openapi: x");
    assert_eq!(
        report,
        json!([
            ["api", "empty"],
            10,
            "openapi: x",
            "napi",
            "x",
            "",
            digest,
            0,
            "",
            null,
            null,
            null,
            null,
            null
        ])
    );
}

#[test]
fn a_document_of_megabytes_is_read_whole_while_the_filter_is_configured() {
    let text = "0123456789abcdef".repeat(3 << 16);
    let config = acting(
        "documents = { large = \"large\" }\nsettings = { tell = true, configure = [{ read-document = [\"large\", 3145726, 9] }, { document-size = \"large\" }, { read-document = [\"large\", 0, 4294967295] }] }",
    );
    let gateway = Gateway::with_config(config)
        .file("actor.wasm", ACTOR)
        .file("large", &text)
        .start();
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("configure gave"));
    assert!(
        line.contains("ef") && line.contains("3145728,"),
        "{}",
        &line[..200]
    );
    assert_eq!(gateway.get("/").text(), "passed");
}

#[test]
fn a_reload_takes_a_changed_document_anew_and_an_unchanged_one_restarts_nothing() {
    let config = reporting("documents = { api = \"api.yaml\" }", READ_API)
        .replace("[\"reads\"]", "[\"stays\", \"reads\"]")
        + "[filter.stays]\nplugin = \"actor.wasm\"\ndocuments = { api = \"stays.yaml\" }\nsettings = { request = [{ cache-increment = [\"n\", 1, 60000] }] }\nallow = { interfaces = [\"cache\"] }\n";
    let gateway = Gateway::with_config(&config)
        .file("actor.wasm", ACTOR)
        .file("api.yaml", "first")
        .file("stays.yaml", "stays")
        .start();
    let path = gateway.folder().join("api.yaml");
    let read = || gateway.get("/").json()[0].clone();
    let made = || {
        gateway
            .metrics()
            .by("windlass_filter_instances_total", "filter")
    };
    assert_eq!(read(), "first");
    // The new content takes effect at a reload, and not before.
    fs::write(&path, "second").unwrap();
    assert_eq!(read(), "first");
    let before = made();
    let told = gateway.reload(&config);
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(read(), "second");
    let after = made();
    assert_eq!(after["stays"], before["stays"]);
    // The file is written again with the same bytes.
    fs::write(&path, "second").unwrap();
    let told = gateway.reload(&config);
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(read(), "second");
    assert_eq!(made(), after);
    // The first content again, so the component is not compiled anew.
    fs::write(&path, "first").unwrap();
    gateway.reload(&config);
    assert_eq!(read(), "first");
    assert_eq!(gateway.metrics()["windlass_wasm_components"], 1.0);
}

#[test]
fn a_document_that_is_gone_at_a_reload_keeps_the_old_configuration() {
    let config = reporting("documents = { api = \"api.yaml\" }", READ_API);
    let gateway = Gateway::with_config(&config)
        .file("actor.wasm", ACTOR)
        .file("api.yaml", "first")
        .start();
    fs::remove_file(gateway.folder().join("api.yaml")).unwrap();
    let told = gateway.reload(&config);
    assert!(
        told.iter()
            .any(|line| line.contains("its document `api`, ") && line.contains("cannot be read")),
        "{told:?}"
    );
    assert!(
        told.last().unwrap().contains("the old one stays in use"),
        "{told:?}"
    );
    assert_eq!(gateway.get("/").json()[0], "first");
}

/// Mounted configuration folders look like this: the file is a link into a folder that is a link
/// itself.
#[test]
fn a_reload_follows_a_link_that_was_turned() {
    let config = reporting("documents = { api = \"api.yaml\" }", READ_API);
    let builder = Gateway::with_config(&config).file("actor.wasm", ACTOR);
    let builder = builder
        .file("version-1", "first")
        .file("version-2", "second");
    let gateway = builder
        .in_folder(|folder| {
            symlink("version-1", folder.join("data")).unwrap();
            symlink("data", folder.join("api.yaml")).unwrap();
        })
        .start();
    assert_eq!(gateway.get("/").json()[0], "first");
    let folder = gateway.folder();
    symlink("version-2", folder.join("new")).unwrap();
    fs::rename(folder.join("new"), folder.join("data")).unwrap();
    gateway.reload(&config);
    assert_eq!(gateway.get("/").json()[0], "second");
}

/// The exit code and the report of `check` for a configuration with these documents.
fn checked(documents: &str, make: impl FnOnce(&Path)) -> (Option<i32>, String) {
    let builder = Gateway::with_config(reporting(documents, READ_API))
        .file("actor.wasm", ACTOR)
        .file("a.txt", "0123456789");
    let checked = builder.in_folder(make).check();
    (checked.code, checked.errors + &checked.output)
}

#[test]
fn a_document_that_cannot_be_had_is_an_error_with_its_line_and_a_cure() {
    for (documents, message, cure) in [
        (
            "documents = { api = \"none.txt\" }",
            "cannot be read: No such file",
            "relative to the folder of the configuration file",
        ),
        (
            "documents = { api = \".\" }",
            "is a folder, not a file",
            "name a regular file",
        ),
        (
            "documents = { api = \"pipe\" }",
            "is a pipe, not a file",
            "name a regular file",
        ),
        (
            "documents = { api = \"/dev/zero\" }",
            "is a device, not a file",
            "name a regular file",
        ),
        (
            "documents = { api = \"dangling\" }",
            "is a symbolic link to `gone`, which is not there",
            "make the link anew",
        ),
        (
            "documents = { api = \"a.txt\" }\nlimits = { document = \"9B\" }",
            "has 10 bytes, more than `limits.document` allows (9B)",
            "`limits = { document = \"1MiB\" }`",
        ),
    ] {
        let (code, told) = checked(documents, |folder| {
            symlink("gone", folder.join("dangling")).unwrap();
            let made = Command::new("mkfifo").arg(folder.join("pipe")).status();
            assert!(made.unwrap().success());
        });
        assert_eq!(code, Some(2), "{documents}: {told}");
        assert!(
            told.contains("windlass.toml:9:21: filter `reads`: its document `api`, "),
            "{told}"
        );
        assert!(told.contains(message), "{documents}: {told}");
        assert!(told.contains(cure), "{documents}: {told}");
    }
}

#[test]
fn all_documents_that_cannot_be_had_are_told_at_once_with_a_plugin_that_is_not_there() {
    let config = reporting("documents = { a = \"none\", b = \"missing\" }", READ_API)
        .replace("actor.wasm", "none.wasm");
    let checked = Gateway::with_config(config).check();
    assert_eq!(checked.code, Some(2));
    for text in ["its document `a`", "its document `b`", "its plugin `"] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}

#[test]
fn check_names_documents_and_warns_of_odd_ones() {
    let (code, told) = checked("documents = { api = \"a.txt\", more = \"a.txt\" }", |_| {});
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("document `api`: 10 bytes, sha256:84d89877"),
        "{told}"
    );
    assert!(
        told.contains("its documents `api` and `more` are the same file"),
        "{told}"
    );
    assert!(told.contains("windlass.toml:9:37"), "{told}");
    let config = "[[route]]\npath = \"/\"\nfilters = [\"keys\"]\nrespond = {}\n[filter.keys]\nplugin = \"builtin:api-key\"\ndocuments = { api = \"a.txt\" }\n";
    let builder = Gateway::with_config(config).file("a.txt", "");
    let checked = builder.check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert!(
        checked
            .errors
            .contains("filter `keys`: its plugin reads no documents"),
        "{}",
        checked.errors
    );
}

#[test]
fn a_complaint_about_a_document_is_shown_at_the_line_that_names_it() {
    let (code, told) = checked("documents = { api = \"a.txt\" }", |_| {});
    assert_eq!(code, Some(0), "{told}");
    for (list, code) in [("complaints", 2), ("warnings", 0)] {
        let config = acting(&format!(
            "documents = {{ api = \"a.txt\" }}\nsettings = {{ {list} = [[\"documents/api\", \"line 3 has no path\"]] }}"
        ));
        let checked = Gateway::with_config(config)
            .file("actor.wasm", ACTOR)
            .file("a.txt", "x")
            .check();
        assert_eq!(checked.code, Some(code), "{}", checked.errors);
        for text in [
            "windlass.toml:9:21: ",
            "filter `reads`: its document `api`, `a.txt`: line 3 has no path",
        ] {
            assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
        }
    }
}

#[test]
fn a_filter_in_javascript_works_from_its_document_and_from_the_next_one() {
    let config = "[server]\nworkers = 1\n[[route]]\npath = \"$default\"\nfilters = [\"answers\"]\nrespond = { body = \"passed\" }\n[filter.answers]\nplugin = \"answers.wasm\"\ndocuments = { answers = \"answers.json\" }\nlimits = { cpu = \"1s\", start_cpu = \"10s\" }\n";
    let gateway = Gateway::with_config(config)
        .file("answers.wasm", ANSWERS)
        .file(
            "answers.json",
            r#"{ "/closed": { "status": 410, "body": "closed for good" } }"#,
        )
        .start();
    let answer = gateway.get("/closed");
    assert_eq!((answer.status, answer.text()), (410, "closed for good"));
    assert_eq!(gateway.get("/open").text(), "passed");
    let path = gateway.folder().join("answers.json");
    fs::write(
        &path,
        r#"{ "/open": { "status": 200, "body": "answered" } }"#,
    )
    .unwrap();
    let told = gateway.reload(config);
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(gateway.get("/closed").text(), "passed");
    assert_eq!(gateway.get("/open").text(), "answered");
    fs::write(&path, "{ half").unwrap();
    let told = gateway.reload(config);
    assert!(
        told.iter()
            .any(|line| line.contains("windlass.toml:9:25: ")
                && line.contains("`answers` is not JSON")),
        "{told:?}"
    );
    assert_eq!(gateway.get("/open").text(), "answered");
}
