//! `plugin.toml`: what a folder says about its plugin.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::scaffold::check_name;
use crate::{CreateError, Language};

/// The file that makes a folder a plugin's.
pub(crate) const FILE: &str = "plugin.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    language: String,
}

/// A folder with a `plugin.toml`.
#[derive(Debug)]
pub struct Plugin {
    folder: PathBuf,
    name: String,
    language: Language,
}

/// Why a folder is not a plugin's.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No `plugin.toml`.
    #[error("no `{FILE}` in `{}`; run this in a plugin's folder, or make one with `windlass plugin new`", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("`{}` cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is not TOML, or has an unknown key.
    #[error("`{}` has an error: {}", .0.display(), .1.to_string().trim_end())]
    Toml(PathBuf, toml::de::Error),
    /// The name is no plugin's.
    #[error("`{}`: {}", .0.display(), .1)]
    Name(PathBuf, CreateError),
    /// A language without a kit.
    #[error("`{}`: no kit for the language `{language}`; `language` is one of rust, js, ts, python, go, c", file.display())]
    Language {
        /// The manifest.
        file: PathBuf,
        /// Its language.
        language: String,
    },
}

impl Plugin {
    /// Reads the manifest of this folder.
    ///
    /// # Errors
    ///
    /// There is none, or it has an error.
    pub fn open(folder: &Path) -> Result<Self, ManifestError> {
        let file = folder.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Missing(folder.to_owned()));
            }
            Err(error) => return Err(ManifestError::Unreadable(file, error)),
        };
        let manifest: Manifest = match toml::from_str(&text) {
            Ok(manifest) => manifest,
            Err(error) => return Err(ManifestError::Toml(file, error)),
        };
        let Some(language) = Language::of(&manifest.language) else {
            let language = manifest.language;
            return Err(ManifestError::Language { file, language });
        };
        if let Err(error) = check_name(&manifest.name) {
            return Err(ManifestError::Name(file, error));
        }
        Ok(Self {
            folder: folder.to_owned(),
            name: manifest.name,
            language,
        })
    }

    /// The plugin's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The plugin's name, in kebab case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The language that it is written in.
    #[must_use]
    pub const fn language(&self) -> Language {
        self.language
    }

    /// The component that a build writes: `build/NAME.wasm`.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.folder
            .join("build")
            .join(format!("{}.wasm", self.name))
    }

    /// The same component with its debug lines, which a build writes beside it:
    /// `build/NAME.debug.wasm`.
    #[must_use]
    pub fn debug_component(&self) -> PathBuf {
        let file = format!("{}.debug.wasm", self.name);
        self.folder.join("build").join(file)
    }

    /// The component that a quick build for `windlass plugin dev` writes: `build/NAME.dev.wasm`. It is another program
    /// than the one to ship: not optimised, or built from an older state of the sources.
    #[must_use]
    pub fn dev_component(&self) -> PathBuf {
        let file = format!("{}.dev.wasm", self.name);
        self.folder.join("build").join(file)
    }

    /// The cases of `windlass plugin test`: `cases.toml`.
    #[must_use]
    pub fn cases(&self) -> PathBuf {
        self.folder.join("cases.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(manifest: &str) -> Result<Plugin, ManifestError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), manifest).unwrap();
        Plugin::open(folder.path())
    }

    #[test]
    fn a_faulty_manifest_is_refused_with_its_cure() {
        for (manifest, wanted) in [
            ("", "missing field `name`"),
            (
                "name = \"a\"\nlanguage = \"c\"\nversion = 1",
                "unknown field `version`",
            ),
            (
                "name = \"a\"\nlanguage = \"java\"",
                "rust, js, ts, python, go, c",
            ),
            ("name = \"../a\"\nlanguage = \"c\"", "lower-case letters"),
        ] {
            let error = opened(manifest).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            assert!(error.contains(FILE), "{error}");
        }
        assert!(opened("name = \"a\"\nlanguage = \"c\"").is_ok());
    }
}
