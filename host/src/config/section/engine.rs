//! `[wasm]` and `[log]`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_config_derive::{FromTable, Word};

use crate::config::field::{Parsed, text_values};
use crate::config::read::Table;
use crate::config::value::Refused;
use crate::config::value::unit::SIZE;

/// Totals of the filter engine. They take a restart to change.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[wasm]", check = one_within_all)]
pub struct Wasm {
    /// The most filter instances at a time.
    #[key(default = 1000, within = 1..=100_000)]
    pub max_instances: NonZeroU32,
    /// The linear memory of all instances together.
    #[key(default = "1GiB", within = "1MiB"..="1TiB")]
    pub memory: u64,
    /// The most that `limits.memory` of one filter may allow; at most `memory`.
    #[key(default = "256MiB", within = "1MiB"..="4GiB")]
    pub max_memory: u64,
    /// The folder of compiled components, relative to this file. `"off"` keeps none.
    #[key(absent = "`$XDG_CACHE_HOME/windlass`, else `~/.cache/windlass`")]
    pub cache: CompileCache,
}

/// Where compiled components are kept between starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CompileCache {
    /// In the user's cache folder.
    #[default]
    UserFolder,
    Folder(PathBuf),
    Off,
}

text_values! {
    CompileCache: Parsed::in_folder("a folder, or `\"off\"`", |text, folder| match text {
            "" => Err(Refused::plain()),
            "off" => Ok(Self::Off),
            path => Ok(Self::Folder(folder.join(path))),
        });
}

/// One filter may not ask for more than there is for all.
fn one_within_all(table: &mut Table<'_>, wasm: &Wasm) {
    table.reader.max_memory = wasm.max_memory;
    if wasm.max_memory > wasm.memory {
        let span = table.span_of_first(&["memory", "max_memory"]);
        let (one, all) = (SIZE.print(wasm.max_memory), SIZE.print(wasm.memory));
        let message =
            format!("`max_memory` ({one}), of one filter, is more than `memory` ({all}), of all");
        table.error(span, &message);
    }
}

/// The gateway's log and the access log.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[log]")]
#[hint("access_log file path output" => "it is called `access`: `access = \"/var/log/windlass/access.log\"`")]
#[hint("format log_format" => "leave it out: the access log is JSON, with the same fields for each request")]
pub struct Log {
    /// The least severe messages of its own that Windlass logs to standard error. Those of libraries stay at `info` or
    /// above. A reload changes it, and `windlass log level` changes it for a time.
    #[key(default = "info")]
    pub level: LogLevel,
    /// Where Windlass writes the access log, one line of JSON for each request. A file is relative
    /// to this one.
    #[key(default = "off")]
    pub access: AccessLog,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[hint("warning" => "write `\"warn\"`")]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For finding faults.
    Debug,
    /// Messages that an operator wants to know.
    Info,
    /// Messages that may need a hand.
    Warn,
    /// Failures.
    Error,
}

/// Where the access log goes: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

text_values! {
    AccessLog: Parsed::in_folder(
        "`\"off\"`, `\"stdout\"`, `\"stderr\"` or a file",
        |text, folder| match text {
            "" => Err(Refused::plain()),
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            path => Ok(Self::File(folder.join(path))),
        },
    );
}
