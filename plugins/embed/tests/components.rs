//! The components export exactly their phases, and import only interfaces that they are granted.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

use wasmparser::{Parser, Payload};
use windlass_builtin_plugins::{BUILTIN_PLUGINS, BuiltinPlugin, builtin};

/// The names that the component itself imports and exports, without those of nested components.
fn names(plugin: &BuiltinPlugin) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(plugin.component) {
        match payload.expect("the component can be read") {
            Payload::ComponentSection { .. } | Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.expect("an import can be read").name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.expect("an export can be read").name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    exports.sort();
    (imports, exports)
}

fn exports(name: &str) -> Vec<String> {
    names(builtin(name).expect("the plugin is there")).1
}

#[test]
fn each_exports_exactly_its_phases() {
    for (name, expected) in [
        (
            "api-key",
            &["description", "lifecycle", "request-phase"][..],
        ),
        ("authorizer", &["description", "lifecycle", "request-phase"]),
        ("jwt", &["description", "lifecycle", "request-phase"]),
        ("usage-plan", &["description", "lifecycle", "request-phase"]),
        ("rate-limit", &["description", "lifecycle", "request-phase"]),
        (
            "transform",
            &[
                "lifecycle",
                "request-body-phase",
                "request-phase",
                "response-body-phase",
                "response-phase",
            ],
        ),
        ("cors", &["lifecycle", "request-phase"]),
        ("sdk-metadata", &["lifecycle", "request-phase"]),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|export| format!("windlass:filter/{export}@0.1.0"))
            .collect();
        assert_eq!(exports(name), expected, "{name}");
    }
}

#[test]
fn each_imports_only_what_it_is_granted() {
    for plugin in BUILTIN_PLUGINS {
        let mut allowed = vec![
            "types",
            "exchange",
            "raw-params",
            "advice",
            "documents",
            "preflights",
            "problem-members",
            "response-edits",
            "log",
        ];
        allowed.extend(plugin.interfaces);
        for import in names(plugin).0 {
            let path = import.strip_suffix("@0.1.0");
            let interface = path.and_then(|path| match path {
                "windlass:callout/calls" => Some("callout"),
                "windlass:jwt/tokens" => Some("jwt"),
                path => path.strip_prefix("windlass:host/"),
            });
            match interface {
                Some(interface) => assert!(
                    allowed.contains(&interface),
                    "{} imports {import}",
                    plugin.name
                ),
                None => assert!(
                    import.starts_with("wasi:cli/")
                        || import.starts_with("wasi:io/")
                        // These plugins use hash maps: minijinja for templates, regex-lite for groups, serde-saphyr for
                        // anchors.
                        || (["transform", "authorizer", "sdk-metadata"].contains(&plugin.name)
                            && import.starts_with("wasi:random/insecure-seed@")),
                    "{} imports {import}",
                    plugin.name
                ),
            }
        }
    }
}
