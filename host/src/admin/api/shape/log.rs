//! The JSON of the log's level.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::LogLevel;
use crate::model::date;
use crate::model::json::present_whole;
use crate::observe::log_level::LogLevelSwitch;
use crate::runtime::clock::Timestamp;

/// The level of the gateway's own log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Log)]
pub(crate) struct LogResource {
    /// The level in force.
    pub(crate) level: LogLevel,
    /// The level of the configuration, to which it returns.
    pub(crate) configured: LogLevel,
    /// When the change ends; null without one.
    #[schema(format = DateTime)]
    pub(crate) ends: Option<String>,
    /// Whether the environment variable `WINDLASS_LOG` counts in place of the configuration.
    pub(crate) has_variable: bool,
}

impl From<&LogLevelSwitch> for LogResource {
    fn from(switch: &LogLevelSwitch) -> Self {
        let (configured, change) = switch.current();
        let ends = change.map(|change| {
            let left = change.ends.saturating_duration_since(Instant::now());
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            date::moment(Timestamp::now().wall_ms.saturating_add(left))
        });
        Self {
            level: change.map_or(configured, |change| change.level),
            configured,
            ends,
            has_variable: switch.has_variable(),
        }
    }
}

/// A level for a time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogUpdate {
    /// The level.
    pub(crate) level: LogLevel,
    /// For how long, in seconds; 600 if left out. After that the level of the configuration is back.
    #[serde(default, deserialize_with = "present_whole")]
    #[schema(nullable = false, minimum = 1, maximum = 86_400)]
    pub(crate) for_seconds: Option<u64>,
}
