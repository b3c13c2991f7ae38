//! Both sides in one process, and gateways of older versions on the other side.

use std::io::Read as _;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

use super::*;

/// Longer than any of these tests takes.
const DEADLINE: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// So many sockets that listen on an address.
fn listening(count: usize) -> Duplicates {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    Duplicates {
        address: socket.local_addr().unwrap(),
        sockets: (0..count).map(|_| socket.try_clone().unwrap()).collect(),
    }
}

/// A successor's question, while the runtime goes on.
async fn asks(address: SocketAddr) -> (Predecessor, Option<Vec<TcpListener>>) {
    let ask = move || {
        let mut predecessor = Predecessor::default();
        let sockets = predecessor.offers(address);
        (predecessor, sockets)
    };
    spawn_blocking(ask).await.unwrap()
}

/// A successor says that it serves, while the runtime goes on.
async fn announces(predecessor: Predecessor) -> Announced {
    spawn_blocking(|| predecessor.announce()).await.unwrap()
}

/// A successor that serves is heard.
async fn is_heard(offer: &mut SocketOffer) {
    let heard = tokio::time::timeout(DEADLINE, offer.taken()).await;
    heard.expect("in time");
    assert!(offer.is_taken());
}

#[test]
fn all_sockets_are_the_successors_when_it_serves() {
    runtime().block_on(async {
        let duplicates = listening(300);
        let address = duplicates.address;
        let mut offer = SocketOffer::start([duplicates]);
        let (predecessor, sockets) = asks(address).await;
        assert_eq!(sockets.unwrap().len(), 300);
        assert_eq!(announces(predecessor).await, Announced::Heard);
        is_heard(&mut offer).await;
        assert!(offer.withdraw(address));
        assert!(!offer.withdraw(address));
    });
}

#[test]
fn sockets_of_a_successor_that_starts_are_its_own_and_those_of_one_that_has_ended_are_not() {
    runtime().block_on(async {
        for has_ended in [false, true] {
            let duplicates = listening(2);
            let address = duplicates.address;
            let mut offer = SocketOffer::start([duplicates]);
            let successor = asks(address).await;
            assert_eq!(successor.1.as_ref().unwrap().len(), 2);
            let end = Instant::now() + DEADLINE;
            if has_ended {
                drop(successor);
                while offer.offered[0].successors.has_successor() && Instant::now() < end {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(offer.withdraw(address), !has_ended);
            let closed = TcpListener::bind(address);
            assert_eq!(closed.is_ok(), has_ended);
        }
    });
}

#[test]
fn an_address_that_is_withdrawn_is_offered_no_more() {
    runtime().block_on(async {
        let duplicates = listening(1);
        let address = duplicates.address;
        let mut offer = SocketOffer::start([duplicates]);
        assert!(!offer.withdraw(address));
        let end = Instant::now() + DEADLINE;
        while asks(address).await.1.is_some() {
            assert!(Instant::now() < end, "it is offered");
        }
    });
}

#[test]
fn a_successor_of_an_older_version_is_heard_and_has_no_sockets() {
    runtime().block_on(async {
        let duplicates = listening(2);
        let address = duplicates.address;
        let mut offer = SocketOffer::start([duplicates]);
        let peer = Predecessor::default().connect(address);
        peer.unwrap().write_all(&[SERVES]).unwrap();
        is_heard(&mut offer).await;
        assert!(!offer.withdraw(address));
    });
}

/// A gateway that drains and knows nothing of sockets: it does this with a byte that it does not
/// know, and gives the first one that it does know.
fn older(address: SocketAddr, refuse: fn(UnixStream)) -> JoinHandle<u8> {
    let listener = UnixListener::bind_addr(&name(address).unwrap()).unwrap();
    std::thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            match byte {
                [SERVES] => return SERVES,
                _ => refuse(stream),
            }
        }
    })
}

#[test]
fn a_gateway_of_an_older_version_and_one_that_is_silent_pass_no_sockets_and_are_told() {
    let refusals: [fn(UnixStream); 2] = [drop, std::mem::forget];
    for refuse in refusals {
        let Duplicates { address, sockets } = listening(1);
        let older = older(address, refuse);
        let mut predecessor = Predecessor::default();
        assert_eq!(predecessor.offers(address).unwrap().len(), 0);
        assert_eq!(predecessor.announce(), Announced::Heard);
        assert_eq!(older.join().unwrap(), SERVES);
        drop(sockets);
    }
}

#[test]
fn of_two_successors_the_later_one_finds_that_the_address_is_too_late() {
    runtime().block_on(async {
        let duplicates = listening(2);
        let address = duplicates.address;
        let mut offer = SocketOffer::start([duplicates]);
        let (first, sockets) = asks(address).await;
        assert!(sockets.is_some());
        let (second, sockets) = asks(address).await;
        assert!(sockets.is_some());
        assert_eq!(announces(first).await, Announced::Heard);
        is_heard(&mut offer).await;
        assert_eq!(announces(second).await, Announced::TooLate);
        assert!(offer.withdraw(address));
    });
}

#[test]
fn of_two_successors_that_serve_at_the_same_time_one_is_too_late() {
    runtime().block_on(async {
        for _ in 0..20 {
            let duplicates = listening(1);
            let address = duplicates.address;
            let mut offer = SocketOffer::start([duplicates]);
            let successors = [asks(address).await.0, asks(address).await.0];
            let [one, other] = successors.map(announces);
            let mut announced = <[_; 2]>::from(tokio::join!(one, other));
            announced.sort_by_key(|&announced| announced == Announced::TooLate);
            assert_eq!(announced, [Announced::Heard, Announced::TooLate]);
            is_heard(&mut offer).await;
        }
    });
}

#[test]
fn of_two_successors_with_the_same_addresses_in_other_orders_one_takes_all() {
    runtime().block_on(async {
        for _ in 0..20 {
            let (one, other) = (listening(1), listening(1));
            let addresses = [one.address, other.address];
            let mut offer = SocketOffer::start([one, other]);
            let mut successors = Vec::new();
            for order in [[0, 1], [1, 0]] {
                let ask = move || {
                    let mut predecessor = Predecessor::default();
                    for at in order {
                        predecessor.offers(addresses[at]).expect("sockets");
                    }
                    predecessor
                };
                successors.push(spawn_blocking(ask).await.unwrap());
            }
            let second = announces(successors.pop().unwrap());
            let first = announces(successors.pop().unwrap());
            let (first, second) = tokio::join!(first, second);
            let mut announced = [first, second];
            announced.sort_by_key(|&announced| announced == Announced::TooLate);
            assert_eq!(announced, [Announced::Heard, Announced::TooLate]);
            is_heard(&mut offer).await;
        }
    });
}

#[test]
fn sockets_of_another_address_are_not_taken() {
    runtime().block_on(async {
        let (one, other) = (listening(1), listening(1));
        let address = one.address;
        let wrong = Duplicates {
            address,
            sockets: other.sockets,
        };
        let _offer = SocketOffer::start([wrong]);
        let (_predecessor, sockets) = asks(address).await;
        assert_eq!(sockets.unwrap().len(), 0);
        drop(one);
    });
}
