//! The components of the examples export exactly the phases of their `export!` lines, and import
//! only the host interfaces that they call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wasmparser::{Parser, Payload};

/// Builds the examples for WebAssembly once, in the target folder of the first-party plugins.
fn components() -> &'static Path {
    static COMPONENTS: OnceLock<PathBuf> = OnceLock::new();
    COMPONENTS.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("plugins");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--package", env!("CARGO_PKG_NAME")])
            .args([
                "--examples",
                "--target",
                "wasm32-wasip2",
                "--profile",
                "plugin",
            ])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("RUSTFLAGS")
            .env("CARGO_BUILD_BUILD_DIR", &target)
            .env("CARGO_ENCODED_RUSTFLAGS", "")
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            .output()
            .expect("Cargo can be started");
        assert!(
            built.status.success(),
            "the examples cannot be built:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        target.join("wasm32-wasip2/plugin/examples")
    })
}

/// The imports of the component from `windlass:` and `wasi:`, and its exports.
struct Names {
    host: Vec<String>,
    wasi: Vec<String>,
    exports: Vec<String>,
}

fn names(example: &str) -> Names {
    let file = components().join(example).with_extension("wasm");
    let component = fs::read(file).expect("the example has a component");
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(&component) {
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
    imports.sort();
    exports.sort();
    let (host, other): (Vec<_>, Vec<_>) = imports
        .into_iter()
        .partition(|import| import.starts_with("windlass:host/"));
    Names {
        host,
        wasi: other,
        exports,
    }
}

#[test]
fn one_phase_is_one_export_beside_the_lifecycle() {
    let names = names("require_header");
    assert_eq!(
        names.exports,
        [
            "windlass:filter/lifecycle@0.1.0",
            "windlass:filter/request-phase@0.1.0",
        ]
    );
    assert_eq!(
        names.host,
        ["windlass:host/exchange@0.1.0", "windlass:host/types@0.1.0",]
    );
}

#[test]
fn every_phase_is_every_export() {
    let names = names("body_meter");
    assert_eq!(
        names.exports,
        [
            "windlass:filter/lifecycle@0.1.0",
            "windlass:filter/log-phase@0.1.0",
            "windlass:filter/request-body-phase@0.1.0",
            "windlass:filter/request-phase@0.1.0",
            "windlass:filter/response-body-phase@0.1.0",
            "windlass:filter/response-phase@0.1.0",
        ]
    );
    assert_eq!(
        names.host,
        [
            "windlass:host/exchange@0.1.0",
            "windlass:host/metrics@0.1.0",
            "windlass:host/types@0.1.0",
        ]
    );
}

/// std needs these imports to print a panic. It needs no clocks, random numbers, files or sockets.
#[test]
fn of_wasi_only_the_command_line_is_imported() {
    for example in ["require_header", "body_meter"] {
        for import in names(example).wasi {
            assert!(
                import.starts_with("wasi:cli/") || import.starts_with("wasi:io/"),
                "{example} imports {import}"
            );
        }
    }
}

#[test]
fn the_readme_holds_the_example_as_it_is() {
    let readme = fs::read_to_string("README.md").expect("there is a README");
    let example = fs::read_to_string("examples/require_header.rs").expect("there is an example");
    assert!(
        readme.contains(&format!("```rust\n{example}```")),
        "README.md and examples/require_header.rs have come apart"
    );
    assert!(example.lines().count() <= 25);
}
