//! The response's head.

use super::fields::fields;
use super::{Attributes, Notes, Request};
use crate::gateway::exchange;
use crate::{EditError, Message};

/// The head of the current response. It comes from the upstream, from a refusal by a later filter,
/// or from an error of the gateway.
#[derive(Debug)]
pub struct Response(());

fields!(Response, Message::Response);

impl Response {
    pub(crate) const fn current() -> Self {
        Self(())
    }

    /// The status. `None` if there is no response because the client went away first.
    #[inline]
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        exchange::status()
    }

    /// Changes the status to 200 to 599.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        exchange::set_status(status)
    }

    /// The request of this response, as it went upstream.
    #[inline]
    #[must_use]
    pub fn request(&self) -> &Request {
        static REQUEST: Request = Request::current();
        &REQUEST
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
