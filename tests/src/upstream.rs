//! Endpoints for the gateway under test: good, slow, broken or absent ones.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;

use crate::http::{self, Head};
use crate::wait::{DEADLINE, Watched};

/// How many bytes of a body are kept; the rest is only counted and hashed.
const KEPT: usize = 64 * 1024;

/// A request that an endpoint received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The index of the endpoint's connection, from 0.
    pub connection: usize,
    pub method: String,
    /// The target, unchanged.
    pub target: String,
    pub head: Head,
    /// The first bytes of the body, up to 64 KiB.
    pub body: Vec<u8>,
    /// The length of the whole body in bytes.
    pub length: u64,
    /// The SHA-256 of the whole body, in hex.
    pub sha256: String,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Received {
    /// The value of a field that appears once; `None` if it is absent.
    ///
    /// # Panics
    ///
    /// If it appears more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.head.all(name).collect();
        assert!(values.len() < 2, "`{name}` comes {} times", values.len());
        values.first().copied()
    }

    /// The response body of the echo endpoint.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "method": self.method,
            "target": self.target,
            "headers": self.head.fields,
            "body": { "length": self.length, "sha256": self.sha256 },
        })
    }
}

/// The treatment of the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Read the next request.
    KeepAlive,
    /// Close it.
    Close,
    /// Reset it.
    Reset,
    /// Leave it open, and send nothing more.
    Hold,
}

/// A fixed response.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// A response with this status, no fields and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The same response with one more field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same response with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Write the response.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub fn write(&self, to: &mut TcpStream) -> io::Result<Then> {
        let mut bytes = format!("HTTP/1.1 {} Fake\r\n", self.status).into_bytes();
        for (name, value) in &self.fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if self.status != 204 && self.status != 304 {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes)?;
        Ok(Then::KeepAlive)
    }
}

type Answer = dyn Fn(&Received, &mut TcpStream) -> io::Result<Then> + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Vec<Received>,
    count: usize,
    connections: usize,
    open: usize,
}

struct Shared {
    answer: Box<Answer>,
    keep: AtomicBool,
    ended: AtomicBool,
    seen: Watched<Seen>,
    released: Watched<usize>,
    streams: Mutex<HashMap<usize, TcpStream>>,
    closed: Watched<bool>,
}

/// An endpoint. Dropping this value ends it.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({})", self.address)
    }
}

impl Upstream {
    /// Reads a whole request, and then calls `answer` to respond to it.
    ///
    /// # Panics
    ///
    /// If the system has no free port.
    pub fn with(
        answer: impl Fn(&Received, &mut TcpStream) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), answer)
    }

    /// The same at this address, which another endpoint may have used before.
    ///
    /// # Panics
    ///
    /// If the address is in use.
    pub fn at(
        address: SocketAddr,
        answer: impl Fn(&Received, &mut TcpStream) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpListener::bind(address).expect("a port");
        let address = socket.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            keep: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            seen: Watched::default(),
            released: Watched::default(),
            streams: Mutex::default(),
            closed: Watched::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            accept(&socket, &accepting);
            drop(socket);
            accepting.closed.change(|closed| *closed = true);
        });
        Self { address, shared }
    }

    /// End the endpoint as a crash does: reset its connections, and close its port. Returns its
    /// address.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    pub fn kill(self) -> SocketAddr {
        let (address, shared) = (self.address, Arc::clone(&self.shared));
        drop(self);
        let closed = shared.closed.find(DEADLINE, |closed| closed.then_some(()));
        assert!(closed.is_some(), "the endpoint still listens");
        for stream in shared.streams.lock().expect("no panic").values() {
            // Setting the option fails only if the connection has ended already.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
        address
    }

    /// Responds with a JSON account of the request: method, target, headers, length and SHA-256 of
    /// the body.
    #[must_use]
    pub fn echo() -> Self {
        Self::with(|request, stream| {
            Reply::status(200)
                .header("content-type", "application/json")
                .body(request.json().to_string())
                .write(stream)
        })
    }

    /// Responds with 200 and a text.
    #[must_use]
    pub fn text(text: &'static str) -> Self {
        Self::fixed(Reply::status(200).body(text))
    }

    /// Always sends this response.
    #[must_use]
    pub fn fixed(reply: Reply) -> Self {
        Self::with(move |_, stream| reply.write(stream))
    }

    /// Responds after a delay.
    #[must_use]
    pub fn slow(after: Duration, reply: Reply) -> Self {
        Self::with(move |_, stream| {
            // This delay is what the endpoint simulates; no test waits by it.
            std::thread::sleep(after);
            reply.write(stream)
        })
    }

    /// Writes these bytes unchanged, and then does `then` with the connection.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        let bytes = bytes.into();
        Self::with(move |_, stream| {
            stream.write_all(&bytes)?;
            Ok(then)
        })
    }

    /// Responds with a body of this many bytes, generated while it is sent.
    #[must_use]
    pub fn bytes(length: u64) -> Self {
        Self::with(move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            write_zeros(stream, length)?;
            Ok(Then::KeepAlive)
        })
    }

    /// Responds to a request once the test [releases](Self::release) it, oldest first.
    #[must_use]
    pub fn gated(reply: Reply) -> Self {
        let gate: Arc<Watched<Option<Arc<Shared>>>> = Arc::default();
        let known = Arc::clone(&gate);
        let upstream = Self::with(move |_, stream| {
            let shared = known
                .find(DEADLINE, Clone::clone)
                .ok_or(io::ErrorKind::TimedOut)?;
            shared
                .released
                .find(DEADLINE, |left| (*left > 0).then_some(()))
                .ok_or(io::ErrorKind::TimedOut)?;
            shared
                .released
                .change(|left| *left = left.saturating_sub(1));
            reply.write(stream)
        });
        gate.change(|gate| *gate = Some(Arc::clone(&upstream.shared)));
        upstream
    }

    /// Let a gated endpoint respond to this many requests.
    pub fn release(&self, count: usize) {
        self.shared.released.change(|left| *left += count);
    }

    /// Counts requests without keeping them: for load.
    #[must_use]
    pub fn counting(self) -> Self {
        self.shared.keep.store(false, Ordering::Relaxed);
        self
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.seen.with(|seen| seen.requests.clone())
    }

    /// The only request that the endpoint received.
    ///
    /// # Panics
    ///
    /// If there is no request, or more than one.
    #[must_use]
    pub fn only_request(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "requests at the endpoint: {received:?}");
        received.remove(0)
    }

    /// The number of requests so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.seen.with(|seen| seen.count)
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.seen.with(|seen| seen.connections)
    }

    /// Wait until the endpoint has received this many requests in all.
    ///
    /// # Panics
    ///
    /// If the deadline passes first.
    pub fn wait_for_requests(&self, count: usize) {
        let come = self
            .shared
            .seen
            .find(DEADLINE, |seen| (seen.count >= count).then_some(()));
        assert!(come.is_some(), "{} of {count} requests came", self.count());
    }

    /// Wait until every connection to the endpoint is closed.
    ///
    /// # Panics
    ///
    /// If one stays open.
    pub fn wait_for_no_connection(&self) {
        let closed = self
            .shared
            .seen
            .find(DEADLINE, |seen| (seen.open == 0).then_some(()));
        assert!(closed.is_some(), "a connection to the endpoint stays open");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // This wakes the accepting thread, which then ends and closes the port.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(socket: &TcpListener, shared: &Arc<Shared>) {
    for stream in socket.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.seen.change(|seen| {
            seen.connections += 1;
            seen.open += 1;
            seen.connections - 1
        });
        let shared = Arc::clone(shared);
        if let Ok(copy) = stream.try_clone() {
            shared
                .streams
                .lock()
                .expect("no panic")
                .insert(number, copy);
        }
        std::thread::spawn(move || {
            // Some tests break the connection on purpose, and check it on the other side.
            let _ = serve(stream, number, &shared);
            // Dropping the last handle closes the connection.
            drop(shared.streams.lock().expect("no panic").remove(&number));
            shared.seen.change(|seen| seen.open -= 1);
        });
    }
}

fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    loop {
        let Some(request) = receive(&mut reader, connection)? else {
            return Ok(());
        };
        let kept = shared.keep.load(Ordering::Relaxed).then(|| request.clone());
        shared.seen.change(|seen| {
            seen.count += 1;
            seen.requests.extend(kept);
        });
        match (shared.answer)(&request, &mut writer)? {
            Then::KeepAlive => {}
            Then::Close => return Ok(()),
            Then::Reset => return socket2::SockRef::from(&writer).set_linger(Some(Duration::ZERO)),
            Then::Hold => return http::read_head(&mut reader).map(|_| ()),
        }
    }
}

fn receive(reader: &mut BufReader<TcpStream>, connection: usize) -> io::Result<Option<Received>> {
    let Some(head) = http::read_head(reader)? else {
        return Ok(None);
    };
    let mut words = head.start.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if version != Some("HTTP/1.1") || words.next().is_some() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut body = Vec::new();
    let mut length = 0;
    let trailers = match head.framing()? {
        None => Vec::new(),
        Some(framing) => http::read_body(reader, framing, |piece| {
            hash.update(piece);
            length += piece.len() as u64;
            let room = KEPT.saturating_sub(body.len()).min(piece.len());
            body.extend_from_slice(&piece[..room]);
        })?,
    };
    Ok(Some(Received {
        connection,
        method: method.unwrap_or_default().to_owned(),
        target: target.unwrap_or_default().to_owned(),
        body,
        length,
        sha256: crate::hex(hash.finish().as_ref()),
        trailers,
        head,
    }))
}

/// Write this many zeros.
///
/// # Errors
///
/// The connection has ended.
pub fn write_zeros(to: &mut TcpStream, length: u64) -> io::Result<()> {
    let piece = vec![0; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let count = left.min(piece.len() as u64);
        to.write_all(&piece[..usize::try_from(count).unwrap_or(piece.len())])?;
        left -= count;
    }
    Ok(())
}
