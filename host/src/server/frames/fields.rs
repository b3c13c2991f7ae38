//! A block of fields of HTTP/2 (RFC 7541), as far as it tells whether one of them is a
//! pseudo-header field.
//!
//! Deliberately not here: the dynamic table, whose state is h2's. A name that only an entry there has
//! is not seen.

/// The static table's entries that are pseudo-header fields (RFC 7541 appendix A).
const PSEUDO: std::ops::RangeInclusive<usize> = 1..=14;

/// Whether a field's name begins with a colon, as far as the block itself tells.
pub(super) fn has_pseudo(mut block: &[u8]) -> bool {
    // What cannot be read ends the connection in h2.
    while let Some(is_pseudo) = next_field(&mut block) {
        if is_pseudo {
            return true;
        }
    }
    false
}

/// Whether the next field is one; none at the end.
fn next_field(block: &mut &[u8]) -> Option<bool> {
    let first = *block.first()?;
    let prefix = match first {
        0x80.. => 7,
        0x40.. => 6,
        0x20.. => 5,
        _ => 4,
    };
    let index = number(block, prefix)?;
    match first {
        0x80.. => return Some(PSEUDO.contains(&index)),
        0x20..0x40 => return Some(false),
        _ => {}
    }
    let is_pseudo = match index {
        0 => {
            let is_short = block.first()? & 0x80 != 0;
            let name = text(block)?;
            // A colon is seven bits of the Huffman code (RFC 7541 appendix B).
            name.first().is_some_and(|first| match is_short {
                true => first >> 1 == 0x5c,
                false => *first == b':',
            })
        }
        index => PSEUDO.contains(&index),
    };
    text(block)?;
    Some(is_pseudo)
}

fn text<'a>(block: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(text)
}

/// A number of HPACK whose first byte has so many bits of it (RFC 7541 section 5.1).
fn number(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1 << prefix) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first()?;
            number = number.checked_add(usize::from(byte & 127).checked_shl(shift)?)?;
            rest = after;
            shift += 7;
            if byte & 128 == 0 || shift > 28 {
                break;
            }
        }
    }
    *block = rest;
    Some(number)
}
