//! A TCP proxy whose target a test can change, with an optional delay.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::wait::moment;

/// Passes connections on to a target. If the target changes, open connections stay with the old
/// one, as they do if a DNS name changes.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    /// The delay in each direction.
    delay: Duration,
}

impl Forward {
    /// A proxy to this server that delays each direction by `delay`.
    ///
    /// # Panics
    ///
    /// If the system has no free port.
    #[must_use]
    pub fn start(target: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            delay,
        });
        let passed_on = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = *passed_on.target.lock().expect("a lock");
                let Ok(server) = TcpStream::connect(target) else {
                    continue;
                };
                let ways = [
                    (client.try_clone(), server.try_clone()),
                    (Ok(server), Ok(client)),
                ];
                for (from, to) in ways {
                    let (from, to) = (from.expect("a socket"), to.expect("a socket"));
                    let delay = passed_on.delay;
                    std::thread::spawn(move || pass_on(from, to, delay));
                }
            }
        });
        Self { address, shared }
    }

    /// The address that the proxy listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pass new connections on to another server.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("a lock") = target;
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let _ = to.set_nodelay(true);
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut piece) {
        if length == 0 {
            break;
        }
        moment(Instant::now() + delay);
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
