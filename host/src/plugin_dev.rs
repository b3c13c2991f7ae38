//! `windlass plugin dev`: what a plugin's author sees while the plugin is written.
//!
//! The command itself ([`crate::cli`]) runs an ordinary gateway in this process. Here is what it has beside that: the
//! configuration of a gateway with this one filter ([`config`]), an endpoint that answers with the request that it got
//! ([`echo`]), a thread that builds the plugin when its sources change ([`watch`]), and one that prints each exchange
//! with what the filter did ([`mod@print`]). Nothing here is on a request's way.

mod cases;
mod config;
mod echo;
mod print;
mod style;
mod watch;

pub(crate) use config::{DevConfig, DevOptions};
pub(crate) use echo::EchoEndpoint;
pub(crate) use print::{ExchangePrinter, print_line};
pub(crate) use watch::{DevChange, SourceWatch};
