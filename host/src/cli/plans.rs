//! `windlass plans`: manages the usage plans of a running gateway, over its admin API.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::admin_client::{
    self, AdminClient, ApiRequest, CommandError, RemoteCommand, at, cell, each, text_at, time_at,
};
use super::output::eprint_line;

#[derive(Debug, Subcommand)]
pub(crate) enum PlansCommand {
    /// Create a plan.
    Create(PlanDefinition),
    /// List plans, in the order of their names.
    List(PlanListArguments),
    /// Show a plan.
    Show(PlanNameArgument),
    /// Change a plan. Options that are left out change nothing; keys keep their usage.
    Update(PlanUpdateArguments),
    /// Delete a plan that no key is on.
    Delete(PlanNameArgument),
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanNameArgument {
    /// The plan's name.
    name: String,
}

#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct PlanListArguments {
    /// The number of plans, at most 1000.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
    /// Where to continue.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanDefinition {
    /// The plan's name.
    name: String,
    /// A description for people.
    #[arg(long)]
    description: Option<String>,
    /// Requests that return to the bucket each second.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,
    /// Requests at once. The default for a new rate is the rate, rounded up.
    #[arg(long, value_name = "NUMBER")]
    burst: Option<u64>,
    /// Requests in each period.
    #[arg(long, requires = "per", value_name = "NUMBER")]
    quota: Option<u64>,
    /// The quota's period, in UTC.
    #[arg(long, requires = "quota", value_parser = ["day", "week", "month"])]
    per: Option<String>,
    /// The day on which the quota's week or month starts: `monday`, or a day from 1 to 28.
    #[arg(long, requires = "quota", value_name = "DAY", value_parser = first_day)]
    starts_on: Option<Value>,
    /// Refused: the first day of a quota is `--starts-on`.
    #[arg(long, hide = true, value_name = "NUMBER", value_parser = no_offset)]
    offset: Option<()>,
    /// The rate and burst of one method: `GET /orders/{id}=1/5`, or `=1` for a burst of the rate,
    /// rounded up; may be repeated.
    #[arg(long = "method", value_name = "METHOD PATH=RATE[/BURST]", value_parser = method)]
    methods: Vec<Value>,
    /// An API that the plan is for; may be repeated. Default all.
    #[arg(long = "api", value_name = "API")]
    apis: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct PlanUpdateArguments {
    #[command(flatten)]
    define: PlanDefinition,
    /// Remove the rate.
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    no_rate: bool,
    /// Remove the quota.
    #[arg(long, conflicts_with = "quota")]
    no_quota: bool,
    /// Remove the rates of single methods.
    #[arg(long, conflicts_with = "methods")]
    no_methods: bool,
    /// Make the plan valid for all APIs.
    #[arg(long, conflicts_with = "apis")]
    all_apis: bool,
}

/// Parses `GET /orders/{id}=1/5`, or `GET /orders/{id}=1`.
fn method(text: &str) -> Result<Value, String> {
    let read = || {
        let (route, numbers) = text.rsplit_once('=')?;
        let (method, path) = route.split_once(' ')?;
        let (rate, burst) = match numbers.split_once('/') {
            Some((rate, burst)) => (rate, Some(burst.parse().ok()?)),
            None => (numbers, None),
        };
        let mut body = rate_body(Some(rate.parse().ok()?), burst)?;
        let members = body.as_object_mut()?;
        members.insert("method".to_owned(), method.into());
        members.insert("path".to_owned(), path.into());
        Some(body)
    };
    read().ok_or_else(|| "write it as `GET /orders/{id}=1/5`".to_owned())
}

/// Parses a weekday, or a day of the month.
fn first_day(text: &str) -> Result<Value, String> {
    match text.parse::<u8>() {
        Ok(day) if (1..=28).contains(&day) => Ok(day.into()),
        Ok(_) => Err("a month starts on a day from 1 to 28".to_owned()),
        Err(_) => Ok(text.to_lowercase().into()),
    }
}

fn no_offset(_: &str) -> Result<(), String> {
    let cure = "there is no offset; the day on which a week or month starts is `--starts-on`: a weekday, or a day of the month from 1 to 28";
    Err(cure.to_owned())
}

impl RemoteCommand for PlansCommand {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let call = match self {
            Self::Create(define) => {
                let mut body = define.body();
                body.insert("name".to_owned(), define.name.clone().into());
                ApiRequest::new("POST", &["plans"]).json(&body.into())
            }
            Self::List(list) => return list.run(remote),
            Self::Show(plan) => ApiRequest::new("GET", &["plans", &plan.name]),
            Self::Update(update) => {
                let call = ApiRequest::new("PATCH", &["plans", &update.define.name]);
                call.json(&update.body().into())
            }
            Self::Delete(plan) => {
                remote.value(ApiRequest::new("DELETE", &["plans", &plan.name]))?;
                eprint_line!("plan `{}` is deleted", plan.name);
                return Ok(());
            }
        };
        remote.print(&remote.value(call)?, describe)
    }
}

impl PlanDefinition {
    /// The members of the named options, without the name.
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("description", self.description.clone().map(Value::from));
        put("rate", rate_body(self.rate, self.burst));
        let quota = self.quota.zip(self.per.as_ref());
        put(
            "quota",
            quota.map(|(limit, period)| {
                let mut quota = json!({ "limit": limit, "period": period });
                if let (Some(first), Some(members)) = (&self.starts_on, quota.as_object_mut()) {
                    members.insert("starts_on".to_owned(), first.clone());
                }
                quota
            }),
        );
        let methods = !self.methods.is_empty();
        put(
            "methods",
            methods.then(|| Value::from(self.methods.clone())),
        );
        let apis = !self.apis.is_empty();
        put("apis", apis.then(|| Value::from(self.apis.clone())));
        body
    }
}

/// The members of the named options; None if none is named.
fn rate_body(rate: Option<f64>, burst: Option<u64>) -> Option<Value> {
    let mut body = Map::new();
    body.extend(rate.map(|rate| ("per_second".to_owned(), rate.into())));
    body.extend(burst.map(|burst| ("burst".to_owned(), burst.into())));
    (!body.is_empty()).then_some(Value::Object(body))
}

impl PlanUpdateArguments {
    fn body(&self) -> Map<String, Value> {
        let mut body = self.define.body();
        for (gone, name, value) in [
            (self.no_rate, "rate", Value::Null),
            (self.no_quota, "quota", Value::Null),
            (self.no_methods, "methods", json!([])),
            (self.all_apis, "apis", json!([])),
        ] {
            if gone {
                body.insert(name.to_owned(), value);
            }
        }
        body
    }
}

fn rate(plan: &Value) -> String {
    match at(plan, "rate") {
        Value::Null => "-".to_owned(),
        rate => bucket(rate),
    }
}

fn bucket(rate: &Value) -> String {
    let (rate, burst) = (text_at(rate, "per_second"), text_at(rate, "burst"));
    format!("{rate}/s, burst {burst}")
}

fn quota(plan: &Value) -> String {
    match at(plan, "quota") {
        Value::Null => "-".to_owned(),
        quota => {
            let (limit, period) = (text_at(quota, "limit"), text_at(quota, "period"));
            let first = match at(quota, "starts_on") {
                Value::String(weekday) if weekday != "sunday" => format!(" from {weekday}"),
                Value::Number(day) if day.as_u64() != Some(1) => format!(" from day {day}"),
                _ => String::new(),
            };
            format!("{limit} a {period}{first}")
        }
    }
}

fn apis(plan: &Value) -> String {
    match at(plan, "apis").as_array() {
        Some(apis) if !apis.is_empty() => admin_client::list(apis),
        Some(_) | None => "all".to_owned(),
    }
}

fn describe(plan: &Value) -> Vec<(&'static str, String)> {
    let mut parts = vec![
        ("name", text_at(plan, "name")),
        ("description", text_at(plan, "description")),
        ("rate", rate(plan)),
        ("quota", quota(plan)),
        ("APIs", apis(plan)),
    ];
    for method in each(plan, "methods") {
        let (name, path) = (text_at(method, "method"), text_at(method, "path"));
        parts.push(("method", format!("{name} {path}: {}", bucket(method))));
    }
    if let Some(slack) = at(plan, "slack").as_object() {
        let of = |name: &str| slack.get(name).map(cell).unwrap_or_default();
        let text = format!(
            "{} beyond the burst, {} beyond the quota, over {} gateways",
            of("rate"),
            of("quota"),
            of("gateways")
        );
        parts.push(("at the most", text));
    }
    parts.push(("created", time_at(plan, "created")));
    parts.push(("updated", time_at(plan, "updated")));
    parts.push(("defined in", text_at(plan, "source")));
    parts
}

impl PlanListArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let page = remote.value(ApiRequest::new("GET", &["plans"]).query(self))?;
        let heading = ["NAME", "RATE", "QUOTA", "METHODS", "SOLD FOR", "DEFINED IN"];
        let rows = each(&page, "items").map(|plan| {
            vec![
                text_at(plan, "name"),
                rate(plan),
                quota(plan),
                each(plan, "methods").count().to_string(),
                apis(plan),
                text_at(plan, "source"),
            ]
        });
        remote.print_page(&page, &heading, rows)
    }
}
