//! A plugin's grants are those that its README lists, and they cover everything that it imports.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::fs;

use windlass_builtin_plugins::{BUILTIN_PLUGINS, BuiltinPlugin, builtin};

/// The TOML line under `## Grants` of a plugin's README.
fn listed(plugin: &BuiltinPlugin) -> BTreeMap<String, Vec<String>> {
    let path = format!(
        "{}/../{}/README.md",
        env!("CARGO_MANIFEST_DIR"),
        plugin.name
    );
    let text = fs::read_to_string(&path).expect("every plugin has a README");
    let line = text
        .split_once("\n## Grants\n")
        .and_then(|(_, after)| after.split("\n## ").next())
        .and_then(|section| section.lines().find(|line| line.starts_with("allow = ")))
        .expect("the README has a heading `Grants` with a line `allow = ...`");
    let table: toml::Table = line.parse().expect("the line is TOML");
    let allow = table["allow"].as_table().expect("`allow` is a table");
    allow
        .iter()
        .map(|(kind, names)| {
            let names = names.as_array().expect("grants are lists");
            let names = names
                .iter()
                .map(|name| name.as_str().expect("grants are names").to_owned());
            (kind.clone(), names.collect())
        })
        .collect()
}

#[test]
fn grants_are_what_the_readmes_list() {
    for plugin in BUILTIN_PLUGINS {
        let mut granted = BTreeMap::new();
        for (kind, names) in [
            ("interfaces", plugin.interfaces),
            ("attributes", plugin.attributes),
        ] {
            if !names.is_empty() {
                let names = names.iter().map(|&name| name.to_owned());
                granted.insert(kind.to_owned(), names.collect::<Vec<_>>());
            }
        }
        assert_eq!(listed(plugin), granted, "{}", plugin.name);
    }
}

#[test]
fn a_plugin_is_found_by_its_name_only() {
    assert_eq!(
        builtin("api-key").map(|plugin| plugin.name),
        Some("api-key")
    );
    assert!(builtin("api_key").is_none());
}
