//! `windlass usage`: what keys used of their plans, over a gateway's admin API.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::keys::segment;
use super::output::tell;
use super::remote::{self, Call, Failure, Remote, Where, at, cell, when};
use crate::admin::date::{day, read_day};

#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How much keys used of a plan, by day, and how much remained.
    Show(Show),
    /// Set what remains of a key's quota, in the period that runs.
    Extend(Extend),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The plan.
    #[arg(long)]
    plan: String,
    /// Only this key's.
    #[arg(long)]
    key: Option<String>,
    /// The first day, in UTC: `2026-11-25`. Default the last one.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, in UTC. Default today.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// How many keys, at the most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Where to go on.
    #[arg(long)]
    cursor: Option<String>,
    /// Comma-separated values in the place of a table.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, clap::Args)]
struct Extend {
    /// The plan.
    #[arg(long)]
    plan: String,
    /// The key's id.
    #[arg(long)]
    key: String,
    /// Requests that remain from now on.
    #[arg(long, value_name = "NUMBER")]
    remaining: u64,
}

/// Do it.
pub(crate) fn run(usage: &Usage) -> ExitCode {
    remote::run(&usage.place, |remote| usage.run(remote))
}

impl Usage {
    fn run(&self, remote: &Remote) -> Result<(), Failure> {
        match &self.command {
            Command::Show(show) => show.run(remote, self.place.json),
            Command::Extend(extend) => extend.run(remote, self.place.json),
        }
    }
}

impl Show {
    fn run(&self, remote: &Remote, json: bool) -> Result<(), Failure> {
        let mut call = Call::default();
        call.query.push(("plan", self.plan.clone()));
        call.query.push(("limit", self.limit.to_string()));
        for (name, value) in [
            ("key", &self.key),
            ("from", &self.from),
            ("to", &self.to),
            ("cursor", &self.cursor),
        ] {
            call.query.extend(value.clone().map(|value| (name, value)));
        }
        if self.csv {
            call.query.push(("format", "csv".to_owned()));
            return remote.copy("GET", "/v1/usage", call);
        }
        let usage = remote.value("GET", "/v1/usage", call)?;
        if json {
            return remote::json(&usage);
        }
        let mut rows = Vec::new();
        let first = at(&usage, "from").as_str().and_then(read_day).unwrap_or(0);
        for (key, pairs) in at(&usage, "items").as_object().into_iter().flatten() {
            for (number, pair) in (first..).zip(pairs.as_array().into_iter().flatten()) {
                rows.push(vec![
                    key.clone(),
                    day(number),
                    cell(&pair[0]),
                    cell(&pair[1]),
                ]);
            }
        }
        remote::table(&["KEY", "DAY", "USED", "REMAINING"], rows)?;
        if let Some(cursor) = at(&usage, "next_cursor").as_str() {
            tell!("there are more: --cursor {cursor}");
        }
        Ok(())
    }
}

impl Extend {
    fn run(&self, remote: &Remote, json: bool) -> Result<(), Failure> {
        let (plan, key) = (segment(&self.plan), segment(&self.key));
        let path = format!("/v1/plans/{plan}/usage/{key}");
        let body = json!({ "remaining": self.remaining });
        let made: Value = remote.value("PATCH", &path, Call::json(&body))?;
        if json {
            return remote::json(&made);
        }
        let (remaining, ends) = (cell(at(&made, "remaining")), when(at(&made, "ends")));
        tell!(
            "key `{}` may use {remaining} more of plan `{}` until {ends} UTC",
            self.key,
            self.plan
        );
        Ok(())
    }
}
