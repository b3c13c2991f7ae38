//! Decides whether an endpoint is available, and why not.
//!
//! Results of checks and times come in, a share of the weight comes out. An endpoint is available
//! unless its checks failed, its faults have ejected it, or an operator drains it. After it joined, or
//! was unavailable, its share grows evenly over the slow start.
//!
//! The very first check decides alone. Each change of state is reported once, with its reason, and the
//! last ones are kept. [`probe`] runs the checks, and [`super::state`] counts the faults.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::watch::milliseconds;
use crate::model::date;
use crate::model::endpoint::EndpointHealth;
use crate::runtime::clock::Timestamp;

pub(crate) mod probe;

/// Changes of state that are kept of each endpoint.
pub(crate) const HISTORY: usize = 16;
/// The longest reason. Characters.
const MAX_REASON: usize = 200;
/// The least share during a slow start. Permille: with less, an endpoint that is measured by its
/// first requests would get none for seconds.
const MIN_SLOW_START_SHARE: u32 = 100;
/// An endpoint's whole share.
pub(crate) const WHOLE_SHARE: u32 = 1000;

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StateChange)]
pub(crate) struct Change {
    // Milliseconds since 1970.
    /// When.
    #[serde(rename = "at", serialize_with = "date::moment_out")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at_ms: u64,
    /// The state before.
    pub(crate) from: EndpointHealth,
    /// The state after.
    pub(crate) to: EndpointHealth,
    /// Why.
    pub(crate) reason: String,
}

/// How many results in a row decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckThresholds {
    /// Good ones.
    pub(crate) rise: u32,
    /// Bad ones.
    pub(crate) fall: u32,
}

/// How long an endpoint is ejected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The first time.
    pub(crate) first: Duration,
    /// The longest.
    pub(crate) longest: Duration,
}

/// The health of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Health {
    checked: CheckResults,
    ejected: Option<EjectionRecord>,
    /// The last ejection, while it still counts.
    last_ejection: Option<EjectionRecord>,
    /// Since when an operator drains it.
    drained_ms: Option<u64>,
    /// When it became available; none if it always was.
    available_since_ms: Option<u64>,
    /// The state that was reported last.
    reported: Option<EndpointHealth>,
    /// The fault of the last check, if it failed.
    last_check_fault: Option<Box<str>>,
    history: VecDeque<Change>,
}

/// The result of the checks.
#[derive(Debug, Default, Clone, Copy)]
struct CheckResults {
    /// None before the first check.
    passing: Option<bool>,
    /// Results in a row that say the opposite.
    against: u32,
}

#[derive(Debug, Clone, Copy)]
struct EjectionRecord {
    until_ms: u64,
    length_ms: u64,
}

impl Health {
    /// The health of an endpoint that joins others: its slow start begins now.
    #[must_use]
    pub(crate) fn joining(now: Timestamp) -> Self {
        Self {
            available_since_ms: Some(now.monotonic_ms()),
            ..Self::default()
        }
    }

    /// Record the result of a check. Gives the change, if there is one.
    pub(crate) fn record_check(
        &mut self,
        answer: Result<(), String>,
        counts: CheckThresholds,
        now: Timestamp,
    ) -> Option<Change> {
        let well = answer.is_ok();
        let short = |why: &String| why.chars().take(MAX_REASON).collect::<String>().into();
        self.last_check_fault = answer.as_ref().err().map(short);
        let checked = &mut self.checked;
        match checked.passing {
            None => *checked = CheckResults::new(well),
            Some(passing) if passing == well => checked.against = 0,
            Some(_) => {
                checked.against += 1;
                let needed = if well { counts.rise } else { counts.fall };
                if checked.against >= needed {
                    *checked = CheckResults::new(well);
                }
            }
        }
        match answer {
            Ok(()) => self.record_change("its health checks pass", now),
            Err(why) => self.record_change(&why, now),
        }
    }

    /// Checks are off: their results no longer count.
    pub(crate) fn clear_checks(&mut self, now: Timestamp) -> Option<Change> {
        self.checked = CheckResults::default();
        self.last_check_fault = None;
        self.record_change("it is no longer checked", now)
    }

    /// Eject it for its faults, for longer than the time before.
    pub(crate) fn eject(&mut self, why: &str, backoff: Backoff, now: Timestamp) -> Option<Change> {
        if self.ejected.is_some() {
            return None;
        }
        let first = milliseconds(backoff.first);
        // Forget an ejection that ended as long ago as it lasted.
        let recent = self
            .last_ejection
            .filter(|before| now.monotonic_ms() < before.until_ms.saturating_add(before.length_ms));
        let length_ms = match recent {
            Some(before) => before.length_ms.saturating_mul(2),
            None => first,
        };
        let length_ms = length_ms.clamp(first, milliseconds(backoff.longest).max(first));
        let ejected = EjectionRecord {
            until_ms: now.monotonic_ms().saturating_add(length_ms),
            length_ms,
        };
        self.ejected = Some(ejected);
        self.last_ejection = Some(ejected);
        self.record_change(why, now)
    }

    /// Time has passed: an ejection may be over.
    pub(crate) fn tick(&mut self, slow_start: Option<Duration>, now: Timestamp) -> Option<Change> {
        let over = self
            .ejected
            .is_some_and(|ejected| now.monotonic_ms() >= ejected.until_ms);
        if over {
            self.ejected = None;
        }
        let change = self.record_change("its ejection is over", now);
        if self.ramp(slow_start, now) == WHOLE_SHARE {
            self.available_since_ms = None;
        }
        change
    }

    /// An operator drains it, or ends the drain.
    pub(crate) fn drain(&mut self, drained: bool, now: Timestamp) -> Option<Change> {
        self.drained_ms = drained.then_some(now.monotonic_ms());
        self.record_change(
            if drained {
                "an operator drains it"
            } else {
                "an operator ended its drain"
            },
            now,
        )
    }

    /// Its state, without the slow start.
    #[must_use]
    pub(crate) fn base_state(&self) -> EndpointHealth {
        if self.is_drained() {
            EndpointHealth::Draining
        } else if self.ejected.is_some() {
            EndpointHealth::Ejected
        } else if self.checked.passing == Some(false) {
            EndpointHealth::Unhealthy
        } else {
            EndpointHealth::Healthy
        }
    }

    #[must_use]
    pub(crate) fn state(&self, slow_start: Option<Duration>, now: Timestamp) -> EndpointHealth {
        match self.base_state() {
            EndpointHealth::Healthy if self.ramp(slow_start, now) < WHOLE_SHARE => {
                EndpointHealth::Starting
            }
            state => state,
        }
    }

    /// The part of its weight that counts. Permille; 0 if it gets no requests.
    #[must_use]
    pub(crate) fn share(&self, slow_start: Option<Duration>, now: Timestamp) -> u32 {
        match self.base_state() {
            EndpointHealth::Healthy | EndpointHealth::Starting => self.ramp(slow_start, now),
            EndpointHealth::Unhealthy | EndpointHealth::Ejected | EndpointHealth::Draining => 0,
        }
    }

    /// Whether it may be used if too few others are available.
    #[must_use]
    pub(crate) fn is_last_resort(&self) -> bool {
        !self.is_drained()
    }

    /// Whether sticky clients may stay on it, for so long after the start of its drain.
    #[must_use]
    pub(crate) fn keeps_clients(&self, limit: Option<Duration>, now: Timestamp) -> bool {
        let is_over = self.drained_ms.zip(limit).is_some_and(|(since_ms, limit)| {
            now.monotonic_ms().saturating_sub(since_ms) >= milliseconds(limit)
        });
        !is_over && self.ejected.is_none() && self.checked.passing != Some(false)
    }

    /// Whether only its faults make it unavailable.
    #[must_use]
    pub(crate) fn is_only_ejected(&self) -> bool {
        self.ejected.is_some() && !self.is_drained() && self.checked.passing != Some(false)
    }

    /// Whether its faults ejected it.
    #[must_use]
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// Whether an operator drains it.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.drained_ms.is_some()
    }

    /// The result of the checks, if there was one.
    #[must_use]
    pub(crate) fn checks_good(&self) -> Option<bool> {
        self.checked.passing
    }

    /// The fault of the last check, if it failed. Not every failed check changes the state.
    #[must_use]
    pub(crate) fn last_check_fault(&self) -> Option<&str> {
        self.last_check_fault.as_deref()
    }

    /// Its last changes, the oldest first.
    #[must_use]
    pub(crate) fn history(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.history.iter()
    }

    fn ramp(&self, slow_start: Option<Duration>, now: Timestamp) -> u32 {
        let (Some(since_ms), Some(length)) = (self.available_since_ms, slow_start) else {
            return WHOLE_SHARE;
        };
        let length_ms = milliseconds(length);
        let passed = now.monotonic_ms().saturating_sub(since_ms).min(length_ms);
        let share = passed.saturating_mul(u64::from(WHOLE_SHARE)) / length_ms;
        u32::try_from(share)
            .unwrap_or(WHOLE_SHARE)
            .clamp(MIN_SLOW_START_SHARE, WHOLE_SHARE)
    }

    /// Record a change of state, if there is one.
    fn record_change(&mut self, why: &str, now: Timestamp) -> Option<Change> {
        let to = self.base_state();
        let from = self.reported.replace(to).unwrap_or(EndpointHealth::Healthy);
        if from == to {
            return None;
        }
        if to == EndpointHealth::Healthy {
            self.available_since_ms = Some(now.monotonic_ms());
        }
        let change = Change {
            at_ms: now.wall_ms,
            from,
            to,
            reason: why.chars().take(MAX_REASON).collect(),
        };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change.clone());
        Some(change)
    }
}

impl CheckResults {
    fn new(well: bool) -> Self {
        Self {
            passing: Some(well),
            against: 0,
        }
    }
}

#[cfg(test)]
mod tests;
