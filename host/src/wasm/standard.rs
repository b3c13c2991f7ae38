//! Standard components: those that export `wasi:http/incoming-handler` (WASI 0.2).
//!
//! Such a component handles a whole exchange: it gets the request, may send one on by
//! `wasi:http/outgoing-handler`, and gives the response. As a filter, the request that it sends to
//! the host of the one it got goes on through the rest of the chain; [`call`] runs it, and
//! [`crate::chain`] carries out what it does.
//!
//! It promises
//! - that its engine, its WASI and its instances have nothing in common with those of filters: it is the
//!   only part of Windlass on `wasmtime-wasi`;
//! - that an instance serves one exchange, within the filter's bounds of CPU time and memory;
//! - that it reaches nothing but the rest of its chain and the callouts that the operator granted:
//!   no files, no sockets, no names, and no variable but its settings.

mod bodies;
mod call;
mod egress;
mod heads;
mod log;
mod of_filter;
mod state;

use std::io;
use std::sync::{Arc, OnceLock};

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, OptLevel};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

pub(crate) use bodies::{BodyFault, into_handler};
pub(crate) use call::HandlerEvent;
pub(crate) use heads::{RequestOfHandler, ResponseOfHandler};
pub(crate) use of_filter::FilterHandlerCall;
pub(crate) use wasmtime_wasi_http::WasiBody as HandlerBody;

pub(crate) use super::reserved_fields::is_reserved;
use state::HandlerState;

use super::bindings::lifecycle::Diagnostic;
use super::engine::GUEST_STACK;
use super::epoch::{Epoch, Ticking};

/// The interface that makes a component a standard one, without its version.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// Stack of a call: the guest's, and what the host's functions need above it.
const CALL_STACK: usize = GUEST_STACK + 512 * 1024;

/// Whether these bytes are a standard component: one that handles `wasi:http` and is no filter.
/// False if they are not a component at all.
pub(super) fn is_standard(wasm: &[u8]) -> bool {
    let mut depth = 0_u32;
    let mut is_handler = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::Version { encoding, .. }) => {
                if depth == 0 && encoding != Encoding::Component {
                    return false;
                }
                depth += 1;
            }
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentExportSection(exports)) if depth == 1 => {
                for export in exports.into_iter().flatten() {
                    if export.name.name.starts_with("windlass:filter/") {
                        return false;
                    }
                    is_handler |= export.name.name.starts_with(HANDLER);
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    is_handler
}

/// The engine of standard components. Started with the first of them.
#[derive(Default)]
pub(super) struct StandardEngine(OnceLock<StartedEngine>);

struct StartedEngine {
    engine: Engine,
    linker: Linker<HandlerState>,
    epoch: Epoch,
}

/// Why the engine of standard components cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandardEngineError {
    /// wasmtime refuses it.
    #[error("the engine of standard components cannot start: {0:#}")]
    Engine(wasmtime::Error),
    /// The ticker's thread did not start.
    #[error("cannot start the thread that watches the CPU limits of standard components: {0}")]
    Ticker(io::Error),
}

impl StandardEngine {
    fn started(&self) -> Result<&StartedEngine, StandardEngineError> {
        if let Some(started) = self.0.get() {
            return Ok(started);
        }
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .epoch_interruption(true)
            .max_wasm_stack(GUEST_STACK)
            .async_stack_size(CALL_STACK)
            .cranelift_opt_level(OptLevel::Speed);
        let engine = Engine::new(&config).map_err(StandardEngineError::Engine)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)
            .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
            .map_err(StandardEngineError::Engine)?;
        let epoch = Epoch::start(&engine).map_err(StandardEngineError::Ticker)?;
        let started = StartedEngine {
            engine,
            linker,
            epoch,
        };
        Ok(self.0.get_or_init(|| started))
    }

    /// wasmtime's engine.
    ///
    /// # Errors
    ///
    /// It cannot start.
    pub(super) fn engine(&self) -> Result<&Engine, StandardEngineError> {
        Ok(&self.started()?.engine)
    }

    /// Link a component of this engine.
    ///
    /// # Errors
    ///
    /// It imports something that WASI 0.2 does not have.
    pub(super) fn link(
        &self,
        component: &Component,
        settings: &str,
    ) -> wasmtime::Result<Result<HandlerComponent, Vec<Diagnostic>>> {
        let environment = match environment(settings) {
            Ok(environment) => environment,
            Err(diagnostics) => return Ok(Err(diagnostics)),
        };
        let started = self.started()?;
        let pre = ProxyPre::new(started.linker.instantiate_pre(component)?)?;
        Ok(Ok(HandlerComponent {
            pre,
            environment: environment.into(),
            epoch: started.epoch.clone(),
        }))
    }
}

impl std::fmt::Debug for StandardEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StandardEngine")
    }
}

/// A standard component with its settings.
pub(crate) struct HandlerComponent {
    pre: ProxyPre<HandlerState>,
    /// Its settings: environment variables.
    environment: Arc<[(String, String)]>,
    epoch: Epoch,
}

impl HandlerComponent {
    /// Keeps the epoch ticking while a call runs.
    fn tick(&self) -> Ticking {
        self.epoch.tick()
    }
}

/// The settings as environment variables: the only form that all toolchains read.
fn environment(settings: &str) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let settings: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(settings).unwrap_or_default();
    let mut variables = Vec::new();
    let mut diagnostics = Vec::new();
    for (name, value) in settings {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(flag) => flag.to_string(),
            _ => {
                diagnostics.push(Diagnostic {
                    at: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                    message: format!("the settings of a component on `wasi:http` are its environment variables; make `{name}` a text, a number, true or false"),
                });
                continue;
            }
        };
        if name.contains(['=', '\0']) || text.contains('\0') {
            diagnostics.push(Diagnostic {
                at: String::new(),
                message: format!(
                    "`{}` cannot be the name of an environment variable, or its value holds a NUL",
                    name.escape_debug()
                ),
            });
        }
        variables.push((name, text));
    }
    match diagnostics.is_empty() {
        true => Ok(variables),
        false => Err(diagnostics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_variables_and_tables_are_refused_by_name() {
        let variables = environment(r#"{"REALM": "a", "LIMIT": 3, "ON": true}"#).unwrap();
        let expected = [("LIMIT", "3"), ("ON", "true"), ("REALM", "a")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables.len(), 3);
        assert!(expected.iter().all(|pair| variables.contains(pair)));
        let refused = environment(r#"{"a/b": {}}"#).unwrap_err();
        assert_eq!(refused.first().unwrap().at, "/a~1b");
    }

    #[test]
    fn modules_and_other_components_are_not_standard() {
        assert!(!is_standard(b"\0asm\x01\0\0\0"));
        assert!(!is_standard(b"\0asm\x0d\0\x01\0"));
        assert!(!is_standard(b"GIF89a"));
    }
}
