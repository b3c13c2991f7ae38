//! `windlass:host/response-edits`.

pub use crate::bindings::lifecycle::windlass::host::response_edits::ResponseEdit;

use crate::EditError;
use crate::testing::exchange::FieldEdit;
use crate::testing::rules::{field_name, field_value};
use crate::testing::state::{Phase, State, serve};

/// The most edits of one response.
const MAX_OF_ONE: usize = 256;

/// The most edits of every response.
const MAX_OF_EVERY: usize = 64;

/// Keeps edits of the response that is to come.
pub fn edit(edits: &[ResponseEdit<'_>]) -> Result<(), EditError> {
    serve("response-edits.edit", |state| {
        let phase = state.phase;
        let (kept, most) = match (phase, kept(state)) {
            (Phase::Configure, Some(kept)) => (kept, MAX_OF_EVERY),
            (Phase::Request | Phase::RequestBody(_), Some(kept)) => (kept, MAX_OF_ONE),
            _ => return Err(EditError::TooLate),
        };
        if kept.len() + edits.len() > most {
            return Err(EditError::TooLarge);
        }
        let edits: Vec<FieldEdit> = edits.iter().map(checked).collect::<Result<_, _>>()?;
        kept.extend(edits);
        Ok(())
    })
}

/// The list that takes edits; none once the response is there.
fn kept(state: &mut State) -> Option<&mut Vec<FieldEdit>> {
    match &mut state.exchange {
        None => Some(&mut state.gateway.response_edits),
        Some(exchange) if exchange.response.is_none() => Some(&mut exchange.response_edits),
        Some(_) => None,
    }
}

fn checked(edit: &ResponseEdit<'_>) -> Result<FieldEdit, EditError> {
    Ok(match edit {
        ResponseEdit::Set((name, value)) => FieldEdit::Set(field_name(name)?, field_value(value)?),
        ResponseEdit::Append((name, value)) => {
            FieldEdit::Append(field_name(name)?, field_value(value)?)
        }
        ResponseEdit::AddMember((name, value)) => {
            FieldEdit::AddMember(field_name(name)?, field_value(value)?)
        }
        ResponseEdit::Remove(name) => FieldEdit::Remove(field_name(name)?),
    })
}

/// Has no effect: a test decides which phases it runs.
pub fn skip_on_response() {
    serve("response-edits.skip-on-response", |_| ());
}
