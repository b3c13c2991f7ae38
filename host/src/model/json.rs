//! Readers of single members of JSON: what may be left out, null or written as `5.0`.

use serde::{Deserialize, Deserializer};

/// The largest whole number: the largest quota of a configuration. Every reader of JSON represents
/// it exactly, also written as `5.0`.
pub(crate) const MOST: u64 = 1_000_000_000_000;

/// Reads a value that may be left out, and may not be null.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a value that may be left out (no change) or null (remove it).
#[expect(
    clippy::option_option,
    reason = "left out, null, and a value are three things"
)]
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Reads a whole number, also one that is written as `5.0`: to JSON Schema that is one.
pub(crate) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole_number_to(deserializer, MOST)
}

/// Reads a whole number. The error names this bound; the caller checks it.
fn whole_number_to<'de, D: Deserializer<'de>>(deserializer: D, most: u64) -> Result<u64, D::Error> {
    struct WholeNumberVisitor(u64);
    impl serde::de::Visitor<'_> for WholeNumberVisitor {
        type Value = u64;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a whole number from 0 to {}", self.0)
        }
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "within what a float keeps exactly"
        )]
        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
            if (0.0..=MOST as f64).contains(&number) && number.fract() == 0.0 {
                return Ok(number as u64);
            }
            let found = serde::de::Unexpected::Float(number);
            Err(E::invalid_value(found, &self))
        }
    }
    deserializer.deserialize_u64(WholeNumberVisitor(most))
}

/// Reads a whole number that may be left out.
pub(crate) fn present_whole<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    whole_number(deserializer).map(Some)
}

/// Reads a whole number of a smaller type. The error names the bound; the caller checks it.
pub(crate) fn small_number<'de, D: Deserializer<'de>, N: TryFrom<u64>, const BOUND: u64>(
    deserializer: D,
) -> Result<N, D::Error> {
    let number = N::try_from(whole_number_to(deserializer, BOUND)?);
    number.map_err(|_| serde::de::Error::custom("the number is too large"))
}

/// Like `small_number`, and may be left out.
pub(crate) fn present_small<'de, D: Deserializer<'de>, N: TryFrom<u64>, const BOUND: u64>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    small_number::<_, _, BOUND>(deserializer).map(Some)
}

/// Reads only an object. serde would also take a list of its values.
#[derive(Debug, Clone)]
pub(crate) struct Strict<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for ObjectVisitor<T> {
            type Value = T;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        let members = ObjectVisitor(std::marker::PhantomData);
        deserializer.deserialize_map(members).map(Self)
    }
}
