//! The files of a new folder, with the plugin's name in them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::str;

use include_dir::{Dir, DirEntry, File, include_dir};

use super::CreateError;
use crate::Language;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static KITS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/sdk");

/// Folders that tools leave in the sources of this library. They are no part of a plugin.
const LEFTOVERS: &[&str] = &[
    "__pycache__",
    ".mypy_cache",
    ".venv",
    "build",
    "dist",
    "node_modules",
    "target",
];

/// What the names in braces stand for.
pub(super) struct Template {
    language: Language,
    /// A text, and that which takes its place.
    replacements: [(&'static str, String); 4],
}

impl Template {
    pub(super) fn new(name: &str, language: Language) -> Self {
        let words = name.split('-').map(capitalized);
        Self {
            language,
            replacements: [
                ("{{name}}", name.to_owned()),
                ("{{snake}}", name.replace('-', "_")),
                ("{{pascal}}", words.collect()),
                ("{{language}}", language.title().to_owned()),
            ],
        }
    }

    /// Writes the files that all languages share.
    pub(super) fn write_shared(&self, folder: &Path) -> Result<(), CreateError> {
        for file in TEMPLATES.files() {
            let name = file.path().file_name().unwrap_or_default();
            match name.to_str() {
                // The SDK for Rust brings the whole contract.
                Some("world.wit") if self.language == Language::Rust => {}
                Some("world.wit") => self.write_file(file, &make_dir(folder, "wit")?)?,
                _ => self.write_file(file, folder)?,
            }
        }
        Ok(())
    }

    /// Writes the files of the language, and its helpers into `sdk/`. A README and a list of ignored files continue the
    /// shared ones; any other file takes the place of a shared one.
    pub(super) fn write_language(&self, folder: &Path) -> Result<(), CreateError> {
        if let Some(template) = TEMPLATES.get_dir(self.language.folder()) {
            self.write_dir(template, folder)?;
        }
        match KITS.get_dir(self.language.kit()) {
            Some(kit) => self.write_dir(kit, &make_dir(folder, "sdk")?),
            None => Ok(()),
        }
    }

    fn write_dir(&self, dir: &Dir<'_>, folder: &Path) -> Result<(), CreateError> {
        for entry in dir.entries() {
            match entry {
                DirEntry::File(file) => self.write_file(file, folder)?,
                DirEntry::Dir(below) => {
                    let name = below.path().file_name().unwrap_or_default();
                    let name = name.to_str().unwrap_or_default();
                    if !LEFTOVERS.contains(&name) {
                        self.write_dir(below, &make_dir(folder, name)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a file into a folder. A file `X.template` is written as `X`: so tools find no manifest of a package
    /// among the templates.
    fn write_file(&self, file: &File<'_>, folder: &Path) -> Result<(), CreateError> {
        let mut target = folder.join(file.path().file_name().unwrap_or_default());
        if target
            .extension()
            .is_some_and(|extension| extension == "template")
        {
            target.set_extension("");
        }
        let continues = target
            .file_name()
            .is_some_and(|name| name == "README.md" || name == ".gitignore");
        let mut options = OpenOptions::new();
        options
            .create(true)
            .write(true)
            .append(continues)
            .truncate(!continues);
        options
            .open(&target)
            .and_then(|mut written| written.write_all(&self.filled_in(file.contents())))
            .map_err(|error| CreateError::Write(target, error))
    }

    fn filled_in(&self, contents: &[u8]) -> Vec<u8> {
        let Ok(text) = str::from_utf8(contents) else {
            return contents.to_vec();
        };
        let mut text = text.to_owned();
        for (placeholder, value) in &self.replacements {
            text = text.replace(placeholder, value);
        }
        text.into_bytes()
    }
}

/// Makes a folder, if it is not there.
pub(super) fn make_dir(folder: &Path, name: &str) -> Result<std::path::PathBuf, CreateError> {
    let made = folder.join(name);
    match fs::create_dir(&made) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(CreateError::Write(made, error))
        }
        _ => Ok(made),
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
