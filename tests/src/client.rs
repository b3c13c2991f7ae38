//! A client with one connection. It sends exactly the bytes that a test gives it.

use std::fmt::Write as _;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::http::{self, Framing, Head};
use crate::wait::DEADLINE;

/// A request to send.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl Request {
    /// A request with this method and target, sent unchanged.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            fields: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// The same request with one more header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same request with a body of a stated length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same request with a body sent in chunks.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The bytes that are sent. `Host` is added if the request has none, and so are the fields that
    /// frame the body.
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

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// The status line and the fields, in the order of the wire.
    pub head: Head,
    /// How the body was framed; `None` for a response without a body.
    pub framing: Option<Framing>,
    /// The body; empty if the test asked only for its length.
    pub body: Vec<u8>,
    /// The length of the body in bytes.
    pub length: u64,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The statuses of the interim responses before this one.
    pub interim: Vec<u16>,
}

impl Response {
    /// The value of a field that appears once; `None` if it is absent.
    ///
    /// # Panics
    ///
    /// If it appears more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers(name);
        assert!(values.len() < 2, "`{name}` comes {} times", values.len());
        values.first().copied()
    }

    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head.all(name).collect()
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// If it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body that is text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The `code` of an error response that Windlass or a filter made.
    ///
    /// # Panics
    ///
    /// If the body is not a problem of RFC 9457 with a `code`.
    #[must_use]
    pub fn code(&self) -> String {
        let problem = self.json();
        let code = problem["code"].as_str();
        code.unwrap_or_else(|| panic!("no code in {problem}"))
            .to_owned()
    }
}

#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connect.
    ///
    /// # Panics
    ///
    /// If nothing listens at the address.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&to, DEADLINE).expect("a connection"))
    }

    /// A client on a connection that is already open.
    ///
    /// # Panics
    ///
    /// If the connection has ended.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
        }
    }

    /// Send these bytes unchanged.
    ///
    /// # Panics
    ///
    /// If the connection has ended.
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send_raw(bytes.as_ref()).expect("bytes to be sent");
    }

    /// Send these bytes unchanged.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Close the sending side, and keep reading.
    ///
    /// # Panics
    ///
    /// If the connection has ended.
    pub fn finish_sending(&mut self) {
        let stream = self.stream.get_ref();
        stream.shutdown(Shutdown::Write).expect("an open socket");
    }

    /// Another handle to the socket, for a thread that sends while this one reads.
    ///
    /// # Panics
    ///
    /// If the system has no more handles.
    #[must_use]
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a handle")
    }

    /// The client's own address.
    ///
    /// # Panics
    ///
    /// If the connection has ended.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().expect("a socket")
    }

    /// Send a request and read the response.
    ///
    /// # Panics
    ///
    /// If there is no response, or it is malformed.
    pub fn send(&mut self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// Send a request and read the response; a connection that ends or breaks is an error.
    ///
    /// # Errors
    ///
    /// The connection ends before the response does, or the response is malformed.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        self.try_send_raw(&request.bytes())?;
        self.try_read(request.method == "HEAD", true)?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    pub fn post(&mut self, target: &str, body: impl Into<Vec<u8>>) -> Response {
        self.send(&Request::post(target, body))
    }

    /// Read a response.
    ///
    /// # Panics
    ///
    /// If there is no response, or it is malformed.
    pub fn read_response(&mut self) -> Response {
        let read = self.try_read(false, true).expect("an answer");
        read.expect("an answer before the end of the connection")
    }

    /// Read a response, but only count the bytes of its body.
    ///
    /// # Panics
    ///
    /// If there is no response, or it is malformed.
    pub fn read_counting(&mut self) -> Response {
        let read = self.try_read(false, false).expect("an answer");
        read.expect("an answer before the end of the connection")
    }

    /// Read a response; `None` if the connection ends before the response begins.
    ///
    /// # Errors
    ///
    /// The connection ends before the response does, or the response is malformed.
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

    /// Read only the head of a response.
    ///
    /// # Panics
    ///
    /// If there is no response, or it is malformed.
    pub fn read_head(&mut self) -> Head {
        let head = http::read_head(&mut self.stream).expect("a head");
        head.expect("a head before the end of the connection")
    }

    /// Read a body, and pass its chunks to `take` as they arrive.
    ///
    /// # Panics
    ///
    /// If the body does not end.
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
