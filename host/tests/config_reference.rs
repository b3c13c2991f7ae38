//! The reference page and the JSON Schema agree with the reader.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use windlass::internals::config::{Config, reference};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/reference")
        .join(name)
}

/// The committed text; with `UPDATE_EXPECT=1`, `made` is written to the file first.
fn committed(name: &str, made: &str) -> String {
    let path = docs(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, made).expect("the file is written");
    }
    std::fs::read_to_string(&path).expect("the committed file")
}

#[test]
fn the_page_is_in_step() {
    let made = reference::markdown();
    assert!(
        committed("config.md", &made) == made,
        "UPDATE_EXPECT=1 writes docs/reference/config.md anew"
    );
}

#[test]
fn the_page_of_plugin_tests_is_in_step() {
    let made = windlass::internals::plugin_test::page();
    assert!(
        committed("plugin-tests.md", &made) == made,
        "UPDATE_EXPECT=1 writes docs/reference/plugin-tests.md anew"
    );
}

#[test]
fn the_schema_is_in_step() {
    let printed = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .arg("schema")
        .output();
    let made = String::from_utf8(printed.expect("the binary runs").stdout).unwrap();
    let committed = committed("windlass.schema.json", &made);
    let [made, committed] =
        [made, committed].map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert!(
        made == committed,
        "UPDATE_EXPECT=1 writes docs/reference/windlass.schema.json anew"
    );
}

/// One file for each key of the schema that `value` gives a value for; the file sets only that key.
fn files(schema: &Value, value: &dyn Fn(&Value) -> Option<String>) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let properties = schema["properties"].as_object().unwrap();
    for (key, schema) in properties {
        files.extend(value(schema).map(|value| (key.clone(), format!("{key} = {value}"))));
        let named = &schema["additionalProperties"];
        let (schema, open, close) = if schema["items"]["properties"].is_object() {
            (&schema["items"], "[{ ", " }]")
        } else if named["properties"].is_object() {
            (named, "{ x = { ", " } }")
        } else if schema["properties"].is_object() {
            (schema, "{ ", " }")
        } else {
            continue;
        };
        for (path, text) in self::files(schema, value) {
            files.push((
                format!("{key}.{path}"),
                format!("{key} = {open}{text}{close}"),
            ));
        }
    }
    files
}

/// A value that no key accepts.
fn infinite(_schema: &Value) -> Option<String> {
    Some("inf".to_owned())
}

/// The default of a key, if a file can set it.
fn default(schema: &Value) -> Option<String> {
    let description = schema["description"].as_str()?;
    let (_, default) = description.rsplit_once("Default: `")?;
    let value = default.strip_suffix("`.")?;
    (!value.contains('`')).then(|| value.to_owned())
}

#[test]
fn every_default_is_a_value_that_its_key_takes() {
    let schema: Value = reference::schema();
    let files = files(&schema, &default);
    assert!(files.len() > 80, "{}", files.len());
    for (key, text) in files {
        let (before, _) = text.rsplit_once(" = ").unwrap();
        let position = format!("t:1:{}: ", before.len() + " = ".len() + 1);
        let problems = Config::parse("t", &text, Path::new("")).unwrap_err();
        let problems = problems.to_string();
        let mut there = problems
            .lines()
            .filter_map(|line| line.strip_prefix(&position));
        let is_refused = there.any(|message| !message.starts_with("warning: "));
        assert!(
            !is_refused,
            "`{key}` does not take its default:\n{problems}"
        );
    }
}

#[test]
fn the_reader_reads_every_key_of_the_schema() {
    let schema: Value = reference::schema();
    let files = files(&schema, &infinite);
    assert!(files.len() > 80, "{}", files.len());
    for (key, text) in files {
        let problems = Config::parse("t", &text, Path::new("")).unwrap_err();
        let at = text.find("inf").unwrap();
        let found = problems.iter().any(|problem| problem.span.start == at);
        assert!(found, "`{key}` is not read:\n{problems}");
        assert!(!problems.to_string().contains("unknown key"), "{problems}");
    }
}

#[test]
fn the_page_has_a_row_for_every_key_of_the_schema() {
    let schema: Value = reference::schema();
    let page = reference::markdown();
    for (path, _) in files(&schema, &infinite)
        .iter()
        .filter(|(path, _)| path.contains('.'))
    {
        let key = path.rsplit('.').next().unwrap();
        assert!(page.contains(&format!("| `{key}` | ")), "{path}");
    }
}
