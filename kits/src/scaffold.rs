//! `windlass plugin new`: writes a plugin's folder, from files that are inside of this library.
//!
//! A folder consists of the files that all languages share (`templates/*`), those of its language (`templates/LANG/`),
//! the helpers that an author imports (`sdk/`), and the packages of the contract that the plugin's world names
//! (`wit/deps/`). Nothing is fetched.

mod name;
mod rust_sdk;
mod template;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Language, contract};
pub(crate) use name::check as check_name;
use template::Template;

/// Why a plugin's folder cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is no name for a package.
    #[error(
        "`{name}` is not a plugin's name; use lower-case letters, digits and single hyphens, and begin with a letter{}",
        .suggestion.as_ref().map(|name| format!(": `{name}`")).unwrap_or_default()
    )]
    Name {
        /// The name.
        name: String,
        /// A similar one that is good.
        suggestion: Option<String>,
    },
    /// A toolchain uses the name itself.
    #[error("`{0}` is a word of the toolchain; choose another name, such as `{0}-filter`")]
    Reserved(String),
    /// The folder is there.
    #[error("`{}` exists; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// The folder above is not there.
    #[error("there is no folder `{}`; make it first", .0.display())]
    NoParent(PathBuf),
    /// A file cannot be written.
    #[error("`{}` cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// This library has a file that it cannot read: a mistake of ours.
    #[error("the kit for {language} has a faulty file: {reason}; report this as a bug")]
    Kit {
        /// The language.
        language: &'static str,
        /// The file, and why it is faulty.
        reason: String,
    },
}

/// Writes the folder `parent/name` with a plugin in this language. Returns the folder.
///
/// # Errors
///
/// The name is no plugin's name, the folder exists, or it cannot be written. Then there is no new folder.
pub fn create(parent: &Path, language: Language, name: &str) -> Result<PathBuf, CreateError> {
    name::check(name)?;
    let folder = parent.join(name);
    if let Err(error) = fs::create_dir(&folder) {
        return Err(match error.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists(folder),
            io::ErrorKind::NotFound => CreateError::NoParent(parent.to_owned()),
            _ => CreateError::Write(folder, error),
        });
    }
    if let Err(error) = fill(&folder, language, name) {
        // It was empty before: nothing of the author's is in it.
        let _ = fs::remove_dir_all(&folder);
        return Err(error);
    }
    Ok(folder)
}

fn fill(folder: &Path, language: Language, name: &str) -> Result<(), CreateError> {
    let template = Template::new(name, language);
    template.write_shared(folder)?;
    template.write_language(folder)?;
    match language {
        Language::Rust => rust_sdk::write(folder, name),
        _ => contract::complete(&folder.join("wit"))
            .map_err(|(path, error)| CreateError::Write(path, error)),
    }
}
