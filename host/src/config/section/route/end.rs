//! Where a request goes after a route's filters.

use windlass_config_derive::FromTable;

use super::split::SplitKeys;
use crate::config::field::Reference;
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::section::respond::{FixedResponse, Redirect};

pub(crate) use super::split::RouteSplit;

/// Where a request goes after the chain.
#[derive(Debug)]
pub enum RouteEnd {
    /// To the upstream at this index of the configuration's list.
    Upstream(usize),
    /// To one of several upstreams, by weight.
    Split(RouteSplit),
    Respond(FixedResponse),
    Redirect(Redirect),
}

impl RouteEnd {
    /// The upstreams that it leads to.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = usize> + '_ {
        let (one, several) = match self {
            Self::Upstream(index) => (Some(*index), None),
            Self::Split(split) => (None, Some(&split.groups)),
            Self::Respond(_) | Self::Redirect(_) => (None, None),
        };
        let several = several.into_iter().flatten().map(|(index, _)| *index);
        one.into_iter().chain(several)
    }
}

#[derive(FromTable)]
#[table(into = RouteEnd, make = end)]
pub(super) struct EndKeys {
    /// The upstream that gets the request after the filters.
    #[key(absent = "the gateway answers itself", kind = Reference(Group::Upstream))]
    upstream: Option<usize>,
    #[key(flatten = SplitKeys)]
    split: Option<RouteSplit>,
    /// A fixed response after the filters.
    #[key(absent = "no fixed response")]
    respond: Option<FixedResponse>,
    /// A redirect after the filters.
    #[key(absent = "no redirect")]
    redirect: Option<Redirect>,
}

/// The end; the first of several. Where there is none, which is reported, a response lets the rest
/// of the route be looked at.
fn end(table: &mut Table<'_>, keys: EndKeys) -> RouteEnd {
    table.exactly_one(
        &["upstream", "split", "respond", "redirect"],
        (
            "has none of `upstream`, `split`, `respond` and `redirect`, wanted exactly one",
            "add `upstream = \"<name>\"`",
        ),
        "",
    );
    let upstream = keys.upstream.map(RouteEnd::Upstream);
    let split = keys.split.map(RouteEnd::Split);
    let respond = keys.respond.map(RouteEnd::Respond);
    let redirect = keys.redirect.map(RouteEnd::Redirect);
    let end = upstream.or(split).or(respond).or(redirect);
    end.unwrap_or_else(|| RouteEnd::Respond(FixedResponse::default()))
}
