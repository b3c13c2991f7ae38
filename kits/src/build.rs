//! `windlass plugin build`: calls the tools of the plugin's language.

mod c;
mod component;
mod go;
mod javascript;
mod output;
mod python;
mod rust;
mod strip;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use component::ComponentError;

use crate::{Language, Plugin};

/// What the component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To ship: small and fast.
    Release,
    /// For `plugin dev`: built as fast as the language can.
    Dev,
}

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// The component: [`Plugin::component`]. In [`Mode::Dev`] it is left as it was where `debug` is there.
    pub component: PathBuf,
    /// The same with debug lines, if the language has them: [`Plugin::debug_component`]. In [`Mode::Dev`] the component
    /// to run: [`Plugin::dev_component`].
    pub debug: Option<PathBuf>,
    /// In [`Mode::Dev`], a file that the component needs as a document, and the name that it knows it by.
    pub document: Option<(&'static str, PathBuf)>,
    /// How long the build took.
    pub took: Duration,
}

/// The files that a language's build made beside the component.
#[derive(Debug, Default)]
struct Artifacts {
    debug: Option<PathBuf>,
    document: Option<(&'static str, PathBuf)>,
}

impl From<Option<PathBuf>> for Artifacts {
    fn from(debug: Option<PathBuf>) -> Self {
        Self {
            debug,
            document: None,
        }
    }
}

/// Why a plugin cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is missing.
    #[error("`{tool}` is missing; install it: {install}")]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// A tool found errors, which it printed.
    #[error("`{0}` failed")]
    ToolFailed(&'static str),
    /// A tool cannot be run.
    #[error("`{0}` cannot be run")]
    Run(&'static str, #[source] io::Error),
    /// The plugin's folder `wit/` cannot be read, or not written.
    #[error("`{}` cannot be read or written; a plugin's world is in `wit/world.wit`", .0.display())]
    Contract(PathBuf, #[source] io::Error),
    /// The world is faulty, or the code does not fit it.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The options of the build have an error.
    #[error("`{}` has an error: {}", .0.display(), .1.trim_end())]
    Options(PathBuf, String),
    /// A tool's output cannot be read.
    #[error("`{}` cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A tool's output is no WebAssembly.
    #[error("the tools wrote no component")]
    NoComponent,
    /// The component cannot be written.
    #[error("`{}` cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Builds a plugin. The tools print on standard error.
///
/// # Errors
///
/// A tool is missing or failed.
pub fn build(plugin: &Plugin, mode: Mode) -> Result<Built, BuildError> {
    let start = Instant::now();
    let artifacts = match plugin.language() {
        Language::Rust => rust::build(plugin, mode)?.into(),
        Language::JavaScript | Language::TypeScript => javascript::build(plugin, mode)?.into(),
        Language::Python => python::build(plugin, mode)?,
        Language::Go => go::build(plugin, mode)?.into(),
        Language::C => c::build(plugin, mode)?.into(),
    };
    Ok(Built {
        component: plugin.component(),
        debug: artifacts.debug,
        document: artifacts.document,
        took: start.elapsed(),
    })
}
