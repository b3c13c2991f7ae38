//! `windlass keys`: manages the API keys of a running gateway, over its admin API.

mod files;

use std::io::Read as _;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::admin_client::{
    AdminClient, ApiRequest, CommandError, RemoteCommand, at, each, text_at, time_at,
};
use super::key::key_input;
use super::output::{self, OutputError, eprint_line};

use files::{KeyExportArguments, KeyImportArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key and write it to standard output, only this once; everything else goes to
    /// standard error.
    Create(KeyCreateArguments),
    /// List keys, in the order of their ids.
    List(KeyListArguments),
    /// Find the owner of a key by its first characters, such as `wl_7hXk`.
    Find(KeyFindArguments),
    /// Show everything about a key but the key itself.
    Show(KeyIdArgument),
    /// Change a key. Options that are left out change nothing.
    Update(KeyUpdateArguments),
    /// Replace a key under the same id; the old key is accepted for `--overlap` more.
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
    /// Write everything about all keys but the keys themselves to standard output. As JSON it
    /// includes their digests, if the token may write, so that another store can import them.
    Export(KeyExportArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyIdArgument {
    /// The key's id.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyCreateArguments {
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
    /// Read the key from standard input, if it was issued elsewhere.
    #[arg(long)]
    value_stdin: bool,
    /// Makes the command safe to repeat for 24 hours.
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
}

#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct KeyListArguments {
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

#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct KeyFindArguments {
    /// The first characters of the key, never the whole key. Windlass stores seven of most keys.
    #[arg(value_name = "PREFIX")]
    begins_with: String,
    /// The number of keys, at most 1000.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyUpdateArguments {
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
pub(crate) struct KeyRotateArguments {
    /// The key's id.
    id: String,
    /// How long the old key is accepted, in whole seconds: `24h`; `0s` ends it now.
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

impl RemoteCommand for KeysCommand {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        match self {
            Self::Create(create) => create.run(remote),
            Self::List(list) => {
                let call = ApiRequest::new("GET", &["keys"]).query(list);
                print_page(remote, &remote.value(call)?)
            }
            Self::Find(find) => find.run(remote),
            Self::Show(key) => {
                let call = ApiRequest::new("GET", &["keys", &key.id]);
                remote.print(&remote.value(call)?, describe)
            }
            Self::Update(update) => update_key(remote, &update.id, &update.body()),
            Self::Rotate(rotate) => {
                let body = json!({ "overlap_seconds": rotate.overlap.as_secs() });
                let call = ApiRequest::new("POST", &["keys", &rotate.id, "rotate"]).json(&body);
                print_created(remote, &remote.value(call)?)
            }
            Self::Enable(key) => update_key(remote, &key.id, &json!({ "enabled": true })),
            Self::Disable(key) => update_key(remote, &key.id, &json!({ "enabled": false })),
            Self::Delete(key) => {
                remote.value(ApiRequest::new("DELETE", &["keys", &key.id]))?;
                eprint_line!("key `{}` is deleted: it is refused from now on", key.id);
                Ok(())
            }
            Self::Import(import) => import.run(remote),
            Self::Export(export) => export.run(remote),
        }
    }
}

/// Prints a key's text, alone on standard output.
fn print_created(remote: &AdminClient, answer: &Value) -> Result<(), CommandError> {
    let key = at(answer, "key");
    let id = text_at(key, "id");
    let secret = at(answer, "secret").as_str();
    let unseen = |why: OutputError| match secret {
        Some(_) => CommandError::SecretNotShown(format!(
            "the new text of key `{id}` could not be shown, and it is not stored: {why}; `windlass keys rotate {id} --overlap 0s` makes another and ends all earlier ones"
        )),
        None => why.into(),
    };
    if remote.json {
        return output::print_line(answer).map_err(unseen);
    }
    eprint_line!("key `{id}` of {}", text_at(key, "consumer"));
    match secret {
        Some(secret) => {
            eprint_line!("its text, which is shown only once and not stored:");
            output::print_line(secret).map_err(unseen)?;
        }
        None => eprint_line!("its text is not shown again"),
    }
    for old in each(key, "secrets").skip(1) {
        let (prefix, end) = (text_at(old, "prefix"), time_at(old, "expires"));
        eprint_line!("the old text ({prefix}..) is accepted until {end} UTC");
    }
    Ok(())
}

fn update_key(remote: &AdminClient, id: &str, body: &Value) -> Result<(), CommandError> {
    let call = ApiRequest::new("PATCH", &["keys", id]).json(body);
    remote.print(&remote.value(call)?, describe)
}

fn describe(key: &Value) -> Vec<(&'static str, String)> {
    let secrets = each(key, "secrets").map(|secret| {
        let prefix = text_at(secret, "prefix");
        if at(secret, "expires").is_null() {
            format!("{prefix}..")
        } else {
            format!("{prefix}.. until {}", time_at(secret, "expires"))
        }
    });
    let secrets: Vec<String> = secrets.collect();
    vec![
        ("id", text_at(key, "id")),
        ("name", text_at(key, "name")),
        ("consumer", text_at(key, "consumer")),
        ("plans", text_at(key, "plans")),
        ("metadata", text_at(key, "metadata")),
        ("status", text_at(key, "status")),
        ("expires", time_at(key, "expires")),
        ("created", time_at(key, "created")),
        ("updated", time_at(key, "updated")),
        ("last used", time_at(key, "last_used")),
        ("begins with", secrets.join(", ")),
        ("defined in", text_at(key, "source")),
    ]
}

impl KeyCreateArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let mut body = json!({
            "consumer": self.consumer,
            "name": self.name,
            "plans": self.plans,
            "metadata": object(&self.metadata),
            "enabled": !self.disabled,
            "expires": self.expires,
        });
        if self.value_stdin {
            let mut text = Zeroizing::new(String::with_capacity(1024));
            let read = key_input(1024).read_to_string(&mut text);
            read.map_err(|error| {
                CommandError::Usage(format!("the key could not be read: {error}"))
            })?;
            let value = Value::from(text.trim());
            body.as_object_mut()
                .map(|members| members.insert("value".to_owned(), value));
        }
        let mut call = ApiRequest::new("POST", &["keys"]).json(&body);
        if let Some(token) = &self.idempotency_key {
            call = call.header("idempotency-key", token);
        }
        print_created(remote, &remote.value(call)?)
    }
}

fn object(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter().cloned();
    Value::Object(pairs.map(|(name, value)| (name, value.into())).collect())
}

impl KeyFindArguments {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let page = remote.value(ApiRequest::new("GET", &["keys"]).query(self))?;
        print_page(remote, &page)?;
        if each(&page, "items").next().is_none() {
            eprint_line!(
                "no key of the store begins with this text; keys of the configuration have only a digest and cannot be found by it"
            );
            return Err(CommandError::NotFound);
        }
        Ok(())
    }
}

fn print_page(remote: &AdminClient, page: &Value) -> Result<(), CommandError> {
    let heading = [
        "ID",
        "NAME",
        "CONSUMER",
        "PLANS",
        "STATUS",
        "EXPIRES",
        "LAST USED",
    ];
    let rows = each(page, "items").map(|key| {
        vec![
            text_at(key, "id"),
            text_at(key, "name"),
            text_at(key, "consumer"),
            text_at(key, "plans"),
            text_at(key, "status"),
            time_at(key, "expires"),
            time_at(key, "last_used"),
        ]
    });
    remote.print_page(page, &heading, rows)
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
