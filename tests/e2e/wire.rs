//! TLS, with certificates made for the test, and HTTP/2, for tests that need more than the
//! harness's simple clients and endpoints. Built on hyper and rustls, on a thread of its own.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, PKCS_RSA_SHA256,
    RevokedCertParams, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use windlass_tests::wait::{DEADLINE, Watched};

pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, Fault>;

/// A body that is complete from the start.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An empty body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A certificate authority.
pub(crate) struct Authority {
    /// Its certificate in PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each authority gets its own name.
        let name = format!("authority {:x}", another());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// Its private key in PEM.
    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issue a certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.sign(names, |_| {})
    }

    /// Issue a certificate that is an authority itself.
    pub(crate) fn authority(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        })
    }

    /// Issue a certificate that expired years ago.
    pub(crate) fn expired(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        })
    }

    /// Issue a certificate for a client of this name, with this serial number.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Identity {
        self.sign(&["orders.test"], |params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let organization = "Example, Inc.";
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
            params.serial_number = Some(serial.into());
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let uri = "spiffe://test/orders".try_into().unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        })
    }

    /// A list in PEM that revokes these serial numbers, and is current until this year.
    pub(crate) fn revocations(&self, serials: &[u64], until: i32) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        list.pem().unwrap()
    }

    /// Issue a certificate that begins in many years.
    pub(crate) fn early(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| {
            params.not_before = date_time_ymd(2090, 1, 1);
            params.not_after = date_time_ymd(2091, 1, 1);
        })
    }

    /// Issue a certificate with an RSA key.
    pub(crate) fn issue_rsa(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        self.sign_key(names, &key, |_| {})
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        self.sign_key(names, &KeyPair::generate().unwrap(), change)
    }

    fn sign_key(
        &self,
        names: &[&str],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap().pem();
        Identity {
            certificate,
            key: key.serialize_pem(),
        }
    }
}

/// A different number at each call.
fn another() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    Arc::new(roots)
}

fn chain(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    (chain.map(Result::unwrap).collect(), key.unwrap())
}

fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// A TLS client configuration that trusts this authority and offers these protocols.
pub(crate) fn client_tls(authority: &Authority, offers: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&authority.pem))
        .with_no_client_auth();
    config.alpn_protocols = protocols(offers);
    Arc::new(config)
}

/// A TLS server configuration. With `clients`, clients must present a certificate of that
/// authority.
pub(crate) fn server_tls(
    identity: &Identity,
    offers: &[&str],
    clients: Option<&Authority>,
) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots(&clients.pem), provider())
                .build()
                .unwrap(),
        ),
    };
    let (chain, key) = chain(identity);
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols(offers);
    Arc::new(config)
}

/// Run a future to its end on this thread. Panics at the deadline.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let all = tokio::task::LocalSet::new();
    runtime.block_on(all.run_until(async {
        tokio::time::timeout(DEADLINE, future)
            .await
            .expect("the end within the deadline")
    }))
}

/// Runs hyper's tasks on the current thread.
#[derive(Clone, Copy)]
pub(crate) struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Any kind of connection.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

/// Connect; with a configuration for it, use TLS to `localhost`.
pub(crate) async fn connect(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> std::io::Result<Box<dyn Pipe>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(socket),
        Some(config) => {
            let name = ServerName::try_from("localhost").unwrap();
            let connector = TlsConnector::from(Arc::clone(config));
            Box::new(connector.connect(name, socket).await?)
        }
    })
}

/// An HTTP/2 client on a new connection.
pub(crate) async fn http2(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> hyper::client::conn::http2::SendRequest<Body> {
    let pipe = connect(address, tls).await.unwrap();
    let made = hyper::client::conn::http2::handshake(Here, TokioIo::new(pipe)).await;
    let (sender, drive) = made.unwrap();
    tokio::task::spawn_local(drive);
    sender
}

/// An HTTP/1.1 client on a new connection.
pub(crate) async fn http1(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> hyper::client::conn::http1::SendRequest<Body> {
    let pipe = connect(address, tls).await.unwrap();
    let made = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await;
    let (sender, drive) = made.unwrap();
    tokio::task::spawn_local(drive.with_upgrades());
    sender
}

/// A `GET` over HTTP/2.
pub(crate) fn get(target: &str) -> Request<Body> {
    let request = Request::get(format!("http://localhost{target}"));
    request.body(empty()).unwrap()
}

/// The head of a response, and its whole body as text.
pub(crate) async fn read(response: Response<Incoming>) -> (http::response::Parts, String) {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The requests and connections that an endpoint saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// The number of handshakes that resumed an earlier session.
    pub(crate) resumed: usize,
    pub(crate) requests: Vec<Parts>,
}

/// The protocols that an endpoint speaks.
#[derive(Clone, Default)]
pub(crate) struct Speaks {
    /// If set, the endpoint uses TLS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// On clear text: HTTP/2 with prior knowledge. With TLS, the handshake decides.
    pub(crate) http2: bool,
    /// The most concurrent requests on one HTTP/2 connection.
    pub(crate) most: Option<u32>,
    /// Whether HTTP/2 allows an extended `CONNECT`.
    pub(crate) connects: bool,
}

type Answering = Pin<Box<dyn Future<Output = Response<Body>>>>;

pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    seen: Arc<Watched<Seen>>,
    _ended: tokio::sync::oneshot::Sender<()>,
}

impl Endpoint {
    /// Start an endpoint that responds by this function.
    pub(crate) fn start<F>(
        speaks: Speaks,
        answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + 'static,
    {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let seen: Arc<Watched<Seen>> = Arc::new(Watched::new(Seen::default()));
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let answer = move |request| -> Answering { Box::pin(answer(request)) };
            let accepting = accept(socket, speaks, shared, std::rc::Rc::new(answer));
            tokio::task::LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = accepting => {}
                    _ = end => {}
                }
            });
        });
        Self {
            address,
            seen,
            _ended: ended,
        }
    }

    /// An endpoint that responds with the HTTP version of the request.
    pub(crate) fn version(speaks: Speaks) -> Self {
        Self::start(speaks, |request| async move {
            Response::new(full(format!("{:?}", request.version())))
        })
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        self.seen.with(look)
    }
}

async fn accept<A: Fn(Request<Incoming>) -> Answering + 'static>(
    socket: TcpListener,
    speaks: Speaks,
    seen: Arc<Watched<Seen>>,
    answer: std::rc::Rc<A>,
) {
    let socket = tokio::net::TcpListener::from_std(socket).unwrap();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        seen.change(|seen| seen.connections += 1);
        let (speaks, seen, answer) = (speaks.clone(), Arc::clone(&seen), answer.clone());
        tokio::task::spawn_local(async move {
            let noted = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let (parts, body) = request.into_parts();
                seen.change(|seen| seen.requests.push(parts.clone()));
                let answering = answer(Request::from_parts(parts, body));
                async move { Ok::<_, Infallible>(answering.await) }
            });
            let (pipe, http2): (Box<dyn Pipe>, bool) = match speaks.tls {
                None => (Box::new(stream), speaks.http2),
                Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
                    Err(_) => return,
                    Ok(stream) => {
                        let session = stream.get_ref().1;
                        let http2 = session.alpn_protocol() == Some(b"h2");
                        let kind = session.handshake_kind();
                        let resumed = kind == Some(rustls::HandshakeKind::Resumed);
                        noted.change(|seen| seen.resumed += usize::from(resumed));
                        (Box::new(stream), http2)
                    }
                },
            };
            let io = TokioIo::new(pipe);
            // The other side checks how a connection ends.
            if http2 {
                let mut builder = hyper::server::conn::http2::Builder::new(Here);
                builder.max_concurrent_streams(speaks.most);
                if speaks.connects {
                    builder.enable_connect_protocol();
                }
                let _ = builder.serve_connection(io, service).await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .with_upgrades()
                    .await;
            }
        });
    }
}

/// Whether a request arrived over HTTP/2.
pub(crate) fn is_http2(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2
}
