//! A plugin's component, compiled, with the phases that it exports and the interfaces that it imports.
//!
//! Windlass compiles a component once for each digest, however many filters use it and however often
//! the configuration is reloaded. [`super::linker`] gives it its imports.

use std::fmt;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, types::ComponentItem};

use super::compiler;
use super::component_cache::ComponentCache;
use super::component_digest::ComponentDigest;
use super::debug_lines::DebugLines;
use super::engine::FilterEngine;
use super::standard::StandardEngineError;
use crate::model::filter::HostInterface;

/// The version of the contract that this host offers.
pub(super) const CONTRACT: &str = "0.1.0";

/// Which phases a component exports.
#[expect(clippy::struct_excessive_bools, reason = "a set of five")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Phases {
    /// `request-phase`.
    pub(crate) request: bool,
    /// `request-body-phase`.
    pub(crate) request_body: bool,
    /// `response-phase`.
    pub(crate) response: bool,
    /// `response-body-phase`.
    pub(crate) response_body: bool,
    /// `log-phase`.
    pub(crate) log: bool,
}

impl Phases {
    /// The names of the exported phases.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.request, "request"),
            (self.request_body, "request-body"),
            (self.response, "response"),
            (self.response_body, "response-body"),
            (self.log, "log"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }
}

/// A compiled component. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CompiledComponent {
    pub(super) digest: ComponentDigest,
    /// wasmtime's component.
    pub(super) component: Component,
    /// The phases that it exports.
    pub(super) phases: Phases,
    /// The host interfaces that it imports and that need a grant.
    pub(super) interfaces: Arc<[HostInterface]>,
    /// Whether it imports `documents`.
    pub(crate) reads_documents: bool,
    /// Whether it exports `description`.
    pub(super) describes: bool,
    /// The lines of its source, for the log.
    pub(super) debug_lines: Arc<DebugLines>,
    /// Whether it is a component on `wasi:http`, without phases.
    pub(super) is_standard: bool,
    /// Counts the filters that use it, for the registry.
    alive: Arc<()>,
}

impl fmt::Debug for CompiledComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledComponent")
            .field("digest", &self.digest)
            .field("phases", &self.phases)
            .finish_non_exhaustive()
    }
}

/// Why a plugin's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComponentError {
    /// The file is not WebAssembly.
    #[error("is not WebAssembly: it does not begin with `\\0asm`")]
    NotWasm,
    #[error(
        "is a core module, not a component: build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It does not compile.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// The system has no threads left.
    #[error("cannot be compiled, because no thread can be started: {0}")]
    Threads(String),
    /// It is a component on `wasi:http`, whose engine does not start.
    #[error(transparent)]
    Standard(#[from] StandardEngineError),
    #[error(
        "does not export `windlass:filter/lifecycle@{CONTRACT}`: it is a component, but not one for this gateway (it exports {exports})"
    )]
    NoLifecycle { exports: String },
    /// An export of the contract in another version, or one that the contract does not have.
    #[error(
        "exports `{0}`, which this gateway does not support: it was built for another version of the contract (this one is {CONTRACT})"
    )]
    UnknownExport(String),
    #[error(
        "exports no phase: a filter exports at least one of `request-phase`, `request-body-phase`, `response-phase`, `response-body-phase`, `log-phase`"
    )]
    NoPhase,
    /// A body phase without the head's phase that asks for it.
    #[error("exports `{body}` but not `{head}`: the verdict on the head asks for the body")]
    BodyWithoutHead {
        /// The body phase.
        body: &'static str,
        /// The phase that is missing.
        head: &'static str,
    },
    /// An import that nothing offers.
    #[error(
        "imports `{0}`, which this gateway does not offer: only `windlass:host`, `windlass:jwt` and `windlass:callout` {CONTRACT}, and `wasi:` 0.2 can be imported"
    )]
    UnknownImport(String),
}

impl CompiledComponent {
    /// Compile, or take the machine code from the cache.
    ///
    /// # Errors
    ///
    /// It is not a component, or not one that this host can run.
    pub(crate) fn compile(
        engine: &FilterEngine,
        cache: &ComponentCache,
        digest: ComponentDigest,
        wasm: &[u8],
    ) -> Result<Self, ComponentError> {
        check_header(wasm)?;
        let component = load_or_compile(&engine.engine, cache, digest, wasm)?;
        let ComponentExports { phases, describes } = read_exports(engine, &component)?;
        let imports = read_imports(engine, &component)?;
        Ok(Self {
            digest,
            component,
            phases,
            interfaces: imports.interfaces.into(),
            reads_documents: imports.documents,
            describes,
            debug_lines: Arc::new(DebugLines::of(wasm)),
            is_standard: false,
            alive: Arc::new(()),
        })
    }

    /// The same for a component on `wasi:http`, for the engine of these.
    ///
    /// # Errors
    ///
    /// It does not compile.
    pub(super) fn compile_standard(
        engine: &Engine,
        cache: &ComponentCache,
        digest: ComponentDigest,
        wasm: &[u8],
    ) -> Result<Self, ComponentError> {
        Ok(Self {
            digest,
            component: load_or_compile(engine, cache, digest, wasm)?,
            phases: Phases::default(),
            interfaces: Arc::default(),
            reads_documents: false,
            describes: false,
            debug_lines: Arc::new(DebugLines::of(wasm)),
            is_standard: true,
            alive: Arc::new(()),
        })
    }

    /// The phases that it exports.
    #[must_use]
    pub(crate) fn phases(&self) -> Phases {
        self.phases
    }

    /// The host interfaces that it imports and that need a grant.
    #[must_use]
    pub(crate) fn interfaces(&self) -> &[HostInterface] {
        &self.interfaces
    }

    /// Whether anything but the registry uses it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.alive) > 1
    }
}

fn load_or_compile(
    engine: &Engine,
    cache: &ComponentCache,
    digest: ComponentDigest,
    wasm: &[u8],
) -> Result<Component, ComponentError> {
    if let Some(component) = cache.load(engine, digest) {
        return Ok(component);
    }
    let component = compiler::compile(engine, wasm)?;
    cache.store(engine, digest, &component);
    Ok(component)
}

/// Distinguish a component from a core module and from other files, before the compiler reads it.
pub(super) fn check_header(wasm: &[u8]) -> Result<(), ComponentError> {
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(ComponentError::CoreModule),
        Some([0, b'a', b's', b'm', ..]) => Err(ComponentError::Invalid(
            "its version is not one that this gateway knows".into(),
        )),
        Some(_) | None => Err(ComponentError::NotWasm),
    }
}

struct ComponentExports {
    phases: Phases,
    /// Whether `description` is among them.
    describes: bool,
}

fn read_exports(
    engine: &FilterEngine,
    component: &Component,
) -> Result<ComponentExports, ComponentError> {
    let mut phases = Phases::default();
    let mut describes = false;
    let mut lifecycle = false;
    let mut names = Vec::new();
    for (name, item) in component.component_type().exports(&engine.engine) {
        names.push(format!("`{name}`"));
        let Some(ours) = name.strip_prefix("windlass:filter/") else {
            continue;
        };
        let (interface, version) = ours.split_once('@').unwrap_or((ours, ""));
        if !matches!(item.ty, ComponentItem::ComponentInstance(_)) || version != CONTRACT {
            return Err(ComponentError::UnknownExport(name.to_owned()));
        }
        match interface {
            "lifecycle" => lifecycle = true,
            "description" => describes = true,
            "request-phase" => phases.request = true,
            "request-body-phase" => phases.request_body = true,
            "response-phase" => phases.response = true,
            "response-body-phase" => phases.response_body = true,
            "log-phase" => phases.log = true,
            _ => return Err(ComponentError::UnknownExport(name.to_owned())),
        }
    }
    if !lifecycle {
        let exports = if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        };
        return Err(ComponentError::NoLifecycle { exports });
    }
    let phases = check_phases(phases)?;
    Ok(ComponentExports { phases, describes })
}

fn check_phases(phases: Phases) -> Result<Phases, ComponentError> {
    if phases.names().next().is_none() {
        return Err(ComponentError::NoPhase);
    }
    for (has_body, has_head, body, head) in [
        (
            phases.request_body,
            phases.request,
            "request-body-phase",
            "request-phase",
        ),
        (
            phases.response_body,
            phases.response,
            "response-body-phase",
            "response-phase",
        ),
    ] {
        if has_body && !has_head {
            return Err(ComponentError::BodyWithoutHead { body, head });
        }
    }
    Ok(phases)
}

/// The interfaces of the host that a component imports, beside those that every filter has.
#[derive(Default)]
struct Imports {
    /// Those that need a grant.
    interfaces: Vec<HostInterface>,
    /// Whether `documents` is among the others.
    documents: bool,
}

fn read_imports(engine: &FilterEngine, component: &Component) -> Result<Imports, ComponentError> {
    let mut imports = Imports::default();
    for (name, _) in component.component_type().imports(&engine.engine) {
        let unknown = || ComponentError::UnknownImport(name.to_owned());
        let (path, version) = name.split_once('@').ok_or_else(unknown)?;
        if path.starts_with("wasi:") && version.starts_with("0.2.") {
            continue;
        }
        if version != CONTRACT {
            return Err(unknown());
        }
        match (path.strip_prefix("windlass:host/"), HostInterface::at(path)) {
            (
                Some(
                    "types" | "exchange" | "raw-params" | "advice" | "preflights"
                    | "problem-members" | "response-edits" | "log",
                ),
                _,
            ) => {}
            (Some("documents"), _) => imports.documents = true,
            (_, Some(interface)) => imports.interfaces.push(interface),
            (_, None) => return Err(unknown()),
        }
    }
    Ok(imports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_kind_of_a_file_that_is_no_component() {
        assert!(matches!(
            check_header(b"GIF89a.."),
            Err(ComponentError::NotWasm)
        ));
        assert!(matches!(check_header(b""), Err(ComponentError::NotWasm)));
        let module = check_header(b"\0asm\x01\0\0\0rest");
        assert!(matches!(module, Err(ComponentError::CoreModule)));
        assert!(check_header(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn a_body_phase_needs_the_phase_that_asks_for_the_body() {
        let phases = Phases {
            response_body: true,
            log: true,
            ..Phases::default()
        };
        let error = check_phases(phases).unwrap_err().to_string();
        assert!(error.contains("`response-phase`"), "{error}");
    }
}
