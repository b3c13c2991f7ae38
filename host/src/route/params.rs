//! The parameters that a route's pattern bound in a path, as ranges of the path.

use std::ops::Range;

use smallvec::SmallVec;

/// Parameters that cost no allocation. A route with more of them is served all the same.
const INLINE: usize = 4;

/// The values of a route's path parameters, as byte ranges of the path that was routed, in the
/// order of the parameters in the pattern. They mean nothing for any other path: keep the
/// routed one beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathParams {
    ranges: SmallVec<[Range<usize>; INLINE]>,
}

impl PathParams {
    /// Byte ranges of the values in the routed path, still percent-encoded there.
    #[must_use]
    pub(crate) fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.ranges.iter().cloned()
    }

    pub(super) fn push(&mut self, range: Range<usize>) {
        self.ranges.push(range);
    }

    pub(super) fn pop(&mut self) {
        self.ranges.pop();
    }
}
