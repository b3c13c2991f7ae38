//! Fields of heads and trailers: functions of `windlass:host/exchange`, which filters call for every request.
//!
//! A field's name is only compared, so these functions read it where the guest put it. The checks of an edit
//! are in [`super::edit`].

use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::WasmStr;
use wasmtime::{Result, StoreContextMut};

use super::HostFunctions;
use super::functions::{HostResult, answer};
use crate::wasm::bindings::types::Message;
use crate::wasm::state::InstanceState;

pub(super) fn link(functions: &mut HostFunctions<'_>) -> Result<()> {
    link_reads(functions)?;
    link_edits(functions)
}

fn link_reads(functions: &mut HostFunctions<'_>) -> Result<()> {
    functions.add_reading("header", |store, (of, name): (Message, WasmStr)| {
        let name = name.to_str(&*store)?;
        Ok((store.data().first(of, &name).map(octets),))
    })?;
    functions.add_reading("header-text", |store, (of, name): (Message, WasmStr)| {
        let name = name.to_str(&*store)?;
        Ok((store.data().first(of, &name).and_then(text),))
    })?;
    functions.add_reading("header-all", |store, (of, name): (Message, WasmStr)| {
        let name = name.to_str(&*store)?;
        let fields = store.data().fields(of).into_iter();
        let values = fields.flat_map(|fields| fields.get_all(&*name));
        Ok((values.map(octets).collect::<Vec<_>>(),))
    })?;
    functions.add_reading(
        "header-many",
        |store, (of, names): (Message, Vec<WasmStr>)| {
            let mut values = Vec::with_capacity(names.len());
            for name in names {
                let name = name.to_str(&*store)?;
                values.push(store.data().first(of, &name).map(octets));
            }
            Ok((values,))
        },
    )?;
    functions.add("headers", |state, (of,): (Message,)| {
        let pair = |(name, value): (&HeaderName, _)| (name.as_str().to_owned(), octets(value));
        let list = state
            .fields(of)
            .map(|fields| fields.iter().map(pair).collect::<Vec<_>>());
        Ok((list.unwrap_or_default(),))
    })?;
    functions.add("headers-packed", |state, (of,): (Message,)| {
        Ok((state.fields(of).map(packed).unwrap_or_default(),))
    })
}

fn link_edits(functions: &mut HostFunctions<'_>) -> Result<()> {
    functions.add_reading(
        "set-header",
        |store, (of, name, value): (Message, WasmStr, Vec<u8>)| {
            answer(set_field(store, of, &name, value))
        },
    )?;
    functions.add_reading(
        "set-headers",
        |store, (of, fields): (Message, Vec<(WasmStr, Vec<u8>)>)| {
            let before = store.data().journal_length();
            let mut fields = fields.into_iter();
            let set = fields.try_for_each(|(name, value)| set_field(store, of, &name, value));
            if set.is_err() {
                store.data_mut().undo_to(before);
            }
            answer(set)
        },
    )?;
    functions.add_reading(
        "append-header",
        |store, (of, name, value): (Message, WasmStr, Vec<u8>)| {
            let name = field_name(store, of, &name);
            answer(name.and_then(|name| store.data_mut().append_field(of, name, value)))
        },
    )?;
    functions.add_reading("remove-header", |store, (of, name): (Message, WasmStr)| {
        let name = field_name(store, of, &name);
        answer(name.and_then(|name| store.data_mut().remove_field(of, name)))
    })
}

impl InstanceState {
    /// The first value of a field.
    fn first(&self, of: Message, name: &str) -> Option<&HeaderValue> {
        self.fields(of)?.get(name)
    }
}

pub(super) fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes())
        .ok()
        .map(str::to_owned)
}

fn octets(value: &HeaderValue) -> Vec<u8> {
    value.as_bytes().to_vec()
}

/// All fields in one text, each with its lengths before it.
fn packed(fields: &HeaderMap) -> Vec<u8> {
    let mut packed = Vec::with_capacity(1024);
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        packed.extend_from_slice(&name_len.to_le_bytes());
        packed.extend_from_slice(&value_len.to_le_bytes());
        packed.extend_from_slice(name);
        packed.extend_from_slice(value.as_bytes());
    }
    packed
}

fn set_field(
    store: &mut StoreContextMut<'_, InstanceState>,
    of: Message,
    name: &WasmStr,
    value: Vec<u8>,
) -> HostResult<()> {
    let name = field_name(store, of, name)?;
    store.data_mut().set_field(of, name, value)
}

pub(super) fn field_name(
    store: &mut StoreContextMut<'_, InstanceState>,
    of: Message,
    name: &WasmStr,
) -> HostResult<HeaderName> {
    let text = name.to_str(&*store)?;
    match store.data().names.find(&text) {
        Some(name) => Ok(name),
        None => {
            let text = text.into_owned();
            store.data_mut().new_field_name(of, &text)
        }
    }
}
