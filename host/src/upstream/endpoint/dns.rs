//! Resolves the names of endpoints by DNS.
//!
//! An answer is valid for its TTL, within bounds. IPv4 addresses are used if there are any, else IPv6:
//! an endpoint that is reachable by both is one endpoint. If one query fails, the answer says which
//! part is missing. A name server that fails or is slow never hides the answer of another. The hosts
//! file counts. [`super::maintenance`] acts on the answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::observe::histogram::TimeHistogram;

/// The shortest time that an answer is believed: a TTL of 0 is not to be a storm.
const MIN_TTL: Duration = Duration::from_secs(1);
/// The longest, whatever the TTL says.
const MAX_TTL: Duration = Duration::from_mins(10);
/// For one question to one server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Questions for one answer.
const MAX_QUERIES: usize = 2;
/// After so long without an answer the next server is asked as well.
const HEDGE_DELAY: Duration = Duration::from_millis(500);
/// One server has said that there is no address: how long others may still say otherwise.
const NEGATIVE_GRACE: Duration = Duration::from_secs(1);

/// The look-ups of the process.
static LOOKUPS: LazyLock<LookupCounters> = LazyLock::new(LookupCounters::default);

/// Counts of look-ups by result, and their times.
#[derive(Debug, Default)]
pub(crate) struct LookupCounters {
    pub(crate) found: AtomicU64,
    pub(crate) no_name: AtomicU64,
    pub(crate) no_address: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) times: TimeHistogram,
}

impl LookupCounters {
    /// Those of the process.
    #[must_use]
    pub(crate) fn of_process() -> &'static Self {
        &LOOKUPS
    }

    fn count(&self, found: &Result<ResolvedAddresses, LookupError>, time: Duration) {
        let counter = match found {
            Ok(_) => &self.found,
            Err(LookupError::NoName) => &self.no_name,
            Err(LookupError::NoAddress) => &self.no_address,
            Err(LookupError::Failed(_)) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.times.observe_shared(time);
    }
}

/// Asks for names.
pub(crate) struct DnsResolver {
    /// At least one, or why there is none.
    servers: Result<Vec<NameServer>, String>,
}

/// One name server. Each has resolvers of its own: hickory gives up at the first server that
/// answers SERVFAIL or REFUSED, and does not ask the next.
#[derive(Clone)]
struct NameServer {
    ipv4: TokioResolver,
    ipv6: TokioResolver,
}

impl std::fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsResolver").finish_non_exhaustive()
    }
}

/// Why a name has no addresses now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    /// The name server knows no such name.
    #[error("the name does not exist")]
    NoName,
    /// The name server knows it, without an address.
    #[error("the name has no address (no `A` record, and no `AAAA`)")]
    NoAddress,
    /// Nobody could be asked, or nobody answered.
    #[error("{0}")]
    Failed(String),
}

impl LookupError {
    /// Whether the name servers have said so, and would again.
    #[must_use]
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::NoName => true,
            Self::NoAddress | Self::Failed(_) => false,
        }
    }

    fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }

    /// The error that counts of those of two servers: a name without an address goes before no such name, and
    /// that before no answer.
    fn or(self, other: Self) -> Self {
        let weight = |why: &Self| match why {
            Self::Failed(_) => 0,
            Self::NoName => 1,
            Self::NoAddress => 2,
        };
        if weight(&self) >= weight(&other) {
            self
        } else {
            other
        }
    }
}

impl From<NetError> for LookupError {
    fn from(error: NetError) -> Self {
        match error {
            error if error.is_nx_domain() => Self::NoName,
            error if error.is_no_records_found() => Self::NoAddress,
            NetError::Timeout => Self::failed("no answer from a name server in time"),
            NetError::NoConnections => Self::failed("no name server can be reached"),
            error => Self::failed(error),
        }
    }
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedAddresses {
    /// At least one.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How long it may be believed.
    pub(crate) ttl: Duration,
    /// The reason why IPv4 addresses may be missing: the query for them failed.
    pub(crate) partial: Option<String>,
}

/// Which addresses a question is for.
#[derive(Clone, Copy)]
enum AddressFamily {
    V4,
    V6,
}

impl DnsResolver {
    /// Ask these servers; where there are none, those of the system.
    #[must_use]
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let servers = match servers {
            [] => system_servers(),
            servers => {
                let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
                let servers = servers.iter().map(server_config);
                servers
                    .map(|server| NameServer::new(&config, server, &ResolverOpts::default()))
                    .collect()
            }
        };
        Self { servers }
    }

    /// Ask for `name:port`.
    ///
    /// # Errors
    ///
    /// Why there is no answer, or none with an address.
    pub(crate) async fn look_up(&self, name: &str) -> Result<ResolvedAddresses, LookupError> {
        let (host, port) = split(name).ok_or_else(|| LookupError::failed("it has no port"))?;
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(ResolvedAddresses {
                addresses: vec![SocketAddr::new(ip, port)],
                ttl: MAX_TTL,
                partial: None,
            });
        }
        let began = Instant::now();
        let found = self.look_up_host(host, port).await;
        LOOKUPS.count(&found, began.elapsed());
        found
    }

    async fn look_up_host(&self, host: &str, port: u16) -> Result<ResolvedAddresses, LookupError> {
        let servers = self.servers.as_ref().map_err(LookupError::failed)?;
        let ipv4 = match look_up_all(servers, host, port, AddressFamily::V4).await {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        };
        let ipv6 = look_up_all(servers, host, port, AddressFamily::V6).await;
        match (ipv4, ipv6) {
            (LookupError::Failed(why), Ok(answer)) => Ok(ResolvedAddresses {
                partial: Some(why),
                ..answer
            }),
            (_, Ok(answer)) => Ok(answer),
            // Where one question failed, there may be an address.
            (LookupError::Failed(why), Err(_)) | (_, Err(LookupError::Failed(why))) => {
                Err(LookupError::Failed(why))
            }
            (LookupError::NoName, Err(LookupError::NoName)) => Err(LookupError::NoName),
            (_, Err(_)) => Err(LookupError::NoAddress),
        }
    }
}

/// Ask one server after the other, until one has an address. A server that is slow is waited for
/// while the next is asked.
async fn look_up_all(
    servers: &[NameServer],
    host: &str,
    port: u16,
    family: AddressFamily,
) -> Result<ResolvedAddresses, LookupError> {
    let mut next = servers.iter();
    let mut asked = JoinSet::new();
    let mut found: Option<LookupError> = None;
    loop {
        let started = next.next().cloned();
        let is_last = next.len() == 0;
        if let Some(server) = started {
            let host = host.to_owned();
            asked.spawn(async move { server.query(&host, port, family).await });
        }
        let is_absent = matches!(found, Some(LookupError::NoName | LookupError::NoAddress));
        let patience = match (is_last, is_absent) {
            (false, _) => HEDGE_DELAY,
            (true, true) => NEGATIVE_GRACE,
            // Each question has an end of its own.
            (true, false) => MAX_TTL,
        };
        match timeout(patience, asked.join_next()).await {
            Ok(Some(Ok(Ok(answer)))) => return Ok(answer),
            Ok(Some(Ok(Err(why)))) => {
                found = Some(match found {
                    Some(before) => before.or(why),
                    None => why,
                });
            }
            Ok(Some(Err(error))) => found = Some(LookupError::failed(error)),
            Err(_) if !is_last => {}
            Ok(None) | Err(_) => {
                return Err(found.unwrap_or_else(|| LookupError::from(NetError::Timeout)));
            }
        }
    }
}

impl NameServer {
    fn new(
        config: &ResolverConfig,
        server: NameServerConfig,
        options: &ResolverOpts,
    ) -> Result<Self, String> {
        let domain = config.domain().cloned();
        let config = ResolverConfig::from_parts(domain, config.search().to_vec(), vec![server]);
        let resolver = |strategy| {
            let mut options = options.clone();
            options.ip_strategy = strategy;
            options.timeout = QUERY_TIMEOUT;
            options.attempts = MAX_QUERIES;
            // An answer is asked for again when it has ended, and by nobody else.
            options.cache_size = 0;
            let runtime = TokioRuntimeProvider::default();
            let builder = TokioResolver::builder_with_config(config.clone(), runtime);
            let built = builder.with_options(options).build();
            built.map_err(|error| error.to_string())
        };
        Ok(Self {
            ipv4: resolver(LookupIpStrategy::Ipv4Only)?,
            ipv6: resolver(LookupIpStrategy::Ipv6Only)?,
        })
    }

    async fn query(
        &self,
        host: &str,
        port: u16,
        family: AddressFamily,
    ) -> Result<ResolvedAddresses, LookupError> {
        let resolver = match family {
            AddressFamily::V4 => &self.ipv4,
            AddressFamily::V6 => &self.ipv6,
        };
        let found = resolver.lookup_ip(host).await?;
        let addresses = found.iter().map(|ip| SocketAddr::new(ip, port));
        let addresses: Vec<SocketAddr> = addresses.collect();
        if addresses.is_empty() {
            return Err(LookupError::NoAddress);
        }
        let left = found
            .valid_until()
            .saturating_duration_since(Instant::now());
        Ok(ResolvedAddresses {
            addresses,
            ttl: left.clamp(MIN_TTL, MAX_TTL),
            partial: None,
        })
    }
}

/// The system's name servers, with its search list.
fn system_servers() -> Result<Vec<NameServer>, String> {
    let (config, options) = read_system_conf().map_err(|error| error.to_string())?;
    let servers = config.name_servers().iter().cloned();
    servers
        .map(|server| NameServer::new(&config, server, &options))
        .collect()
}

fn server_config(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        let ConnectionConfig { port, .. } = connection;
        *port = address.port();
    }
    server
}

fn split(name: &str) -> Option<(&str, u16)> {
    let (host, port) = name.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}
