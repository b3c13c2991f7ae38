//! The request's head.

use super::fields::fields;
use super::{Attributes, Notes};
use crate::bindings::lifecycle::windlass::host::{exchange, raw_params};
use crate::host::response_edits;
use crate::{EditError, Message, PathAndQuery, RawParam, ResponseEdit};

/// The head of the current request. In the response and log phases it is the head as it went
/// upstream, and read-only: edits give `TooLate`.
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

    /// Host and port as the client named them.
    #[inline]
    #[must_use]
    pub fn authority(&self) -> String {
        exchange::authority()
    }

    /// Path with query, exactly as it will be sent on.
    #[inline]
    #[must_use]
    pub fn path(&self) -> String {
        exchange::path()
    }

    /// Path with query, taken apart for edits; give it back with [`set_path`](Self::set_path).
    #[must_use]
    pub fn path_and_query(&self) -> PathAndQuery {
        PathAndQuery::parse(&self.path())
    }

    /// Path with query as the client sent it, before the gateway's path rule.
    #[inline]
    #[must_use]
    pub fn original_path(&self) -> String {
        exchange::original_path()
    }

    /// What the route's pattern bound to this name, percent-decoded. For `{name+}` the rest of
    /// the path, without its leading slash. To look at; a path is built from
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

    /// What the route's pattern bound to this name, as it is spelled: to build paths, queries and
    /// redirects from.
    #[inline]
    #[must_use]
    pub fn raw_path_param(&self, name: &str) -> Option<RawParam> {
        raw_params::path_param(name).map(RawParam::of_path)
    }

    /// The first value of a query parameter, as it is spelled.
    #[inline]
    #[must_use]
    pub fn raw_query_param(&self, name: &str) -> Option<RawParam> {
        raw_params::query_param(name).map(RawParam::of_query)
    }

    /// Changes the method. The route does not change.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    #[inline]
    pub fn set_method(&mut self, method: &str) -> Result<(), EditError> {
        exchange::set_method(method)
    }

    /// Changes path and query; begins with `/`. The gateway applies its path rule to it. The
    /// route does not change.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    #[inline]
    pub fn set_path(&mut self, path: impl AsRef<str>) -> Result<(), EditError> {
        exchange::set_path(path.as_ref())
    }

    /// Changes the `host` field that goes upstream.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    #[inline]
    pub fn set_authority(&mut self, authority: &str) -> Result<(), EditError> {
        exchange::set_authority(authority)
    }

    /// Tells the gateway edits of the response to this request, which it makes in this filter's place, without a call:
    /// after those of [`Setup::edit_response`](crate::Setup::edit_response) and before
    /// [`OnResponse`](crate::OnResponse). All are taken, or none. Request phases only.
    ///
    /// # Errors
    /// Why the gateway refused the edits.
    #[inline]
    pub fn edit_response(&mut self, edits: &[ResponseEdit<'_>]) -> Result<(), EditError> {
        response_edits::edit(edits)
    }

    /// The typed facts of the exchange.
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
