//! `windlass key`: creates API keys for the configuration, without a running gateway.

use std::io::{IsTerminal as _, Read as _, Stdin, Take};
use std::process::ExitCode;

use clap::Subcommand;

use super::BAD_CONFIG;
use super::admin_client::CommandError;
use super::output::{self, eprint_line};
use crate::keys::{KeyDigest, MAX_PRESENTED, generate};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key. It is shown once, with the lines for the configuration that hold its digest.
    New(KeyNewArguments),
    /// Print the digest of a key that exists already; the key is read from standard input.
    Digest,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyNewArguments {
    /// The key's public name: the attribute `api-key.id`.
    #[arg(long)]
    id: String,
    /// The consumer that it is issued to: the attribute `consumer.id`.
    #[arg(long)]
    consumer: String,
    /// The usage plan, a `[plan.<name>]` of the configuration.
    #[arg(long)]
    plan: Option<String>,
}

/// Runs the command.
pub(crate) fn run(command: &KeyCommand) -> ExitCode {
    match command {
        KeyCommand::New(new) => make(new),
        KeyCommand::Digest => digest(),
    }
}

fn make(new: &KeyNewArguments) -> ExitCode {
    let (key, digest) = match generate() {
        Ok(made) => made,
        Err(error) => {
            eprint_line!("windlass: {error}");
            return ExitCode::FAILURE;
        }
    };
    eprint_line!("the key, which is shown only once and not stored:");
    if let Err(why) = output::print_line(&*key.reveal()) {
        eprint_line!("windlass: the key could not be shown and is lost: {why}; create another");
        return ExitCode::FAILURE;
    }
    eprint_line!();
    eprint_line!("put this into the configuration and reload:");
    eprint_line!();
    eprint_line!("[[key]]");
    eprint_line!("id       = {}", quoted(&new.id));
    eprint_line!("consumer = {}", quoted(&new.consumer));
    eprint_line!("digest   = \"{digest}\"");
    if let Some(plan) = &new.plan {
        eprint_line!("plan     = {}", quoted(plan));
    }
    ExitCode::SUCCESS
}

/// The text as a TOML basic string. JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Standard input, to read a key from it, at most this many bytes. Asks for it on a terminal.
pub(super) fn key_input(limit: u64) -> Take<Stdin> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint_line!("type the key, then Enter and Ctrl-D:");
    }
    input.take(limit)
}

fn digest() -> ExitCode {
    let mut key = zeroize::Zeroizing::new(Vec::new());
    let limit = MAX_PRESENTED as u64 + 3;
    if let Err(error) = key_input(limit).read_to_end(&mut key) {
        eprint_line!("windlass: the key could not be read: {error}");
        return ExitCode::FAILURE;
    }
    let text = key.strip_suffix(b"\n").unwrap_or(&key);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.is_empty() || text.len() > MAX_PRESENTED {
        eprint_line!("windlass: a key has 1 to {MAX_PRESENTED} bytes; give it on standard input");
        return ExitCode::from(BAD_CONFIG);
    }
    match output::print_line(KeyDigest::of(text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => CommandError::from(why).report(),
    }
}
