//! The bodies of errors that the gateway answers.

use windlass_config_derive::Word;

/// The format of the gateway's own errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Word)]
pub enum ErrorStyle {
    /// `application/problem+json` (RFC 9457).
    #[default]
    Problem,
    /// `{"message": ..}`, the body that clients of Amazon API Gateway expect.
    Aws,
}

/// One part of the body that an API answers in place of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponsePart {
    /// Text as it was written.
    Text(String),
    /// `${status}`: the status that is sent.
    Status,
    /// `${code}`: the code of the error, or the reason of the refusal.
    Code,
    /// `${message}`: the gateway's sentence for it, in the style of the API.
    Message,
    /// `${request_id}`.
    RequestId,
}
