//! `[wasm]` and `[log]`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_config_derive::{FromTable, Word};

use crate::config::field::{Parsed, text_values};
use crate::config::read::Table;
use crate::config::value::unit::SIZE;
use crate::config::value::{Refused, nearest};
use crate::model::access_format::{
    AccessFormat, AccessFormatError, AccessLayout, AccessVariable, parse_template,
};

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
#[table(heading = "[log]", check = one_layout)]
#[hint("access_log file path output" => "it is called `access`: `access = \"/var/log/windlass/access.log\"`")]
#[hint("log_format json_format text_format" => "it is called `access_format`: `access_format = \"${client} ${method} ${path} ${status}\"`")]
#[hint("logrotate rolling max_size" => "it is called `rotate`: `rotate = { size = \"100MiB\", keep = 5 }`")]
pub struct Log {
    /// The least severe messages of its own that Windlass logs to standard error. Those of libraries stay at `info` or
    /// above. A reload changes it, and `windlass log level` changes it for a time.
    #[key(default = "info")]
    pub level: LogLevel,
    /// The format of the gateway's own log: text, or one JSON object a line. It takes a restart to change.
    #[key(default = "text")]
    pub format: LogFormat,
    /// Where Windlass writes the access log, one line for each request. A file is relative to this one.
    #[key(default = "off")]
    pub access: AccessLog,
    /// The lines of the access log: `"json"`, or a text with variables: `"${client} ${method} ${path} ${status}"`.
    /// [Log fields](log-fields.md#variables) lists them.
    #[key(default = "json")]
    pub(crate) access_format: AccessLayout,
    /// The fields of a JSON access log, in this order: names of [variables](log-fields.md#variables).
    #[key(absent = "the [usual fields](log-fields.md#the-access-log)")]
    pub(crate) access_fields: Option<Vec<AccessVariable>>,
    /// Query parameters and request headers whose values the access log masks, beside [those that usually hold
    /// secrets](log-fields.md#masked-values).
    #[key(absent = "none")]
    pub(crate) access_mask: Vec<String>,
    /// When Windlass rotates the file of the access log by itself.
    #[key(absent = "never")]
    pub(crate) rotate: Option<LogRotation>,
}

/// When the file of the access log is rotated: it becomes `<name>.1`, the one before becomes `<name>.2`, and so on.
/// Windlass looks at it whenever it writes. It takes a restart to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(heading = "rotate = { .. }")]
pub(crate) struct LogRotation {
    /// Once it would be larger than this.
    #[key(default = "100MiB", within = "64KiB"..="1TiB")]
    pub(crate) size: u64,
    /// Once it is this old.
    #[key(absent = "whatever its age", within = "1m"..="8760h")]
    pub(crate) age: Option<Duration>,
    /// How many rotated files are kept.
    #[key(default = 5, within = 1..=1000)]
    pub(crate) keep: u32,
}

/// A template has no list of fields, and only a file is rotated.
fn one_layout(table: &mut Table<'_>, log: &Log) {
    if log.access_fields.is_some() && log.access_format != AccessLayout::Json {
        table
            .error_at("access_fields", "`access_fields` is for the format `json`")
            .help("put the fields into `access_format`, or leave one of the two out");
    }
    if log.rotate.is_some() && !matches!(log.access, AccessLog::File(_)) {
        table
            .warning_at("rotate", "`rotate` is for a file, and `access` is none")
            .help("set `access` to a file, or leave `rotate` out");
    }
}

impl Log {
    /// The format of the access log's lines.
    #[must_use]
    pub(crate) fn access_format(&self) -> AccessFormat {
        let fields = self.access_fields.clone().map(AccessLayout::Fields);
        let masked = self.access_mask.iter();
        AccessFormat {
            layout: fields.unwrap_or_else(|| self.access_format.clone()),
            masked: masked.map(|name| name.to_ascii_lowercase()).collect(),
        }
    }
}

/// The format of the gateway's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("combined common logfmt" => "the lines of the access log have a format of their own: `access_format`")]
pub enum LogFormat {
    /// The time, the level, a sentence and fields.
    Text,
    /// One object a line.
    Json,
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
    AccessLayout: Parsed::new("`\"json\"`, or a text with variables such as `${status}`", |text| match text {
        "" => Err(Refused::plain()),
        "json" => Ok(Self::Json),
        text if !text.contains("${") => Err(Refused::because("has no variable")
            .help("write `\"json\"`, or a text such as `\"${client} ${method} ${path} ${status}\"`")),
        text => parse_template(text).map(Self::Template).map_err(refused),
    });
    AccessVariable: Parsed::new("the name of a variable such as `status` or `header.x-team`", |name| {
        Self::parse(name).map_err(|_| Refused::because("is no variable").help(meant(name)))
    });
}

/// Why a template or a variable is refused.
fn refused(error: AccessFormatError) -> Refused {
    match error {
        AccessFormatError::Open => {
            Refused::because("has a `${` without `}`").help("write `$${` for a literal `${`")
        }
        AccessFormatError::Control => Refused::because("has a control character")
            .help("leave it out: each request has one line, whose end Windlass writes"),
        AccessFormatError::Unknown(name) => {
            let message = format!("has `${{{}}}`, which is no variable", name.escape_debug());
            Refused::because(message).help(meant(&name))
        }
    }
}

/// The cure for a name that no variable has.
fn meant(name: &str) -> String {
    nearest(name, AccessVariable::names()).map_or_else(
        || "docs/reference/log-fields.md lists them; fields of requests are `header.<name>`, attributes of filters `attribute.<name>`".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    )
}
