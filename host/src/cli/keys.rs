//! `windlass keys`: API keys of a running gateway, over its admin API.

mod files;

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::output::{self, Unwritten, tell};
use super::remote::{self, Call, Failure, Remote, Where, at, cell, when};

use files::{Export, Import};

#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key. Its text goes to standard output, this once; everything else to standard error.
    Create(Create),
    /// List keys, in the order of their ids.
    List(List),
    /// Find whose key it is by the first characters of its text: `wl_7hXk`.
    Find(Find),
    /// Show a key, without its text.
    Show(Id),
    /// Change a key. Options that are left out change nothing.
    Update(Update),
    /// Give a key a new text; the old one is accepted for a while more.
    Rotate(Rotate),
    /// Accept a key again.
    Enable(Id),
    /// Refuse a key from now on.
    Disable(Id),
    /// Delete a key. Its usage stays.
    Delete(Id),
    /// Import keys: from a file in Amazon API Gateway's format, or what `keys export` or
    /// `store export` wrote. If a row is left out, the exit code is 2.
    Import(Import),
    /// Write all keys to standard output, without their texts. As JSON with their digests, if the
    /// token may write: another store can take them.
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Id {
    /// The key's id.
    id: String,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The consumer that it is issued to.
    #[arg(long)]
    consumer: String,
    /// Its name for people.
    #[arg(long, default_value = "")]
    name: String,
    /// A usage plan; may be repeated.
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,
    /// A fact that is attached to it; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// From when on it is refused: `2027-01-01T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Make it, and refuse it until it is enabled.
    #[arg(long)]
    disabled: bool,
    /// Take the key's text from standard input, for a key that was issued elsewhere.
    #[arg(long)]
    value_stdin: bool,
    /// Makes the command safe to repeat for 24 hours.
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only this consumer's.
    #[arg(long)]
    consumer: Option<String>,
    /// Only those on this plan.
    #[arg(long)]
    plan: Option<String>,
    /// Only those whose name or id begins so.
    #[arg(long)]
    prefix: Option<String>,
    /// How many, at the most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Where to go on.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Find {
    /// The first characters of the key's text; of most keys seven are kept. Never the whole key.
    #[arg(value_name = "PREFIX")]
    begins_with: String,
    /// How many, at the most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct Update {
    /// The key's id.
    id: String,
    /// Its name for people.
    #[arg(long)]
    name: Option<String>,
    /// The consumer that it is issued to.
    #[arg(long)]
    consumer: Option<String>,
    /// A usage plan, in the place of those it has; may be repeated.
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,
    /// Take it off all plans.
    #[arg(long, conflicts_with = "plans")]
    no_plans: bool,
    /// A fact that is attached to it, in the place of all that are; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Attach nothing to it.
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// From when on it is refused: `2027-01-01T00:00:00Z`, or `never`.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The key's id.
    id: String,
    /// For how long the old text is accepted, in whole seconds: `24h`; `0s` ends it now.
    #[arg(long, default_value = "24h", value_parser = overlap)]
    overlap: Duration,
}

/// `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (name, value) = parts.ok_or_else(|| "write it as NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A duration without parts of a second: the gateway counts seconds, and 0 of them ends the old text.
fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if overlap.subsec_nanos() == 0 {
        return Ok(overlap);
    }
    Err("an overlap is counted in whole seconds; write `1s` or more, or `0s` to end the old text now".to_owned())
}

/// Do it.
pub(crate) fn run(keys: &Keys) -> ExitCode {
    remote::run(&keys.place, |remote| keys.run(remote))
}

impl Keys {
    fn run(&self, remote: &Remote) -> Result<(), Failure> {
        let json = self.place.json;
        match &self.command {
            Command::Create(create) => made(&create.run(remote)?, json),
            Command::List(list) => list.run(remote, json),
            Command::Find(find) => find.run(remote, json),
            Command::Show(key) => {
                shown(&remote.value("GET", &path(&key.id), Call::default())?, json)
            }
            Command::Update(update) => changed(remote, &update.id, update.body(), json),
            Command::Rotate(rotate) => {
                let body = json!({ "overlap_seconds": rotate.overlap.as_secs() });
                let path = format!("{}/rotate", path(&rotate.id));
                made(&remote.value("POST", &path, Call::json(&body))?, json)
            }
            Command::Enable(key) => changed(remote, &key.id, json!({ "enabled": true }), json),
            Command::Disable(key) => changed(remote, &key.id, json!({ "enabled": false }), json),
            Command::Delete(key) => {
                remote.text("DELETE", &path(&key.id), Call::default())?;
                tell!("key `{}` is deleted: it is refused from now on", key.id);
                Ok(())
            }
            Command::Import(import) => import.run(remote, json),
            Command::Export(export) => export.run(remote),
        }
    }
}

/// An id is no path: what is odd in it is escaped, and not found.
pub(crate) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn path(id: &str) -> String {
    format!("/v1/keys/{}", segment(id))
}

/// A key's text, alone on standard output.
fn made(answer: &Value, json: bool) -> Result<(), Failure> {
    let key = at(answer, "key");
    let id = cell(at(key, "id"));
    let secret = at(answer, "secret").as_str();
    let unseen = |why: Unwritten| match secret {
        Some(_) => Failure::Unseen(format!(
            "a text was made for key `{id}` and was not shown, and it is kept nowhere: {why}; `windlass keys rotate {id} --overlap 0s` makes another, and ends all before it"
        )),
        None => why.into(),
    };
    if json {
        return output::line(answer).map_err(unseen);
    }
    tell!("key `{id}` of {}", cell(at(key, "consumer")));
    match secret {
        Some(secret) => {
            tell!("its text, which is shown this once and kept nowhere:");
            output::line(secret).map_err(unseen)?;
        }
        None => tell!("its text is not shown again"),
    }
    for old in at(key, "secrets").as_array().into_iter().flatten().skip(1) {
        let (prefix, end) = (cell(at(old, "prefix")), when(at(old, "expires")));
        tell!("the old text ({prefix}..) is accepted until {end} UTC");
    }
    Ok(())
}

fn changed(remote: &Remote, id: &str, body: Value, json: bool) -> Result<(), Failure> {
    let key = remote.value("PATCH", &path(id), Call::json(&body))?;
    shown(&key, json)
}

fn shown(key: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return remote::json(key);
    }
    let secrets = at(key, "secrets").as_array().into_iter().flatten();
    let secrets: Vec<String> = secrets
        .map(|secret| match at(secret, "expires").is_null() {
            true => format!("{}..", cell(at(secret, "prefix"))),
            false => format!(
                "{}.. until {}",
                cell(at(secret, "prefix")),
                when(at(secret, "expires"))
            ),
        })
        .collect();
    remote::record(&[
        ("id", cell(at(key, "id"))),
        ("name", cell(at(key, "name"))),
        ("consumer", cell(at(key, "consumer"))),
        ("plans", cell(at(key, "plans"))),
        ("metadata", cell(at(key, "metadata"))),
        ("status", cell(at(key, "status"))),
        ("expires", when(at(key, "expires"))),
        ("created", when(at(key, "created"))),
        ("updated", when(at(key, "updated"))),
        ("last used", when(at(key, "last_used"))),
        ("begins with", secrets.join(", ")),
        ("defined in", cell(at(key, "source"))),
    ])
}

impl Create {
    fn run(&self, remote: &Remote) -> Result<Value, Failure> {
        let mut body = json!({
            "consumer": self.consumer,
            "name": self.name,
            "plans": self.plans,
            "metadata": object(&self.metadata),
            "enabled": !self.disabled,
            "expires": self.expires,
        });
        if self.value_stdin {
            let value = Value::from(standard_input()?.trim().to_owned());
            body.as_object_mut()
                .map(|members| members.insert("value".to_owned(), value));
        }
        let mut call = Call::json(&body);
        let token = self.idempotency_key.clone();
        call.headers
            .extend(token.map(|token| ("idempotency-key", token)));
        remote.value("POST", "/v1/keys", call)
    }
}

fn standard_input() -> Result<Zeroizing<String>, Failure> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        tell!("type the key, then Enter and Ctrl-D:");
    }
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let read = input.by_ref().take(1024).read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("the key cannot be read: {error}")))?;
    Ok(text)
}

fn object(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter().cloned();
    Value::Object(pairs.map(|(name, value)| (name, value.into())).collect())
}

impl List {
    fn run(&self, remote: &Remote, json: bool) -> Result<(), Failure> {
        let mut call = Call::default();
        call.query.push(("limit", self.limit.to_string()));
        for (name, value) in [
            ("consumer", &self.consumer),
            ("plan", &self.plan),
            ("prefix", &self.prefix),
            ("cursor", &self.cursor),
        ] {
            call.query.extend(value.clone().map(|value| (name, value)));
        }
        let page = remote.value("GET", "/v1/keys", call)?;
        table(&page, json)
    }
}

impl Find {
    fn run(&self, remote: &Remote, json: bool) -> Result<(), Failure> {
        let mut call = Call::default();
        call.query.push(("limit", self.limit.to_string()));
        call.query.push(("begins_with", self.begins_with.clone()));
        let page = remote.value("GET", "/v1/keys", call)?;
        let found = at(&page, "items").as_array().map_or(0, Vec::len);
        table(&page, json)?;
        if found == 0 {
            tell!(
                "no key of the store begins so; of a key in the configuration only its digest is known"
            );
            return Err(Failure::NotThere);
        }
        Ok(())
    }
}

/// A page of keys.
fn table(page: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return remote::json(page);
    }
    let items = at(page, "items").as_array().into_iter().flatten();
    remote::table(
        &[
            "ID",
            "NAME",
            "CONSUMER",
            "PLANS",
            "STATUS",
            "EXPIRES",
            "LAST USED",
        ],
        items.map(|key| {
            vec![
                cell(at(key, "id")),
                cell(at(key, "name")),
                cell(at(key, "consumer")),
                cell(at(key, "plans")),
                cell(at(key, "status")),
                when(at(key, "expires")),
                when(at(key, "last_used")),
            ]
        }),
    )?;
    if let Some(cursor) = at(page, "next_cursor").as_str() {
        tell!("there are more: --cursor {cursor}");
    }
    Ok(())
}

impl Update {
    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("name", self.name.clone().map(Value::from));
        put("consumer", self.consumer.clone().map(Value::from));
        let plans = !self.plans.is_empty() || self.no_plans;
        put("plans", plans.then(|| Value::from(self.plans.clone())));
        let metadata = !self.metadata.is_empty() || self.no_metadata;
        put("metadata", metadata.then(|| object(&self.metadata)));
        put(
            "expires",
            self.expires.as_deref().map(|end| match end {
                "never" => Value::Null,
                end => Value::from(end),
            }),
        );
        Value::Object(body)
    }
}
