//! What a filter leaves for others to see, and its cache.

/// `windlass:host/log`. Outside of a fake, lines are dropped: a function that logs can be tested without one.
pub mod log {
    pub use crate::bindings::lifecycle::windlass::host::log::Level;

    use crate::testing::data::LogLine;
    use crate::testing::state::serve_if_inside;

    /// The most lines of one phase.
    const MAX_LINES: usize = 64;

    /// The longest line. Bytes.
    const MAX_LINE: usize = 8 * 1024;

    /// Whether lines of this level are kept.
    pub fn enabled(level: Level) -> bool {
        serve_if_inside(|state| state.gateway.is_trace).unwrap_or(false) || level >= Level::Info
    }

    /// Keeps a line.
    pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
        if !enabled(level) {
            return;
        }
        serve_if_inside(|state| {
            if state.log.len() >= MAX_LINES {
                return;
            }
            let mut message = message.to_owned();
            message.truncate(message.floor_char_boundary(MAX_LINE));
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let fields: Vec<(String, String)> = fields.collect();
            let sizes = fields.iter().map(|(name, value)| name.len() + value.len());
            state.charge(message.len() + sizes.sum::<usize>());
            state.log.push(LogLine {
                level,
                message,
                fields,
            });
        });
    }
}

/// `windlass:host/metrics`.
pub mod metrics {
    use crate::testing::state::serve_granted;

    /// The most combinations of label values of one series.
    const MAX_COMBINATIONS: usize = 256;

    /// Adds to a series.
    pub fn add(series: u32, labels: &[&str], value: f64) {
        serve_granted("metrics", "add", |state| {
            if !value.is_finite() {
                return;
            }
            let samples = state.gateway.samples.entry(series).or_default();
            let mut labels: Vec<String> = labels.iter().map(|&label| printable(label)).collect();
            if samples.len() >= MAX_COMBINATIONS && !samples.contains_key(&labels) {
                labels
                    .iter_mut()
                    .for_each(|label| "other".clone_into(label));
            }
            let (sum, count) = samples.entry(labels).or_default();
            *sum += value;
            *count += 1;
        });
    }

    /// The longest label value. Bytes.
    const MAX_LABEL: usize = 128;

    fn printable(label: &str) -> String {
        let mut label = label.to_owned();
        label.truncate(label.floor_char_boundary(MAX_LABEL));
        label.replace(char::is_control, "\u{fffd}")
    }
}

/// `windlass:host/problem-members`.
pub mod problem_members {
    use crate::testing::state::serve;

    /// The longest text. Bytes.
    const MAX_TEXT: usize = 4 * 1024;

    /// Keeps the members.
    pub fn set(members: &str) -> bool {
        serve("problem-members.set", |state| {
            let is_object = serde_json::from_str::<serde_json::Map<_, _>>(members).is_ok();
            if members.len() > MAX_TEXT || !is_object {
                return false;
            }
            state.charge(members.len());
            if let Some(exchange) = &mut state.exchange {
                exchange.problem_members = Some(members.to_owned());
            }
            true
        })
    }
}

/// `windlass:host/cache`.
pub mod cache {
    use crate::testing::state::serve_granted;

    /// A value.
    pub fn get(key: &str) -> Option<Vec<u8>> {
        serve_granted("cache", "get", |state| {
            let gateway = &mut state.gateway;
            gateway.cache.get(key, gateway.now)
        })
    }

    /// Stores a value.
    pub fn put(key: &str, value: &[u8], ttl_ms: u64) -> bool {
        serve_granted("cache", "put", |state| {
            let gateway = &mut state.gateway;
            gateway.cache.put(key, value, ttl_ms, gateway.now)
        })
    }

    /// Deletes a value.
    pub fn delete(key: &str) {
        serve_granted("cache", "delete", |state| state.gateway.cache.delete(key));
    }

    /// Adds to a number.
    pub fn increment(key: &str, delta: i64, ttl_ms: u64) -> i64 {
        serve_granted("cache", "increment", |state| {
            let gateway = &mut state.gateway;
            gateway.cache.increment(key, delta, ttl_ms, gateway.now)
        })
    }
}
