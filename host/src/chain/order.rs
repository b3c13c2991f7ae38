//! Whether every filter of a chain gets the attributes that it cannot work without.

use crate::context::is_host_fact;
use crate::wasm::filter::{Facts, OnError};

/// A filter that stands where an attribute that it requires is not there for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misorder {
    /// The filter's place in the chain.
    pub place: usize,
    /// The attribute.
    pub attribute: String,
    /// What is wrong with the filters before it.
    pub cause: Cause,
}

/// Why an attribute is not there for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No filter of the chain sets it.
    Nobody,
    /// The filter at this later place sets it.
    Later(usize),
    /// The filter at this place sets it in some cases only.
    Sometimes(usize),
    /// The filter at this place sets it, but is left out when it fails.
    Skipped(usize),
}

/// Check the order of a chain, given what each filter said of itself.
#[must_use]
pub fn check_order(filters: &[(&Facts, OnError)]) -> Vec<Misorder> {
    let mut found = Vec::new();
    for (place, (facts, _)) in filters.iter().enumerate() {
        for attribute in &facts.requires {
            if is_host_fact(attribute) {
                continue;
            }
            if let Some(cause) = missing(filters, place, attribute) {
                found.push(Misorder {
                    place,
                    attribute: attribute.clone(),
                    cause,
                });
            }
        }
    }
    found
}

/// Why the attribute is not there for certain at this place; none where it is.
fn missing(filters: &[(&Facts, OnError)], place: usize, attribute: &str) -> Option<Cause> {
    let sets = |list: &[String]| list.iter().any(|name| name == attribute);
    let mut cause = None;
    for (before, (facts, on_error)) in filters.iter().enumerate().take(place) {
        if sets(&facts.provides) {
            if *on_error == OnError::Deny {
                return None;
            }
            cause = Some(Cause::Skipped(before));
        } else if sets(&facts.sometimes) {
            cause = cause.or(Some(Cause::Sometimes(before)));
        }
    }
    let later = || {
        let mut rest = filters.iter().enumerate().skip(place + 1);
        rest.find(|(_, (facts, _))| sets(&facts.provides))
            .map(|(place, _)| Cause::Later(place))
    };
    Some(cause.or_else(later).unwrap_or(Cause::Nobody))
}

#[cfg(test)]
mod tests {
    use super::OnError::{Deny, Skip};
    use super::*;

    fn facts(provides: &[&str], sometimes: &[&str], requires: &[&str]) -> Facts {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Facts {
            provides: list(provides),
            sometimes: list(sometimes),
            requires: list(requires),
            ..Facts::default()
        }
    }

    #[test]
    fn a_provider_must_come_first_and_for_certain() {
        let key = facts(&["api-key.id"], &["plan.id"], &[]);
        let plan = facts(&[], &[], &["api-key.id"]);
        let strict = facts(&[], &[], &["plan.id"]);
        let check = |chain: &[(&Facts, OnError)]| {
            let found = check_order(chain);
            found
                .into_iter()
                .map(|found| found.cause)
                .collect::<Vec<_>>()
        };
        assert_eq!(check(&[(&key, Deny), (&plan, Deny)]), []);
        assert_eq!(check(&[(&plan, Deny), (&key, Deny)]), [Cause::Later(1)]);
        assert_eq!(check(&[(&plan, Deny)]), [Cause::Nobody]);
        assert_eq!(check(&[(&key, Skip), (&plan, Deny)]), [Cause::Skipped(0)]);
        assert_eq!(
            check(&[(&key, Deny), (&strict, Deny)]),
            [Cause::Sometimes(0)]
        );
        let host = facts(&[], &[], &["client.ip"]);
        assert_eq!(check(&[(&host, Deny)]), []);
    }
}
