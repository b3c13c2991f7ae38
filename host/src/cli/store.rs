//! `windlass store`: exports and imports the whole store of a running gateway, over its admin API.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};

use super::admin_client::{
    self, AdminClient, ApiBody, ApiRequest, CommandError, RemoteCommand, at, each, text_at,
};
use super::output::eprint_line;

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Write everything that the store holds to standard output: plans, keys with the digests of
    /// their secrets, usage, extensions. Requires a token that may write.
    Export,
    /// Import the output of `store export`. It may be repeated: nothing is counted twice. If a
    /// record is left out, the exit code is 2.
    Import(StoreImportArguments),
}

#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct StoreImportArguments {
    /// The file; `-` for standard input.
    #[serde(skip)]
    file: PathBuf,
    /// Report the result and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replace plans and keys that exist and differ.
    #[arg(long)]
    replace: bool,
}

impl RemoteCommand for StoreCommand {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        match self {
            Self::Export => remote.copy(ApiRequest::new("GET", &["store", "export"])),
            Self::Import(import) => send(remote, open(&import.file)?, import),
        }
    }
}

/// Opens a file that the command line names; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, CommandError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(path).map_err(|error| read_error(path, &error))?;
    Ok(Box::new(BufReader::new(file)))
}

pub(crate) fn read_error(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Usage(format!("`{}` could not be read: {error}", path.display()))
}

/// Converts the output of `keys export` to the lines of a store. None if it is another kind of
/// file.
pub(crate) fn convert_key_export(file: &[u8]) -> Option<Result<Vec<u8>, CommandError>> {
    let first = file.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        return Some(Ok(file.to_vec()));
    }
    if first != Some(&b'[') {
        return None;
    }
    let keys: Vec<Value> = match serde_json::from_slice(file) {
        Ok(keys) => keys,
        Err(error) => {
            let why = format!("the file is not valid output of `windlass keys export`: {error}");
            return Some(Err(CommandError::Usage(why)));
        }
    };
    let mut lines = json!({ "windlass_store": 1 }).to_string() + "\n";
    for key in &keys {
        lines = lines + &json!({ "key": key }).to_string() + "\n";
    }
    let counts = json!({ "plans": 0, "keys": keys.len(), "usage": 0, "extensions": 0 });
    lines = lines + &json!({ "end": counts }).to_string() + "\n";
    Some(Ok(lines.into_bytes()))
}

/// Sends the lines of a store, and prints the report. `options` are `dry_run` and `replace`.
pub(crate) fn send(
    remote: &AdminClient,
    file: Box<dyn Read>,
    options: &impl Serialize,
) -> Result<(), CommandError> {
    let call = ApiRequest::new("POST", &["store", "import"]).query(options);
    let report = remote.value(call.body(ApiBody::Stream(NDJSON, file)))?;
    let kinds = ["plans", "keys", "usage", "extensions"];
    let number = |kind: &str, name: &str| at(at(&report, kind), name).as_u64().unwrap_or(0);
    let mut left_out = at(&report, "unreadable").as_u64().unwrap_or(0);
    for kind in kinds {
        left_out += number(kind, "left_out");
    }
    if remote.json {
        admin_client::json(&report)?;
    } else {
        if at(&report, "dry_run") == &Value::Bool(true) {
            eprint_line!("a dry run: nothing was written");
        }
        admin_client::table(
            &["", "ADDED", "REPLACED", "UNCHANGED", "LEFT OUT"],
            kinds.iter().map(|kind| {
                let names = ["added", "replaced", "unchanged", "left_out"];
                let numbers = names.iter().map(|name| number(kind, name).to_string());
                std::iter::once((*kind).to_owned()).chain(numbers).collect()
            }),
        )?;
        for warning in each(&report, "warnings") {
            let (line, message) = (text_at(warning, "line"), text_at(warning, "message"));
            eprint_line!("  line {line}: {message}");
        }
    }
    if left_out > 0 || at(&report, "complete") == &Value::Bool(false) {
        return Err(CommandError::PartlyDone);
    }
    Ok(())
}
