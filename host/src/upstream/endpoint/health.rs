//! Which endpoints are available, and why: what is known of one, as it is told.
//!
//! Pure: results and times come in, a share comes out. An endpoint takes requests while its checks
//! do not say otherwise, its faults have not ejected it, and nobody drains it. After it joined, or
//! was away, its share grows evenly over the slow start.
//!
//! Promises: the very first check decides alone; each change of state is told once, with its
//! reason, and the last of them are kept. Deliberately not here: asking ([`probe`]), and whose
//! faults count ([`super::known`]).

use std::collections::VecDeque;
use std::time::Duration;

use crate::http::watch::milliseconds;
use crate::model::endpoint::EndpointHealth;

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// When. Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What it was.
    pub(crate) from: EndpointHealth,
    /// What it is since.
    pub(crate) to: EndpointHealth,
    pub(crate) reason: String,
}

/// A moment, on both clocks. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Now {
    /// Since 1970, for people.
    pub(crate) wall_ms: u64,
    /// Since some moment, for sums.
    pub(crate) monotonic_ms: u64,
}

/// How many answers in a row decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckThresholds {
    /// Good ones.
    pub(crate) rise: u32,
    /// Bad ones.
    pub(crate) fall: u32,
}

/// How long an endpoint is out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The first time.
    pub(crate) first: Duration,
    /// The longest.
    pub(crate) longest: Duration,
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Health {
    checked: CheckResults,
    ejected: Option<EjectionRecord>,
    /// The last ejection, while it still counts.
    last_ejection: Option<EjectionRecord>,
    /// Since when an operator drains it.
    drained_ms: Option<u64>,
    /// When it began to take requests. None: it never was away.
    available_since_ms: Option<u64>,
    /// How it was last told.
    reported: Option<EndpointHealth>,
    /// What was wrong with the last answer to a check.
    last_check_fault: Option<Box<str>>,
    history: VecDeque<Change>,
}

/// What the checks say.
#[derive(Debug, Default, Clone, Copy)]
struct CheckResults {
    /// None: not asked yet.
    passing: Option<bool>,
    /// Answers in a row that say otherwise.
    against: u32,
}

#[derive(Debug, Clone, Copy)]
struct EjectionRecord {
    until_ms: u64,
    length_ms: u64,
}

impl Health {
    /// Of an endpoint that joins others: its slow start begins now.
    #[must_use]
    pub(crate) fn joining(now: Now) -> Self {
        Self {
            available_since_ms: Some(now.monotonic_ms),
            ..Self::default()
        }
    }

    /// An answer to a check. Gives the change, if it made one.
    pub(crate) fn record_check(
        &mut self,
        answer: Result<(), String>,
        counts: CheckThresholds,
        now: Now,
    ) -> Option<Change> {
        let well = answer.is_ok();
        let short = |why: &String| why.chars().take(MAX_REASON).collect::<String>().into();
        self.last_check_fault = answer.as_ref().err().map(short);
        let checked = &mut self.checked;
        match checked.passing {
            None => *checked = CheckResults::new(well),
            Some(known) if known == well => checked.against = 0,
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

    /// Checks are over: what they said counts no more.
    pub(crate) fn clear_checks(&mut self, now: Now) -> Option<Change> {
        self.checked = CheckResults::default();
        self.last_check_fault = None;
        self.record_change("it is no longer checked", now)
    }

    /// Its faults take it out, for longer than the time before.
    pub(crate) fn eject(&mut self, why: &str, backoff: Backoff, now: Now) -> Option<Change> {
        if self.ejected.is_some() {
            return None;
        }
        let first = milliseconds(backoff.first);
        // A time that is as long past as it lasted is forgotten.
        let recent = self
            .last_ejection
            .filter(|before| now.monotonic_ms < before.until_ms.saturating_add(before.length_ms));
        let length_ms = match recent {
            Some(before) => before.length_ms.saturating_mul(2),
            None => first,
        };
        let length_ms = length_ms.clamp(first, milliseconds(backoff.longest).max(first));
        let ejected = EjectionRecord {
            until_ms: now.monotonic_ms.saturating_add(length_ms),
            length_ms,
        };
        self.ejected = Some(ejected);
        self.last_ejection = Some(ejected);
        self.record_change(why, now)
    }

    /// Time has passed: what was for a while may be over.
    pub(crate) fn tick(&mut self, slow_start: Option<Duration>, now: Now) -> Option<Change> {
        let over = self
            .ejected
            .is_some_and(|ejected| now.monotonic_ms >= ejected.until_ms);
        if over {
            self.ejected = None;
        }
        let change = self.record_change("its ejection is over", now);
        if self.ramp(slow_start, now) == WHOLE_SHARE {
            self.available_since_ms = None;
        }
        change
    }

    /// An operator lets it finish, or takes that back.
    pub(crate) fn drain(&mut self, drained: bool, now: Now) -> Option<Change> {
        self.drained_ms = drained.then_some(now.monotonic_ms);
        self.record_change(
            if drained {
                "an operator drains it"
            } else {
                "an operator ended its drain"
            },
            now,
        )
    }

    /// How it stands, but for the slow start.
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
    pub(crate) fn state(&self, slow_start: Option<Duration>, now: Now) -> EndpointHealth {
        match self.base_state() {
            EndpointHealth::Healthy if self.ramp(slow_start, now) < WHOLE_SHARE => {
                EndpointHealth::Starting
            }
            standing => standing,
        }
    }

    /// Which part of its weight counts. Permille; 0: it takes nothing.
    #[must_use]
    pub(crate) fn share(&self, slow_start: Option<Duration>, now: Now) -> u32 {
        match self.base_state() {
            EndpointHealth::Healthy | EndpointHealth::Starting => self.ramp(slow_start, now),
            EndpointHealth::Unhealthy | EndpointHealth::Ejected | EndpointHealth::Draining => 0,
        }
    }

    /// Whether it may be used when too few others are left.
    #[must_use]
    pub(crate) fn is_last_resort(&self) -> bool {
        !self.is_drained()
    }

    /// Whether it is well enough for the clients that are kept on it, for so long after the begin of
    /// its drain.
    #[must_use]
    pub(crate) fn keeps_clients(&self, limit: Option<Duration>, now: Now) -> bool {
        let is_over = self.drained_ms.zip(limit).is_some_and(|(since_ms, limit)| {
            now.monotonic_ms.saturating_sub(since_ms) >= milliseconds(limit)
        });
        !is_over && self.ejected.is_none() && self.checked.passing != Some(false)
    }

    /// Whether its faults took it out, and neither its checks nor an operator would.
    #[must_use]
    pub(crate) fn is_only_ejected(&self) -> bool {
        self.ejected.is_some() && !self.is_drained() && self.checked.passing != Some(false)
    }

    /// Whether its faults took it out.
    #[must_use]
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// Whether an operator drains it.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.drained_ms.is_some()
    }

    /// Whether it was asked, and how it answered.
    #[must_use]
    pub(crate) fn checks_good(&self) -> Option<bool> {
        self.checked.passing
    }

    /// What was wrong with the last answer to a check, if anything was: not each one changes how it
    /// stands.
    #[must_use]
    pub(crate) fn last_check_fault(&self) -> Option<&str> {
        self.last_check_fault.as_deref()
    }

    /// Its last changes, the oldest first.
    #[must_use]
    pub(crate) fn history(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.history.iter()
    }

    fn ramp(&self, slow_start: Option<Duration>, now: Now) -> u32 {
        let (Some(since_ms), Some(length)) = (self.available_since_ms, slow_start) else {
            return WHOLE_SHARE;
        };
        let length_ms = milliseconds(length);
        let passed = now.monotonic_ms.saturating_sub(since_ms).min(length_ms);
        let share = passed.saturating_mul(u64::from(WHOLE_SHARE)) / length_ms;
        u32::try_from(share)
            .unwrap_or(WHOLE_SHARE)
            .clamp(MIN_SLOW_START_SHARE, WHOLE_SHARE)
    }

    /// Note a change of state, if there is one.
    fn record_change(&mut self, why: &str, now: Now) -> Option<Change> {
        let to = self.base_state();
        let from = self.reported.replace(to).unwrap_or(EndpointHealth::Healthy);
        if from == to {
            return None;
        }
        if to == EndpointHealth::Healthy {
            self.available_since_ms = Some(now.monotonic_ms);
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
