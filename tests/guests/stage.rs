//! A gateway with filters that do what their settings say.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use std::net::SocketAddr;

use windlass_tests::{Builder, Gateway, Metrics, Upstream};

/// The filter that does what its settings say; its steps are in `tests/guests/rust`.
pub(crate) const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

/// The filter that asks for a body but has no phase for it.
pub(crate) const HEADSTRONG: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/headstrong.wasm"));

/// A configuration under construction. It has one worker, so a filter uses one instance after the
/// other.
pub(crate) struct Stage {
    toml: String,
    files: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// An empty stage.
    pub(crate) fn new() -> Self {
        Self {
            toml: "[server]\nworkers = 1\n".to_owned(),
            files: vec![("actor.wasm".to_owned(), ACTOR.to_owned())],
            environment: Vec::new(),
        }
    }

    /// Append these lines to the configuration.
    pub(crate) fn lines(mut self, lines: &str) -> Self {
        self.toml.push_str(lines);
        self.toml.push('\n');
        self
    }

    /// Add a file beside the configuration.
    pub(crate) fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files
            .push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Set an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Add an upstream.
    pub(crate) fn upstream(self, name: &str, address: SocketAddr) -> Self {
        self.lines(&format!(
            "[upstream.{name}]\nendpoints = [{{ address = \"{address}\" }}]"
        ))
    }

    /// Add an actor; `keys` includes its `settings`.
    pub(crate) fn actor(self, name: &str, keys: &str) -> Self {
        self.lines(&format!("[filter.{name}]\nplugin = \"actor.wasm\"\n{keys}"))
    }

    /// Add a filter of another component.
    pub(crate) fn filter(self, name: &str, component: &[u8], keys: &str) -> Self {
        let file = format!("{name}-component.wasm");
        self.lines(&format!("[filter.{name}]\nplugin = \"{file}\"\n{keys}"))
            .file(&file, component)
    }

    /// Add a route through these filters to the upstream `main`.
    pub(crate) fn route(self, path: &str, filters: &[&str]) -> Self {
        self.lines(&format!(
            "[[route]]\npath = \"{path}\"\nfilters = {filters:?}\nupstream = \"main\""
        ))
    }

    /// Write the configuration and the files.
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

    pub(crate) fn start(self) -> Gateway {
        self.builder().start()
    }

    /// A stage with an actor on `/act` in front of the upstream.
    pub(crate) fn of_one_actor(upstream: &Upstream, keys: &str) -> Self {
        Self::new()
            .upstream("main", upstream.address())
            .actor("actor", keys)
            .route("/act", &["actor"])
    }
}

/// The value of a metric of one filter.
pub(crate) fn figure(metrics: &Metrics, name: &str, filter: &str) -> f64 {
    metrics.with(&format!("windlass_filter_{name}"), &[("filter", filter)])
}
