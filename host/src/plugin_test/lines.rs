//! The log lines and failures of the filter, caught as they are written.
//!
//! The gateway's own log is not open here. What a filter writes, on whichever thread, comes as events
//! of `tracing` with its name; a failed call is one with a `kind`.

use std::fmt::{self, Write as _};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// The most lines that are kept until somebody takes them; later ones are dropped.
const MAX_LINES: usize = 4096;

static LINES: Mutex<Vec<LogEvent>> = Mutex::new(Vec::new());

/// One line of the log.
#[derive(Debug, Clone)]
pub(super) struct LogEvent {
    level: Level,
    text: String,
    /// The fields that the filter gave, as text.
    fields: String,
    /// The kind of the failure, if it reports one.
    pub(super) kind: Option<String>,
}

impl LogEvent {
    /// Whether it contains a text.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.text.contains(text) || self.fields.contains(text)
    }
}

impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.as_str().to_ascii_lowercase();
        write!(f, "{level:5} {}", self.text)?;
        match self.fields.is_empty() {
            true => Ok(()),
            false => write!(f, " {}", self.fields),
        }
    }
}

/// Catch the lines of this process from now on.
pub(super) fn start() {
    // Somebody else may catch them already: then there are none here.
    let _ = tracing_subscriber::registry()
        .with(Catcher.with_filter(LevelFilter::DEBUG))
        .try_init();
}

/// The lines since the last call.
pub(super) fn take() -> Vec<LogEvent> {
    std::mem::take(&mut LINES.lock())
}

struct Catcher;

impl<S: Subscriber> Layer<S> for Catcher {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut reader = EventReader::default();
        event.record(&mut reader);
        if !reader.is_of_filter {
            return;
        }
        let mut lines = LINES.lock();
        if lines.len() < MAX_LINES {
            lines.push(LogEvent {
                level: *event.metadata().level(),
                text: reader.text,
                fields: reader.fields,
                kind: reader.kind,
            });
        }
    }
}

#[derive(Default)]
struct EventReader {
    is_of_filter: bool,
    text: String,
    fields: String,
    kind: Option<String>,
}

impl Visit for EventReader {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "filter" => self.is_of_filter = true,
            "kind" => self.kind = Some(value.to_owned()),
            "message" => value.clone_into(&mut self.text),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "filter" => {
                self.is_of_filter = true;
                return;
            }
            "message" => &mut self.text,
            "fields" => &mut self.fields,
            _ => return,
        };
        // Writing to a text cannot fail.
        let _ = write!(text, "{value:?}");
    }
}
