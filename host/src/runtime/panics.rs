//! Panics of the gateway's own code, which end the request that they happen in and nothing else.
//!
//! No code here is meant to panic. Where some does all the same, whoever catches it throws away what
//! the code was working on. To catch costs nothing while nothing panics.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The value that the code panicked with.
pub(crate) struct Panic(Box<dyn Any + Send>);

impl Panic {
    /// Go on panicking.
    pub(crate) fn resume(self) -> ! {
        resume_unwind(self.0)
    }

    /// Its text for the log, in one line.
    #[must_use]
    pub(crate) fn message(&self) -> String {
        let text = self.0.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| self.0.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("without a message");
        let text = text.replace(char::is_control, " ");
        format!("the gateway panicked: {text}; this is a bug of Windlass, please report it")
    }
}

/// Run code. Whoever calls this must not use the values that the code was working on after a panic.
///
/// # Errors
///
/// It panicked.
#[inline]
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Panic)
}

/// Poll a future. It must not be polled again after a panic.
///
/// # Errors
///
/// It panicked.
#[inline]
pub(crate) fn poll_caught<F: Future>(
    work: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Result<F::Output, Panic>> {
    match caught(|| work.poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}
