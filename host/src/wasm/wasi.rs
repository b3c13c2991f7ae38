//! WASI for filters: every interface is linked, and gives access to nothing.
//!
//! Toolchains that emit components import WASI 0.2 interfaces that a filter does not need. These work:
//! an empty environment and empty arguments, no preopened folders, closed standard input, standard
//! output and error as log lines, clocks and random numbers. A wait of a few milliseconds ends at once, and is charged to
//! the call's CPU time: Go's runtime sleeps before it prints a panic. Every other function traps with a message.
//! Nothing here blocks. So this is not `wasmtime-wasi`, whose poll and blocking streams need a fiber.
//!
//! Functions are linked by the names and versions that the component imports, so that any 0.2.x
//! works.

use std::time::{Duration, Instant};

use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource,
    ResourceType, types::ComponentItem,
};
use wasmtime::{Result, StoreContextMut, bail};

use super::output::StreamKind;
use super::state::InstanceState;

use crate::runtime::clock::{monotonic_ns, since_1970};

/// The most random bytes that one call gives.
const MAX_RANDOM: u64 = 64 * 1024;

/// The longest wait for a timer that ends at once. Go's runtime waits for a millisecond, twice, before it prints a panic.
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// The number of bytes that `check-write` allows.
const WRITE_ROOM: u64 = 64 * 1024;

/// `wasi:io/streams.output-stream`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputStream(StreamKind);

/// `wasi:io/streams.input-stream`: always at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputStream;

/// `wasi:io/poll.pollable`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pollable {
    /// Always ready.
    Ready,
    /// A timer: ready at this time.
    At(Instant),
}

/// `wasi:io/error.error`: never made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IoError;

/// Resources of interfaces whose functions trap: never made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absent;

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower, Debug, Clone, Copy)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl From<Duration> for Datetime {
    fn from(time: Duration) -> Self {
        Self {
            seconds: time.as_secs(),
            nanoseconds: time.subsec_nanos(),
        }
    }
}

type StreamResult<T> = std::result::Result<T, StreamError>;

/// Link every `wasi:` interface that the component imports. Gives the names of those whose
/// functions trap.
///
/// # Errors
///
/// The linker refuses a name.
pub(crate) fn link(
    linker: &mut Linker<InstanceState>,
    component: &Component,
) -> Result<Vec<String>> {
    let engine = linker.engine().clone();
    let mut stubbed = Vec::new();
    for (name, item) in component.component_type().imports(&engine) {
        let Some(interface) = name.strip_prefix("wasi:") else {
            continue;
        };
        let interface = interface.split('@').next().unwrap_or(interface);
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        let mut linked = linker.instance(name)?;
        let mut traps = false;
        for (export, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::Resource(_) => link_resource(&mut linked, export)?,
                ComponentItem::ComponentFunc(_) => {
                    let function = WasiFunction {
                        linked: &mut linked,
                        name: export,
                    };
                    if !serve(function, interface)? {
                        traps = true;
                        let message = format!(
                            "called `{name}#{export}`, which filters do not have: a filter reaches nothing but the host interfaces of Windlass"
                        );
                        linked.func_new(export, move |_, _, _, _| bail!("{message}"))?;
                    }
                }
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_)
                | ComponentItem::Type(_) => {}
            }
        }
        if traps {
            stubbed.push(name.to_owned());
        }
    }
    Ok(stubbed)
}

fn link_resource(linked: &mut LinkerInstance<'_, InstanceState>, name: &str) -> Result<()> {
    match name {
        "output-stream" => link_resource_of::<OutputStream>(linked, name),
        "input-stream" => link_resource_of::<InputStream>(linked, name),
        "pollable" => link_resource_of::<Pollable>(linked, name),
        "error" => link_resource_of::<IoError>(linked, name),
        _ => link_resource_of::<Absent>(linked, name),
    }
}

fn link_resource_of<T: Send + 'static>(
    linked: &mut LinkerInstance<'_, InstanceState>,
    name: &str,
) -> Result<()> {
    let drop = |mut store: StoreContextMut<'_, InstanceState>, rep| {
        let resources = &mut store.data_mut().resources;
        resources.delete(Resource::<T>::new_own(rep))?;
        Ok(())
    };
    linked.resource(name, ResourceType::host::<T>(), drop)
}

/// A function that the component imports.
struct WasiFunction<'a, 'b> {
    linked: &'a mut LinkerInstance<'b, InstanceState>,
    name: &'a str,
}

impl WasiFunction<'_, '_> {
    /// Link it to this; gives true: filters have it.
    fn to<P, R>(
        self,
        serve: impl Fn(&mut InstanceState, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<bool>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        let serve = move |mut store: StoreContextMut<'_, InstanceState>, arguments: P| {
            serve(store.data_mut(), arguments)
        };
        self.linked.func_wrap(self.name, serve)?;
        Ok(true)
    }
}

/// Link a function that filters have; false if they do not have it.
fn serve(function: WasiFunction<'_, '_>, interface: &str) -> Result<bool> {
    match interface {
        "cli/environment"
        | "cli/stdin"
        | "cli/stdout"
        | "cli/stderr"
        | "cli/exit"
        | "filesystem/preopens" => serve_process(function, interface),
        "cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr" => {
            function.to(|_, ()| Ok((None::<Resource<Absent>>,)))
        }
        "io/streams" => serve_streams(function),
        "io/poll" => serve_poll(function),
        "clocks/wall-clock" => serve_wall_clock(function),
        "clocks/monotonic-clock" => serve_monotonic_clock(function),
        "random/random" | "random/insecure" | "random/insecure-seed" => serve_random(function),
        _ => Ok(false),
    }
}

fn serve_process(function: WasiFunction<'_, '_>, interface: &str) -> Result<bool> {
    match function.name {
        "get-environment" => function.to(|_, ()| Ok((Vec::<(String, String)>::new(),))),
        "get-arguments" => function.to(|_, ()| Ok((Vec::<String>::new(),))),
        "initial-cwd" => function.to(|_, ()| Ok((None::<String>,))),
        "get-directories" => function.to(|_, ()| Ok((Vec::<(Resource<Absent>, String)>::new(),))),
        "get-stdin" => function.to(|state, ()| Ok((state.resources.push(InputStream)?,))),
        "get-stdout" | "get-stderr" => {
            let kind = if interface == "cli/stdout" {
                StreamKind::Out
            } else {
                StreamKind::Err
            };
            function.to(move |state, ()| Ok((state.resources.push(OutputStream(kind))?,)))
        }
        "exit" => function
            .to(|_, (_,): (std::result::Result<(), ()>,)| -> Result<()> { bail!("called exit") }),
        _ => Ok(false),
    }
}

fn serve_streams(function: WasiFunction<'_, '_>) -> Result<bool> {
    match function.name {
        "[method]output-stream.check-write" => {
            function.to(|_, (_,): (Resource<OutputStream>,)| Ok((StreamResult::Ok(WRITE_ROOM),)))
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            function.to(
                |state, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                    state.account.charge_call()?;
                    state.account.charge_bytes(bytes.len())?;
                    let OutputStream(kind) = *state.resources.get(&stream)?;
                    if let Some(recording) = &mut state.recording {
                        recording.output(kind, &bytes);
                    }
                    state.write_output(kind, &bytes);
                    Ok((StreamResult::Ok(()),))
                },
            )
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            function.to(|_, (_,): (Resource<OutputStream>,)| Ok((StreamResult::Ok(()),)))
        }
        "[method]output-stream.subscribe" => {
            function.to(|state, (_,): (Resource<OutputStream>,)| {
                Ok((state.resources.push(Pollable::Ready)?,))
            })
        }
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            function.to(|_, (_, _): (Resource<InputStream>, u64)| {
                Ok((StreamResult::<Vec<u8>>::Err(StreamError::Closed),))
            })
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            function.to(|_, (_, _): (Resource<InputStream>, u64)| {
                Ok((StreamResult::<u64>::Err(StreamError::Closed),))
            })
        }
        "[method]input-stream.subscribe" => function.to(|state, (_,): (Resource<InputStream>,)| {
            Ok((state.resources.push(Pollable::Ready)?,))
        }),
        _ => Ok(false),
    }
}

impl Pollable {
    fn is_ready(self) -> bool {
        self.remaining().is_zero()
    }

    /// How long it takes until it is ready.
    fn remaining(self) -> Duration {
        match self {
            Self::Ready => Duration::ZERO,
            Self::At(time) => time.saturating_duration_since(Instant::now()),
        }
    }
}

/// End a wait at once, as if the time had passed: its length is charged to the call's CPU time.
fn end_wait(state: &mut InstanceState, wait: Duration) -> Result<()> {
    if wait > LONGEST_WAIT {
        bail!("waited for a timer: a filter cannot sleep");
    }
    state.cpu.charge_wait(wait)?;
    Ok(())
}

fn serve_poll(function: WasiFunction<'_, '_>) -> Result<bool> {
    match function.name {
        "[method]pollable.ready" => function.to(|state, (pollable,): (Resource<Pollable>,)| {
            state.account.charge_call()?;
            Ok((state.resources.get(&pollable)?.is_ready(),))
        }),
        "[method]pollable.block" => function.to(|state, (pollable,): (Resource<Pollable>,)| {
            state.account.charge_call()?;
            let wait = state.resources.get(&pollable)?.remaining();
            end_wait(state, wait)
        }),
        "poll" => function.to(|state, (pollables,): (Vec<Resource<Pollable>>,)| {
            state.account.charge_call()?;
            let mut waits = Vec::new();
            for pollable in &pollables {
                waits.push(state.resources.get(pollable)?.remaining());
            }
            let shortest = waits.iter().min().copied().unwrap_or(Duration::MAX);
            end_wait(state, shortest)?;
            let ended = (0_u32..).zip(waits).filter(|(_, wait)| *wait <= shortest);
            Ok((ended.map(|(index, _)| index).collect::<Vec<_>>(),))
        }),
        _ => Ok(false),
    }
}

fn serve_wall_clock(function: WasiFunction<'_, '_>) -> Result<bool> {
    match function.name {
        "now" => function.to(|_, ()| Ok((Datetime::from(since_1970()),))),
        "resolution" => function.to(|_, ()| Ok((Datetime::from(Duration::from_nanos(1)),))),
        _ => Ok(false),
    }
}

fn serve_monotonic_clock(function: WasiFunction<'_, '_>) -> Result<bool> {
    match function.name {
        "now" => function.to(|_, ()| Ok((monotonic_ns(),))),
        "resolution" => function.to(|_, ()| Ok((1_u64,))),
        "subscribe-duration" => function.to(|state, (nanos,): (u64,)| timer(state, nanos)),
        "subscribe-instant" => {
            function.to(|state, (when,): (u64,)| timer(state, when.saturating_sub(monotonic_ns())))
        }
        _ => Ok(false),
    }
}

fn timer(state: &mut InstanceState, nanos: u64) -> Result<(Resource<Pollable>,)> {
    state.account.charge_call()?;
    let now = Instant::now();
    let at = now.checked_add(Duration::from_nanos(nanos));
    Ok((state.resources.push(Pollable::At(at.unwrap_or(now)))?,))
}

fn serve_random(function: WasiFunction<'_, '_>) -> Result<bool> {
    match function.name {
        "get-random-bytes" | "get-insecure-random-bytes" => function.to(|state, (len,): (u64,)| {
            state.account.charge_call()?;
            if len > MAX_RANDOM {
                bail!("asked for {len} random bytes; one call gives at most {MAX_RANDOM}");
            }
            let mut bytes = vec![0; usize::try_from(len)?];
            fill_random(&mut bytes)?;
            Ok((bytes,))
        }),
        "get-random-u64" | "get-insecure-random-u64" => function.to(|_, ()| Ok((random_u64()?,))),
        "insecure-seed" | "get-insecure-seed" => {
            function.to(|_, ()| Ok(((random_u64()?, random_u64()?),)))
        }
        _ => Ok(false),
    }
}

fn random_u64() -> Result<u64> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn fill_random(bytes: &mut [u8]) -> Result<()> {
    if aws_lc_rs::rand::fill(bytes).is_err() {
        bail!("the system has no random numbers");
    }
    Ok(())
}
