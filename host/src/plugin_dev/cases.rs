//! Makes sections of a configuration of `cases.toml`: the filter's, and those of the gateway around it.
//!
//! So a plugin whose cases pass runs under `windlass plugin dev`, too. The servers of its callouts are not in
//! `cases.toml`: for them, `dev.toml` has the sections.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::config::{read_if_there, toml_text};
use crate::config::Problems;
use crate::keys::KeyDigest;

/// The keys of the filter's own table.
const OF_FILTER: [&str; 4] = ["settings", "allow", "limits", "documents"];

/// Sections that are the same in a configuration.
const SAME: [&str; 2] = ["plan", "verifier"];

/// A plugin's `cases.toml`.
pub(super) struct DevCases {
    folder: PathBuf,
    table: Table,
}

impl DevCases {
    /// Reads the file, if it is there.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no TOML.
    pub(super) fn read(folder: &Path) -> Result<Self, Problems> {
        let path = folder.join("cases.toml");
        let text = read_if_there(&path)?.unwrap_or_default();
        let table = text.parse().map_err(|error: toml::de::Error| {
            let message = error.to_string();
            Problems::of_file(&path.display().to_string(), message.trim_end())
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            table,
        })
    }

    /// The lines of `[filter.<name>]`.
    pub(super) fn of_filter(&self) -> String {
        lines(
            OF_FILTER
                .into_iter()
                .filter_map(|key| Some((key, self.table.get(key)?))),
        )
    }

    /// Adds the secrets, keys, plans and verifiers that the author's own configuration does not have.
    ///
    /// # Errors
    ///
    /// A secret cannot be written to its file.
    pub(super) fn add_surroundings(
        &self,
        there: &Table,
        text: &mut String,
    ) -> Result<(), Problems> {
        for section in SAME {
            for (name, value) in self.missing(section, there) {
                push(text, &format!("[{section}.{name}]"), &members(value));
            }
        }
        for (name, value) in self.missing("secret", there) {
            let Some(secret) = value.get("value").and_then(Value::as_str) else {
                continue;
            };
            let file = self.write_secret(name, secret)?;
            push(
                text,
                &format!("[secret.{name}]"),
                &format!("file = {}\n", toml_text(&file)),
            );
        }
        if !there.contains_key("key") {
            let keys = self.table.get("key").and_then(Value::as_array);
            for key in keys.into_iter().flatten().filter_map(Value::as_table) {
                push(text, "[[key]]", &key_lines(key));
            }
        }
        Ok(())
    }

    /// The entries of a section that the author's own configuration does not have.
    fn missing<'a>(
        &'a self,
        section: &str,
        there: &'a Table,
    ) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let own = there.get(section).and_then(Value::as_table);
        let entries = self.table.get(section).and_then(Value::as_table);
        let entries = entries.into_iter().flatten();
        entries.filter(move |(name, _)| own.is_none_or(|own| !own.contains_key(*name)))
    }

    /// A configuration has no secrets in it, but names their files.
    fn write_secret(&self, name: &str, secret: &str) -> Result<PathBuf, Problems> {
        let folder = self.folder.join("build/dev-secrets");
        let file = folder.join(name);
        let write = || {
            fs::create_dir_all(&folder)?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&file)?.write_all(secret.as_bytes())
        };
        match write() {
            Ok(()) => Ok(file),
            Err(error) => {
                let name = file.display().to_string();
                let message = format!("the secret of `cases.toml` cannot be written: {error}");
                Err(Problems::of_file(&name, message))
            }
        }
    }
}

/// A key of a configuration has the digest in place of the key.
fn key_lines(key: &Table) -> String {
    let mut text = lines(
        key.iter()
            .filter(|(name, _)| *name != "key")
            .map(|(name, value)| (&**name, value)),
    );
    if let Some(value) = key.get("key").and_then(Value::as_str) {
        let digest = KeyDigest::of(value.as_bytes());
        // Writing to a text cannot fail.
        let _ = writeln!(text, "digest = \"{digest}\"");
    }
    text
}

fn members(value: &Value) -> String {
    let table = value.as_table().into_iter().flatten();
    lines(table.map(|(key, value)| (&**key, value)))
}

fn lines<'a>(pairs: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

fn push(text: &mut String, heading: &str, lines: &str) {
    let _ = writeln!(text, "{heading}\n{lines}");
}
