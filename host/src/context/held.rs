//! The exchange of one request, between the phases that borrow it.

use std::cell::Cell;
use std::rc::Rc;

use super::Exchange;

/// Holds one exchange; lent whole to a filter's store for a phase, and to the spine in between.
/// Phases are synchronous and one worker runs one at a time, so it is never away across an await.
#[derive(Clone)]
pub struct Held(Rc<Cell<Option<Box<Exchange>>>>);

impl Held {
    /// Hold this exchange.
    #[must_use]
    pub fn new(exchange: Box<Exchange>) -> Self {
        Self(Rc::new(Cell::new(Some(exchange))))
    }

    /// Take it for a phase. It must be put back before anything else asks.
    ///
    /// # Panics
    ///
    /// It is away: a phase that borrowed it did not put it back, which no code here does.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "every take in this crate is followed by a put before control leaves the function"
    )]
    pub fn take(&self) -> Box<Exchange> {
        self.0.take().expect("the exchange is held")
    }

    /// Put it back.
    pub fn put(&self, exchange: Box<Exchange>) {
        self.0.set(Some(exchange));
    }

    /// Look at it, or change it.
    pub fn with<R>(&self, work: impl FnOnce(&mut Exchange) -> R) -> R {
        let mut exchange = self.take();
        let result = work(&mut exchange);
        self.put(exchange);
        result
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}
