//! JavaScript and TypeScript: one file by esbuild, a component by `componentize-qjs`, which starts `QuickJS` with that
//! file and keeps the memory. TypeScript's compiler checks the types meanwhile.
//!
//! The file begins with a table of lines, so that an error at run time names a line of the author's sources.

mod bundle;
mod quick;
mod source_map;
mod tool;

use std::fs;
use std::path::{Path, PathBuf};

use bundle::{Bundle, Format};
use tool::Tool;

use super::component::{ComponentError, World};
use super::{BuildError, Mode, output};
use crate::{Language, Plugin};

/// Installs the versions that the kit is tested with, and whatever else the plugin's `package.json` names.
const INSTALL: &str = "npm install --save-dev --save-exact componentize-qjs@0.4.5 esbuild@0.28.2";

const COMPONENTIZE: Tool = Tool {
    name: "componentize-qjs",
    install: INSTALL,
};

const ESBUILD: Tool = Tool {
    name: "esbuild",
    install: INSTALL,
};

const TSC: Tool = Tool {
    name: "tsc",
    install: "npm install --save-dev --save-exact componentize-qjs@0.4.5 esbuild@0.28.2 typescript@7.0.2",
};

/// The component has the lines of the sources in it, so there is none with debug lines beside it.
pub(super) fn build(plugin: &Plugin, mode: Mode) -> Result<Option<PathBuf>, BuildError> {
    let world = World::read(plugin)?;
    if mode == Mode::Dev {
        let bundle = bundle(plugin, &world, &quick::FORMAT)?;
        if let Some(dev) = quick::build(plugin, &world, &bundle)? {
            return Ok(Some(dev));
        }
    }
    let bundle = bundle(plugin, &world, &bundle::MODULE)?;
    let component = componentize(plugin, bundle.file())?;
    output::write_for(plugin, mode, &component)
}

/// Bundles the sources, and checks their types and imports.
fn bundle(plugin: &Plugin, world: &World, format: &Format) -> Result<Bundle, BuildError> {
    let types = match plugin.language() {
        Language::TypeScript => Some(check_types(plugin)?),
        _ => None,
    };
    let bundle = Bundle::make(plugin, world, format);
    // Errors in the types say more than those that follow from them.
    if let Some(types) = types {
        types.finish()?;
    }
    let bundle = bundle?;
    check_imports(plugin, world, &bundle)?;
    Ok(bundle)
}

fn check_types(plugin: &Plugin) -> Result<tool::Running, BuildError> {
    TSC.start(plugin, &["--noEmit", "--project", "tsconfig.json"])
}

/// The code may use only interfaces that the world imports. `componentize-qjs` would say that less clearly.
fn check_imports(plugin: &Plugin, world: &World, bundle: &Bundle) -> Result<(), BuildError> {
    let imported: Vec<String> = world.imports().collect();
    let has = |used: &str| {
        let mut names = imported.iter();
        names.any(|name| name == used || name.split('@').next() == Some(used))
    };
    match bundle.interfaces().find(|used| !has(used)) {
        None => Ok(()),
        Some(missing) => Err(ComponentError::MissingImport {
            interface: versioned(missing),
            wit: plugin.folder().join("wit"),
        }
        .into()),
    }
}

/// The kit names interfaces of the contract without a version, so that it fits the next ones too.
fn versioned(interface: &str) -> String {
    match interface.contains('@') || !interface.starts_with("windlass:") {
        true => interface.to_owned(),
        false => format!("{interface}@0.1.0"),
    }
}

/// Makes a component of a module in the plugin's folder.
fn componentize(plugin: &Plugin, module: &Path) -> Result<Vec<u8>, BuildError> {
    let made = Path::new("build/js/component.wasm");
    let arguments = [
        "--sync".as_ref(),
        "--wit".as_ref(),
        "wit".as_ref(),
        "--js".as_ref(),
        module.as_os_str(),
        "--output".as_ref(),
        made.as_os_str(),
    ];
    COMPONENTIZE.start(plugin, &arguments)?.finish()?;
    let made = plugin.folder().join(made);
    fs::read(&made).map_err(|error| BuildError::Read(made, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_plugin_names_the_versions_that_the_build_asks_for() {
        let javascript = include_str!("../../templates/javascript/package.json");
        let typescript = include_str!("../../templates/typescript/package.json");
        for (tool, manifest) in [
            (ESBUILD, javascript),
            (COMPONENTIZE, javascript),
            (TSC, typescript),
        ] {
            let packages = tool
                .install
                .split(' ')
                .filter_map(|word| word.split_once('@'));
            let lines: Vec<String> = packages
                .map(|(package, version)| format!("\"{package}\": \"{version}\""))
                .collect();
            assert!(lines.len() >= 2);
            for line in &lines {
                assert!(manifest.contains(line), "{line}");
            }
        }
    }
}
