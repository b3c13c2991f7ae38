//! WASI for filters: every interface is linked, and gives access to nothing.
//!
//! Toolchains that emit components import WASI 0.2 interfaces that a filter does not need. These work:
//! an empty environment and empty arguments, no preopened folders, closed standard input, standard
//! output and error as log lines, clocks and random numbers. Every other function traps with a message.
//! Nothing here blocks. So this is not `wasmtime-wasi`, whose poll and blocking streams need a fiber.
//!
//! Functions are linked by the names and versions that the component imports, so that any 0.2.x
//! works.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmtime::component::{
    Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, Val,
    types::ComponentItem,
};
use wasmtime::{Result, StoreContextMut, bail};

use super::output::StreamKind;
use super::state::InstanceState;

use crate::runtime::clock::monotonic_ns;

/// The most random bytes that one call gives.
const MAX_RANDOM: u64 = 64 * 1024;

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

type Context<'a> = StoreContextMut<'a, InstanceState>;
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
                    if !serve(&mut linked, interface, export)? {
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
        "output-stream" => linked.resource(
            name,
            ResourceType::host::<OutputStream>(),
            |mut store, rep| drop_resource::<OutputStream>(&mut store, rep),
        ),
        "input-stream" => linked.resource(
            name,
            ResourceType::host::<InputStream>(),
            |mut store, rep| drop_resource::<InputStream>(&mut store, rep),
        ),
        "pollable" => linked.resource(name, ResourceType::host::<Pollable>(), |mut store, rep| {
            drop_resource::<Pollable>(&mut store, rep)
        }),
        "error" => linked.resource(name, ResourceType::host::<IoError>(), |_, _| Ok(())),
        _ => linked.resource(name, ResourceType::host::<Absent>(), |_, _| Ok(())),
    }
}

fn drop_resource<T: Send + 'static>(store: &mut Context<'_>, rep: u32) -> Result<()> {
    store
        .data_mut()
        .resources
        .delete(Resource::<T>::new_own(rep))?;
    Ok(())
}

/// Link a function that works; false if it is not one of them.
fn serve(
    linked: &mut LinkerInstance<'_, InstanceState>,
    interface: &str,
    name: &str,
) -> Result<bool> {
    match interface {
        "cli/environment"
        | "cli/stdin"
        | "cli/stdout"
        | "cli/stderr"
        | "cli/exit"
        | "filesystem/preopens" => serve_process(linked, interface, name),
        "cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr" => {
            linked.func_wrap(name, |_: Context<'_>, (): ()| {
                Ok((None::<Resource<Absent>>,))
            })?;
            Ok(true)
        }
        "io/streams" if name.contains("output-stream") => serve_output(linked, name),
        "io/streams" => serve_input(linked, name),
        "io/poll" => serve_poll(linked, name),
        "clocks/wall-clock" | "clocks/monotonic-clock" => serve_clocks(linked, interface, name),
        "random/random" | "random/insecure" | "random/insecure-seed" => serve_random(linked, name),
        _ => Ok(false),
    }
}

fn serve_process(
    linked: &mut LinkerInstance<'_, InstanceState>,
    interface: &str,
    name: &str,
) -> Result<bool> {
    match name {
        "get-environment" => linked.func_wrap(name, |_: Context<'_>, (): ()| {
            Ok((Vec::<(String, String)>::new(),))
        })?,
        "get-arguments" => {
            linked.func_wrap(name, |_: Context<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
        }
        "initial-cwd" => linked.func_wrap(name, |_: Context<'_>, (): ()| Ok((None::<String>,)))?,
        "get-directories" => linked.func_wrap(name, |_: Context<'_>, (): ()| {
            Ok((Vec::<(Resource<Absent>, String)>::new(),))
        })?,
        "get-stdin" => linked.func_wrap(name, |mut store: Context<'_>, (): ()| {
            Ok((store.data_mut().resources.push(InputStream)?,))
        })?,
        "get-stdout" | "get-stderr" => {
            let kind = if interface == "cli/stdout" {
                StreamKind::Out
            } else {
                StreamKind::Err
            };
            linked.func_wrap(name, move |mut store: Context<'_>, (): ()| {
                Ok((store.data_mut().resources.push(OutputStream(kind))?,))
            })?;
        }
        "exit" => linked.func_new(name, |_, _, _, _: &mut [Val]| bail!("called exit"))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn write(store: &mut Context<'_>, stream: &Resource<OutputStream>, bytes: &[u8]) -> Result<()> {
    let state = store.data_mut();
    state.charge_call()?;
    state.charge_bytes(bytes.len())?;
    let OutputStream(kind) = *state.resources.get(stream)?;
    state.output.write(kind, bytes);
    Ok(())
}

fn serve_output(linked: &mut LinkerInstance<'_, InstanceState>, name: &str) -> Result<bool> {
    match name {
        "[method]output-stream.check-write" => linked.func_wrap(
            name,
            |_: Context<'_>, (_stream,): (Resource<OutputStream>,)| {
                Ok((StreamResult::Ok(WRITE_ROOM),))
            },
        )?,
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => linked
            .func_wrap(
                name,
                |mut store: Context<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                    write(&mut store, &stream, &bytes)?;
                    Ok((StreamResult::Ok(()),))
                },
            )?,
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => linked
            .func_wrap(
                name,
                |_: Context<'_>, (_stream,): (Resource<OutputStream>,)| Ok((StreamResult::Ok(()),)),
            )?,
        "[method]output-stream.subscribe" => linked.func_wrap(
            name,
            |mut store: Context<'_>, (_stream,): (Resource<OutputStream>,)| {
                Ok((store.data_mut().resources.push(Pollable::Ready)?,))
            },
        )?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn serve_input(linked: &mut LinkerInstance<'_, InstanceState>, name: &str) -> Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => linked.func_wrap(
            name,
            |_: Context<'_>, (_stream, _len): (Resource<InputStream>, u64)| {
                Ok((StreamResult::<Vec<u8>>::Err(StreamError::Closed),))
            },
        )?,
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => linked.func_wrap(
            name,
            |_: Context<'_>, (_stream, _len): (Resource<InputStream>, u64)| {
                Ok((StreamResult::<u64>::Err(StreamError::Closed),))
            },
        )?,
        "[method]input-stream.subscribe" => linked.func_wrap(
            name,
            |mut store: Context<'_>, (_stream,): (Resource<InputStream>,)| {
                Ok((store.data_mut().resources.push(Pollable::Ready)?,))
            },
        )?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl Pollable {
    fn is_ready(self) -> bool {
        match self {
            Self::Ready => true,
            Self::At(time) => Instant::now() >= time,
        }
    }
}

fn serve_poll(linked: &mut LinkerInstance<'_, InstanceState>, name: &str) -> Result<bool> {
    const SLEEPS: &str = "waited for a timer: a filter cannot sleep";
    match name {
        "[method]pollable.ready" => linked.func_wrap(
            name,
            |mut store: Context<'_>, (pollable,): (Resource<Pollable>,)| {
                store.data_mut().charge_call()?;
                Ok((store.data().resources.get(&pollable)?.is_ready(),))
            },
        )?,
        "[method]pollable.block" => linked.func_wrap(
            name,
            |mut store: Context<'_>, (pollable,): (Resource<Pollable>,)| {
                store.data_mut().charge_call()?;
                if !store.data().resources.get(&pollable)?.is_ready() {
                    bail!("{SLEEPS}");
                }
                Ok(())
            },
        )?,
        "poll" => linked.func_wrap(
            name,
            |mut store: Context<'_>, (pollables,): (Vec<Resource<Pollable>>,)| {
                store.data_mut().charge_call()?;
                let mut ready = Vec::new();
                for (place, pollable) in (0_u32..).zip(&pollables) {
                    if store.data().resources.get(pollable)?.is_ready() {
                        ready.push(place);
                    }
                }
                if ready.is_empty() {
                    bail!("{SLEEPS}");
                }
                Ok((ready,))
            },
        )?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn wall_clock() -> Datetime {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Datetime {
        seconds: now.as_secs(),
        nanoseconds: now.subsec_nanos(),
    }
}

fn timer(store: &mut Context<'_>, nanos: u64) -> Result<Resource<Pollable>> {
    store.data_mut().charge_call()?;
    let now = Instant::now();
    let at = now.checked_add(std::time::Duration::from_nanos(nanos));
    let pollable = Pollable::At(at.unwrap_or(now));
    Ok(store.data_mut().resources.push(pollable)?)
}

fn serve_clocks(
    linked: &mut LinkerInstance<'_, InstanceState>,
    interface: &str,
    name: &str,
) -> Result<bool> {
    match (interface, name) {
        ("clocks/wall-clock", "now") => {
            linked.func_wrap(name, |_: Context<'_>, (): ()| Ok((wall_clock(),)))?;
        }
        ("clocks/wall-clock", "resolution") => {
            linked.func_wrap(name, |_: Context<'_>, (): ()| {
                let resolution = Datetime {
                    seconds: 0,
                    nanoseconds: 1,
                };
                Ok((resolution,))
            })?;
        }
        (_, "now") => linked.func_wrap(name, |_: Context<'_>, (): ()| Ok((monotonic_ns(),)))?,
        (_, "resolution") => linked.func_wrap(name, |_: Context<'_>, (): ()| Ok((1_u64,)))?,
        (_, "subscribe-duration") => {
            linked.func_wrap(name, |mut store: Context<'_>, (nanos,): (u64,)| {
                Ok((timer(&mut store, nanos)?,))
            })?;
        }
        (_, "subscribe-instant") => {
            linked.func_wrap(name, |mut store: Context<'_>, (when,): (u64,)| {
                Ok((timer(&mut store, when.saturating_sub(monotonic_ns()))?,))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
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

fn serve_random(linked: &mut LinkerInstance<'_, InstanceState>, name: &str) -> Result<bool> {
    match name {
        "get-random-bytes" | "get-insecure-random-bytes" => {
            linked.func_wrap(name, |mut store: Context<'_>, (len,): (u64,)| {
                store.data_mut().charge_call()?;
                if len > MAX_RANDOM {
                    bail!("asked for {len} random bytes; one call gives at most {MAX_RANDOM}");
                }
                let mut bytes = vec![0; usize::try_from(len)?];
                fill_random(&mut bytes)?;
                Ok((bytes,))
            })?;
        }
        "get-random-u64" | "get-insecure-random-u64" => {
            linked.func_wrap(name, |_: Context<'_>, (): ()| Ok((random_u64()?,)))?;
        }
        "insecure-seed" | "get-insecure-seed" => linked
            .func_wrap(name, |_: Context<'_>, (): ()| {
                Ok(((random_u64()?, random_u64()?),))
            })?,
        _ => return Ok(false),
    }
    Ok(true)
}
