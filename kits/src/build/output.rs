//! Writes what a build made.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BuildError, Mode, strip};
use crate::Plugin;

/// Writes what was built in this mode. A quick build writes only [`Plugin::debug_component`], so that nobody ships it.
/// Returns that.
pub(super) fn write_for(
    plugin: &Plugin,
    mode: Mode,
    component: &[u8],
) -> Result<PathBuf, BuildError> {
    match mode {
        Mode::Release => write(plugin, component),
        Mode::Dev => write_debug(plugin, component),
    }
}

/// Writes a component with debug lines to [`Plugin::debug_component`], and without them to [`Plugin::component`].
/// Returns the former.
pub(super) fn write(plugin: &Plugin, component: &[u8]) -> Result<PathBuf, BuildError> {
    let stripped = strip::debug_stripped(component).map_err(|_| BuildError::NoComponent)?;
    replace(&plugin.component(), &stripped)?;
    write_debug(plugin, component)
}

fn write_debug(plugin: &Plugin, component: &[u8]) -> Result<PathBuf, BuildError> {
    let debug = plugin.debug_component();
    replace(&debug, component)?;
    Ok(debug)
}

/// Replaces a file at once: a gateway that reloads meanwhile reads the old or the new one.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let unfinished = file.with_extension("tmp");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&unfinished, bytes))
        .and_then(|()| fs::rename(&unfinished, file))
        .map_err(|error| BuildError::Write(file.to_owned(), error))
}
