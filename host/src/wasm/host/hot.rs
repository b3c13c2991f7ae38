//! The functions that filters call for every request, linked without a copy of their names.
//!
//! The generated bindings hand each function its strings as `String`s. A field's or an
//! attribute's name is only compared, so these functions read it where the guest put it; they are
//! linked over the generated ones, and do the same (see [`super::exchange`]).

use http::HeaderName;
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::exchange::{octets, text};
use crate::wasm::bindings::types::{EditError, Message};
use crate::wasm::state::InstanceState;

/// Where they are.
const EXCHANGE: &str = "windlass:host/exchange@0.1.0";

/// Link them, over those that are linked already.
pub(crate) fn link(linker: &mut Linker<InstanceState>) -> Result<()> {
    linker.allow_shadowing(true);
    let mut exchange = linker.instance(EXCHANGE)?;
    exchange.func_wrap(
        "header",
        |mut store: StoreContextMut<'_, InstanceState>, (of, name): (Message, WasmStr)| {
            store.data_mut().charge_call()?;
            let name = name.to_str(&store)?;
            Ok((store.data().first(of, &name).map(octets),))
        },
    )?;
    exchange.func_wrap(
        "header-text",
        |mut store: StoreContextMut<'_, InstanceState>, (of, name): (Message, WasmStr)| {
            store.data_mut().charge_call()?;
            let name = name.to_str(&store)?;
            Ok((store.data().first(of, &name).and_then(text),))
        },
    )?;
    exchange.func_wrap(
        "header-many",
        |mut store: StoreContextMut<'_, InstanceState>, (of, names): (Message, Vec<WasmStr>)| {
            store.data_mut().charge_call()?;
            let mut values = Vec::with_capacity(names.len());
            for name in names {
                let name = name.to_str(&store)?;
                values.push(store.data().first(of, &name).map(octets));
            }
            Ok((values,))
        },
    )?;
    exchange.func_wrap(
        "set-header",
        |mut store: StoreContextMut<'_, InstanceState>,
         (of, name, value): (Message, WasmStr, Vec<u8>)| {
            store.data_mut().charge_call()?;
            let set = set_field(&mut store, of, &name, value)?;
            Ok((set,))
        },
    )?;
    exchange.func_wrap(
        "set-headers",
        |mut store: StoreContextMut<'_, InstanceState>,
         (of, fields): (Message, Vec<(WasmStr, Vec<u8>)>)| {
            store.data_mut().charge_call()?;
            let before = store.data().journal_length();
            for (name, value) in fields {
                if let Err(error) = set_field(&mut store, of, &name, value)? {
                    store.data_mut().undo_to(before);
                    return Ok((Err(error),));
                }
            }
            Ok((Ok(()),))
        },
    )?;
    exchange.func_wrap(
        "remove-header",
        |mut store: StoreContextMut<'_, InstanceState>, (of, name): (Message, WasmStr)| {
            store.data_mut().charge_call()?;
            let name = field_name(&mut store, of, &name)?;
            Ok((store.data_mut().remove_field(of, name)?,))
        },
    )?;
    exchange.func_wrap(
        "attribute",
        |mut store: StoreContextMut<'_, InstanceState>, (name,): (WasmStr,)| {
            store.data_mut().charge_call()?;
            let name = name.to_str(&store)?;
            Ok((store.data().fact(&name),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn set_field(
    store: &mut StoreContextMut<'_, InstanceState>,
    of: Message,
    name: &WasmStr,
    value: Vec<u8>,
) -> Result<Result<(), EditError>> {
    let name = field_name(store, of, name)?;
    store.data_mut().set_field(of, name, value)
}

pub(super) fn field_name(
    store: &mut StoreContextMut<'_, InstanceState>,
    of: Message,
    name: &WasmStr,
) -> Result<Result<HeaderName, EditError>> {
    let text = name.to_str(&*store)?;
    Ok(match store.data().names.find(&text) {
        Some(name) => Ok(name),
        None => {
            let text = text.into_owned();
            store.data_mut().new_field_name(of, &text)
        }
    })
}
