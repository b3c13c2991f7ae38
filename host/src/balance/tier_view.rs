//! One tier as a pick sees it: a row for each endpoint, and the rows that the pick may take.
//!
//! Values that every pick reads are close together in memory; the rest of a member is read only if the
//! pick asks for labels.

use super::load::{LoadCell, WHOLE};
use super::member::{MAX_WEIGHT, Member, PickOptions};
use super::random;

/// The part of an endpoint that every pick reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberRow {
    cell: &'static LoadCell,
    weight: u32,
    max_active: u32,
}

impl MemberRow {
    pub(super) fn of(member: &Member) -> Self {
        Self {
            cell: member.load.cell(),
            weight: member.weight.min(MAX_WEIGHT),
            max_active: member.max_active,
        }
    }

    /// Its whole weight.
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.weight)
    }
}

/// Sums of the weights up to each row, for draws by weight.
#[derive(Debug)]
pub(super) struct CumulativeWeights(Box<[u64]>);

impl CumulativeWeights {
    pub(super) fn new(rows: &[MemberRow]) -> Self {
        let sums = rows.iter().scan(0, |sum, row| {
            *sum += u64::from(row.weight);
            Some(*sum)
        });
        Self(sums.collect())
    }
}

/// A tier during one pick.
#[derive(Clone, Copy)]
pub(super) struct TierView<'a> {
    pub(super) members: &'a [Member],
    /// The tier, as indexes of the members.
    pub(super) tier: &'a [usize],
    /// The same, in the same order.
    pub(super) rows: &'a [MemberRow],
    pub(super) choice: &'a PickOptions<'a>,
    /// Whether health is ignored.
    pub(super) ignores_health: bool,
}

/// An endpoint that a pick may take.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    /// Its position in the tier.
    pub(super) position: usize,
    pub(super) active: u32,
    /// Weight times share: up to a million.
    pub(super) weight: u32,
}

impl<'a> TierView<'a> {
    /// The endpoint at this row, if the pick may take it. Every policy asks this.
    pub(super) fn candidate(self, at: usize) -> Option<Candidate> {
        let row = self.rows.get(at)?;
        let weight = row.weight * row.cell.share(self.ignores_health);
        let active = row.cell.active();
        let takes = weight > 0 && active < row.max_active && self.is_allowed(at);
        takes.then_some(Candidate {
            position: at,
            active,
            weight,
        })
    }

    fn is_allowed(self, at: usize) -> bool {
        let choice = self.choice;
        if choice.exclude.is_empty() && choice.labels.is_empty() {
            return true;
        }
        let index = self.tier.get(at).copied().unwrap_or(usize::MAX);
        let member = self.members.get(index);
        member.is_some_and(|member| member.is_allowed(index, choice))
    }

    /// All that the pick may take.
    pub(super) fn all(self) -> impl Iterator<Item = Candidate> + 'a {
        (0..self.rows.len()).filter_map(move |row| self.candidate(row))
    }

    /// One of them at random, in proportion to the weights that count.
    pub(super) fn by_weight(self, random: u64) -> Option<Candidate> {
        let total = self
            .all()
            .map(|candidate| u64::from(candidate.weight))
            .sum();
        let mut left = random::below(random::mix(random), total);
        let mut last = None;
        for candidate in self.all() {
            last = Some(candidate);
            match left.checked_sub(u64::from(candidate.weight)) {
                Some(rest) => left = rest,
                None => return last,
            }
        }
        // It changed meanwhile, so any is as good.
        last
    }

    /// Draws one by its whole weight. None: it may not be taken, or its share is not whole, and this
    /// draw is not in its part.
    pub(super) fn draw(self, sums: &CumulativeWeights, bits: &mut u64) -> Option<Candidate> {
        *bits = random::mix(*bits);
        let mark = random::below(*bits, *sums.0.last()?);
        let candidate = self.candidate(sums.0.partition_point(|sum| *sum <= mark))?;
        *bits = random::mix(*bits);
        self.takes_draw(candidate, *bits).then_some(candidate)
    }

    /// Whether one that was chosen by its whole weight takes this draw: a share that still grows
    /// takes its part of the draws only.
    pub(super) fn takes_draw(self, candidate: Candidate, random: u64) -> bool {
        let whole = self
            .rows
            .get(candidate.position)
            .map_or(0, |row| row.weight * WHOLE);
        candidate.weight >= whole
            || random::below(random, u64::from(whole)) < u64::from(candidate.weight)
    }
}
