//! `windlass key`: API keys for the configuration.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use clap::Subcommand;

use super::BAD_CONFIG;
use super::admin_client::CommandError;
use super::output::{self, tell};
use crate::keys::{KeyDigest, MAX_PRESENTED, generate};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key: it is shown once, with the lines for the configuration that hold its digest.
    New(KeyNewArguments),
    /// The digest of a key that exists already; the key is read from standard input.
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

/// Do it.
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
            tell!("windlass: {error}");
            return ExitCode::FAILURE;
        }
    };
    tell!("the key, which is shown this once and kept nowhere:");
    if let Err(why) = output::print_line(&*key.reveal()) {
        tell!("windlass: the key was not shown, and is gone: {why}; make another");
        return ExitCode::FAILURE;
    }
    tell!();
    tell!("put this into the configuration and reload:");
    tell!();
    tell!("[[key]]");
    tell!("id       = {}", quoted(&new.id));
    tell!("consumer = {}", quoted(&new.consumer));
    tell!("digest   = \"{digest}\"");
    if let Some(plan) = &new.plan {
        tell!("plan     = {}", quoted(plan));
    }
    ExitCode::SUCCESS
}

/// A TOML basic string. JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn digest() -> ExitCode {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        tell!("type the key, then Enter and Ctrl-D:");
    }
    let mut key = zeroize::Zeroizing::new(Vec::new());
    let limit = MAX_PRESENTED as u64 + 3;
    if let Err(error) = input.by_ref().take(limit).read_to_end(&mut key) {
        tell!("windlass: the key cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    let text = key.strip_suffix(b"\n").unwrap_or(&key);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.is_empty() || text.len() > MAX_PRESENTED {
        tell!("windlass: a key has 1 to {MAX_PRESENTED} bytes; give it on standard input");
        return ExitCode::from(BAD_CONFIG);
    }
    match output::print_line(KeyDigest::of(text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => CommandError::from(why).report(),
    }
}
