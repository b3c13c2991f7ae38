//! Makes a component of a core module: gives it the types of the plugin's world, and adapts WASI preview 1.
//!
//! Before this, a language's tools compiled the core module. The crates `wit-parser` and `wit-component` do the work,
//! so that an author needs none of the `wasm-tools`.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId, WorldItem};

use super::{BuildError, output};
use crate::{Plugin, contract};

/// The name by which core modules import WASI preview 1.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The plugin's world cannot be read.
    #[error("the world in `{}` has an error\n{}", .0.display(), .1.trim_end())]
    World(PathBuf, String),
    /// The module uses an interface that the world does not import.
    #[error("the code uses `{interface}`, but the world in `{}` does not import it; add `import {interface};`", wit.display())]
    MissingImport {
        /// The interface, with its version.
        interface: String,
        /// The folder of the world.
        wit: PathBuf,
    },
    /// Another difference between the module and the world.
    #[error("the code does not fit the world in `{}`: {}", .0.display(), one_line(.1))]
    Module(PathBuf, String),
}

/// The errors of these crates come with their causes and drawings of several lines: all of it in one.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// The world of a plugin, from its folder `wit/`.
pub(super) struct World {
    folder: PathBuf,
    resolve: Resolve,
    id: WorldId,
}

impl World {
    /// Reads the one world of the package in `wit/`, after it wrote those packages of the contract that the world names
    /// and that are not there.
    pub(super) fn read(plugin: &Plugin) -> Result<Self, BuildError> {
        let folder = plugin.folder().join("wit");
        contract::complete(&folder).map_err(|(path, error)| BuildError::Contract(path, error))?;
        let world = Self::parse(&folder).map_err(|error| ComponentError::World(folder, error))?;
        Ok(world)
    }

    /// Writes the bindings of the world into a folder, by a generator of wit-bindgen. A file that would not change is
    /// left as it is, so that compilers and editors see no change.
    pub(super) fn bind(
        &self,
        generator: &mut dyn WorldGenerator,
        folder: &Path,
    ) -> Result<(), BuildError> {
        let mut files = Files::default();
        generator
            .generate(&mut self.resolve.clone(), self.id, &mut files)
            .map_err(|error| self.error(all_of(error)))?;
        for (name, text) in files.iter() {
            let file = folder.join(name);
            if fs::read(&file).is_ok_and(|there| there == text) {
                continue;
            }
            output::replace(&file, text)?;
        }
        Ok(())
    }

    fn parse(folder: &Path) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        let pushed = resolve.push_dir(folder);
        // With file, line and a drawing of the place.
        let (package, _) = pushed.map_err(|error| resolve.render_error(&error))?;
        let id = resolve.select_world(&[package], None).map_err(all_of)?;
        Ok(Self {
            folder: folder.to_owned(),
            resolve,
            id,
        })
    }

    /// The name that the world has in its package.
    pub(super) fn name(&self) -> &str {
        let world = self.resolve.worlds.get(self.id);
        world.map_or("plugin", |world| world.name.as_str())
    }

    /// The names of the interfaces that the world exports, without package and version: `request-phase`.
    pub(super) fn exports(&self) -> impl Iterator<Item = &str> {
        let world = self.resolve.worlds.get(self.id);
        let exports = world.into_iter().flat_map(|world| &world.exports);
        exports.filter_map(|(_, item)| match item {
            WorldItem::Interface { id, .. } => self.resolve.interfaces.get(*id)?.name.as_deref(),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        })
    }

    /// The interfaces that the world imports, with their versions: `windlass:host/log@0.1.0`.
    pub(super) fn imports(&self) -> impl Iterator<Item = String> {
        let world = self.resolve.worlds.get(self.id);
        let imports = world.into_iter().flat_map(|world| &world.imports);
        imports.filter_map(|(_, item)| match item {
            WorldItem::Interface { id, .. } => self.resolve.id_of(*id),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        })
    }

    /// Makes a component. The module may import WASI preview 1.
    pub(super) fn component(&self, module: &[u8]) -> Result<Vec<u8>, ComponentError> {
        let error = |error: anyhow::Error| self.error(all_of(error));
        let mut module = Cow::Borrowed(module).into_owned();
        embed_component_metadata(
            &mut module,
            &self.resolve,
            self.id,
            StringEncoding::UTF8,
            false,
        )
        .map_err(error)?;
        let adapter =
            wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true);
        encoder.adapter(PREVIEW1, adapter).map_err(error)?;
        encoder.module(&module).map_err(error)?;
        encoder.encode().map_err(error)
    }

    fn error(&self, text: String) -> ComponentError {
        let wit = self.folder.clone();
        let named = text.split("module requires an import interface named `");
        match named.last().and_then(|rest| rest.split_once('`')) {
            Some((interface, _)) if interface.len() < text.len() => ComponentError::MissingImport {
                interface: interface.to_owned(),
                wit,
            },
            Some(_) | None => ComponentError::Module(wit, text),
        }
    }
}

fn all_of(error: anyhow::Error) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, create};

    #[test]
    fn an_error_in_the_world_is_shown_at_its_line() {
        let parent = tempfile::tempdir().unwrap();
        let folder = create(parent.path(), Language::C, "team-check").unwrap();
        let plugin = Plugin::open(&folder).unwrap();
        assert!(World::read(&plugin).is_ok());
        let world =
            "package local:plugin;\nworld plugin {\n  import windlass:host/logs@0.1.0;\n}\n";
        fs::write(folder.join("wit/world.wit"), world).unwrap();
        let error = World::read(&plugin).err().unwrap().to_string();
        assert!(
            error.contains("world.wit:3:24") && error.contains("logs"),
            "{error}"
        );
    }
}
