//! The level of the gateway's own log, which changes while the gateway runs: by a reload, and for a time by an operator.
//!
//! The level is that of the gateway's own lines. Libraries (the compiler, HTTP, TLS) write much more at debug than the
//! gateway does, so they stay at info. `WINDLASS_LOG` names any of them. A line that is not written costs what it costs
//! with a fixed level: one atomic of its place in the code.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::LogLevel;
use crate::model::word::Word as _;

/// Applies directives to the log; false if the log is gone.
type ApplyDirectives = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Changes the level of the log.
pub(crate) struct LogLevelSwitch {
    apply: ApplyDirectives,
    /// The value of `WINDLASS_LOG`, which overrides the configuration.
    variable: Option<String>,
    state: Mutex<LevelState>,
}

#[derive(Debug)]
struct LevelState {
    configured: LogLevel,
    change: Option<LevelChange>,
}

/// A level for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LevelChange {
    pub(crate) level: LogLevel,
    pub(crate) ends: Instant,
}

impl fmt::Debug for LogLevelSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevelSwitch")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl LogLevelSwitch {
    /// A switch for a log that begins with this level, or with what the variable says.
    pub(crate) fn new(
        configured: LogLevel,
        variable: Option<String>,
        apply: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        let state = LevelState {
            configured,
            change: None,
        };
        Self {
            apply: Box::new(apply),
            variable,
            state: Mutex::new(state),
        }
    }

    /// The level of a new configuration. An operator's change stays in force until it ends.
    pub(crate) fn configure(&self, level: LogLevel) {
        let mut state = self.state.lock();
        if state.configured != level {
            state.configured = level;
            self.put(&state);
        }
    }

    /// Log at this level until a time.
    pub(crate) fn change(&self, change: LevelChange) {
        let mut state = self.state.lock();
        state.change = Some(change);
        self.put(&state);
    }

    /// End a change: whatever it is, or only one whose time is over. Gives whether there was one.
    pub(crate) fn restore(&self, over_at: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        let ended = state
            .change
            .take_if(|change| over_at.is_none_or(|now| change.ends <= now));
        if ended.is_some() {
            self.put(&state);
        }
        ended.is_some()
    }

    /// The configured level, and the change that is in force.
    pub(crate) fn current(&self) -> (LogLevel, Option<LevelChange>) {
        let state = self.state.lock();
        (state.configured, state.change)
    }

    /// Whether `WINDLASS_LOG` says what is logged, unless a change does.
    pub(crate) fn has_variable(&self) -> bool {
        self.variable.is_some()
    }

    fn put(&self, state: &LevelState) {
        let put = match (&state.change, &self.variable) {
            (Some(change), _) => (self.apply)(&directives(change.level)),
            (None, Some(variable)) => (self.apply)(variable),
            (None, None) => (self.apply)(&directives(state.configured)),
        };
        if !put {
            tracing::error!(
                "the log's level could not be changed; restart the gateway to change it"
            );
        }
    }
}

/// The longest time of a change.
pub(crate) const MAX_CHANGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A level as directives of `tracing_subscriber::EnvFilter`: for the gateway's own lines, and for those of libraries.
#[must_use]
pub(crate) fn directives(level: LogLevel) -> String {
    let of_libraries = match level {
        LogLevel::Trace | LogLevel::Debug => LogLevel::Info,
        LogLevel::Info | LogLevel::Warn | LogLevel::Error => level,
    };
    // The audit log is written whatever the level is. h2 warns of answers to PINGs that it has not sent itself.
    format!(
        "{},windlass={},windlass::audit=info,h2::proto::ping_pong=error",
        of_libraries.word(),
        level.word()
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn switch(variable: Option<&str>) -> (LogLevelSwitch, Arc<Mutex<Vec<String>>>) {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&applied);
        let apply = move |directives: &str| {
            log.lock().push(directives.to_owned());
            true
        };
        let variable = variable.map(str::to_owned);
        (
            LogLevelSwitch::new(LogLevel::Info, variable, apply),
            applied,
        )
    }

    fn change(level: LogLevel, ends: Instant) -> LevelChange {
        LevelChange { level, ends }
    }

    #[test]
    fn debug_is_of_the_gateways_own_lines() {
        let text = directives(LogLevel::Debug);
        assert!(text.starts_with("info,windlass=debug,"), "{text}");
        let text = directives(LogLevel::Error);
        assert!(text.starts_with("error,windlass=error,"), "{text}");
    }

    #[test]
    fn a_change_ends_when_its_time_is_over_and_the_configured_level_is_back() {
        let (switch, applied) = switch(None);
        let now = Instant::now();
        switch.change(change(LogLevel::Debug, now + Duration::from_secs(1)));
        // A reload meanwhile counts after it.
        switch.configure(LogLevel::Warn);
        assert!(!switch.restore(Some(now)));
        assert!(switch.restore(Some(now + Duration::from_secs(1))));
        assert!(!switch.restore(None));
        let wanted = [LogLevel::Debug, LogLevel::Debug, LogLevel::Warn];
        assert_eq!(*applied.lock(), wanted.map(directives));
        assert_eq!(switch.current(), (LogLevel::Warn, None));
    }

    #[test]
    fn the_variable_counts_before_the_configuration_and_after_a_change() {
        let (switch, applied) = switch(Some("h2=trace"));
        switch.configure(LogLevel::Error);
        switch.change(change(LogLevel::Trace, Instant::now()));
        assert!(switch.restore(None));
        let wanted = ["h2=trace", &directives(LogLevel::Trace), "h2=trace"];
        assert_eq!(*applied.lock(), wanted);
    }
}
