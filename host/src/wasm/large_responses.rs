//! Large responses of a filter: in memory once, however many clients read the same.
//!
//! A filter that serves a document gives all of it for each request, and clients may read it slowly. A
//! response that no client reads is not kept.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// From this length on a response is compared with the last one. Bytes.
const LARGE: usize = 64 * 1024;

/// The last large response of a filter.
#[derive(Debug, Default)]
pub(crate) struct LargeResponses {
    last: Mutex<Weak<Vec<u8>>>,
}

impl LargeResponses {
    /// The body of a response: the one in memory, if it is the same and a client still reads it.
    pub(crate) fn reuse(&self, body: Vec<u8>) -> Bytes {
        if body.len() < LARGE {
            return body.into();
        }
        let last = self.last.lock().upgrade();
        let shared = match last {
            Some(last) if *last == body => last,
            Some(_) | None => {
                let body = Arc::new(body);
                *self.last.lock() = Arc::downgrade(&body);
                body
            }
        };
        Bytes::from_owner(SharedBody(shared))
    }
}

/// Lets [`Bytes`] hold a shared body.
struct SharedBody(Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_large_answer_is_in_memory_once_and_only_while_it_is_read() {
        let answers = LargeResponses::default();
        let document = || vec![b'd'; LARGE];
        let first = answers.reuse(document());
        let second = answers.reuse(document());
        assert_eq!(first.as_ptr(), second.as_ptr());
        let other = answers.reuse(vec![b'o'; LARGE]);
        assert_ne!(other, first);
        drop((first, second, other));
        assert!(answers.last.lock().upgrade().is_none());
    }

    #[test]
    fn a_small_answer_is_not_compared() {
        let answers = LargeResponses::default();
        let small = vec![b's'; LARGE - 1];
        assert_ne!(
            answers.reuse(small.clone()).as_ptr(),
            answers.reuse(small).as_ptr()
        );
    }
}
