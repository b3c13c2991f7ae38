use std::path::PathBuf;

use super::{BuildError, Mode};
use crate::Plugin;

pub(super) fn build(_plugin: &Plugin, _mode: Mode) -> Result<Option<PathBuf>, BuildError> {
    Err(BuildError::ToolFailed("nothing here yet"))
}
