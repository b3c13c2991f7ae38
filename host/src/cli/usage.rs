//! `windlass usage`: shows the usage of keys on their plans and extends quotas, over the admin API
//! of a running gateway.

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::admin_client::{
    self, AdminClient, ApiRequest, CommandError, RemoteCommand, at, cell, text_at, time_at,
};
use super::output::eprint_line;
use crate::model::date::{day, read_day};

#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Show the usage of keys on a plan, by day, and the remaining quota.
    Show(UsageShowArguments),
    /// Set the remaining quota of a key in the current period.
    Extend(QuotaExtendArguments),
}

#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct UsageShowArguments {
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
    #[serde(skip)]
    csv: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuotaExtendArguments {
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

impl RemoteCommand for UsageCommand {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        match self {
            Self::Show(show) => show.run(remote),
            Self::Extend(extend) => extend.run(remote),
        }
    }
}

impl UsageShowArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let call = ApiRequest::new("GET", &["usage"]).query(self);
        if self.csv {
            return remote.copy(call.query(&json!({ "format": "csv" })));
        }
        let usage = remote.value(call)?;
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
        remote.print_page(&usage, &["KEY", "DAY", "USED", "REMAINING"], rows)
    }
}

impl QuotaExtendArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let body = json!({ "remaining": self.remaining });
        let path = ["plans", &self.plan, "usage", &self.key];
        let made = remote.value(ApiRequest::new("PATCH", &path).json(&body))?;
        if remote.json {
            return admin_client::json(&made);
        }
        let (remaining, ends) = (text_at(&made, "remaining"), time_at(&made, "ends"));
        eprint_line!(
            "key `{}` has {remaining} requests left on plan `{}` until {ends} UTC",
            self.key,
            self.plan
        );
        Ok(())
    }
}
