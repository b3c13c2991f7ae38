//! Checks that every filter of a chain gets the attributes that it requires.

use crate::exchange::is_host_fact;
use crate::model::filter::OnError;
use crate::wasm::facts::{BoundSource, Facts};
use crate::wasm::grants::Grants;

/// A filter whose position does not guarantee an attribute that it requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderViolation {
    /// The filter's position in the chain.
    pub(crate) position: usize,
    pub(crate) attribute: String,
    /// Whether the filter works without it, but not as it is meant: it counts by it.
    pub(crate) is_counted_by: bool,
    /// The reason why the attribute may be missing.
    pub(crate) cause: MissingAttributeCause,
}

/// The reason why an attribute may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingAttributeCause {
    /// No filter of the chain sets it.
    Nobody,
    /// The filter at this later position sets it.
    Later(usize),
    /// The filter at this position sets it in some cases only.
    Sometimes(usize),
    /// The filter at this position sets it, but is skipped if it fails.
    Skipped(usize),
}

/// A filter of a chain, loaded or not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OrderedFilter<'a> {
    /// A loaded filter: its facts, and how a request goes on when it fails.
    Loaded(&'a Facts, OnError),
    /// A filter that is not loaded, and sets at most the attributes that this allows; none for any.
    Unknown(Option<&'a Grants>),
}

impl OrderedFilter<'_> {
    fn may_set(&self, attribute: &str) -> bool {
        match self {
            Self::Loaded(..) => false,
            Self::Unknown(most) => most.is_none_or(|most| most.attribute(attribute)),
        }
    }

    /// Whether it says that it sets the attribute, always or in some cases.
    fn declares(&self, attribute: &str) -> bool {
        match self {
            Self::Loaded(facts, _) => {
                let mut names = facts.provides.iter().chain(&facts.sometimes);
                names.any(|name| name == attribute)
            }
            Self::Unknown(_) => false,
        }
    }
}

/// Check the order of a chain by the facts of its filters. An attribute that a filter which is not loaded
/// may provide in time is not reported.
#[must_use]
pub(crate) fn check_order(filters: &[OrderedFilter<'_>]) -> Vec<OrderViolation> {
    let mut found = Vec::new();
    for (position, filter) in filters.iter().enumerate() {
        let OrderedFilter::Loaded(facts, _) = filter else {
            continue;
        };
        let before = filters.iter().take(position);
        for attribute in &facts.requires {
            if is_host_fact(attribute) || before.clone().any(|filter| filter.may_set(attribute)) {
                continue;
            }
            if let Some(cause) = missing(filters, position, attribute) {
                found.push(OrderViolation {
                    position,
                    attribute: attribute.clone(),
                    is_counted_by: false,
                    cause,
                });
            }
        }
        for attribute in counted_by(facts) {
            if before
                .clone()
                .any(|filter| filter.may_set(attribute) || filter.declares(attribute))
            {
                continue;
            }
            let mut later = filters.iter().enumerate().skip(position + 1);
            if let Some((later, _)) = later.find(|(_, filter)| filter.declares(attribute)) {
                found.push(OrderViolation {
                    position,
                    attribute: attribute.to_owned(),
                    is_counted_by: true,
                    cause: MissingAttributeCause::Later(later),
                });
            }
        }
    }
    found
}

/// The attributes that a filter counts by and could go without. A lint reports those that no filter sets.
fn counted_by(facts: &Facts) -> impl Iterator<Item = &str> {
    let sources = facts
        .advice
        .bounds
        .iter()
        .filter_map(|bound| bound.source.as_ref());
    let attributes = sources.filter_map(|source| match source {
        BoundSource::Attribute(name) => Some(name.as_str()),
        BoundSource::PathParam(_) => None,
    });
    attributes.filter(|name| !facts.requires.iter().any(|required| required == name))
}

/// The reason why the attribute may be missing at this position; none if it is guaranteed.
fn missing(
    filters: &[OrderedFilter<'_>],
    position: usize,
    attribute: &str,
) -> Option<MissingAttributeCause> {
    let sets = |list: &[String]| list.iter().any(|name| name == attribute);
    let mut cause = None;
    for (before, filter) in filters.iter().enumerate().take(position) {
        let OrderedFilter::Loaded(facts, on_error) = filter else {
            continue;
        };
        if sets(&facts.provides) {
            if *on_error == OnError::Deny {
                return None;
            }
            cause = Some(MissingAttributeCause::Skipped(before));
        } else if sets(&facts.sometimes) {
            cause = cause.or(Some(MissingAttributeCause::Sometimes(before)));
        }
    }
    let later = || {
        let mut rest = filters.iter().enumerate().skip(position + 1);
        let provides = |filter: &OrderedFilter<'_>| match filter {
            OrderedFilter::Loaded(facts, _) => sets(&facts.provides),
            OrderedFilter::Unknown(_) => false,
        };
        rest.find(|(_, filter)| provides(filter))
            .map(|(later, _)| MissingAttributeCause::Later(later))
    };
    Some(
        cause
            .or_else(later)
            .unwrap_or(MissingAttributeCause::Nobody),
    )
}

#[cfg(test)]
mod tests {
    use super::OnError::{Deny, Skip};
    use super::*;
    use crate::wasm::facts::{BoundInfo, OnMissingValue};

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
            let filters = chain
                .iter()
                .map(|(facts, error)| OrderedFilter::Loaded(facts, *error));
            let found = check_order(&filters.collect::<Vec<_>>());
            found
                .into_iter()
                .map(|found| found.cause)
                .collect::<Vec<_>>()
        };
        assert_eq!(check(&[(&key, Deny), (&plan, Deny)]), []);
        assert_eq!(
            check(&[(&plan, Deny), (&key, Deny)]),
            [MissingAttributeCause::Later(1)]
        );
        assert_eq!(check(&[(&plan, Deny)]), [MissingAttributeCause::Nobody]);
        assert_eq!(
            check(&[(&key, Skip), (&plan, Deny)]),
            [MissingAttributeCause::Skipped(0)]
        );
        assert_eq!(
            check(&[(&key, Deny), (&strict, Deny)]),
            [MissingAttributeCause::Sometimes(0)]
        );
        let host = facts(&[], &[], &["client.ip"]);
        assert_eq!(check(&[(&host, Deny)]), []);
    }

    #[test]
    fn what_a_filter_counts_by_comes_before_it_if_it_comes_at_all() {
        let bound = |by| BoundInfo {
            name: "b".to_owned(),
            source: Some(by),
            lacking: OnMissingValue::Shared,
            is_sliding: false,
        };
        let counts = |by| {
            let mut facts = Facts::default();
            facts.advice.bounds.push(bound(by));
            facts
        };
        let by_tenant = counts(BoundSource::Attribute("tenant".to_owned()));
        let by_parameter = counts(BoundSource::PathParam("tenant".to_owned()));
        let always = facts(&["tenant"], &[], &[]);
        let sometimes = facts(&[], &["tenant"], &[]);
        let check = |chain: &[&Facts]| {
            let filters = chain.iter().map(|facts| OrderedFilter::Loaded(facts, Deny));
            let found = check_order(&filters.collect::<Vec<_>>());
            let found = found.into_iter();
            let found = found.map(|found| (found.position, found.is_counted_by, found.cause));
            found.collect::<Vec<_>>()
        };
        for provider in [&always, &sometimes] {
            assert_eq!(check(&[provider, &by_tenant]), []);
            let late = (0, true, MissingAttributeCause::Later(1));
            assert_eq!(check(&[&by_tenant, provider]), [late]);
            assert_eq!(check(&[provider, &by_tenant, provider]), []);
            assert_eq!(check(&[&by_parameter, provider]), []);
        }
        assert_eq!(check(&[&by_tenant]), []);
        let filters = [
            OrderedFilter::Unknown(None),
            OrderedFilter::Loaded(&by_tenant, Deny),
            OrderedFilter::Loaded(&always, Deny),
        ];
        assert_eq!(check_order(&filters), []);
    }

    #[test]
    fn a_filter_that_is_not_known_may_provide_what_is_missing() {
        let plan = facts(&[], &[], &["api-key.id"]);
        let (plan, any) = (
            OrderedFilter::Loaded(&plan, Deny),
            OrderedFilter::Unknown(None),
        );
        let key = Grants {
            attributes: vec!["api-key.*".into()],
            ..Grants::default()
        };
        let check = |chain: &[OrderedFilter<'_>]| check_order(chain).len();
        assert_eq!(check(&[any, plan]), 0);
        assert_eq!(check(&[OrderedFilter::Unknown(Some(&key)), plan]), 0);
        // It comes too late, whatever it is; and this one sets nothing.
        assert_eq!(check(&[plan, any]), 1);
        assert_eq!(
            check(&[OrderedFilter::Unknown(Some(&Grants::default())), plan]),
            1
        );
    }
}
