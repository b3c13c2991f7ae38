//! Additional members of a problem body (RFC 9457). They apply to a refusal of the current phase with an empty body, if
//! the API's error style is `problem`. No grant is needed.

use crate::gateway::problem_members;

/// Adds the members of this JSON object to the body. `type`, `title` and `detail` replace the gateway's own; `status`,
/// `code` and `request-id` cannot be replaced. The last call of a phase counts. Returns false if the text is not a JSON
/// object, or exceeds 4 KiB.
pub fn set(members: &str) -> bool {
    problem_members::set(members)
}
