//! Runs the tools of npm: those in the plugin's folder first, then those in PATH.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};

use super::BuildError;
use crate::Plugin;

/// The exit status of `env` for a program that is missing: npm's tools begin with `#!/usr/bin/env node`.
const NOT_FOUND: i32 = 127;

const NODE_MISSING: BuildError = BuildError::ToolMissing {
    tool: "node",
    install: "see https://nodejs.org, version 20 or newer (Debian: apt-get install nodejs npm)",
};

/// A tool of npm.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// The command that installs the version that the kit is tested with.
    pub(super) install: &'static str,
}

/// A tool that runs.
pub(super) struct Running {
    child: Child,
    name: &'static str,
}

impl Tool {
    /// Starts it in the plugin's folder. It prints on standard error, once it ends.
    pub(super) fn start<A: AsRef<OsStr>>(
        &self,
        plugin: &Plugin,
        arguments: &[A],
    ) -> Result<Running, BuildError> {
        let own = plugin.folder().join("node_modules/.bin").join(self.name);
        // A relative program is looked up from the current folder on some systems, from the new one on others.
        let program = match own.canonicalize() {
            Ok(own) => own.into_os_string(),
            Err(_) => self.name.into(),
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir(plugin.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => Ok(Running {
                child,
                name: self.name,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BuildError::ToolMissing {
                tool: self.name,
                install: self.install,
            }),
            Err(error) => Err(BuildError::Run(self.name, error)),
        }
    }
}

impl Running {
    /// Waits for its end. If it failed, what it said goes to standard error.
    pub(super) fn finish(self) -> Result<(), BuildError> {
        let done = self
            .child
            .wait_with_output()
            .map_err(|error| BuildError::Run(self.name, error))?;
        if done.status.success() {
            return Ok(());
        }
        if done.status.code() == Some(NOT_FOUND) {
            return Err(NODE_MISSING);
        }
        // Some tools say what is wrong on standard output. Others chat there, and say it on standard error.
        let said = match done.stderr.is_empty() {
            true => done.stdout,
            false => done.stderr,
        };
        let said = String::from_utf8_lossy(&said);
        // Nobody reads it: then there is nobody to tell.
        let _ = io::stderr().write_all(own_words(&said).as_bytes());
        Err(BuildError::ToolFailed(self.name))
    }
}

/// Of an exception, the author's own words: `componentize-qjs` says first that a module could not be evaluated.
fn own_words(said: &str) -> &str {
    match said.rsplit_once("JavaScript module evaluation: ") {
        Some((_, exception)) => exception,
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::own_words;

    #[test]
    fn an_exception_at_the_top_level_is_told_in_the_author_s_words() {
        let said = "Error: : Failed to evaluate user JavaScript module: Failed to finish JavaScript module evaluation: \
                    Error: no\n    at <anonymous> (src/filter.js:1:7)\n";
        assert_eq!(
            own_words(said),
            "Error: no\n    at <anonymous> (src/filter.js:1:7)\n"
        );
        assert_eq!(
            own_words("src/filter.ts(1,1): error"),
            "src/filter.ts(1,1): error"
        );
    }
}
