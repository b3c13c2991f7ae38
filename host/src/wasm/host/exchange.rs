//! `windlass:host/exchange`: the implicit current exchange.
//!
//! Here are its request line, its status and the piece of its body; [`super::fields`] and
//! [`super::attributes`] have the other functions of the interface.

use std::borrow::Cow;

use http::{HeaderValue, Method, StatusCode, header};
use wasmtime::Result;

use super::HostFunctions;
use super::edit::parse_target;
use super::functions::{HostResult, answer};
use super::refused::RefusedEdit;
use super::{attributes, fields};
use crate::exchange::{Exchange, MAX_HEAD};
use crate::route;
use crate::wasm::bindings::types::{EditError, Message};
use crate::wasm::chunk::Chunk;
use crate::wasm::state::{InstanceState, Undo};

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    link_reads(&mut functions)?;
    link_edits(&mut functions)?;
    fields::link(&mut functions)?;
    attributes::link(&mut functions)
}

fn link_reads(functions: &mut HostFunctions<'_>) -> Result<()> {
    functions.add("method", |state, ()| {
        Ok((state.read(|exchange| exchange.request.method.as_str().to_owned()),))
    })?;
    functions.add("scheme", |state, ()| {
        Ok((state.read(|exchange| exchange.client.scheme.as_str().to_owned()),))
    })?;
    functions.add("authority", |state, ()| {
        let host = state.read(|exchange| fields::text(exchange.request.headers.get(header::HOST)?));
        Ok((host.unwrap_or_default(),))
    })?;
    functions.add("path", |state, ()| {
        Ok((state.read(|exchange| exchange.request.target.as_str().to_owned()),))
    })?;
    functions.add("original-path", |state, ()| {
        Ok((state.read(|exchange| exchange.original_target.as_str().to_owned()),))
    })?;
    functions.add("path-param", |state, (name,): (String,)| {
        Ok((state.read(|exchange| {
            let value = exchange.param(&name)?;
            Some(route::decode_segment(value).into_owned())
        }),))
    })?;
    functions.add("query-param", |state, (name,): (String,)| {
        Ok((state.read(|exchange| {
            let query = exchange.request.target.query()?;
            route::query_value(query, &name).map(Cow::into_owned)
        }),))
    })?;
    functions.add("status", |state, ()| {
        Ok((state.read(|exchange| Some(exchange.response.as_ref()?.status.as_u16())),))
    })?;
    functions.add("read-piece", |state, (offset, len): (u64, u32)| {
        Ok((state.chunk.read(offset, len),))
    })
}

fn link_edits(functions: &mut HostFunctions<'_>) -> Result<()> {
    functions.add("set-method", |state, (method,): (String,)| {
        answer(state.set_method(&method))
    })?;
    functions.add("set-path", |state, (path,): (String,)| {
        answer(state.set_path(&path))
    })?;
    functions.add("set-authority", |state, (authority,): (String,)| {
        answer(state.set_authority(&authority))
    })?;
    functions.add("set-status", |state, (status,): (u16,)| {
        answer(state.set_status(status))
    })?;
    functions.add("replace-piece", |state, (bytes,): (Vec<u8>,)| {
        answer(state.edit_chunk(0, bytes, |piece, bytes| *piece = Chunk::from(bytes)))
    })?;
    functions.add("prepend-piece", |state, (bytes,): (Vec<u8>,)| {
        answer(state.edit_chunk(state.chunk.len(), bytes, Chunk::prepend))
    })?;
    functions.add("append-piece", |state, (bytes,): (Vec<u8>,)| {
        answer(state.edit_chunk(state.chunk.len(), bytes, Chunk::append))
    })
}

impl InstanceState {
    /// Read the exchange; the default where there is none, as in `configure`.
    pub(super) fn read<R: Default>(&self, read: impl FnOnce(&Exchange) -> R) -> R {
        self.exchange.as_deref().map(read).unwrap_or_default()
    }

    fn set_method(&mut self, method: &str) -> HostResult<()> {
        let edit = RefusedEdit::Method(method);
        self.check_may_edit(Message::Request, edit)?;
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return Err(self.refuse(edit, EditError::Syntax));
        };
        if method == Method::CONNECT {
            return Err(self.refuse(edit, EditError::Forbidden));
        }
        if let Some(exchange) = self.exchange.as_mut() {
            let old = std::mem::replace(&mut exchange.request.method, method);
            self.record_undo(Undo::Method(old));
        }
        Ok(())
    }

    fn set_path(&mut self, path: &str) -> HostResult<()> {
        self.check_may_edit(Message::Request, RefusedEdit::Path)?;
        self.account.charge_bytes(path.len())?;
        if path.len() > MAX_HEAD {
            return Err(self.refuse(RefusedEdit::Path, EditError::TooLarge));
        }
        let Some(target) = parse_target(path) else {
            return Err(self.refuse(RefusedEdit::Path, EditError::Syntax));
        };
        if let Some(exchange) = self.exchange.as_mut() {
            let old = std::mem::replace(&mut exchange.request.target, target);
            self.record_undo(Undo::Target(old));
        }
        Ok(())
    }

    fn set_authority(&mut self, authority: &str) -> HostResult<()> {
        self.check_may_edit(Message::Request, RefusedEdit::Authority)?;
        self.account.charge_bytes(authority.len())?;
        let valid = authority
            .parse::<http::uri::Authority>()
            .is_ok_and(|parsed| !parsed.as_str().contains('@'));
        let value = HeaderValue::from_str(authority);
        let (true, Ok(value)) = (valid, value) else {
            return Err(self.refuse(RefusedEdit::Authority, EditError::Syntax));
        };
        if let Some(fields) = self.fields_mut(Message::Request) {
            let values = fields.get_all(header::HOST).iter().cloned().collect();
            fields.insert(header::HOST, value);
            self.record_undo(Undo::Field {
                of: Message::Request,
                name: header::HOST,
                values,
            });
        }
        Ok(())
    }

    fn set_status(&mut self, status: u16) -> HostResult<()> {
        let edit = RefusedEdit::Status(status);
        self.check_may_edit(Message::Response, edit)?;
        let (200..=599, Ok(status)) = (status, StatusCode::from_u16(status)) else {
            return Err(self.refuse(edit, EditError::Syntax));
        };
        let response = self.exchange.as_mut().and_then(|e| e.response.as_mut());
        if let Some(response) = response {
            let old = std::mem::replace(&mut response.status, status);
            self.record_undo(Undo::Status(old));
        }
        Ok(())
    }
}
