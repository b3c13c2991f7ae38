//! Maintenance of endpoints, on one thread of its own and never on a worker.
//!
//! It runs checks, resolves names, advances slow starts, ends ejections, watches the rates of good
//! results, and cuts endpoints that leave. Each check has an end. A name that does not resolve keeps
//! its last addresses. Upstreams that are no longer in use are not looked after, except for endpoints
//! that leave. [`crate::upstream::shared`] and [`super::health`] act on the results.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::dns::{DnsResolver, LookupError, ResolvedAddresses};
use super::health::probe::{self, CheckTarget};
use super::leaving::LeavingEndpoints;
use super::state::{EndpointState, EndpointTotals};
use crate::http::watch::milliseconds;
use crate::runtime::clock::Timestamp;
use crate::runtime::tasks::{self, TaskGuard};
use crate::upstream::endpoint_set::UpstreamEndpoint;
use crate::upstream::shared::Upstream;

/// How often time-dependent state is updated.
const TICK: Duration = Duration::from_millis(100);
/// The pause before a name that did not resolve is queried again, at first and at most.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the build of a configuration waits for a name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The maintenance thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Maintenance {
    commands: UnboundedSender<MaintenanceCommand>,
}

/// A command for the thread.
enum MaintenanceCommand {
    /// Query these servers for a name.
    Resolve(
        Arc<DnsResolver>,
        String,
        SyncSender<Result<ResolvedAddresses, LookupError>>,
    ),
    /// Look after these, and no others; ask these servers for their names.
    Maintain(Vec<Arc<Upstream>>, Arc<DnsResolver>),
}

impl Maintenance {
    /// Start the thread. It looks after the endpoints that leave, and after others when it gets a command.
    ///
    /// # Errors
    ///
    /// The system gives no thread or runtime.
    pub(crate) fn start(leaving: Arc<LeavingEndpoints>) -> std::io::Result<Self> {
        let (commands, received) = unbounded_channel();
        let thread = std::thread::Builder::new().name("windlass-rounds".into());
        tasks::start_thread(thread, move || async {
            let _end_leaving = TaskGuard::spawn(end_leaving(leaving));
            run_commands(received).await;
        })?;
        Ok(Self { commands })
    }

    /// Query these servers for the addresses of this name.
    #[must_use]
    pub(crate) fn look_up(&self, names: &Arc<DnsResolver>, name: &str) -> PendingLookup {
        let (answer, answered) = sync_channel(1);
        let command = MaintenanceCommand::Resolve(Arc::clone(names), name.to_owned(), answer);
        // At the end of the process there is no answer.
        let _ = self.commands.send(command);
        PendingLookup {
            wait: answered,
            started_at: Instant::now(),
        }
    }

    /// Look after these, and no others; ask these servers for their names.
    pub(crate) fn maintain(&self, upstreams: &[Arc<Upstream>], names: &Arc<DnsResolver>) {
        let command = MaintenanceCommand::Maintain(upstreams.to_vec(), Arc::clone(names));
        // At the end of the process the thread may be gone, and that is fine.
        let _ = self.commands.send(command);
    }
}

/// A query for a name.
#[derive(Debug)]
pub(crate) struct PendingLookup {
    wait: Receiver<Result<ResolvedAddresses, LookupError>>,
    started_at: Instant,
}

impl PendingLookup {
    /// Its addresses. Waits for them, as long as one waits for a name since it was asked for; not to
    /// be called on a worker.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn result(&self) -> Result<ResolvedAddresses, LookupError> {
        let left = LOOKUP_TIMEOUT.saturating_sub(self.started_at.elapsed());
        let late = |_| Err(LookupError::Failed("no answer in time".to_owned()));
        self.wait.recv_timeout(left).unwrap_or_else(late)
    }
}

async fn run_commands(mut commands: UnboundedReceiver<MaintenanceCommand>) {
    let mut tasks: Vec<TaskGuard> = Vec::new();
    while let Some(command) = commands.recv().await {
        match command {
            MaintenanceCommand::Resolve(names, name, answer) => {
                spawn_local(async move {
                    // The receiver may have stopped waiting.
                    let _ = answer.send(names.look_up(&name).await);
                });
            }
            MaintenanceCommand::Maintain(upstreams, names) => {
                // Stop the old tasks first, so that no endpoint is checked twice.
                tasks.clear();
                tasks.extend(upstreams.into_iter().map(|upstream| {
                    TaskGuard::spawn(maintain_upstream(upstream, Arc::clone(&names)))
                }));
            }
        }
    }
}

/// Ticks, none of which follows another early.
fn ticks() -> Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Look after the endpoints that leave, until this is dropped.
async fn end_leaving(leaving: Arc<LeavingEndpoints>) {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        leaving.tick(Timestamp::now());
    }
}

/// Look after one upstream, until this is dropped.
async fn maintain_upstream(upstream: Arc<Upstream>, names: Arc<DnsResolver>) {
    let mut ticks = ticks();
    let mut checks: HashMap<u64, TaskGuard> = HashMap::new();
    let mut lookups: HashMap<Arc<str>, TaskGuard> = HashMap::new();
    let mut rates = SuccessRates::default();
    let mut version = None;
    loop {
        ticks.tick().await;
        upstream.refresh_endpoints();
        if version != Some(upstream.version()) {
            version = Some(upstream.version());
            let members = upstream.endpoint_set();
            start_checks(&upstream, &members.endpoints, &mut checks);
            start_lookups(&upstream, &names, &mut lookups);
        }
        upstream.tick(Timestamp::now());
        rates.eject_failing(&upstream);
    }
}

/// A task for each endpoint that is to be checked, and for no other.
fn start_checks(
    upstream: &Arc<Upstream>,
    endpoints: &[UpstreamEndpoint],
    checks: &mut HashMap<u64, TaskGuard>,
) {
    if upstream.config.health.is_none() {
        for endpoint in endpoints {
            upstream.update_health(&endpoint.state, |health| {
                health.clear_checks(Timestamp::now())
            });
        }
        return;
    }
    let there: HashSet<u64> = endpoints.iter().map(|endpoint| endpoint.state.id).collect();
    checks.retain(|id, _| there.contains(id));
    for endpoint in endpoints {
        checks.entry(endpoint.state.id).or_insert_with(|| {
            let target = CheckTarget::new(upstream, endpoint);
            TaskGuard::spawn(check_repeatedly(
                Arc::clone(upstream),
                Arc::clone(&endpoint.state),
                target,
            ))
        });
    }
}

/// Check one endpoint repeatedly.
async fn check_repeatedly(
    upstream: Arc<Upstream>,
    endpoint: Arc<EndpointState>,
    target: CheckTarget,
) {
    let Some(check) = &upstream.config.health else {
        return;
    };
    // An endpoint that another configuration checked can wait; a new one cannot.
    let first = match endpoint.health(|health| health.checks_good()) {
        Some(_) => 1.0,
        None => 0.1,
    };
    sleep(check.interval.mul_f64(fastrand::f64() * first)).await;
    loop {
        let answer = probe::run_check(check, &target).await;
        let answer = answer.map_err(|why| match check.port {
            Some(port) => format!("port {port}: {why}"),
            None => why,
        });
        upstream.record_check(&endpoint, answer);
        sleep(check.interval.mul_f64(0.9 + fastrand::f64() * 0.2)).await;
    }
}

/// A task for each name, and for no other.
fn start_lookups(
    upstream: &Arc<Upstream>,
    names: &Arc<DnsResolver>,
    lookups: &mut HashMap<Arc<str>, TaskGuard>,
) {
    let there = upstream.names();
    lookups.retain(|name, _| there.contains(name));
    for name in there {
        lookups.entry(Arc::clone(&name)).or_insert_with(|| {
            TaskGuard::spawn(look_up_repeatedly(
                Arc::clone(upstream),
                name,
                Arc::clone(names),
            ))
        });
    }
}

/// Resolve one name repeatedly, by its TTL.
async fn look_up_repeatedly(upstream: Arc<Upstream>, name: Arc<str>, names: Arc<DnsResolver>) {
    let upstream_name = &*upstream.state.name;
    let mut rest = RETRY_DELAY.0;
    loop {
        let answered = names.look_up(&name).await;
        let missing = match &answered {
            Ok(answer) => answer.partial.clone(),
            Err(error) => Some(error.to_string()),
        };
        let holds = answered.as_ref().map(|answer| answer.ttl);
        if let Ok(answer) = &answered
            && upstream.state.set_addresses(&name, answer)
        {
            let addresses = format_addresses(&answer.addresses);
            let name = &*name;
            tracing::info!(
                upstream = upstream_name,
                name,
                "a name resolves to other addresses: {addresses}"
            );
        }
        let Some(why) = missing else {
            if rest != RETRY_DELAY.0 {
                tracing::info!(
                    upstream = upstream_name,
                    name = &*name,
                    "a name resolves again"
                );
                rest = RETRY_DELAY.0;
            }
            sleep(holds.unwrap_or(RETRY_DELAY.0)).await;
            continue;
        };
        if rest == RETRY_DELAY.0 {
            let keeps = match (&answered, upstream.state.addresses(&name).is_empty()) {
                (Err(_), true) => "has no address yet",
                (Err(_), false) => "keeps its last addresses",
                (Ok(_), _) => "keeps the addresses that it has (the query for IPv4 failed)",
            };
            let name = &*name;
            tracing::warn!(
                upstream = upstream_name,
                name,
                "a name does not resolve, and {keeps}; check the name server: {why}"
            );
        }
        rest = (rest * 2).min(RETRY_DELAY.1);
        sleep(rest).await;
    }
}

/// Addresses for the log: some of them, and how many there are besides.
fn format_addresses(addresses: &[SocketAddr]) -> String {
    const MOST: usize = 8;
    let some: Vec<String> = addresses
        .iter()
        .take(MOST)
        .map(ToString::to_string)
        .collect();
    let some = some.join(", ");
    match addresses.len().saturating_sub(MOST) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

/// The shares of good results of one upstream's endpoints.
#[derive(Default)]
struct SuccessRates {
    /// When they were last compared. Milliseconds.
    checked_at_ms: u64,
    figures: HashMap<u64, EndpointTotals>,
}

impl SuccessRates {
    /// Eject endpoints with too few good results, once an interval.
    fn eject_failing(&mut self, upstream: &Upstream) {
        let rules = &upstream.config.ejection;
        let now_ms = Timestamp::now().monotonic_ms();
        let interval = milliseconds(rules.interval);
        if rules.min_success == 0 || now_ms < self.checked_at_ms.saturating_add(interval) {
            return;
        }
        let is_first = self.checked_at_ms == 0;
        self.checked_at_ms = now_ms;
        let mut figures = HashMap::new();
        for endpoint in &upstream.endpoint_set().endpoints {
            let state = &endpoint.state;
            let now = state.totals();
            let before = self.figures.get(&state.id).copied().unwrap_or_default();
            figures.insert(state.id, now);
            let attempts = now.attempts.saturating_sub(before.attempts);
            let faults = now.faults.saturating_sub(before.faults);
            let good = attempts.saturating_sub(faults).saturating_mul(100);
            let too_few = good < attempts.saturating_mul(u64::from(rules.min_success));
            if !is_first && attempts >= u64::from(rules.min_requests) && too_few {
                let share = good / attempts.max(1);
                upstream.eject(state, &format!("{share} % of {attempts} results were good"));
            }
        }
        self.figures = figures;
    }
}
