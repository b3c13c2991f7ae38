//! `windlass:host/advice`: a filter's advice for the operator, given while it is configured.
//!
//! The advice is kept in the instance's state and read once, when the filter is loaded. This file does
//! not judge it: the build of the configuration finds where a warning belongs, and which fields a
//! client could send.

use wasmtime::Result;

use super::HostFunctions;
use crate::wasm::facts::Advice;
use crate::wasm::state::{InstanceState, Phase};

/// The longest text. Bytes.
const MAX_TEXT: usize = 1024;

/// A list of field names.
type FieldList = fn(&mut Advice) -> &mut Vec<String>;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("warn", |state, (at, message): (String, String)| {
        if let Some(advice) = open_advice(state) {
            advice.warnings.push((cut(at), cut(message)));
        }
        Ok(())
    })?;
    let lists: [(&str, FieldList); 3] = [
        ("vouch", |advice| &mut advice.trusted_fields),
        ("clear", |advice| &mut advice.removed_fields),
        ("read", |advice| &mut advice.read_fields),
    ];
    for (name, list) in lists {
        functions.add(name, move |state, (field,): (String,)| {
            if let Some(advice) = open_advice(state) {
                list(advice).push(cut(field).to_ascii_lowercase());
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Where advice goes, if it counts now.
fn open_advice(state: &mut InstanceState) -> Option<&mut Advice> {
    let counts = state.phase == Phase::Configure && state.advice.has_room();
    counts.then_some(&mut state.advice)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
