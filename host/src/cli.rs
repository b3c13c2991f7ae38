//! The command line: parses the arguments, runs the command, and gives the exit code.
//!
//! Exit codes: 0 success; 1 failure (an address in use, no thread); 2 the configuration or the
//! command line has errors. [`admin_client`] has those of commands that talk to a running gateway.

mod account;
mod admin_client;
mod check;
mod demo;
mod drain;
mod file_limit;
mod key;
mod keys;
mod log;
mod notify;
mod output;
mod plans;
mod plugin;
mod reload;
mod run;
mod schema;
mod shell;
mod signals;
mod store;
mod terminal;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use admin_client::RemoteArguments;

/// The configuration or the command line has errors.
const BAD_CONFIG: u8 = 2;

/// A programmable API gateway: every request runs through a chain of WebAssembly components, in
/// the order that the TOML file says, and then goes to a built-in load balancer.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway. SIGHUP reloads the configuration, SIGUSR1 reopens log files, SIGTERM
    /// drains and exits.
    Run(ConfigFile),
    /// Check a configuration and everything that it refers to: print every error and warning.
    Check(ConfigFile),
    /// Run a gateway with three small endpoints, and print curl commands to try.
    Demo(demo::Demo),
    /// Create API keys for the configuration.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Create and manage the API keys of a running gateway.
    Keys(RemoteArguments<keys::KeysCommand>),
    /// Show the level of a running gateway's own log, and change it for a time.
    Log(RemoteArguments<log::LogCommand>),
    /// Manage the usage plans of a running gateway.
    Plans(RemoteArguments<plans::PlansCommand>),
    /// Make, build, run and test plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Print the JSON Schema of the configuration, for editors: with the settings of the filters that
    /// come with the gateway, and of a configuration's own plugins.
    Schema(schema::SchemaArguments),
    /// Print the script that completes commands and options in a shell.
    Completions(shell::CompletionsArguments),
    /// Write the pages of the manual.
    Man(shell::ManArguments),
    /// Back up, restore and move the whole store of a running gateway.
    Store(RemoteArguments<store::StoreCommand>),
    /// Show the usage of keys on their plans, and extend quotas.
    Usage(RemoteArguments<usage::UsageCommand>),
}

/// The argument that names the configuration.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(short, long, default_value = "windlass.toml", value_name = "FILE")]
    config: PathBuf,
}

/// Reads the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(file) => run::run(&file.config),
        Command::Check(file) => check::check(&file.config),
        Command::Demo(demo) => demo::demo(&demo),
        Command::Key(command) => key::run(&command),
        Command::Keys(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Plans(command) => command.run(),
        Command::Plugin(command) => plugin::run(&command),
        Command::Schema(arguments) => schema::print(&arguments),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
        Command::Store(command) => command.run(),
        Command::Usage(command) => command.run(),
    }
}
