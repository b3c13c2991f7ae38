//! The exchange of one request, between the phases that borrow it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Exchange;

/// Holds one exchange; lent whole to a filter's store for a phase, and to the spine in between.
///
/// Most phases run to their end at once, so that nobody finds it away. A phase on a fiber keeps it
/// across awaits: of the request's head, or of the response's, while the spine waits for that very
/// phase. The one other that may ask meanwhile is the request's body on its way through filters;
/// it waits ([`ExchangeCell::poll_present`]).
#[derive(Clone)]
pub struct ExchangeCell(Rc<ExchangeCellState>);

struct ExchangeCellState {
    exchange: Cell<Option<Box<Exchange>>>,
    /// The tasks that wait for it.
    waiting: RefCell<Vec<Waker>>,
}

impl ExchangeCell {
    /// Hold this exchange.
    #[must_use]
    pub fn new(exchange: Box<Exchange>) -> Self {
        Self(Rc::new(ExchangeCellState {
            exchange: Cell::new(Some(exchange)),
            waiting: RefCell::default(),
        }))
    }

    /// Whether it is there. It is not if a panic of a phase took it along.
    #[must_use]
    pub(crate) fn is_present(&self) -> bool {
        let exchange = self.0.exchange.take();
        let is_there = exchange.is_some();
        self.0.exchange.set(exchange);
        is_there
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
    pub(crate) fn take(&self) -> Box<Exchange> {
        self.0.exchange.take().expect("the exchange is held")
    }

    /// Put it back.
    pub(crate) fn put(&self, exchange: Box<Exchange>) {
        self.0.exchange.set(Some(exchange));
    }

    /// Put it back after an await, and wake who waits for it.
    pub(crate) fn put_and_wake(&self, exchange: Box<Exchange>) {
        self.put(exchange);
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Wait until it is there.
    pub(crate) fn poll_present(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_present() {
            return Poll::Ready(());
        }
        self.0.waiting.borrow_mut().push(context.waker().clone());
        Poll::Pending
    }

    /// Look at it, or change it.
    ///
    /// # Panics
    ///
    /// It is away, as for [`Self::take`].
    pub fn with<R>(&self, work: impl FnOnce(&mut Exchange) -> R) -> R {
        let mut lent = BorrowedExchange {
            cell: self,
            exchange: Some(self.take()),
        };
        #[expect(clippy::expect_used, reason = "it was put there just above")]
        work(lent.exchange.as_mut().expect("an exchange"))
    }
}

/// An exchange that goes back into its cell, also from a panic.
struct BorrowedExchange<'a> {
    cell: &'a ExchangeCell,
    exchange: Option<Box<Exchange>>,
}

impl Drop for BorrowedExchange<'_> {
    fn drop(&mut self) {
        self.cell.0.exchange.set(self.exchange.take());
    }
}

impl std::fmt::Debug for ExchangeCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}
