//! `windlass:host/problem-members`: members that a problem body has beside the usual ones.
//!
//! Kept for the running phase; the refusal that it answers with takes it along. Deliberately does not word
//! anything: that is [`crate::error`].

use wasmtime::Result;

use super::HostFunctions;

/// The longest text. Bytes.
const MAX_TEXT: usize = 4 * 1024;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("set", |state, (members,): (String,)| {
        if members.len() > MAX_TEXT {
            return Ok((false,));
        }
        state.account.charge_bytes(members.len())?;
        let Ok(members) = serde_json::from_str(&members) else {
            return Ok((false,));
        };
        state.members = Some(Box::new(members));
        Ok((true,))
    })
}
