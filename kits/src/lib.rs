//! Makes a new plugin in one of six languages, and builds it to a component.
//!
//! [`create`] writes a plugin's folder from files that are inside of this library, so it needs no
//! network. [`build()`] calls the tools of the plugin's language, and names those that are missing.
//! Running, testing and inspecting components is the gateway's part: this crate knows nothing of
//! the host but the contract in `wit/`.

mod build;
mod contract;
mod language;
mod manifest;
mod scaffold;

pub use build::{BuildError, Built, ComponentError, Mode, build};
pub use language::Language;
pub use manifest::{ManifestError, Plugin};
pub use scaffold::{CreateError, create};
