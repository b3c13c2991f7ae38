//! Whether every filter of a chain gets the attributes that it cannot work without.

use crate::context::is_host_fact;
use crate::wasm::facts::Facts;
use crate::wasm::filter::OnError;
use crate::wasm::grants::Grants;

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

/// A filter of a chain, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub enum Link<'a> {
    /// One that is loaded: what it said of itself, and what happens when it fails.
    Loaded(&'a Facts, OnError),
    /// One that is not, and sets at most what this allows. None: anything.
    Unknown(Option<&'a Grants>),
}

impl Link<'_> {
    fn may_set(&self, attribute: &str) -> bool {
        match self {
            Self::Loaded(..) => false,
            Self::Unknown(most) => most.is_none_or(|most| most.attribute(attribute)),
        }
    }
}

/// Check the order of a chain, given what each filter said of itself. Nothing is said of an attribute
/// that an unknown filter may provide in time.
#[must_use]
pub fn check_order(filters: &[Link<'_>]) -> Vec<Misorder> {
    let mut found = Vec::new();
    for (place, link) in filters.iter().enumerate() {
        let Link::Loaded(facts, _) = link else {
            continue;
        };
        let before = filters.iter().take(place);
        for attribute in &facts.requires {
            if is_host_fact(attribute) || before.clone().any(|link| link.may_set(attribute)) {
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
fn missing(filters: &[Link<'_>], place: usize, attribute: &str) -> Option<Cause> {
    let sets = |list: &[String]| list.iter().any(|name| name == attribute);
    let mut cause = None;
    for (before, link) in filters.iter().enumerate().take(place) {
        let Link::Loaded(facts, on_error) = link else {
            continue;
        };
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
        let provides = |link: &Link<'_>| match link {
            Link::Loaded(facts, _) => sets(&facts.provides),
            Link::Unknown(_) => false,
        };
        rest.find(|(_, link)| provides(link))
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
            let links = chain
                .iter()
                .map(|(facts, error)| Link::Loaded(facts, *error));
            let found = check_order(&links.collect::<Vec<_>>());
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
    #[test]
    fn a_filter_that_is_not_known_may_provide_what_is_missing() {
        let plan = facts(&[], &[], &["api-key.id"]);
        let (plan, any) = (Link::Loaded(&plan, Deny), Link::Unknown(None));
        let key = Grants {
            attributes: vec!["api-key.*".into()],
            ..Grants::default()
        };
        let check = |chain: &[Link<'_>]| check_order(chain).len();
        assert_eq!(check(&[any, plan]), 0);
        assert_eq!(check(&[Link::Unknown(Some(&key)), plan]), 0);
        // It stands too late, whatever it is; and this one sets nothing.
        assert_eq!(check(&[plan, any]), 1);
        assert_eq!(check(&[Link::Unknown(Some(&Grants::default())), plan]), 1);
    }
}
