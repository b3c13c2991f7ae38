//! A client: one connection, which sends what it is told, byte by byte if need be.

use std::fmt::Write as _;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::http::{self, Framing, Head};
use crate::wait::DEADLINE;

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl Request {
    /// With a method and a target, sent as they are.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            fields: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    /// A `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` with a body.
    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// The same with a field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with the body in chunks.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// As it is sent. A `Host` is added where there is none, and the framing.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self
            .fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str("host: gateway.test\r\n");
        }
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").expect("a text that grows");
        }
        if self.chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        } else if !self.body.is_empty() {
            let length = self.body.len();
            write!(head, "content-length: {length}\r\n").expect("a text that grows");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if self.chunked {
            for piece in self.body.chunks(16 * 1024) {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The fields, in their order.
    pub head: Head,
    /// How the body was framed; none for an answer without one.
    pub framing: Option<Framing>,
    /// The body; empty if only its length was wanted.
    pub body: Vec<u8>,
    /// How long the body was. Bytes.
    pub length: u64,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The statuses of interim answers before this one.
    pub interim: Vec<u16>,
}

impl Response {
    /// The value of a field that comes once; none if it does not come.
    ///
    /// # Panics
    ///
    /// When it comes more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers(name);
        assert!(values.len() < 2, "`{name}` comes {} times", values.len());
        values.first().copied()
    }

    /// All values of a field.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head.all(name).collect()
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// When it is not text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body that is text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The machine word of an error that the gateway made, or of a filter's refusal.
    ///
    /// # Panics
    ///
    /// When the body is not a problem of RFC 9457 with a `code`.
    #[must_use]
    pub fn code(&self) -> String {
        let problem = self.json();
        let code = problem["code"].as_str();
        code.unwrap_or_else(|| panic!("no code in {problem}"))
            .to_owned()
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connect.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&to, DEADLINE).expect("a connection"))
    }

    /// Over a connection that is there already.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
        }
    }

    /// Send bytes as they are.
    ///
    /// # Panics
    ///
    /// When the connection has ended.
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send_raw(bytes.as_ref()).expect("bytes to be sent");
    }

    /// The same; a connection that has ended is an error.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Send no more, and go on reading.
    ///
    /// # Panics
    ///
    /// When the connection has ended.
    pub fn finish_sending(&mut self) {
        let stream = self.stream.get_ref();
        stream.shutdown(Shutdown::Write).expect("an open socket");
    }

    /// Another handle to the socket, for a thread that sends while this one reads.
    ///
    /// # Panics
    ///
    /// When the system has no more of them.
    #[must_use]
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a handle")
    }

    /// Our own address.
    ///
    /// # Panics
    ///
    /// When the connection has ended.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().expect("a socket")
    }

    /// Send a request and read the answer.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not well-formed.
    pub fn send(&mut self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// The same; a connection that ends or breaks is an error.
    ///
    /// # Errors
    ///
    /// The connection ends before the answer does, or the answer is not well-formed.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        self.try_send_raw(&request.bytes())?;
        self.try_read(request.method == "HEAD", true)?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// `GET`.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// `POST`.
    pub fn post(&mut self, target: &str, body: impl Into<Vec<u8>>) -> Response {
        self.send(&Request::post(target, body))
    }

    /// Read an answer.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not well-formed.
    pub fn read_response(&mut self) -> Response {
        let read = self.try_read(false, true).expect("an answer");
        read.expect("an answer before the end of the connection")
    }

    /// Read an answer, and only count the bytes of its body.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not well-formed.
    pub fn read_counting(&mut self) -> Response {
        let read = self.try_read(false, false).expect("an answer");
        read.expect("an answer before the end of the connection")
    }

    /// Read an answer; none if the connection ends before it begins.
    ///
    /// # Errors
    ///
    /// The connection ends before the answer does, or the answer is not well-formed.
    pub fn try_read(&mut self, to_head: bool, keep: bool) -> io::Result<Option<Response>> {
        let mut interim = Vec::new();
        loop {
            let Some(head) = http::read_head(&mut self.stream)? else {
                return Ok(None);
            };
            let status = status_of(&head.start)?;
            if (100..200).contains(&status) {
                interim.push(status);
                continue;
            }
            let framing = if to_head || status == 204 || status == 304 {
                None
            } else {
                Some(head.framing()?.unwrap_or(Framing::Close))
            };
            let mut body = Vec::new();
            let mut length = 0;
            let trailers = match framing {
                Some(framing) => http::read_body(&mut self.stream, framing, |piece| {
                    length += piece.len() as u64;
                    if keep {
                        body.extend_from_slice(piece);
                    }
                })?,
                None => Vec::new(),
            };
            return Ok(Some(Response {
                status,
                head,
                framing,
                body,
                length,
                trailers,
                interim,
            }));
        }
    }

    /// Read a response's head only.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not well-formed.
    pub fn read_head(&mut self) -> Head {
        let head = http::read_head(&mut self.stream).expect("a head");
        head.expect("a head before the end of the connection")
    }

    /// Read a body, and give its pieces away as they come.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn read_body(&mut self, framing: Framing, take: impl FnMut(&[u8])) {
        http::read_body(&mut self.stream, framing, take).expect("a body");
    }

    /// Whether the connection has ended, see [`http::is_closed`].
    pub fn is_closed(&mut self) -> bool {
        http::is_closed(&mut self.stream)
    }
}

fn status_of(line: &str) -> io::Result<u16> {
    let code = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok());
    code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("status line {line:?}")))
}
