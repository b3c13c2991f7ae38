//! `windlass usage`: shows the usage of keys on their plans and extends quotas, over the admin API
//! of a running gateway.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin_client::{
    self, AdminClient, ApiRequest, CommandError, ConnectionArguments, at, cell, when,
};
use super::keys::segment;
use super::output::eprint_line;
use crate::model::date::{day, read_day};

#[derive(Debug, clap::Args)]
pub(crate) struct UsageArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(subcommand)]
    command: UsageCommand,
}

#[derive(Debug, Subcommand)]
enum UsageCommand {
    /// Show the usage of keys on a plan, by day, and the remaining quota.
    Show(UsageShowArguments),
    /// Set the remaining quota of a key in the current period.
    Extend(QuotaExtendArguments),
}

#[derive(Debug, clap::Args)]
struct UsageShowArguments {
    /// The plan.
    #[arg(long)]
    plan: String,
    /// Only this key.
    #[arg(long)]
    key: Option<String>,
    /// The first day, in UTC: `2026-11-25`. Default the last day.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, in UTC. Default today.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// The number of keys, at most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Where to continue.
    #[arg(long)]
    cursor: Option<String>,
    /// Write comma-separated values instead of a table.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, clap::Args)]
struct QuotaExtendArguments {
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

/// Runs the command.
pub(crate) fn run(usage: &UsageArguments) -> ExitCode {
    admin_client::run(&usage.connection, |remote| usage.run(remote))
}

impl UsageArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        match &self.command {
            UsageCommand::Show(show) => show.run(remote, self.connection.json),
            UsageCommand::Extend(extend) => extend.run(remote, self.connection.json),
        }
    }
}

impl UsageShowArguments {
    fn run(&self, remote: &AdminClient, json: bool) -> Result<(), CommandError> {
        let mut call = ApiRequest::default();
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
            return admin_client::json(&usage);
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
        admin_client::table(&["KEY", "DAY", "USED", "REMAINING"], rows)?;
        if let Some(cursor) = at(&usage, "next_cursor").as_str() {
            eprint_line!("for more, add `--cursor {cursor}`");
        }
        Ok(())
    }
}

impl QuotaExtendArguments {
    fn run(&self, remote: &AdminClient, json: bool) -> Result<(), CommandError> {
        let (plan, key) = (segment(&self.plan), segment(&self.key));
        let path = format!("/v1/plans/{plan}/usage/{key}");
        let body = json!({ "remaining": self.remaining });
        let made: Value = remote.value("PATCH", &path, ApiRequest::json(&body))?;
        if json {
            return admin_client::json(&made);
        }
        let (remaining, ends) = (cell(at(&made, "remaining")), when(at(&made, "ends")));
        eprint_line!(
            "key `{}` has {remaining} requests left on plan `{}` until {ends} UTC",
            self.key,
            self.plan
        );
        Ok(())
    }
}
