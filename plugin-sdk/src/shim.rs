//! Connects the contract's exports to a filter's traits. Public only for
//! [`export!`](crate::export!).

use core::cell::OnceCell;
use core::marker::PhantomData;

use crate::bindings::lifecycle::exports::windlass::filter::lifecycle;
use crate::bindings::{description, log, request, request_body, response, response_body};
use crate::filter::{
    Describe, Failure, Filter, OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody,
};
use crate::{
    ChunkVerdict, Diagnostic, LocalResponse, Piece, Request, RequestVerdict, Response,
    ResponseVerdict, settings,
};

/// Cargo's facts about the plugin's package.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// `CARGO_PKG_NAME`.
    pub name: &'static str,
    /// `CARGO_PKG_VERSION`.
    pub version: &'static str,
    /// `CARGO_PKG_DESCRIPTION`.
    pub description: &'static str,
}

/// The one filter of a component, and the static variable that holds it.
pub trait Exported: 'static {
    /// The filter.
    type Filter: Filter;
    /// The package that it is in.
    const PACKAGE: Package;
    /// Visits the variable, which is empty until the filter is configured.
    fn place<R>(visit: impl FnOnce(&OnceCell<Self::Filter>) -> R) -> R;
}

/// Implements the contract's exports for the filter of `E`.
#[derive(Debug)]
pub struct Shim<E>(PhantomData<E>);

impl<E: Exported> lifecycle::Guest for Shim<E> {
    fn describe() -> lifecycle::PluginInfo {
        lifecycle::PluginInfo {
            name: E::Filter::NAME.unwrap_or(E::PACKAGE.name).to_owned(),
            version: E::Filter::VERSION.unwrap_or(E::PACKAGE.version).to_owned(),
            settings_schema: E::Filter::SETTINGS_SCHEMA.map(str::to_owned),
            summary: E::Filter::SUMMARY
                .unwrap_or(E::PACKAGE.description)
                .to_owned(),
        }
    }

    fn configure(json: String) -> Result<lifecycle::Setup, Vec<lifecycle::Diagnostic>> {
        let (filter, setup) = settings::configure::<E::Filter>(&json)?;
        E::place(|place| place.set(filter)).map_err(|_| {
            vec![Diagnostic::new(
                "",
                "the instance has been configured before",
            )]
        })?;
        setup.tell()?;
        Ok(setup.into_contract())
    }
}

impl<E> description::exports::windlass::filter::description::Guest for Shim<E>
where
    E: Exported<Filter: Describe>,
{
    fn contribute() -> String {
        configured::<E, _>(Describe::contribution).into_json()
    }
}

impl<E> request::exports::windlass::filter::request_phase::Guest for Shim<E>
where
    E: Exported<Filter: OnRequest>,
{
    #[inline]
    fn on_request() -> RequestVerdict {
        configured::<E, _>(|filter| filter.on_request(&mut Request::current()))
            .unwrap_or_else(|failure| answer(&failure).into())
    }
}

impl<E> request_body::exports::windlass::filter::request_body_phase::Guest for Shim<E>
where
    E: Exported<Filter: OnRequestBody>,
{
    #[inline]
    fn on_request_body(len: u64, last: bool) -> ChunkVerdict {
        let mut piece = Piece::current(len, last);
        configured::<E, _>(|filter| filter.on_request_body(&mut Request::current(), &mut piece))
            .unwrap_or_else(|failure| answer(&failure).into())
    }
}

impl<E> response::exports::windlass::filter::response_phase::Guest for Shim<E>
where
    E: Exported<Filter: OnResponse>,
{
    #[inline]
    fn on_response() -> ResponseVerdict {
        configured::<E, _>(|filter| filter.on_response(&mut Response::current()))
            .unwrap_or_else(|failure| answer(&failure).into())
    }
}

impl<E> response_body::exports::windlass::filter::response_body_phase::Guest for Shim<E>
where
    E: Exported<Filter: OnResponseBody>,
{
    #[inline]
    fn on_response_body(len: u64, last: bool) -> ChunkVerdict {
        let mut piece = Piece::current(len, last);
        configured::<E, _>(|filter| filter.on_response_body(&mut Response::current(), &mut piece))
            .unwrap_or_else(|failure| answer(&failure).into())
    }
}

impl<E> log::exports::windlass::filter::log_phase::Guest for Shim<E>
where
    E: Exported<Filter: OnLog>,
{
    #[inline]
    fn on_log() {
        configured::<E, _>(|filter| filter.on_log(&Request::current(), &Response::current()));
    }
}

#[inline]
fn configured<E: Exported, R>(run: impl FnOnce(&E::Filter) -> R) -> R {
    E::place(|place| match place.get() {
        Some(filter) => run(filter),
        None => not_configured(),
    })
}

/// The gateway broke the contract, so no valid result is possible.
#[cold]
fn not_configured() -> ! {
    panic!("a phase was called before `configure`")
}

/// Reports that the filter failed: the gateway logs the text, and the filter's `on_error` decides
/// which response the client gets.
#[cold]
fn answer(failure: &Failure) -> LocalResponse {
    LocalResponse::new(500, "filter_failed").body(failure.to_string())
}
