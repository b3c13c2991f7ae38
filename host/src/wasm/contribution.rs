//! Reads the addition of a filter to the description of its APIs (`windlass:filter/description`).

use serde_json::Value;

/// The longest text. Bytes.
const LONGEST: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ContributionError {
    #[error("is longer than 64 KiB")]
    TooLong,
    #[error("is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is another value than an object.
    #[error("is not a JSON object")]
    NoObject,
    /// A member is unknown, or of another kind.
    #[error("has a member `{name}` that is not {wanted}")]
    Member {
        name: String,
        /// The kind that it may be.
        wanted: &'static str,
    },
}

/// Read an addition.
///
/// # Errors
///
/// It is too long, no JSON object, or has an unknown member.
pub(crate) fn read(text: &str) -> Result<Value, ContributionError> {
    if text.len() > LONGEST {
        return Err(ContributionError::TooLong);
    }
    let value: Value = serde_json::from_str(text)?;
    let Some(members) = value.as_object() else {
        return Err(ContributionError::NoObject);
    };
    for (name, member) in members {
        let wanted = match name.as_str() {
            "securitySchemes" | "responses" if !member.is_object() => "an object",
            "security" | "parameters" if !member.is_array() => "a list",
            "securitySchemes" | "responses" | "security" | "parameters" => continue,
            other if other.starts_with("x-") => continue,
            _ => {
                "one of `securitySchemes`, `security`, `parameters` and `responses`, and does not begin with `x-`"
            }
        };
        let name = name.escape_debug().to_string();
        return Err(ContributionError::Member { name, wanted });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contribution_is_an_object_of_known_members() {
        for good in [
            "{}",
            r#"{"securitySchemes": {}, "security": [], "parameters": [], "responses": {}, "x-a": 1}"#,
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", "is not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"paths": {}}"#, "`paths`"),
            (r#"{"security": {}}"#, "`security` that is not a list"),
            (r#"{"responses": []}"#, "`responses` that is not an object"),
            (&" ".repeat(LONGEST + 1), "longer"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
