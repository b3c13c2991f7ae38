//! One file of JavaScript: the author's sources, the kit, and what both import from npm.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{BuildError, ESBUILD, World, output, source_map};
use crate::{Language, Plugin};

/// Where esbuild reads and writes, in the plugin's folder.
const FOLDER: &str = "build/js";

/// The file, and what it imports from the gateway.
pub(super) struct Bundle {
    file: PathBuf,
    text: String,
    interfaces: BTreeSet<String>,
}

/// What kind of a file it is.
pub(super) struct Format {
    /// esbuild's name of it.
    pub(super) name: &'static str,
    /// The lines that stand before the bundle at run time.
    pub(super) before: usize,
    /// The file's name in `build/js/`.
    pub(super) file: &'static str,
}

/// A module, after the table of its lines.
pub(super) const MODULE: Format = Format {
    name: "esm",
    before: 1,
    file: "plugin.js",
};

/// What esbuild says about its output.
#[derive(Deserialize)]
struct Metafile {
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Output {
    imports: Vec<Import>,
}

#[derive(Deserialize)]
struct Import {
    path: String,
}

impl Bundle {
    pub(super) fn make(
        plugin: &Plugin,
        world: &World,
        format: &Format,
    ) -> Result<Self, BuildError> {
        let folder = plugin.folder().join(FOLDER);
        let entry = entry(plugin, world.exports());
        output::replace(&folder.join("entry.js"), entry.as_bytes())?;
        run_esbuild(plugin, format)?;
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| BuildError::Read(path, error))
        };
        let bundled = read("bundle.js")?;
        let map = source_map::table(&read("bundle.js.map")?, format.before);
        let text = format!("globalThis.__windlassLines={map};\n{bundled}");
        let file = Path::new(FOLDER).join(format.file);
        output::replace(&plugin.folder().join(&file), text.as_bytes())?;
        Ok(Self {
            file,
            text,
            interfaces: interfaces(&read("meta.json")?),
        })
    }

    /// The file, from the plugin's folder.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What is in the file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The interfaces that the code imports.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().map(String::as_str)
    }
}

fn run_esbuild(plugin: &Plugin, format: &Format) -> Result<(), BuildError> {
    let kind = format!("--format={}", format.name);
    let arguments = [
        "build/js/entry.js",
        "--bundle",
        &kind,
        "--target=es2024",
        "--platform=neutral",
        "--main-fields=module,main",
        "--charset=ascii",
        "--legal-comments=none",
        "--external:windlass:*",
        "--external:wasi:*",
        "--sourcemap=external",
        "--sources-content=false",
        "--metafile=build/js/meta.json",
        "--outfile=build/js/bundle.js",
        "--log-level=warning",
    ];
    ESBUILD.start(plugin, &arguments)?.finish()
}

/// The module that exports what the world exports.
fn entry<'a>(plugin: &Plugin, exports: impl Iterator<Item = &'a str>) -> String {
    let kit = match plugin.folder().join("sdk").is_dir() {
        true => "../../sdk",
        false => "windlass-plugin",
    };
    let extension = match plugin.language() {
        Language::TypeScript => "ts",
        _ => "js",
    };
    let exports: Vec<&str> = exports.collect();
    let mut text = format!(
        "import \"{kit}/prepare.js\";\n\
         import plugin from \"../../src/filter.{extension}\";\n\
         import {{ finish }} from \"{kit}/entry.js\";\n\
         const made = finish(plugin, {exports:?});\n"
    );
    for name in exports {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "export const {} = made[{name:?}];", camel(name));
    }
    text
}

/// `request-phase` is `requestPhase` in JavaScript.
pub(super) fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let mut made = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        made.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        made.extend(letters);
    }
    made
}

/// The interfaces that the bundle imports.
fn interfaces(metafile: &str) -> BTreeSet<String> {
    let outputs = serde_json::from_str::<Metafile>(metafile)
        .map_or_else(|_| BTreeMap::new(), |read| read.outputs);
    let imports = outputs.into_values().flat_map(|output| output.imports);
    imports
        .map(|import| import.path)
        .filter(|path| path.contains(':'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_are_in_camel_case() {
        assert_eq!(camel("lifecycle"), "lifecycle");
        assert_eq!(camel("request-body-phase"), "requestBodyPhase");
    }

    #[test]
    fn the_interfaces_are_those_that_the_bundle_imports() {
        let metafile = r#"{"inputs":{},"outputs":{"build/js/bundle.js":{"imports":[
            {"path":"windlass:host/log","kind":"import-statement","external":true},
            {"path":"windlass:host/log","kind":"import-statement","external":true}]},
            "build/js/bundle.js.map":{"imports":[]}}}"#;
        assert_eq!(
            interfaces(metafile),
            ["windlass:host/log".to_owned()].into()
        );
    }
}
