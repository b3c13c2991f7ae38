//! The open connections of a worker, and the task that watches their deadlines.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::listen::Loads;
use crate::http::watch::Watch;
use crate::proxy::worker::Worker;
use crate::upstream::Pools;

/// The watches of a worker's connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    entries: RefCell<Slab<ConnectionEntry>>,
    ended: Notify,
    /// Whether this worker makes room by itself: its idle connections give way to its own new ones.
    pub(crate) makes_room: Cell<bool>,
}

#[derive(Debug)]
struct ConnectionEntry {
    watch: Arc<Watch>,
    listener: usize,
}

/// The registration of a connection, until dropped.
#[derive(Debug)]
pub(crate) struct ConnectionRegistration {
    connections: Rc<Connections>,
    index: usize,
}

impl Connections {
    /// Register a connection of this listener until the result is dropped.
    pub(crate) fn add(
        self: &Rc<Self>,
        watch: Arc<Watch>,
        listener: usize,
    ) -> ConnectionRegistration {
        let entry = ConnectionEntry { watch, listener };
        ConnectionRegistration {
            connections: Rc::clone(self),
            index: self.entries.borrow_mut().insert(entry),
        }
    }

    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wait until one of them ends.
    pub(crate) async fn wait_for_end(&self) {
        self.ended.notified().await;
    }

    /// Wait until there is none.
    pub(crate) async fn wait_until_empty(&self) {
        while !self.is_empty() {
            self.wait_for_end().await;
        }
    }

    /// Close those that have been idle longest: up to this many, and none that came or was answered within the
    /// last `rest` milliseconds.
    pub(crate) fn close_idle(&self, most: usize, rest: u64) {
        let entries = self.entries.borrow();
        let mut idle: Vec<(u64, &Watch)> = entries
            .iter()
            .filter_map(|(_, entry)| Some((entry.watch.idle_since()?, &*entry.watch)))
            .filter(|(since, watch)| since.saturating_add(rest) <= watch.shared.clock.now())
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, watch) in idle.into_iter().take(most) {
            watch.close_idle();
        }
    }

    /// Do something with each.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Watch)) {
        for (_, entry) in self.entries.borrow().iter() {
            act(&entry.watch);
        }
    }

    /// Do something with each of this listener.
    pub(crate) fn for_each_of(&self, listener: usize, mut act: impl FnMut(&Watch)) {
        let entries = self.entries.borrow();
        let entries = entries.iter().map(|(_, entry)| entry);
        for entry in entries.filter(|entry| entry.listener == listener) {
            act(&entry.watch);
        }
    }

    /// Wait until there is none of this listener.
    pub(crate) async fn wait_until_none_of(&self, listener: usize) {
        loop {
            let ended = self.wait_for_end();
            let is_of = |(_, entry): (usize, &ConnectionEntry)| entry.listener == listener;
            if !self.entries.borrow().iter().any(is_of) {
                return;
            }
            ended.await;
        }
    }

    /// Close the connection of this listener that has been idle longest. False if none is idle.
    pub(crate) fn close_longest_idle(&self, listener: usize) -> bool {
        let entries = self.entries.borrow();
        let entries = entries.iter().map(|(_, entry)| entry);
        let of_listener = entries.filter(|entry| entry.listener == listener);
        let idle = of_listener.filter_map(|entry| Some((entry.watch.idle_since()?, &entry.watch)));
        let longest = idle.min_by_key(|(since, _)| *since);
        if let Some((_, watch)) = longest {
            watch.close_idle();
        }
        longest.is_some()
    }
}

impl Drop for ConnectionRegistration {
    fn drop(&mut self) {
        self.connections.entries.borrow_mut().try_remove(self.index);
        self.connections.ended.notify_waiters();
    }
}

/// Check every deadline once a tick, forever.
pub(crate) async fn watch_deadlines(
    worker: Rc<Worker>,
    connections: Rc<Connections>,
    pools: Rc<Pools>,
    loads: Arc<Loads>,
) {
    loop {
        sleep(Duration::from_millis(worker.tick.get())).await;
        let now = worker.shared.clock.update();
        let left = pools.reap(now);
        connections.for_each(|watch| watch.check(now, &left));
        if !connections.makes_room.get() {
            for listener in loads.demanded_listeners() {
                let closed = connections.close_longest_idle(listener);
                let stats = &worker.shared.stats;
                stats.connections_gave_way.add(u64::from(closed));
            }
        }
        if let Some(access) = &worker.access {
            access.flush();
        }
    }
}
