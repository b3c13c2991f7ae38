//! What a connection knows of an attempt that failed on it.

use super::pick::Pick;
use super::{Attempt, Sent};
use crate::upstream::fault::Fault;
use crate::upstream::line::Line;

impl Attempt<'_> {
    /// The same result, once the connection was looked at: a connection that may be dead is not used again,
    /// and one that knows better than hyper why a head was refused says so.
    pub(super) fn looked_at(
        &self,
        pick: &Pick,
        line: &Line,
        reused: bool,
        began: u64,
        sent: Sent,
    ) -> Sent {
        match sent {
            Sent::Failed(fault @ Fault::FirstByte { .. }) => {
                if let Some(endpoint) = pick.endpoint() {
                    line.timed_out(&endpoint.pool, reused, began, self.now());
                }
                Sent::Failed(fault)
            }
            Sent::Failed(Fault::HeadTooLarge { .. }) if line.has_too_many_fields() => {
                Sent::Failed(self.too_many_fields(pick))
            }
            other => other,
        }
    }

    pub(super) fn too_many_fields(&self, pick: &Pick) -> Fault {
        Fault::TooManyFields {
            endpoint: pick.name(),
            most: self.upstream.plan.config.max_headers,
        }
    }
}

impl Sent {
    /// The code of its fault, if an attempt failed.
    pub(super) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Failed(fault) => Some(fault.code().as_str()),
            Self::Answered(_) | Self::Unsent(..) => None,
        }
    }
}
