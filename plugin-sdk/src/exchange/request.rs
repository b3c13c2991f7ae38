//! The request's head.

use super::fields::fields;
use super::{Attributes, Notes};
use crate::gateway::{exchange, raw_params};
use crate::host::response_edits;
use crate::{EditError, Message, PathAndQuery, RawParam, ResponseEdit};

/// The head of the current request. In the response and log phases it is the head that went upstream, and it is
/// read-only: edits give `TooLate`.
#[derive(Debug)]
pub struct Request(());

fields!(Request, Message::Request);

impl Request {
    pub(crate) const fn current() -> Self {
        Self(())
    }

    /// The method, for example `GET`.
    #[inline]
    #[must_use]
    pub fn method(&self) -> String {
        exchange::method()
    }

    /// The scheme that the client used: `http` or `https`.
    #[inline]
    #[must_use]
    pub fn scheme(&self) -> String {
        exchange::scheme()
    }

    /// The host and the port as the client sent them.
    #[inline]
    #[must_use]
    pub fn authority(&self) -> String {
        exchange::authority()
    }

    /// The path with the query, exactly as it will be forwarded.
    #[inline]
    #[must_use]
    pub fn path(&self) -> String {
        exchange::path()
    }

    /// The path with the query, parsed for edits. Return the result with [`set_path`](Self::set_path).
    #[must_use]
    pub fn path_and_query(&self) -> PathAndQuery {
        PathAndQuery::parse(&self.path())
    }

    /// The path with the query as the client sent it, before the gateway's path rule.
    #[inline]
    #[must_use]
    pub fn original_path(&self) -> String {
        exchange::original_path()
    }

    /// The value that the route's pattern bound to this name, percent-decoded. For `{name+}`, the rest of the path
    /// without its leading slash. Use it only to look at; to build a path, use
    /// [`raw_path_param`](Self::raw_path_param).
    #[inline]
    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<String> {
        exchange::path_param(name)
    }

    /// The first value of a query parameter, percent-decoded (`+` is a space).
    #[inline]
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<String> {
        exchange::query_param(name)
    }

    /// The value that the route's pattern bound to this name, still encoded. Use it to build paths, queries and
    /// redirects.
    #[inline]
    #[must_use]
    pub fn raw_path_param(&self, name: &str) -> Option<RawParam> {
        raw_params::path_param(name).map(RawParam::of_path)
    }

    /// The first value of a query parameter, still encoded.
    #[inline]
    #[must_use]
    pub fn raw_query_param(&self, name: &str) -> Option<RawParam> {
        raw_params::query_param(name).map(RawParam::of_query)
    }

    /// Changes the method. The route does not change.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn set_method(&mut self, method: &str) -> Result<(), EditError> {
        exchange::set_method(method)
    }

    /// Changes the path and the query; must begin with `/`. The gateway applies its path rule to it. The route does not
    /// change.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn set_path(&mut self, path: impl AsRef<str>) -> Result<(), EditError> {
        exchange::set_path(path.as_ref())
    }

    /// Changes the `host` field that goes upstream.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn set_authority(&mut self, authority: &str) -> Result<(), EditError> {
        exchange::set_authority(authority)
    }

    /// Gives the gateway edits of the response to this request. The gateway makes them for the filter, without a call:
    /// after those of [`Setup::edit_response`](crate::Setup::edit_response) and before
    /// [`OnResponse`](crate::OnResponse). It accepts all of them, or none. Only in request phases.
    ///
    /// # Errors
    /// The reason why the gateway refused the edits.
    #[inline]
    pub fn edit_response(&mut self, edits: &[ResponseEdit<'_>]) -> Result<(), EditError> {
        response_edits::edit(edits)
    }

    /// The attributes of the exchange.
    #[inline]
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes::current()
    }

    /// The filter's private state for this exchange.
    #[inline]
    #[must_use]
    pub fn notes(&self) -> Notes {
        Notes::current()
    }
}
