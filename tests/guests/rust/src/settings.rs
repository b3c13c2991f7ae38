//! The settings of an actor.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// Act only on requests that have this field, or after `=` this value of it.
    pub(crate) when: Option<String>,
    /// Write each phase's report to the log.
    pub(crate) tell: bool,
    /// Additions to the API description, as JSON.
    pub(crate) contribution: serde_json::Map<String, serde_json::Value>,
    /// The attributes that it declares to provide.
    pub(crate) provides: Vec<String>,
    /// The attributes that it declares to provide sometimes.
    pub(crate) sometimes: Vec<String>,
    /// The attributes that it declares to require.
    pub(crate) requires: Vec<String>,
    /// Metric series to declare beside the usual ones: kind, name, labels.
    pub(crate) series: Vec<(String, String, Vec<String>)>,
    /// Errors to report: a path in the settings or a document, and a message.
    pub(crate) complaints: Vec<(String, String)>,
    /// Warnings to report, in the same form.
    pub(crate) warnings: Vec<(String, String)>,
    /// Whether it declares that it answers preflights.
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
    Configure,
    Request,
    RequestBody,
    Response,
    ResponseBody,
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

/// The message that a field belongs to.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    Request,
    Response,
    Trailers,
}

/// A typed attribute value.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fact {
    Text(String),
    Number(i64),
    Flag(bool),
    Bytes(Vec<u8>),
}

/// A response.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) body: String,
    /// The machine-readable reason for the logs.
    #[serde(default)]
    pub(crate) reason: String,
}

/// A hint to the balancer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hint {
    pub(crate) upstream: Option<String>,
    /// Labels that the endpoint must have.
    #[serde(default)]
    pub(crate) labels: Vec<(String, String)>,
    /// The first-byte time-out in milliseconds.
    pub(crate) timeout: Option<u64>,
}

/// One step. The settings write it in lower case with dashes: `"trap"`, `{ path-param = "id" }`.
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
    /// Set a field to these bytes.
    SetHeaderBytes(Of, String, Vec<u8>),
    /// Append this many fields of this many bytes each.
    FloodFields(Of, usize, usize),
    /// Edits of the coming response: `set`, `append`, `add-member` or `remove`, a name, a value.
    EditResponse(Vec<(String, String, String)>),
    SkipOnResponse,
    // The body.
    ReadPiece(u64, u32),
    ReplacePiece(String),
    PrependPiece(String),
    AppendPiece(String),
    /// Append this many bytes.
    FloodPiece(usize),
    // Attributes and notes.
    Attribute(String),
    SetAttribute(String, Fact),
    SetAttributes(Vec<(String, Fact)>),
    /// Set this many attributes `flood.<n>` of this many bytes each.
    FloodAttributes(usize, usize),
    /// Set the attribute `flood.again` this many times, to this many bytes each time.
    OverwriteAttribute(usize, usize),
    Note(String),
    SetNote(String, String),
    /// Set this many notes of this many bytes each.
    FloodNotes(usize, usize),
    // Host interfaces.
    Log(String, String),
    LogEnabled(String),
    /// Write a line with these fields.
    LogFields(String, String, Vec<(String, String)>),
    /// Write this many lines of this many bytes each.
    FloodLog(usize, usize),
    Count(String, f64),
    Gauge(f64),
    Observe(f64),
    /// Add to a series of `series`, by its index. The number is in Rust's notation, which includes `nan`.
    Add(u32, Vec<String>, String),
    /// Count once for each of this many label values.
    FloodLabels(usize),
    CacheGet(String),
    CachePut(String, String, u64),
    CacheDelete(String),
    /// Cache this many values of this many bytes each.
    FloodCache(usize, usize),
    CacheIncrement(String, i64, u64),
    Take(String, String, u64),
    TakeInline(String, u64, u64, f64),
    /// Define limits of these names, each of two an hour for all requests.
    DefineRates(Vec<String>),
    /// Take this much from all of them.
    TakeRates(u64),
    /// Charge this plan, or the key's own plan if it is empty.
    Charge(String, u64),
    Standing,
    /// Give back the amount that the last step took.
    GiveBack,
    GiveBackTicket(u64),
    FindKey(String),
    Identify(String),
    /// Identify the key in a field, and hide the field.
    IdentifyField(String),
    Digest(String, String),
    HmacSign(String, String, String),
    HmacVerify(String, String, String, String),
    Documents,
    DocumentSize(String),
    /// Read a range: name, offset, length.
    ReadDocument(String, u64, u32),
    DocumentDigest(String),
    /// Read the API description that the gateway provides.
    ReadApis,
    ApisDigest,
    /// Call another server, and end the phase if its response is not there yet.
    Ask(Ask),
    // Verdicts; the steps after one are not played.
    Skip,
    Chunks,
    Whole(u64),
    More,
    Done,
    Respond(Answer),
    Route(Hint),
    /// Respond with the results of the steps, as a JSON list.
    Report,
    /// Report that the filter could not do its work.
    Fail(String),
    // Misbehaviour.
    Trap,
    Panic,
    Loop,
    Recurse,
    RecurseDeeply,
    /// Allocate memory until there is none left, then trap.
    GrowUntilRefused,
    /// Allocate this many bytes and keep them.
    Grow(usize),
    Exit,
    ReadFile(String),
    Connect(String),
    Sleep,
    /// Use the processor until this many milliseconds have passed.
    SpinUntilPassed(u64),
    Print(String),
    /// Print these bytes.
    PrintBytes(Vec<u8>),
    /// Print this many lines.
    FloodPrint(usize),
    /// Call the host this many times.
    FloodCalls(usize),
    /// Trap if the request does not have this field.
    NeedHeader(String),
    /// Set the request's field `x-last` to the value that this field had the last time, in whatever
    /// exchange.
    TellLast(String),
    /// Respond if this key is in the cache, else put it there.
    Occupy(String),
}

/// A request to another server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ask {
    /// The target: a table `[callout.<name>]`.
    pub(crate) target: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) path: String,
    /// A field of the request whose value is appended to the path.
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
    /// A field of the request whose value is the key under which calls share a response.
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
