//! The calls that the running phase of a filter has made to other servers.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::callout::{PendingCall, RequestDigest};

/// The calls of one phase, kept for when it runs again.
#[derive(Debug, Default)]
pub struct CalloutAnswers(SmallVec<[(RequestDigest, Arc<PendingCall>); 2]>);

impl CalloutAnswers {
    /// The call of this request.
    #[must_use]
    pub(crate) fn find(&self, digest: &RequestDigest) -> Option<&Arc<PendingCall>> {
        let found = self.0.iter().find(|(known, _)| known == digest);
        found.map(|(_, pending)| pending)
    }

    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Keep one more.
    pub(crate) fn keep(&mut self, digest: RequestDigest, pending: Arc<PendingCall>) {
        self.0.push((digest, pending));
    }
}
