//! Where a key stands against its bounds, small enough for a note.

use windlass_plugin_sdk::host::limits::{Decision, Level};

/// The rate and the quota after a decision, where the plan has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub rate: Option<Part>,
    pub quota: Option<Part>,
}

/// Where one bound stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub limit: u64,
    pub remaining: u64,
    pub window_ms: u64,
    pub reset_ms: u64,
}

const PART: usize = 32;

impl Standing {
    pub fn of(decision: &Decision) -> Self {
        Self {
            rate: decision.rate.map(Part::of),
            quota: decision.quota.map(Part::of),
        }
    }

    /// Whether there is nothing to tell the client.
    pub fn is_empty(&self) -> bool {
        self.rate.is_none() && self.quota.is_none()
    }

    /// The rate, then the quota: four little-endian numbers each. A bound that is not there has
    /// the limit 0, which no bound has.
    pub fn to_bytes(self) -> [u8; 2 * PART] {
        let mut bytes = [0; 2 * PART];
        let (rate, quota) = bytes.split_at_mut(PART);
        rate.copy_from_slice(&Part::to_bytes(self.rate));
        quota.copy_from_slice(&Part::to_bytes(self.quota));
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) made.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rate, rest) = bytes.split_first_chunk()?;
        let (quota, _) = rest.split_first_chunk()?;
        Some(Self {
            rate: Part::from_bytes(rate),
            quota: Part::from_bytes(quota),
        })
    }
}

impl Part {
    fn of(level: Level) -> Self {
        Self {
            limit: level.limit,
            remaining: level.remaining,
            window_ms: level.window_ms,
            reset_ms: level.reset_ms,
        }
    }

    fn to_bytes(part: Option<Self>) -> [u8; PART] {
        let mut bytes = [0; PART];
        if let Some(part) = part {
            let numbers = [part.limit, part.remaining, part.window_ms, part.reset_ms];
            for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
                place.copy_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; PART]) -> Option<Self> {
        let mut numbers = bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        let part = Self {
            limit: numbers.next()?,
            remaining: numbers.next()?,
            window_ms: numbers.next()?,
            reset_ms: numbers.next()?,
        };
        (part.limit > 0).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_gives_back_what_was_put_in() {
        let rate = Some(Part {
            limit: 10,
            remaining: 9,
            window_ms: 2_000,
            reset_ms: u64::MAX,
        });
        let quota = Some(Part {
            limit: u64::MAX,
            remaining: 0,
            window_ms: 86_400_000,
            reset_ms: 1,
        });
        for standing in [
            Standing { rate, quota },
            Standing { rate: None, quota },
            Standing { rate, quota: None },
        ] {
            assert_eq!(Standing::from_bytes(&standing.to_bytes()), Some(standing));
        }
    }

    #[test]
    fn a_cut_note_is_none() {
        assert_eq!(Standing::from_bytes(&[0; 63]), None);
    }
}
