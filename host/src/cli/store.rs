//! `windlass store`: exports and imports the whole store of a running gateway, over its admin API.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin_client::{
    self, AdminClient, ApiRequest, CommandError, ConnectionArguments, at, cell,
};
use super::output::eprint_line;

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";

#[derive(Debug, clap::Args)]
pub(crate) struct StoreArguments {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Write everything that the store holds to standard output: plans, keys with the digests of
    /// their secrets, usage, extensions. Requires a token that may write.
    Export,
    /// Import the output of `store export`. It may be repeated: nothing is counted twice. If a
    /// record is left out, the exit code is 2.
    Import(StoreImportArguments),
}

#[derive(Debug, clap::Args)]
struct StoreImportArguments {
    /// The file; `-` for standard input.
    file: PathBuf,
    /// Report the result and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replace plans and keys that exist and differ.
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub(crate) fn run(store: &StoreArguments) -> ExitCode {
    admin_client::run(&store.connection, |remote| match &store.command {
        StoreCommand::Export => remote.copy("GET", "/v1/store/export", ApiRequest::default()),
        StoreCommand::Import(import) => import.run(remote, store.connection.json),
    })
}

impl StoreImportArguments {
    fn run(&self, remote: &AdminClient, json: bool) -> Result<(), CommandError> {
        let file: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            let file = File::open(&self.file).map_err(|error| {
                let file = self.file.display();
                CommandError::Usage(format!("`{file}` could not be read: {error}"))
            })?;
            Box::new(BufReader::new(file))
        };
        send(remote, file, self.dry_run, self.replace, json)
    }
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

/// Sends the lines of a store, and prints the report.
pub(crate) fn send(
    remote: &AdminClient,
    file: Box<dyn Read>,
    dry_run: bool,
    replace: bool,
    json: bool,
) -> Result<(), CommandError> {
    let call = ApiRequest {
        query: vec![
            ("dry_run", dry_run.to_string()),
            ("replace", replace.to_string()),
        ],
        stream: Some((NDJSON, file)),
        ..ApiRequest::default()
    };
    let report = remote.value("POST", "/v1/store/import", call)?;
    let kinds = ["plans", "keys", "usage", "extensions"];
    let number = |kind: &str, name: &str| at(at(&report, kind), name).as_u64().unwrap_or(0);
    let mut left_out = at(&report, "unreadable").as_u64().unwrap_or(0);
    for kind in kinds {
        left_out += number(kind, "left_out");
    }
    if json {
        admin_client::json(&report)?;
    } else {
        if dry_run {
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
        for warning in at(&report, "warnings").as_array().into_iter().flatten() {
            let (line, message) = (cell(at(warning, "line")), cell(at(warning, "message")));
            eprint_line!("  line {line}: {message}");
        }
    }
    if left_out > 0 || at(&report, "complete") == &Value::Bool(false) {
        return Err(CommandError::PartlyDone);
    }
    Ok(())
}
