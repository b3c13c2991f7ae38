//! What an actor is told to do.

use serde::Deserialize;

/// The settings of an actor.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// Act only on requests that have this field.
    pub(crate) when: Option<String>,
    /// Write each phase's report to the log.
    pub(crate) tell: bool,
    /// Its addition to the description of its APIs, as JSON.
    pub(crate) contribution: serde_json::Map<String, serde_json::Value>,
    /// What it says that it provides.
    pub(crate) provides: Vec<String>,
    /// What it says that it provides in some cases.
    pub(crate) sometimes: Vec<String>,
    /// What it says that it requires.
    pub(crate) requires: Vec<String>,
    /// Metric series that it declares beside its usual ones: kind, name, labels.
    pub(crate) series: Vec<(String, String, Vec<String>)>,
    /// Its complaints: a place in the settings, or a document, and a message.
    pub(crate) complaints: Vec<(String, String)>,
    /// Its warnings, in the same way.
    pub(crate) warnings: Vec<(String, String)>,
    /// Whether it says that it answers preflights.
    pub(crate) preflights: bool,
    /// Steps of `configure`.
    pub(crate) configure: Vec<Step>,
    /// Steps of `on-request`.
    pub(crate) request: Vec<Step>,
    /// Steps of `on-request-body`.
    pub(crate) request_body: Vec<Step>,
    /// Steps of `on-response`.
    pub(crate) response: Vec<Step>,
    /// Steps of `on-response-body`.
    pub(crate) response_body: Vec<Step>,
    /// Steps of `on-log`.
    pub(crate) log: Vec<Step>,
}

/// A phase, or `configure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `configure`.
    Configure,
    /// `on-request`.
    Request,
    /// `on-request-body`.
    RequestBody,
    /// `on-response`.
    Response,
    /// `on-response-body`.
    ResponseBody,
    /// `on-log`.
    Log,
}

impl Phase {
    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Request => "request",
            Self::RequestBody => "request-body",
            Self::Response => "response",
            Self::ResponseBody => "response-body",
            Self::Log => "log",
        }
    }
}

impl Settings {
    /// The steps of a phase.
    pub(crate) fn steps(&self, phase: Phase) -> &[Step] {
        match phase {
            Phase::Configure => &self.configure,
            Phase::Request => &self.request,
            Phase::RequestBody => &self.request_body,
            Phase::Response => &self.response,
            Phase::ResponseBody => &self.response_body,
            Phase::Log => &self.log,
        }
    }
}

/// Whose fields.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    /// The request's.
    Request,
    /// The response's.
    Response,
    /// The trailers'.
    Trailers,
}

/// A typed fact.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fact {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Octets.
    Bytes(Vec<u8>),
}

/// An answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its fields.
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    #[serde(default)]
    pub(crate) body: String,
    /// Its word for the logs.
    #[serde(default)]
    pub(crate) reason: String,
}

/// A hint to the balancer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hint {
    /// The upstream.
    pub(crate) upstream: Option<String>,
    /// Labels of the endpoint.
    #[serde(default)]
    pub(crate) labels: Vec<(String, String)>,
    /// The first-byte time-out. Milliseconds.
    pub(crate) timeout: Option<u64>,
}

/// One thing to do. Lower-case, with dashes, in the settings: `"trap"`, `{ path-param = "id" }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    // The request line and the status.
    Method,
    Scheme,
    Authority,
    Path,
    OriginalPath,
    PathParam(String),
    QueryParam(String),
    RawPathParam(String),
    RawQueryParam(String),
    SetMethod(String),
    SetPath(String),
    SetAuthority(String),
    Status,
    SetStatus(u16),
    // Fields.
    Header(Of, String),
    HeaderText(Of, String),
    HeaderAll(Of, String),
    HeaderMany(Of, Vec<String>),
    Headers(Of),
    HeadersPacked(Of),
    SetHeader(Of, String, String),
    SetHeaders(Of, Vec<(String, String)>),
    AppendHeader(Of, String, String),
    RemoveHeader(Of, String),
    /// Set a field to these octets.
    SetHeaderBytes(Of, String, Vec<u8>),
    /// Append so many fields of this many bytes each.
    FloodFields(Of, usize, usize),
    /// Edits of a response that is not there yet: `set`, `append`, `add-member` or `remove`, a name, a value.
    EditResponse(Vec<(String, String, String)>),
    SkipOnResponse,
    // The body.
    ReadPiece(u64, u32),
    ReplacePiece(String),
    PrependPiece(String),
    AppendPiece(String),
    /// Append so many bytes.
    FloodPiece(usize),
    // Attributes and notes.
    Attribute(String),
    SetAttribute(String, Fact),
    SetAttributes(Vec<(String, Fact)>),
    /// Set so many attributes `flood.<n>` of this many bytes each.
    FloodAttributes(usize, usize),
    Note(String),
    SetNote(String, String),
    /// Set so many notes of this many bytes each.
    FloodNotes(usize, usize),
    // Host interfaces.
    Log(String, String),
    LogEnabled(String),
    /// Write a line with these fields.
    LogFields(String, String, Vec<(String, String)>),
    /// Write so many lines of this many bytes each.
    FloodLog(usize, usize),
    Count(String, f64),
    Gauge(f64),
    Observe(f64),
    /// Add to a series of `series`, by its place there. The number is as Rust reads it, `nan` too.
    Add(u32, Vec<String>, String),
    /// Count once for each of so many label values.
    FloodLabels(usize),
    CacheGet(String),
    CachePut(String, String, u64),
    CacheDelete(String),
    /// Keep so many values of this many bytes each.
    FloodCache(usize, usize),
    CacheIncrement(String, i64, u64),
    Take(String, String, u64),
    TakeInline(String, u64, u64, f64),
    /// Bounds of these names, each of two an hour for all requests.
    DefineRates(Vec<String>),
    /// Take so much from all of them.
    TakeRates(u64),
    /// Of this plan, or (empty) of the key's own.
    Charge(String, u64),
    Standing,
    /// Give back what the last step took.
    GiveBack,
    GiveBackTicket(u64),
    FindKey(String),
    Identify(String),
    /// Of a field, which is hidden.
    IdentifyField(String),
    Digest(String, String),
    HmacSign(String, String, String),
    HmacVerify(String, String, String, String),
    Documents,
    DocumentSize(String),
    /// Read a range: name, offset, length.
    ReadDocument(String, u64, u32),
    DocumentDigest(String),
    /// The APIs of the configuration, as the gateway tells them.
    ReadApis,
    ApisDigest,
    /// Ask another server, and end the phase while its answer is not there.
    Ask(Ask),
    // Verdicts; the steps after one are not played.
    Skip,
    Chunks,
    Whole(u64),
    More,
    Done,
    Respond(Answer),
    Route(Hint),
    /// Answer with what the steps gave, as a JSON list.
    Report,
    /// Say that the filter could not do its work.
    Fail(String),
    // Bad manners.
    Trap,
    Panic,
    Loop,
    Recurse,
    /// Take memory until there is none, then trap.
    GrowUntilRefused,
    /// Take this much memory and keep it. Bytes.
    Grow(usize),
    Exit,
    ReadFile(String),
    Connect(String),
    Sleep,
    /// Use the processor until this much time has passed. Milliseconds.
    SpinUntilPassed(u64),
    Print(String),
    /// Print these octets.
    PrintBytes(Vec<u8>),
    /// Print so many lines.
    FloodPrint(usize),
    /// Call the host so many times.
    FloodCalls(usize),
}

/// A request to another server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ask {
    /// The target.
    pub(crate) target: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) path: String,
    /// A field of the request, whose value follows the path.
    #[serde(default)]
    pub(crate) path_from: Option<String>,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) credential: Option<Secret>,
    #[serde(default)]
    pub(crate) share: bool,
    /// A field of the request, whose value is the key of calls that share an answer.
    #[serde(default)]
    pub(crate) share_key_from: Option<String>,
}

/// A secret that the gateway adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Secret {
    Bearer(String),
    Basic(String, String),
    FormField(String, String),
}

fn get() -> String {
    "GET".to_owned()
}
