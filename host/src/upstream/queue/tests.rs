//! The order in which waiting requests get a permit.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::task::Wake;

use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_secs(3600);
const KINDS: usize = 3;

/// Wakes nobody, and knows that it was asked to.
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type WaitingRequest<'a> = Pin<Box<dyn Future<Output = Result<usize, QueueError>> + 'a>>;

/// A request that waits.
struct ModelRequest<'a> {
    number: usize,
    kind: Option<usize>,
    flag: Arc<WakeFlag>,
    waiting: WaitingRequest<'a>,
}

/// Some endpoints, each with some room, and who waits for it.
struct Scene<'a> {
    queue: &'a RequestQueue,
    room: Rc<Cell<[usize; KINDS]>>,
    requests: RefCell<Vec<ModelRequest<'a>>>,
    served: RefCell<Vec<(usize, usize)>>,
    count: Cell<usize>,
}

fn want(kind: Option<usize>) -> QueueKey {
    kind.map_or(QueueKey::ANY, |kind| QueueKey::from_hash(kind as u64 + 1))
}

fn take(room: &Cell<[usize; KINDS]>, kind: Option<usize>) -> Option<usize> {
    let mut left = room.get();
    let mut kinds = (0..KINDS).filter(|one| kind.is_none_or(|kind| kind == *one));
    let found = kinds.find(|one| left[*one] > 0)?;
    left[found] -= 1;
    room.set(left);
    Some(found)
}

impl<'a> Scene<'a> {
    fn new(queue: &'a RequestQueue) -> Self {
        Self {
            queue,
            room: Rc::default(),
            requests: RefCell::default(),
            served: RefCell::default(),
            count: Cell::new(0),
        }
    }

    /// A request comes. Its number.
    fn come(&self, kind: Option<usize>) -> usize {
        let number = self.count.replace(self.count.get() + 1);
        let room = Rc::clone(&self.room);
        let waiting = self
            .queue
            .wait(usize::MAX, LONG, want(kind), move || take(&room, kind));
        self.requests.borrow_mut().push(ModelRequest {
            number,
            kind,
            flag: Arc::new(WakeFlag(AtomicBool::new(true))),
            waiting: Box::pin(waiting),
        });
        number
    }

    /// There is room for one more at this endpoint, and somebody says so.
    fn free(&self, kind: usize) {
        let mut room = self.room.get();
        room[kind] += 1;
        self.room.set(room);
        self.queue.wake_next();
    }

    /// Let whoever was woken go on, until nobody is.
    fn settle(&self) {
        while self.step() {}
    }

    fn step(&self) -> bool {
        let mut requests = self.requests.borrow_mut();
        let woken = |request: &ModelRequest<'_>| request.flag.0.swap(false, Ordering::Relaxed);
        let Some(at) = requests.iter().position(woken) else {
            return false;
        };
        let request = &mut requests[at];
        let waker = Waker::from(Arc::clone(&request.flag));
        let polled = request
            .waiting
            .as_mut()
            .poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(found) = polled {
            let gone = requests.remove(at);
            let before = &requests[..at];
            assert!(
                !before
                    .iter()
                    .any(|other| other.kind.is_none() || other.kind == gone.kind),
                "who came before waits still"
            );
            self.served.borrow_mut().push((gone.number, found.unwrap()));
        }
        true
    }

    fn served(&self) -> Vec<usize> {
        self.settle();
        let served = self.served.take();
        served.into_iter().map(|(number, _)| number).collect()
    }
}

/// Timers want a runtime; none of them passes.
fn with_scene(test: impl FnOnce(&Scene<'_>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let queue = RequestQueue::default();
    test(&Scene::new(&queue));
    assert!(queue.is_empty());
    assert!(queue.state.lock().waiters_by_key.is_empty());
}

#[test]
fn whoever_waits_longest_is_first() {
    with_scene(|scene| {
        let numbers = [(); 3].map(|()| scene.come(None));
        assert!(scene.served().is_empty());
        for number in numbers {
            scene.free(0);
            assert_eq!(scene.served(), [number]);
        }
    });
}

#[test]
fn one_end_may_make_room_for_many() {
    with_scene(|scene| {
        let numbers = [(); 3].map(|()| scene.come(None));
        scene.settle();
        scene.room.set([3, 0, 0]);
        scene.queue.wake_next();
        assert_eq!(scene.served(), numbers);
    });
}

#[test]
fn room_that_the_first_cannot_use_is_the_nexts() {
    with_scene(|scene| {
        let picky = scene.come(Some(1));
        scene.settle();
        // Nobody before it wants what it wants, and so it looks at once.
        scene.room.set([1, 0, 0]);
        let other = scene.come(None);
        assert_eq!(scene.served(), [other]);
        let other = scene.come(None);
        scene.settle();
        scene.free(0);
        assert_eq!(scene.served(), [other]);
        scene.free(1);
        assert_eq!(scene.served(), [picky]);
    });
}

#[test]
fn a_call_to_one_that_is_gone_goes_on_to_the_next() {
    with_scene(|scene| {
        let _ = scene.come(None);
        let next = scene.come(None);
        scene.settle();
        scene.free(0);
        // It was called, and goes before it looks.
        drop(scene.requests.borrow_mut().remove(0));
        assert_eq!(scene.served(), [next]);
    });
}

#[test]
fn no_more_wait_than_may() {
    with_scene(|scene| {
        let _ = scene.come(None);
        scene.settle();
        let one_too_many = scene.queue.wait(1, LONG, QueueKey::ANY, || Some(()));
        let mut one_too_many = std::pin::pin!(one_too_many);
        let polled = one_too_many
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Err(QueueError::QueueFull)));
        scene.requests.borrow_mut().clear();
    });
}

#[derive(Debug, Clone)]
enum QueueStep {
    Come(Option<usize>),
    Free(usize),
    /// Give up, before or after a call.
    Leave(usize),
    Settle,
}

fn step() -> impl Strategy<Value = QueueStep> {
    prop_oneof![
        3 => prop::option::of(0..KINDS).prop_map(QueueStep::Come),
        3 => (0..KINDS).prop_map(QueueStep::Free),
        1 => (0..8_usize).prop_map(QueueStep::Leave),
        2 => Just(QueueStep::Settle),
    ]
}

proptest! {
    /// Whatever comes, ends and is given up: nobody waits for what is there, and nobody who wants
    /// the same is served before whoever came first.
    #[test]
    fn no_room_is_left_unused(steps in prop::collection::vec(step(), 1..200)) {
        with_scene(|scene| {
            for step in steps {
                match step {
                    QueueStep::Come(kind) => {
                        let _ = scene.come(kind);
                    }
                    QueueStep::Free(kind) => scene.free(kind),
                    QueueStep::Leave(at) => {
                        let mut requests = scene.requests.borrow_mut();
                        if at < requests.len() {
                            let gone = requests.remove(at);
                            drop(requests);
                            drop(gone);
                        }
                    }
                    QueueStep::Settle => scene.settle(),
                }
            }
            scene.settle();
            let room = scene.room.get();
            for request in scene.requests.borrow().iter() {
                let has_room = match request.kind {
                    None => room.iter().any(|room| *room > 0),
                    Some(kind) => room[kind] > 0,
                };
                assert!(!has_room, "{} waits, with room {room:?}", request.number);
            }
            scene.requests.borrow_mut().clear();
        });
    }
}
