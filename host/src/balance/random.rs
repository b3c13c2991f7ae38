//! Numbers from the random bits that a pick is given. The bits need not be good: a counter
//! will do, since policies mix them first.

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014): a bijection that spreads every bit over all. Also the next bits after
/// some bits.
pub(super) fn mix(bits: u64) -> u64 {
    let mut mixed = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A number from 0 to below `bound`, from bits that were mixed; each is as likely to within
/// `bound` in 2^64. 0 where the bound is 0.
pub(super) fn below(bits: u64, bound: u64) -> u64 {
    let product = u128::from(bits) * u128::from(bound);
    u64::try_from(product >> 64).unwrap_or(u64::MAX)
}

/// A number between 0 and 1, neither of them, from bits that were mixed.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are exact in a floating-point number"
)]
pub(super) fn part(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_random_enough() {
        let mut seen = [0_u32; 7];
        for bits in 0..70_000 {
            seen[usize::try_from(below(mix(bits), 7)).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|count| (9_700..=10_300).contains(count)),
            "{seen:?}"
        );
        assert_eq!(below(u64::MAX, 0), 0);
        assert_eq!(below(7, 1), 0);
    }
}
