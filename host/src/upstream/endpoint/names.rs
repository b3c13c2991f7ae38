//! Names of endpoints to addresses, by DNS.
//!
//! Promises: an answer holds as long as its TTL says, within bounds; IPv4 where there is any, else
//! IPv6: an endpoint that is reached by both is one endpoint. The hosts file counts. Deliberately
//! not here: what becomes of an answer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// The shortest time that an answer is believed: a TTL of 0 is not to be a storm.
const LEAST: Duration = Duration::from_secs(1);
/// The longest, whatever the TTL says.
const MOST: Duration = Duration::from_mins(10);
/// For one question to one server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Questions for one answer.
const ATTEMPTS: usize = 2;

/// Asks for names.
pub struct Names {
    resolver: Result<TokioResolver, String>,
}

/// Why a name has no addresses now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The name server knows no such name.
    #[error("there is no such name")]
    NoName,
    /// The name server knows it, without an address.
    #[error("the name has no address (no `A` record, and no `AAAA`)")]
    NoAddress,
    /// Nobody could be asked, or nobody answered.
    #[error("{0}")]
    Failed(String),
}

impl NoAnswer {
    /// Whether the name server has said so, and would again. That there is no address may be said of
    /// IPv6 alone, where the question for IPv4 failed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::NoName => true,
            Self::NoAddress | Self::Failed(_) => false,
        }
    }

    fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }
}

impl From<NetError> for NoAnswer {
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

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// At least one.
    pub addresses: Vec<SocketAddr>,
    /// How long it may be believed.
    pub holds: Duration,
}

impl Names {
    /// Ask these servers; where there are none, those of the system.
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        let runtime = TokioRuntimeProvider::default();
        let builder = match servers {
            [] => TokioResolver::builder(runtime).map_err(|error| error.to_string()),
            servers => {
                let servers = servers.iter().map(server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                Ok(TokioResolver::builder_with_config(config, runtime))
            }
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
            options.timeout = TIMEOUT;
            options.attempts = ATTEMPTS;
            // An answer is asked for again when it has ended, and by nobody else.
            options.cache_size = 0;
            builder.build().map_err(|error| error.to_string())
        });
        Self { resolver }
    }

    /// Ask for `name:port`.
    ///
    /// # Errors
    ///
    /// Why there is no answer, or none with an address.
    pub async fn ask(&self, name: &str) -> Result<Answer, NoAnswer> {
        let (host, port) = split(name).ok_or_else(|| NoAnswer::failed("it has no port"))?;
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Answer {
                addresses: vec![SocketAddr::new(ip, port)],
                holds: MOST,
            });
        }
        let resolver = self.resolver.as_ref().map_err(NoAnswer::failed)?;
        let found = resolver.lookup_ip(host).await?;
        let mut addresses: Vec<SocketAddr> =
            found.iter().map(|ip| SocketAddr::new(ip, port)).collect();
        if addresses.iter().any(SocketAddr::is_ipv4) {
            addresses.retain(SocketAddr::is_ipv4);
        }
        if addresses.is_empty() {
            return Err(NoAnswer::NoAddress);
        }
        let left = found
            .valid_until()
            .saturating_duration_since(Instant::now());
        Ok(Answer {
            addresses,
            holds: left.clamp(LEAST, MOST),
        })
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
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
