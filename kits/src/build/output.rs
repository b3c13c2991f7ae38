//! Writes what a build made.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BuildError, Mode, strip};
use crate::Plugin;

/// Writes what was built in this mode. A quick build writes only [`Plugin::dev_component`], so that nobody ships it.
/// Returns the component to look for errors with, if there is another one than that to ship.
pub(super) fn write_for(
    plugin: &Plugin,
    mode: Mode,
    component: &[u8],
) -> Result<Option<PathBuf>, BuildError> {
    match mode {
        Mode::Release => write(plugin, component),
        Mode::Dev => {
            let dev = plugin.dev_component();
            replace(&dev, component)?;
            Ok(Some(dev))
        }
    }
}

/// Writes a component without debug lines to [`Plugin::component`], and if it has some, with them to
/// [`Plugin::debug_component`]. Returns the latter.
pub(super) fn write(plugin: &Plugin, component: &[u8]) -> Result<Option<PathBuf>, BuildError> {
    let stripped = strip::debug_stripped(component).map_err(|_| BuildError::NoComponent)?;
    replace(&plugin.component(), &stripped)?;
    let debug = plugin.debug_component();
    if stripped == component {
        // One of an older build would not be of these sources.
        return match fs::remove_file(&debug) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BuildError::Write(debug, error))
            }
            _ => Ok(None),
        };
    }
    replace(&debug, component)?;
    Ok(Some(debug))
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
