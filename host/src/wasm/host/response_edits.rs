//! `windlass:host/response-edits`, linked without a copy of the names: edits of a response that a filter asks for
//! before there is one.
//!
//! In `configure` they are kept as advice and hold for every response; in a request phase they are kept with the
//! exchange. Deliberately does not make them: [`crate::chain`] does, in the filter's place.

use wasmtime::component::{ComponentType, Lift, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::HostFunctions;
use super::fields::field_name;
use super::functions::{HostError, HostResult, answer};
use crate::exchange::ResponseEdit;
use crate::wasm::bindings::types::{EditError, Message};
use crate::wasm::recorder::{CallText, Guest, Shown};
use crate::wasm::state::{InstanceState, Phase, Undo};

/// The most edits of one response that a filter may ask for.
const MAX_FOR_ONE_RESPONSE: usize = 256;

/// The most edits of every response.
const MAX_FOR_EVERY_RESPONSE: usize = 64;

/// `response-edit`, with its name left where the guest put it.
#[derive(ComponentType, Lift)]
#[component(variant)]
enum EditArgument {
    #[component(name = "set")]
    Set((WasmStr, Vec<u8>)),
    #[component(name = "append")]
    Append((WasmStr, Vec<u8>)),
    #[component(name = "add-member")]
    AddMember((WasmStr, Vec<u8>)),
    #[component(name = "remove")]
    Remove(WasmStr),
}

impl Shown for EditArgument {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Set(field) => text.word_and("set ", field, guest),
            Self::Append(field) => text.word_and("append ", field, guest),
            Self::AddMember(field) => text.word_and("add-member ", field, guest),
            Self::Remove(name) => text.word_and("remove ", name, guest),
        }
    }
}

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_reading("edit", |store, (edits,): (Vec<EditArgument>,)| {
        answer(match store.data().phase {
            Phase::Configure => edit_every_response(store, edits),
            Phase::Request | Phase::RequestBody { .. } => edit_this_response(store, edits),
            Phase::Idle | Phase::Response | Phase::ResponseBody { .. } | Phase::Log => {
                Err(HostError::Refused(EditError::TooLate))
            }
        })
    })?;
    functions.add("skip-on-response", |state, ()| {
        state.advice.skips_response |= state.phase == Phase::Configure;
        Ok(())
    })
}

/// Keep edits for every response.
fn edit_every_response(
    store: &mut StoreContextMut<'_, InstanceState>,
    edits: Vec<EditArgument>,
) -> HostResult<()> {
    let before = store.data().advice.response_edits.len();
    if before + edits.len() > MAX_FOR_EVERY_RESPONSE {
        return Err(HostError::Refused(EditError::TooLarge));
    }
    for edit in edits {
        let edit = checked(store, edit).inspect_err(|_| {
            store.data_mut().advice.response_edits.truncate(before);
        })?;
        store.data_mut().advice.response_edits.push(edit);
    }
    Ok(())
}

/// Keep edits for the response of the exchange in hand.
fn edit_this_response(
    store: &mut StoreContextMut<'_, InstanceState>,
    edits: Vec<EditArgument>,
) -> HostResult<()> {
    let state = store.data_mut();
    // A streamed body may still be on its way when the response has passed the chain.
    let exchange = state.exchange.as_ref();
    let Some(exchange) = exchange.filter(|exchange| exchange.response.is_none()) else {
        state.notice("edits of the response were refused: it is there already");
        return Err(HostError::Refused(EditError::TooLate));
    };
    let before = exchange.response_edits.edits.len();
    if exchange.response_edits.len_of(state.position) + edits.len() > MAX_FOR_ONE_RESPONSE {
        state.had_no_room.set(true);
        state.notice("edits of the response were refused: a filter may make at most 256 edits of one response");
        return Err(HostError::Refused(EditError::TooLarge));
    }
    let mark = state.journal_length();
    state.record_undo(Undo::ResponseEdits(before));
    for edit in edits {
        let edit = checked(store, edit).inspect_err(|_| store.data_mut().undo_to(mark))?;
        let state = store.data_mut();
        if let Some(exchange) = state.exchange.as_mut() {
            exchange.response_edits.push(state.position, edit);
        }
    }
    Ok(())
}

/// An edit that HTTP can carry and that a filter may make.
fn checked(
    store: &mut StoreContextMut<'_, InstanceState>,
    edit: EditArgument,
) -> HostResult<ResponseEdit> {
    let (make, name, value): (fn(_, _) -> _, _, _) = match edit {
        EditArgument::Set((name, value)) => (ResponseEdit::Set, name, value),
        EditArgument::Append((name, value)) => (ResponseEdit::Append, name, value),
        EditArgument::AddMember((name, value)) => (ResponseEdit::AddMember, name, value),
        EditArgument::Remove(name) => {
            let name = field_name(store, Message::Response, &name)?;
            store.data_mut().account.charge_bytes(name.as_str().len())?;
            return Ok(ResponseEdit::Remove(name));
        }
    };
    let name = field_name(store, Message::Response, &name)?;
    let state = store.data_mut();
    let value = state.field_value(Message::Response, &name, value)?;
    state
        .account
        .charge_bytes(name.as_str().len() + value.len())?;
    Ok(make(name, value))
}
