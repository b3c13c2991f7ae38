//! The routes of one group of hosts, segment by segment.
//!
//! A look-up goes depth first: literal child, parameter child, greedy; it goes back where a
//! branch ends without a route for the method. That cannot blow up: a node is reached from
//! its one parent only, at the depth that is its own, so no look-up visits a node twice. Its
//! cost is bounded by the nodes (the segments in the config), and in practice by the depth.
//!
//! Deliberately absent: compressed prefixes. A segment is the unit of the rules, so it is the
//! unit of the tree.

use std::collections::BTreeMap;

use http::Method;

use super::params::PathParams;
use super::path::{decode_segment, split_at_first};
use super::pattern::Segment;

/// Says whether the conditions of a route hold.
pub(super) type Holds<'h> = &'h dyn Fn(usize) -> bool;

/// The routes of one method, at one place of the tree.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Those with conditions, the one that is tried first at the beginning.
    conditional: Vec<usize>,
    /// The one without.
    always: Option<usize>,
}

impl Candidates {
    fn choose(&self, holds: Holds<'_>) -> Option<usize> {
        let mut conditional = self.conditional.iter();
        let met = conditional.find(|route| holds(**route));
        met.copied().or(self.always)
    }
}

/// Which route takes which method, at one place of the tree.
#[derive(Debug, Default)]
pub(super) struct Methods {
    only: Vec<(Method, Candidates)>,
    any: Candidates,
}

impl Methods {
    /// Claims a method for a route without conditions; none is `ANY`. The error is the route that has it
    /// already.
    pub(super) fn claim(&mut self, method: Option<&Method>, route: usize) -> Result<(), usize> {
        let candidates = self.candidates(method);
        match candidates.always {
            Some(other) => Err(other),
            None => {
                candidates.always = Some(route);
                Ok(())
            }
        }
    }

    /// Adds a route with conditions. `is_before` says that it is tried before another one.
    pub(super) fn add(
        &mut self,
        method: Option<&Method>,
        route: usize,
        is_before: impl Fn(usize) -> bool,
    ) {
        let conditional = &mut self.candidates(method).conditional;
        let place = conditional.iter().position(|other| is_before(*other));
        conditional.insert(place.unwrap_or(conditional.len()), route);
    }

    /// The routes with conditions that a method has; none is `ANY`.
    pub(super) fn conditional(&mut self, method: Option<&Method>) -> &[usize] {
        &self.candidates(method).conditional
    }

    fn candidates(&mut self, method: Option<&Method>) -> &mut Candidates {
        let Some(method) = method else {
            return &mut self.any;
        };
        let place = self.only.iter().position(|(known, _)| known == method);
        let place = place.unwrap_or_else(|| {
            self.only.push((method.clone(), Candidates::default()));
            self.only.len() - 1
        });
        match self.only.get_mut(place) {
            Some((_, candidates)) => candidates,
            None => &mut self.any,
        }
    }

    /// The route for a method: one that names it before one for `ANY`.
    pub(super) fn choose(&self, method: &Method, holds: Holds<'_>) -> Option<usize> {
        let named = self.only.iter().find(|(known, _)| known == method);
        let named = named.and_then(|(_, candidates)| candidates.choose(holds));
        named.or_else(|| self.any.choose(holds))
    }

    /// The methods that a request with these conditions may have.
    pub(super) fn list(&self, holds: Holds<'_>) -> impl Iterator<Item = &Method> {
        let open = self.only.iter();
        let open = open.filter(move |(_, candidates)| candidates.choose(holds).is_some());
        open.map(|(method, _)| method)
    }
}

/// A place in the tree: what may follow, and the routes that end here.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// By text, percent-decoded.
    literals: BTreeMap<Box<str>, Node>,
    parameter: Option<Box<Node>>,
    greedy: Methods,
    ends: Methods,
    /// For all that is here and below, and that nothing else takes.
    below: Methods,
}

impl Node {
    /// The methods for what nothing else takes at and below a list of literals; the way there is
    /// made.
    pub(super) fn below(&mut self, base: &[Segment]) -> &mut Methods {
        match base.split_first() {
            Some((Segment::Literal(text), rest)) => {
                self.literals.entry(text.clone()).or_default().below(rest)
            }
            Some((Segment::Parameter | Segment::Greedy, _)) | None => &mut self.below,
        }
    }

    /// The methods at the end of a pattern; the way there is made.
    pub(super) fn end_of(&mut self, pattern: &[Segment]) -> &mut Methods {
        match pattern.split_first() {
            None => &mut self.ends,
            Some((Segment::Greedy, _)) => &mut self.greedy,
            Some((Segment::Parameter, rest)) => self.parameter.get_or_insert_default().end_of(rest),
            Some((Segment::Literal(text), rest)) => {
                self.literals.entry(text.clone()).or_default().end_of(rest)
            }
        }
    }

    /// The child for a segment as it stands in the path. Compared decoded, so that a client
    /// cannot pass by the route of `/users/@me` with `/users/%40me`.
    fn literal(&self, segment: &str) -> Option<&Node> {
        self.literals.get(&*decode_segment(segment))
    }
}

/// The best route for a method and a path (without its query). A match of the full path comes
/// before one with a greedy parameter; within each, the first segment that differs decides.
pub(super) fn find(
    root: &Node,
    method: &Method,
    path: &str,
    holds: Holds<'_>,
) -> Option<(usize, PathParams)> {
    let mut search = Search {
        path_length: path.len(),
        method,
        holds,
        params: PathParams::default(),
        greedy: None,
    };
    match search.visit(root, path.strip_prefix('/')) {
        Some(route) => Some((route, search.params)),
        None => search.greedy,
    }
}

/// Adds the methods of every route that matches the path to a list.
pub(super) fn collect_methods(
    node: &Node,
    rest: Option<&str>,
    holds: Holds<'_>,
    methods: &mut Vec<Method>,
) {
    methods.extend(node.below.list(holds).cloned());
    let Some(rest) = rest else {
        methods.extend(node.ends.list(holds).cloned());
        return;
    };
    let (segment, next) = first_segment(rest);
    if let Some(child) = node.literal(segment) {
        collect_methods(child, next, holds, methods);
    }
    if segment.is_empty() {
        return;
    }
    if let Some(child) = &node.parameter {
        collect_methods(child, next, holds, methods);
    }
    methods.extend(node.greedy.list(holds).cloned());
}

/// One look-up under way.
struct Search<'s> {
    path_length: usize,
    method: &'s Method,
    holds: Holds<'s>,
    /// Of the branch that is being visited.
    params: PathParams,
    /// The best route that ends in a greedy parameter, kept until no full match is left.
    greedy: Option<(usize, PathParams)>,
}

impl Search<'_> {
    /// The route of the best full match below a node. `rest` is what is left of the path after
    /// a slash; none is its end, which an empty segment is not.
    fn visit(&mut self, node: &Node, rest: Option<&str>) -> Option<usize> {
        let Some(rest) = rest else {
            let end = node.ends.choose(self.method, self.holds);
            if end.is_none() {
                self.use_fallback(node);
            }
            return end;
        };
        let (segment, next) = first_segment(rest);
        if let Some(child) = node.literal(segment)
            && let Some(route) = self.visit(child, next)
        {
            return Some(route);
        }
        if segment.is_empty() {
            self.use_fallback(node);
            return None;
        }
        let start = self.path_length.saturating_sub(rest.len());
        if let Some(child) = &node.parameter {
            self.params.push(start..start + segment.len());
            if let Some(route) = self.visit(child, next) {
                return Some(route);
            }
            self.params.pop();
        }
        // The first one met is the best: better branches were visited before.
        if self.greedy.is_none()
            && let Some(route) = node.greedy.choose(self.method, self.holds)
        {
            let mut params = self.params.clone();
            params.push(start..self.path_length);
            self.greedy = Some((route, params));
        }
        self.use_fallback(node);
        None
    }

    /// The fallback of a node for everything below it, if no branch further down has one. There are no
    /// parameters on the way to it.
    fn use_fallback(&mut self, node: &Node) {
        if self.greedy.is_none()
            && let Some(route) = node.below.choose(self.method, self.holds)
        {
            self.greedy = Some((route, PathParams::default()));
        }
    }
}

fn first_segment(rest: &str) -> (&str, Option<&str>) {
    split_at_first(rest, b'/')
}
