//! Members of a problem body (RFC 9457) beside those that it always has: for a refusal of the running phase whose body
//! is empty, where the API's error style is `problem`. No grant is needed.

use crate::bindings::lifecycle::windlass::host::problem_members;

/// The members of this JSON object go into the body. `type`, `title` and `detail` replace the gateway's own; `status`,
/// `code` and `request-id` stay its. The last call of a phase counts. False: it is no JSON object, or has more
/// than 4 KiB.
pub fn set(members: &str) -> bool {
    problem_members::set(members)
}
