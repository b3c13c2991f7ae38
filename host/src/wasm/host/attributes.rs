//! Attributes and notes: functions of `windlass:host/exchange`.

use wasmtime::Result;
use wasmtime::component::WasmStr;

use super::HostFunctions;
use super::functions::{HostResult, answer};
use super::refused::RefusedEdit;
use crate::exchange::AttributeValue;
use crate::wasm::bindings::types::{AttributeValue as Value, EditError};
use crate::wasm::state::{InstanceState, Undo};

impl From<AttributeValue> for Value {
    fn from(value: AttributeValue) -> Self {
        match value {
            AttributeValue::Text(text) => Self::Text(text),
            AttributeValue::Number(number) => Self::Number(number),
            AttributeValue::Flag(flag) => Self::Flag(flag),
            AttributeValue::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<Value> for AttributeValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Number(number) => Self::Number(number),
            Value::Flag(flag) => Self::Flag(flag),
            Value::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

pub(super) fn link(functions: &mut HostFunctions<'_>) -> Result<()> {
    functions.add_reading("attribute", |store, (name,): (WasmStr,)| {
        let name = name.to_str(&*store)?;
        Ok((store.data().fact(&name),))
    })?;
    functions.add("set-attribute", |state, (name, value): (String, Value)| {
        answer(state.put_attribute(&name, value))
    })?;
    functions.add(
        "set-attributes",
        |state, (facts,): (Vec<(String, Value)>,)| {
            answer(state.all_or_none(|state| {
                let mut facts = facts.into_iter();
                facts.try_for_each(|(name, value)| state.put_attribute(&name, value))
            }))
        },
    )?;
    functions.add("note", |state, (key,): (String,)| {
        let position = state.position;
        Ok((state.read(|exchange| exchange.notes.find(position, &key).cloned()),))
    })?;
    functions.add("set-note", |state, (key, value): (String, Vec<u8>)| {
        answer(state.set_note(key, value))
    })
}

impl InstanceState {
    /// An attribute, of a filter or of the host.
    fn fact(&self, name: &str) -> Option<Value> {
        let exchange = self.exchange.as_deref()?;
        let set = exchange.attributes.find(name).cloned();
        set.or_else(|| exchange.host_fact(name)).map(Value::from)
    }

    fn set_note(&mut self, key: String, value: Vec<u8>) -> HostResult<()> {
        self.account.charge_bytes(key.len() + value.len())?;
        let position = self.position;
        let Some(exchange) = self.exchange.as_mut() else {
            return Err(self.refuse(RefusedEdit::Note(&key), EditError::TooLate));
        };
        match exchange.notes.set(position, key.clone(), value) {
            Ok(old) => {
                self.record_undo(Undo::Note(key, old));
                Ok(())
            }
            Err(_) => Err(self.refuse(RefusedEdit::Note(&key), EditError::TooLarge)),
        }
    }
}
