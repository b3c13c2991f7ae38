//! `windlass plugin new`: writes a plugin's folder.

use std::io;
use std::path::{Path, PathBuf};
use std::{fs, str};

use include_dir::{Dir, DirEntry, include_dir};

use crate::Language;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Why a plugin's folder cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is no name for a package.
    #[error(
        "`{0}` is not a plugin's name; use lower-case letters, digits and single hyphens, and begin with a letter"
    )]
    Name(String),
    /// The folder is there.
    #[error("`{}` exists; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("`{}` cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Writes the folder `parent/name` with a plugin in this language. Returns the folder.
///
/// # Errors
///
/// The name is no plugin's name, the folder exists, or it cannot be written.
pub fn create(parent: &Path, language: Language, name: &str) -> Result<PathBuf, CreateError> {
    if !is_name(name) {
        return Err(CreateError::Name(name.to_owned()));
    }
    let folder = parent.join(name);
    if let Err(error) = fs::create_dir(&folder) {
        return Err(match error.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists(folder),
            _ => CreateError::Write(folder, error),
        });
    }
    let template = match language {
        Language::Rust => "rust",
        Language::JavaScript => "javascript",
        Language::TypeScript => "typescript",
        Language::Python => "python",
        Language::Go => "go",
        Language::C => "c",
    };
    if let Some(template) = TEMPLATES.get_dir(template) {
        write(template, &folder, name)?;
    }
    Ok(folder)
}

fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(is_word)
}

/// Writes the files of a template. `{{name}}`, `{{snake}}` and `{{pascal}}` in a file stand for the plugin's name in
/// kebab, snake and Pascal case. A file `X.template` is written as `X`: tools find no manifest of a package there.
fn write(template: &Dir<'_>, folder: &Path, name: &str) -> Result<(), CreateError> {
    let snake = name.replace('-', "_");
    let pascal: String = name.split('-').map(capitalized).collect();
    for entry in template.entries() {
        let target = folder.join(entry.path().file_name().unwrap_or_default());
        let written = match entry {
            DirEntry::Dir(inner) => {
                fs::create_dir_all(&target)
                    .map_err(|error| CreateError::Write(target.clone(), error))?;
                write(inner, &target, name)?;
                continue;
            }
            DirEntry::File(file) => {
                let target = match target.extension() {
                    Some(extension) if extension == "template" => target.with_extension(""),
                    _ => target.clone(),
                };
                match str::from_utf8(file.contents()) {
                    Ok(text) => {
                        let text = text
                            .replace("{{name}}", name)
                            .replace("{{snake}}", &snake)
                            .replace("{{pascal}}", &pascal);
                        fs::write(target, text)
                    }
                    Err(_) => fs::write(target, file.contents()),
                }
            }
        };
        written.map_err(|error| CreateError::Write(target, error))?;
    }
    Ok(())
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
