//! The kinds of floods of HTTP/2 frames: one word each, in the log and in the metrics.
//!
//! Before it: the frames of a client connection, which the listener's side counts. After it: one series
//! of `windlass_http2_floods_total` each. Deliberately not here: how many frames are a flood.

/// The frames with which a client floods its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloodKind {
    /// `SETTINGS`, each of which must be acknowledged.
    Settings,
    /// `PING`, each of which must be answered.
    Ping,
    /// `PRIORITY`, which has no effect.
    Priority,
    /// `WINDOW_UPDATE` without data that it makes room for.
    WindowUpdate,
    /// `DATA` without content that does not end its stream.
    EmptyData,
    /// Streams that the client resets.
    Reset,
    /// Streams with errors that make the gateway reset them, or with `DATA` in tiny pieces; and streams
    /// that the client resets at once.
    Streams,
    /// `CONTINUATION` of one head.
    Continuation,
    /// Frames of other types, which are ignored.
    Other,
}

impl FloodKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Settings,
        Self::Ping,
        Self::Priority,
        Self::WindowUpdate,
        Self::EmptyData,
        Self::Reset,
        Self::Streams,
        Self::Continuation,
        Self::Other,
    ];

    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Ping => "ping",
            Self::Priority => "priority",
            Self::WindowUpdate => "window_update",
            Self::EmptyData => "empty_data",
            Self::Reset => "reset",
            Self::Streams => "streams",
            Self::Continuation => "continuation",
            Self::Other => "other",
        }
    }
}
