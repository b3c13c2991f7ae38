//! `windlass keys`: manages the API keys of a running gateway, over its admin API.

mod files;

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::admin_client::{
    self, AdminClient, ApiRequest, CommandError, ConnectionArguments, at, cell, when,
};
use super::output::{self, OutputError, eprint_line};

use files::{KeyExportArguments, KeyImportArguments};

#[derive(Debug, clap::Args)]
pub(crate) struct KeysArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create a key. Only its text goes to standard output, and only this once; everything else
    /// goes to standard error.
    Create(KeyCreateArguments),
    /// List keys, in the order of their ids.
    List(KeyListArguments),
    /// Find the owner of a key by the first characters of its text, such as `wl_7hXk`.
    Find(KeyFindArguments),
    /// Show a key, without its text.
    Show(KeyIdArgument),
    /// Change a key. Options that are left out change nothing.
    Update(KeyUpdateArguments),
    /// Give a key a new text; the old text is accepted for `--overlap` more.
    Rotate(KeyRotateArguments),
    /// Accept a key again.
    Enable(KeyIdArgument),
    /// Refuse a key from now on.
    Disable(KeyIdArgument),
    /// Delete a key. Its usage stays.
    Delete(KeyIdArgument),
    /// Import keys from a file in Amazon API Gateway's format, or from the output of `keys export`
    /// or `store export`. If a row is left out, the exit code is 2.
    Import(KeyImportArguments),
    /// Write all keys to standard output, without their texts. As JSON it includes their digests,
    /// if the token may write, so that another store can import them.
    Export(KeyExportArguments),
}

#[derive(Debug, clap::Args)]
struct KeyIdArgument {
    /// The key's id.
    id: String,
}

#[derive(Debug, clap::Args)]
struct KeyCreateArguments {
    /// The consumer that it is issued to.
    #[arg(long)]
    consumer: String,
    /// Its name for people.
    #[arg(long, default_value = "")]
    name: String,
    /// A usage plan; may be repeated.
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,
    /// Metadata of the key; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// When the key expires: `2027-01-01T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Create the key disabled.
    #[arg(long)]
    disabled: bool,
    /// Read the key's text from standard input, for a key that was issued elsewhere.
    #[arg(long)]
    value_stdin: bool,
    /// Makes the command safe to repeat for 24 hours.
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
}

#[derive(Debug, clap::Args)]
struct KeyListArguments {
    /// Only keys of this consumer.
    #[arg(long)]
    consumer: Option<String>,
    /// Only keys on this plan.
    #[arg(long)]
    plan: Option<String>,
    /// Only keys whose name or id begins with this text.
    #[arg(long)]
    prefix: Option<String>,
    /// The number of keys, at most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Where to continue.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
struct KeyFindArguments {
    /// The first characters of the key's text; of most keys seven are stored. Never the whole key.
    #[arg(value_name = "PREFIX")]
    begins_with: String,
    /// The number of keys, at most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct KeyUpdateArguments {
    /// The key's id.
    id: String,
    /// Its name for people.
    #[arg(long)]
    name: Option<String>,
    /// The consumer that it is issued to.
    #[arg(long)]
    consumer: Option<String>,
    /// A usage plan, which replaces the present ones; may be repeated.
    #[arg(long = "plan", value_name = "PLAN")]
    plans: Vec<String>,
    /// Remove the key from all plans.
    #[arg(long, conflicts_with = "plans")]
    no_plans: bool,
    /// Metadata of the key, which replaces the present one; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Remove all metadata.
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// When the key expires: `2027-01-01T00:00:00Z`, or `never`.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Debug, clap::Args)]
struct KeyRotateArguments {
    /// The key's id.
    id: String,
    /// How long the old text is accepted, in whole seconds: `24h`; `0s` ends it now.
    #[arg(long, default_value = "24h", value_parser = overlap)]
    overlap: Duration,
}

/// Parses `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (name, value) = parts.ok_or_else(|| "write it as NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses a duration in whole seconds: the gateway counts seconds, and 0 of them ends the old
/// text.
fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if overlap.subsec_nanos() == 0 {
        return Ok(overlap);
    }
    Err("an overlap is a number of whole seconds; write `1s` or more, or `0s` to end the old text now".to_owned())
}

/// Runs the command.
pub(crate) fn run(keys: &KeysArguments) -> ExitCode {
    admin_client::run(&keys.connection, |remote| keys.run(remote))
}

impl KeysArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let json = self.connection.json;
        match &self.command {
            KeysCommand::Create(create) => print_created(&create.run(remote)?, json),
            KeysCommand::List(list) => list.run(remote, json),
            KeysCommand::Find(find) => find.run(remote, json),
            KeysCommand::Show(key) => print_key(
                &remote.value("GET", &path(&key.id), ApiRequest::default())?,
                json,
            ),
            KeysCommand::Update(update) => update_key(remote, &update.id, update.body(), json),
            KeysCommand::Rotate(rotate) => {
                let body = json!({ "overlap_seconds": rotate.overlap.as_secs() });
                let path = format!("{}/rotate", path(&rotate.id));
                print_created(&remote.value("POST", &path, ApiRequest::json(&body))?, json)
            }
            KeysCommand::Enable(key) => {
                update_key(remote, &key.id, json!({ "enabled": true }), json)
            }
            KeysCommand::Disable(key) => {
                update_key(remote, &key.id, json!({ "enabled": false }), json)
            }
            KeysCommand::Delete(key) => {
                remote.text("DELETE", &path(&key.id), ApiRequest::default())?;
                eprint_line!("key `{}` is deleted: it is refused from now on", key.id);
                Ok(())
            }
            KeysCommand::Import(import) => import.run(remote, json),
            KeysCommand::Export(export) => export.run(remote),
        }
    }
}

/// An id as a segment of a path. Characters that no id has are escaped, and the gateway finds no
/// such key.
pub(crate) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn path(id: &str) -> String {
    format!("/v1/keys/{}", segment(id))
}

/// Prints a key's text, alone on standard output.
fn print_created(answer: &Value, json: bool) -> Result<(), CommandError> {
    let key = at(answer, "key");
    let id = cell(at(key, "id"));
    let secret = at(answer, "secret").as_str();
    let unseen = |why: OutputError| match secret {
        Some(_) => CommandError::SecretNotShown(format!(
            "the new text of key `{id}` could not be shown, and it is not stored: {why}; `windlass keys rotate {id} --overlap 0s` makes another and ends all earlier ones"
        )),
        None => why.into(),
    };
    if json {
        return output::print_line(answer).map_err(unseen);
    }
    eprint_line!("key `{id}` of {}", cell(at(key, "consumer")));
    match secret {
        Some(secret) => {
            eprint_line!("its text, which is shown only once and not stored:");
            output::print_line(secret).map_err(unseen)?;
        }
        None => eprint_line!("its text is not shown again"),
    }
    for old in at(key, "secrets").as_array().into_iter().flatten().skip(1) {
        let (prefix, end) = (cell(at(old, "prefix")), when(at(old, "expires")));
        eprint_line!("the old text ({prefix}..) is accepted until {end} UTC");
    }
    Ok(())
}

fn update_key(remote: &AdminClient, id: &str, body: Value, json: bool) -> Result<(), CommandError> {
    let key = remote.value("PATCH", &path(id), ApiRequest::json(&body))?;
    print_key(&key, json)
}

fn print_key(key: &Value, json: bool) -> Result<(), CommandError> {
    if json {
        return admin_client::json(key);
    }
    let secrets = at(key, "secrets").as_array().into_iter().flatten();
    let secrets: Vec<String> = secrets
        .map(|secret| {
            if at(secret, "expires").is_null() {
                format!("{}..", cell(at(secret, "prefix")))
            } else {
                format!(
                    "{}.. until {}",
                    cell(at(secret, "prefix")),
                    when(at(secret, "expires"))
                )
            }
        })
        .collect();
    admin_client::record(&[
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

impl KeyCreateArguments {
    fn run(&self, remote: &AdminClient) -> Result<Value, CommandError> {
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
        let mut call = ApiRequest::json(&body);
        let token = self.idempotency_key.clone();
        call.headers
            .extend(token.map(|token| ("idempotency-key", token)));
        remote.value("POST", "/v1/keys", call)
    }
}

fn standard_input() -> Result<Zeroizing<String>, CommandError> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        eprint_line!("type the key, then Enter and Ctrl-D:");
    }
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let read = input.by_ref().take(1024).read_to_string(&mut text);
    read.map_err(|error| CommandError::Usage(format!("the key could not be read: {error}")))?;
    Ok(text)
}

fn object(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter().cloned();
    Value::Object(pairs.map(|(name, value)| (name, value.into())).collect())
}

impl KeyListArguments {
    fn run(&self, remote: &AdminClient, json: bool) -> Result<(), CommandError> {
        let mut call = ApiRequest::default();
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
        print_table(&page, json)
    }
}

impl KeyFindArguments {
    fn run(&self, remote: &AdminClient, json: bool) -> Result<(), CommandError> {
        let mut call = ApiRequest::default();
        call.query.push(("limit", self.limit.to_string()));
        call.query.push(("begins_with", self.begins_with.clone()));
        let page = remote.value("GET", "/v1/keys", call)?;
        let found = at(&page, "items").as_array().map_or(0, Vec::len);
        print_table(&page, json)?;
        if found == 0 {
            eprint_line!(
                "no key of the store begins with this text; keys of the configuration have only a digest and cannot be found by it"
            );
            return Err(CommandError::NotFound);
        }
        Ok(())
    }
}

/// Prints a page of keys.
fn print_table(page: &Value, json: bool) -> Result<(), CommandError> {
    if json {
        return admin_client::json(page);
    }
    let items = at(page, "items").as_array().into_iter().flatten();
    admin_client::table(
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
        eprint_line!("for more, add `--cursor {cursor}`");
    }
    Ok(())
}

impl KeyUpdateArguments {
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
