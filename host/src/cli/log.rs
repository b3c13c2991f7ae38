//! `windlass log`: shows the level of the gateway's own log and changes it for a time, over the
//! admin API of a running gateway.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin_client::{
    self, AdminClient, ApiRequest, CommandError, RemoteCommand, text_at, time_at,
};
use super::output::eprint_line;
use crate::config::LogLevel;
use crate::model::word::Word as _;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show the level.
    Show,
    /// Change the level for a time. After that the level of the configuration is back.
    Level(LevelArguments),
    /// End the change: the level of the configuration is back.
    Reset,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LevelArguments {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    #[arg(value_parser = read_level)]
    level: LogLevel,
    /// For how long, at most a day.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = read_time)]
    time: Duration,
}

fn read_level(text: &str) -> Result<LogLevel, String> {
    LogLevel::of_word(text).ok_or_else(|| {
        let words: Vec<_> = LogLevel::words().collect();
        format!("wanted one of {}", words.join(", "))
    })
}

fn read_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

impl RemoteCommand for LogCommand {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let log = match self {
            Self::Show => remote.value(ApiRequest::new("GET", &["log"]))?,
            Self::Level(arguments) => {
                let (level, seconds) = (arguments.level.word(), arguments.time.as_secs());
                let body = json!({ "level": level, "for_seconds": seconds });
                remote.value(ApiRequest::new("PATCH", &["log"]).json(&body))?
            }
            Self::Reset => remote.value(ApiRequest::new("DELETE", &["log", "changes"]))?,
        };
        if remote.json {
            return admin_client::json(&log);
        }
        report(&log);
        Ok(())
    }
}

fn report(log: &Value) {
    let (level, configured) = (text_at(log, "level"), text_at(log, "configured"));
    match log.get("ends").is_some_and(|ends| !ends.is_null()) {
        true => eprint_line!(
            "the log's level is `{level}` until {} UTC, then `{configured}`",
            time_at(log, "ends")
        ),
        false => eprint_line!("the log's level is `{level}`"),
    }
}
