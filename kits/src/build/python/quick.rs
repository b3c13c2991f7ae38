//! A quick build for `windlass plugin dev`, which needs no `componentize-py` after the first one.
//!
//! The component is built once, with `windlass_filter._dev` in place of the plugin's module `app`. It reads the plugin's
//! modules from a document when an instance is configured. So after a save, only the document is written anew, and the
//! gateway compiles nothing. The component is built again if the world, the kit, the options or the imports changed: an
//! instance has no files, so every module that the plugin imports must be in its memory. The component to ship has
//! nothing of this.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use super::super::component::World;
use super::{BuildError, MADE, Options, componentize, output};
use crate::{Plugin, contract};

/// The name of the document, as the kit's `_dev` has it.
const DOCUMENT: &str = "plugin-sources";

/// The module that the component is made of. It calls the kit's `_dev`.
const SHELL: &str = "windlass_dev";

const SHELL_SOURCE: &str = "import windlass_filter._dev\n\nwindlass_filter._dev.begin(__name__)\n";

/// The part of the kit that loads the modules. A plugin that was made by an older kit has none.
const LOADER: &str = "sdk/windlass_filter/_dev.py";

/// The world of the component: the plugin's, and documents.
const WORLD: &str = "windlass-dev";

/// Folders that have no modules of the plugin.
const NOT_MODULES: [&str; 6] = ["build", "sdk", "tests", "wit", "venv", "__pycache__"];

/// The largest document that a filter can have by default. Bytes.
const MAX_SOURCES: usize = 4 * 1024 * 1024;

/// The files of a quick build.
pub(super) struct QuickBuild {
    pub(super) component: PathBuf,
    /// The document's name and file.
    pub(super) document: (&'static str, PathBuf),
}

/// Builds the component, if it has to be, and writes the document. None if it cannot be built quickly.
pub(super) fn build(plugin: &Plugin, options: &Options) -> Result<Option<QuickBuild>, BuildError> {
    let folder = plugin.folder();
    if !folder.join(LOADER).is_file() {
        return Ok(None);
    }
    let mut modules = BTreeMap::new();
    read_texts(folder, Path::new(""), "py", &mut modules)?;
    let text = serde_json::to_vec(&modules)
        .map_err(|error| BuildError::Read(folder.to_owned(), io::Error::from(error)))?;
    if text.len() > MAX_SOURCES {
        return Ok(None);
    }
    let made = folder.join(MADE);
    let component = made.join("dev.wasm");
    let document = made.join("sources.json");
    let key = made.join("dev.key");
    let wanted = digest(plugin, &modules)?;
    let is_there = fs::read_to_string(&key).is_ok_and(|there| there == wanted);
    if !is_there || !component.is_file() {
        // First, so that a build that breaks off leaves no component that looks like the new one.
        let _ = fs::remove_file(&key);
        let bytes = shell(plugin, options)?;
        output::replace(&component, &bytes)?;
        output::replace(&key, wanted.as_bytes())?;
    }
    output::replace(&document, &text)?;
    Ok(Some(QuickBuild {
        component,
        document: (DOCUMENT, document),
    }))
}

/// Builds the component that loads the modules.
fn shell(plugin: &Plugin, options: &Options) -> Result<Vec<u8>, BuildError> {
    let made = plugin.folder().join(MADE);
    output::replace(
        &made.join(SHELL).with_extension("py"),
        SHELL_SOURCE.as_bytes(),
    )?;
    let wit = made.join("wit");
    let world = World::read(plugin)?;
    let failed = |error| BuildError::Contract(wit.clone(), error);
    let _ = fs::remove_dir_all(&wit);
    copy(&plugin.folder().join("wit"), &wit).map_err(failed)?;
    let text = format!(
        "world {WORLD} {{\n  include {};\n  import windlass:host/documents@0.1.0;\n}}\n",
        world.name()
    );
    output::replace(&wit.join("dev.wit"), text.as_bytes())?;
    contract::complete(&wit).map_err(|(path, error)| BuildError::Contract(path, error))?;
    let wit = format!("{MADE}/wit");
    componentize(plugin, options, &["-d", &wit, "-w", WORLD], SHELL)
}

/// The digest of everything that the component is made of but the text of the plugin's modules.
fn digest(plugin: &Plugin, modules: &BTreeMap<String, String>) -> Result<String, BuildError> {
    let folder = plugin.folder();
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    fs::read(folder.join(super::OPTIONS))
        .unwrap_or_default()
        .hash(&mut hasher);
    for (root, extension) in [("wit", "wit"), ("sdk", "py")] {
        let mut texts = BTreeMap::new();
        read_texts(&folder.join(root), Path::new(""), extension, &mut texts)?;
        texts.hash(&mut hasher);
    }
    imports(modules).hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The lines of the modules that import something, without their indentation.
fn imports(modules: &BTreeMap<String, String>) -> BTreeSet<&str> {
    let lines = modules.values().flat_map(|text| text.lines());
    let lines = lines.map(str::trim);
    let is_import = |line: &&str| line.starts_with("import ") || line.starts_with("from ");
    lines.filter(is_import).collect()
}

/// Reads the files of a folder with this extension, by their names with `/`. Hidden folders and those of tools are left
/// out.
fn read_texts(
    root: &Path,
    within: &Path,
    extension: &str,
    texts: &mut BTreeMap<String, String>,
) -> Result<(), BuildError> {
    let folder = root.join(within);
    let failed = |error| BuildError::Read(folder.clone(), error);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        let path = within.join(name);
        if entry.path().is_dir() {
            let is_deep = within.components().count() > 16;
            if !name.starts_with('.') && !NOT_MODULES.contains(&name) && !is_deep {
                read_texts(root, &path, extension, texts)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let file = entry.path();
            let text = fs::read_to_string(&file).map_err(|error| BuildError::Read(file, error))?;
            texts.insert(path.to_string_lossy().replace('\\', "/"), text);
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, create};

    fn plugin() -> (tempfile::TempDir, Plugin) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("team");
        create(folder.path(), Language::Python, "team").unwrap();
        (folder, Plugin::open(&at).unwrap())
    }

    fn digest_of(plugin: &Plugin) -> (String, BTreeMap<String, String>) {
        let mut modules = BTreeMap::new();
        read_texts(plugin.folder(), Path::new(""), "py", &mut modules).unwrap();
        (digest(plugin, &modules).unwrap(), modules)
    }

    #[test]
    fn only_the_plugins_own_modules_are_in_the_document() {
        let (_folder, plugin) = plugin();
        fs::create_dir_all(plugin.folder().join("parts")).unwrap();
        fs::write(plugin.folder().join("parts/__init__.py"), "ONE = 1\n").unwrap();
        let (_, modules) = digest_of(&plugin);
        let names: Vec<_> = modules.keys().collect();
        assert_eq!(names, ["app.py", "parts/__init__.py"]);
    }

    #[test]
    fn the_component_is_built_again_for_a_new_import_and_a_new_world_but_not_for_other_lines() {
        let (_folder, plugin) = plugin();
        let app = plugin.folder().join("app.py");
        let text = fs::read_to_string(&app).unwrap();
        let (first, _) = digest_of(&plugin);
        fs::write(&app, text.replace("401", "403")).unwrap();
        assert_eq!(digest_of(&plugin).0, first);
        fs::write(&app, format!("import hashlib\n{text}")).unwrap();
        assert_ne!(digest_of(&plugin).0, first);
        fs::write(&app, text).unwrap();
        let world = plugin.folder().join("wit/world.wit");
        let wit = fs::read_to_string(&world).unwrap();
        fs::write(&world, format!("{wit}\n// more\n")).unwrap();
        assert_ne!(digest_of(&plugin).0, first);
    }
}
