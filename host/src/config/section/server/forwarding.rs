//! `[server]`: the fields by which Windlass names clients and traces to endpoints.

use windlass_config_derive::{FromTable, Word};

use crate::config::read::Table;

/// The keys of `[server]` about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(check = check)]
pub struct ForwardingRules {
    /// The fields by which Windlass names the client, its protocol and its host to endpoints:
    /// `x-forwarded` is `X-Forwarded-For`, `-Proto` and `-Host`, `forwarded` is `Forwarded` (RFC 7239), `both`
    /// is all of them, and `none` is none, not even those of a trusted proxy. With `x-forwarded`, Windlass
    /// also appends to a `Forwarded` that a trusted proxy sent.
    #[key(default = "x-forwarded", synonyms = "forwarded forwarded_headers")]
    pub forwarded_fields: ForwardedFields,
    /// How `for=` of `Forwarded` names the client: by its `address`, by `address-and-port`, or `hidden` by a
    /// name that is the same for all requests from one address until Windlass restarts.
    #[key(default = "address")]
    pub forwarded_node: ForwardedNode,
    /// How Windlass treats the trace of a request (`traceparent` and `tracestate`, W3C Trace Context).
    /// `pass` passes it on, `start` also starts one if there is none, `restart` starts one unless a
    /// trusted proxy sent it, and `drop` removes it. A trace that is malformed counts as none.
    #[key(default = "pass")]
    pub trace_context: TraceContext,
    /// Whether traces that Windlass starts have the flag `sampled`. Without it, most endpoints record
    /// nothing of such a trace.
    #[key(default = false)]
    pub trace_sampled: bool,
}

/// The fields that name the client to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("x-forwarded-for" => "did you mean `\"x-forwarded\"`?")]
#[hint("off false" => "did you mean `\"none\"`?")]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    XForwarded,
    /// `Forwarded`.
    Forwarded,
    /// All of them.
    Both,
    /// None of them.
    None,
}

impl ForwardedFields {
    /// Whether `X-Forwarded-*` are sent.
    #[must_use]
    pub(crate) const fn has_x(self) -> bool {
        matches!(self, Self::XForwarded | Self::Both)
    }

    /// Whether `Forwarded` is sent with every request.
    #[must_use]
    pub(crate) const fn has_forwarded(self) -> bool {
        matches!(self, Self::Forwarded | Self::Both)
    }
}

/// How `Forwarded` names a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("ip" => "did you mean `\"address\"`?")]
#[hint("obfuscated" => "did you mean `\"hidden\"`?")]
pub enum ForwardedNode {
    Address,
    AddressAndPort,
    /// By an obfuscated identifier (RFC 7239 section 6.3).
    Hidden,
}

/// How Windlass treats the trace of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("off none" => "did you mean `\"drop\"`?")]
#[hint("on true make" => "did you mean `\"start\"`?")]
pub enum TraceContext {
    Pass,
    Start,
    Restart,
    Drop,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature of every check"
)]
fn check(table: &mut Table<'_>, rules: &ForwardingRules) {
    if table.is_incomplete() {
        return;
    }
    let starts = matches!(
        rules.trace_context,
        TraceContext::Start | TraceContext::Restart
    );
    if !starts && table.is_sound("trace_context") {
        table.idle(
            &["trace_sampled"],
            "unless `trace_context` is `\"start\"` or `\"restart\"`",
        );
    }
    if !table.is_sound("forwarded_fields") {
        return;
    }
    let fields = rules.forwarded_fields;
    if !fields.has_forwarded() {
        table.idle(
            &["forwarded_node"],
            "unless Windlass sends `Forwarded`: `forwarded_fields = \"forwarded\"`",
        );
    } else if rules.forwarded_node == ForwardedNode::Hidden && fields.has_x() {
        table
            .warning_at(
                "forwarded_node",
                "`forwarded_node = \"hidden\"` hides nothing: `X-Forwarded-For` holds the client's address",
            )
            .help("write `forwarded_fields = \"forwarded\"`");
    }
}
