//! A gateway with filters that act as they are told.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use std::net::SocketAddr;

use windlass_tests::{Builder, Gateway, Metrics, Upstream};

/// The filter that does what its settings say; its steps are in `tests/guests/rust`.
pub(crate) const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

/// The filter that asks for a body that it has no phase for.
pub(crate) const HEADSTRONG: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/headstrong.wasm"));

/// A configuration in the making: one worker, so that a filter's instances are one after the other.
pub(crate) struct Stage {
    toml: String,
    files: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// With nothing on it.
    pub(crate) fn new() -> Self {
        Self {
            toml: "[server]\nworkers = 1\n".to_owned(),
            files: vec![("actor.wasm".to_owned(), ACTOR.to_owned())],
            environment: Vec::new(),
        }
    }

    /// With lines of configuration.
    pub(crate) fn lines(mut self, lines: &str) -> Self {
        self.toml.push_str(lines);
        self.toml.push('\n');
        self
    }

    /// With a file beside the configuration.
    pub(crate) fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files
            .push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// With an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With an upstream.
    pub(crate) fn upstream(self, name: &str, address: SocketAddr) -> Self {
        self.lines(&format!(
            "[upstream.{name}]\nendpoints = [{{ address = \"{address}\" }}]"
        ))
    }

    /// With an actor: its keys, `settings` among them.
    pub(crate) fn actor(self, name: &str, keys: &str) -> Self {
        self.lines(&format!("[filter.{name}]\nplugin = \"actor.wasm\"\n{keys}"))
    }

    /// With a filter of another component.
    pub(crate) fn filter(self, name: &str, component: &[u8], keys: &str) -> Self {
        let file = format!("{name}-component.wasm");
        self.lines(&format!("[filter.{name}]\nplugin = \"{file}\"\n{keys}"))
            .file(&file, component)
    }

    /// With a route through these filters to the upstream `main`.
    pub(crate) fn route(self, path: &str, filters: &[&str]) -> Self {
        self.lines(&format!(
            "[[route]]\npath = \"{path}\"\nfilters = {filters:?}\nupstream = \"main\""
        ))
    }

    /// As files.
    pub(crate) fn builder(self) -> Builder {
        let mut builder = Gateway::with_config(self.toml);
        for (name, content) in self.files {
            builder = builder.file(&name, content);
        }
        for (name, value) in self.environment {
            builder = builder.env(&name, &value);
        }
        builder
    }

    /// As a running gateway.
    pub(crate) fn start(self) -> Gateway {
        self.builder().start()
    }

    /// An actor on `/act`, before the upstream.
    pub(crate) fn of_one_actor(upstream: &Upstream, keys: &str) -> Self {
        Self::new()
            .upstream("main", upstream.address())
            .actor("actor", keys)
            .route("/act", &["actor"])
    }
}

/// A figure of a filter.
pub(crate) fn figure(metrics: &Metrics, name: &str, filter: &str) -> f64 {
    metrics.with(&format!("windlass_filter_{name}"), &[("filter", filter)])
}
