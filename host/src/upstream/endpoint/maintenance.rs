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

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::check_target::CheckTarget;
use super::dns::{DnsResolver, LookupError, ResolvedAddresses};
use super::health::probe;
use super::leaving::LeavingEndpoints;
use super::state::{EndpointState, EndpointTotals};
use crate::runtime::clock::Timestamp;
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
        let (orders, taken) = unbounded_channel();
        let runtime = || {
            Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
        };
        let (told, heard) = sync_channel(1);
        std::thread::Builder::new()
            .name("windlass-rounds".into())
            .spawn(move || match runtime() {
                Ok(runtime) => {
                    // The starter waits for this.
                    let _ = told.send(Ok(()));
                    runtime.block_on(async {
                        let _seen_off = spawn_task(end_leaving(leaving));
                        run_commands(taken).await;
                    });
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            })?;
        let started = heard.recv();
        started.unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { commands: orders })
    }

    /// Query these servers for the addresses of this name.
    #[must_use]
    pub(crate) fn look_up(&self, names: &Arc<DnsResolver>, name: &str) -> PendingLookup {
        let (answer, answered) = sync_channel(1);
        let order = MaintenanceCommand::Resolve(Arc::clone(names), name.to_owned(), answer);
        // At the end of the process there is no answer.
        let _ = self.commands.send(order);
        PendingLookup {
            wait: answered,
            started_at: Instant::now(),
        }
    }

    /// Look after these, and no others; ask these servers for their names.
    pub(crate) fn maintain(&self, plans: &[Arc<Upstream>], names: &Arc<DnsResolver>) {
        let order = MaintenanceCommand::Maintain(plans.to_vec(), Arc::clone(names));
        // At the end of the process the thread may be gone, and that is fine.
        let _ = self.commands.send(order);
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

/// A task that ends with this.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn spawn_task(run: impl Future<Output = ()> + 'static) -> AbortOnDrop {
    AbortOnDrop(spawn_local(run).abort_handle())
}

async fn run_commands(mut orders: UnboundedReceiver<MaintenanceCommand>) {
    let mut tasks: Vec<AbortOnDrop> = Vec::new();
    while let Some(order) = orders.recv().await {
        match order {
            MaintenanceCommand::Resolve(names, name, answer) => {
                spawn_local(async move {
                    // The receiver may have stopped waiting.
                    let _ = answer.send(names.look_up(&name).await);
                });
            }
            MaintenanceCommand::Maintain(plans, names) => {
                // Stop the old tasks first, so that no endpoint is checked twice.
                tasks.clear();
                let plans = plans.into_iter();
                tasks.extend(
                    plans.map(|plan| spawn_task(maintain_upstream(plan, Arc::clone(&names)))),
                );
            }
        }
    }
}

/// Look after the endpoints that leave, until this is dropped.
async fn end_leaving(leaving: Arc<LeavingEndpoints>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        leaving.tick(Timestamp::now());
    }
}

/// Look after one upstream, until this is dropped.
async fn maintain_upstream(plan: Arc<Upstream>, names: Arc<DnsResolver>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut checks: HashMap<u64, AbortOnDrop> = HashMap::new();
    let mut asked: HashMap<Arc<str>, AbortOnDrop> = HashMap::new();
    let mut shares = SuccessRates::default();
    let mut version = None;
    loop {
        ticks.tick().await;
        plan.refresh_endpoints();
        if version != Some(plan.version()) {
            version = Some(plan.version());
            let members = plan.endpoint_set();
            start_checks(&plan, &members.endpoints, &mut checks);
            start_lookups(&plan, &names, &mut asked);
        }
        plan.tick(Timestamp::now());
        shares.eject_failing(&plan);
    }
}

/// A task for each endpoint that is to be checked, and for no other.
fn start_checks(
    plan: &Arc<Upstream>,
    endpoints: &[UpstreamEndpoint],
    checks: &mut HashMap<u64, AbortOnDrop>,
) {
    if plan.config.health.is_none() {
        for endpoint in endpoints {
            plan.update_health(&endpoint.state, |health| {
                health.clear_checks(Timestamp::now())
            });
        }
        return;
    }
    let there: HashSet<u64> = endpoints.iter().map(|endpoint| endpoint.state.id).collect();
    checks.retain(|id, _| there.contains(id));
    for endpoint in endpoints {
        checks.entry(endpoint.state.id).or_insert_with(|| {
            let reached = CheckTarget::new(plan, endpoint);
            spawn_task(check_repeatedly(
                Arc::clone(plan),
                Arc::clone(&endpoint.state),
                reached,
            ))
        });
    }
}

/// Check one endpoint repeatedly.
async fn check_repeatedly(plan: Arc<Upstream>, known: Arc<EndpointState>, reached: CheckTarget) {
    let Some(check) = &plan.config.health else {
        return;
    };
    // An endpoint that another configuration checked can wait; a new one cannot.
    let first = match known.health(|health| health.checks_good()) {
        Some(_) => 1.0,
        None => 0.1,
    };
    sleep(check.interval.mul_f64(fastrand::f64() * first)).await;
    loop {
        let answer = probe::run_check(check, &reached).await;
        let answer = answer.map_err(|why| match check.port {
            Some(port) => format!("port {port}: {why}"),
            None => why,
        });
        plan.record_check(&known, answer);
        sleep(check.interval.mul_f64(0.9 + fastrand::f64() * 0.2)).await;
    }
}

/// A task for each name, and for no other.
fn start_lookups(
    plan: &Arc<Upstream>,
    names: &Arc<DnsResolver>,
    asked: &mut HashMap<Arc<str>, AbortOnDrop>,
) {
    let there = plan.names();
    asked.retain(|name, _| there.contains(name));
    for name in there {
        asked.entry(Arc::clone(&name)).or_insert_with(|| {
            spawn_task(look_up_repeatedly(
                Arc::clone(plan),
                name,
                Arc::clone(names),
            ))
        });
    }
}

/// Resolve one name repeatedly, by its TTL.
async fn look_up_repeatedly(plan: Arc<Upstream>, name: Arc<str>, names: Arc<DnsResolver>) {
    let upstream = &*plan.state.name;
    let mut rest = RETRY_DELAY.0;
    loop {
        let answered = names.look_up(&name).await;
        let missing = match &answered {
            Ok(answer) => answer.partial.clone(),
            Err(error) => Some(error.to_string()),
        };
        let holds = answered.as_ref().map(|answer| answer.ttl);
        if let Ok(answer) = &answered
            && plan.state.set_addresses(&name, answer)
        {
            let addresses = format_addresses(&answer.addresses);
            let name = &*name;
            tracing::info!(
                upstream,
                name,
                "a name resolves to other addresses: {addresses}"
            );
        }
        let Some(why) = missing else {
            if rest != RETRY_DELAY.0 {
                tracing::info!(upstream, name = &*name, "a name resolves again");
                rest = RETRY_DELAY.0;
            }
            sleep(holds.unwrap_or(RETRY_DELAY.0)).await;
            continue;
        };
        if rest == RETRY_DELAY.0 {
            let keeps = match (&answered, plan.state.addresses(&name).is_empty()) {
                (Err(_), true) => "has no address yet",
                (Err(_), false) => "keeps its last addresses",
                (Ok(_), _) => "keeps the addresses that it has (the query for IPv4 failed)",
            };
            let name = &*name;
            tracing::warn!(
                upstream,
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
    fn eject_failing(&mut self, plan: &Upstream) {
        let rules = &plan.config.ejection;
        let now_ms = Timestamp::now().monotonic_ms();
        let interval = u64::try_from(rules.interval.as_millis()).unwrap_or(u64::MAX);
        if rules.min_success == 0 || now_ms < self.checked_at_ms.saturating_add(interval) {
            return;
        }
        let is_first = self.checked_at_ms == 0;
        self.checked_at_ms = now_ms;
        let mut figures = HashMap::new();
        for endpoint in &plan.endpoint_set().endpoints {
            let known = &endpoint.state;
            let now = known.totals();
            let before = self.figures.get(&known.id).copied().unwrap_or_default();
            figures.insert(known.id, now);
            let attempts = now.attempts.saturating_sub(before.attempts);
            let faults = now.faults.saturating_sub(before.faults);
            let good = attempts.saturating_sub(faults).saturating_mul(100);
            let too_few = good < attempts.saturating_mul(u64::from(rules.min_success));
            if !is_first && attempts >= u64::from(rules.min_requests) && too_few {
                let share = good / attempts.max(1);
                plan.eject(known, &format!("{share} % of {attempts} results were good"));
            }
        }
        self.figures = figures;
    }
}
