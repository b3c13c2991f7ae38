//! Blocks of `trusted_proxies` side by side: one within another, and those that are everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Server;
use crate::config::read::Table;
use crate::config::section::Cidr;
use crate::config::source::Span;

/// Warns of blocks that say nothing, more than they seem to, or too much.
pub(super) fn check(table: &mut Table<'_>, server: &Server) {
    let (key, blocks) = ("trusted_proxies", &server.trusted_proxies);
    let spans = table.spans_of_items(key);
    // A text that is there twice was reported.
    if !table.is_sound(key) || spans.len() != blocks.len() {
        return;
    }
    if [true, false].into_iter().any(|is_v4| is_all(blocks, is_v4)) {
        table
            .warning(table.span_of(key), "`trusted_proxies` holds every address")
            .help("any client can then choose its own `client.ip`: list the proxies' blocks");
        return;
    }
    let pairs = || blocks.iter().zip(&spans).enumerate();
    for (place, (block, span)) in pairs() {
        if network(*block) != block.address {
            loose(table, *block, *span);
            continue;
        }
        let other = pairs().find(|(other, (wider, _))| {
            *other != place
                && holds(**wider, *block)
                && (*other < place || wider.prefix < block.prefix)
        });
        if let Some((_, (wider, _))) = other {
            let message = format!(
                "`trusted_proxies` holds `{}`, which is within `{}` already",
                print(*block),
                print(*wider)
            );
            table
                .warning(*span, &message)
                .help("remove it, or the wider block if only this one was meant");
        }
    }
}

/// Warns of an address that stands for many others too.
fn loose(table: &mut Table<'_>, block: Cidr, span: Span) {
    let first = network(block);
    let (address, prefix) = (block.address, block.prefix);
    let message = format!(
        "`trusted_proxies` holds `{address}/{prefix}`, which is the whole block `{first}/{prefix}`"
    );
    let most = bits(address);
    table.warning(span, &message).help(format!(
        "write `\"{first}/{prefix}\"` for the block, or `\"{address}/{most}\"` for the one address"
    ));
}

/// Whether the blocks of one kind are all addresses together.
fn is_all(blocks: &[Cidr], is_v4: bool) -> bool {
    let ranges = blocks.iter().map(|block| range(*block));
    let ranges = ranges.filter(|(is, ..)| *is == is_v4);
    let mut ranges: Vec<(u128, u128)> = ranges.map(|(_, first, last)| (first, last)).collect();
    ranges.sort_unstable();
    let end = if is_v4 {
        u128::from(u32::MAX)
    } else {
        u128::MAX
    };
    let mut next = Some(0);
    for (first, last) in ranges {
        match next {
            Some(wanted) if first <= wanted => next = last.checked_add(1).max(next),
            Some(_) | None => break,
        }
        if last >= end {
            return true;
        }
    }
    false
}

/// Whether all of a block is in another.
fn holds(wider: Cidr, block: Cidr) -> bool {
    let (is_v4, first, last) = range(wider);
    let (is_other_v4, other_first, other_last) = range(block);
    is_v4 == is_other_v4 && first <= other_first && other_last <= last
}

/// Whether it is IPv4, its first address and its last.
fn range(block: Cidr) -> (bool, u128, u128) {
    let (is_v4, address, bits) = match block.address {
        IpAddr::V4(address) => (true, u128::from(u32::from(address)), 32_u32),
        IpAddr::V6(address) => (false, u128::from(address), 128),
    };
    let free = bits.saturating_sub(u32::from(block.prefix));
    let rest = 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
    (is_v4, address & !rest, address | rest)
}

/// The first address of a block.
fn network(block: Cidr) -> IpAddr {
    match range(block) {
        (true, first, _) => Ipv4Addr::from(u32::try_from(first).unwrap_or_default()).into(),
        (false, first, _) => Ipv6Addr::from(first).into(),
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn print(block: Cidr) -> String {
    format!("{}/{}", block.address, block.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::address::cidr;

    fn blocks(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| cidr(text).unwrap()).collect()
    }

    #[test]
    fn blocks_that_are_all_addresses_together_are_found() {
        for (texts, is) in [
            (&["0.0.0.0/0"][..], true),
            (&["128.0.0.0/1", "0.0.0.0/1"], true),
            (&["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/1"], true),
            (&["0.0.0.0/0", "10.0.0.0/8"], true),
            (&["0.0.0.0/1", "10.0.0.0/8"], false),
            (&["0.0.0.0/1", "129.0.0.0/1"], true),
            (&["0.0.0.0/2", "128.0.0.0/1"], false),
            (&[], false),
        ] {
            assert_eq!(is_all(&blocks(texts), true), is, "{texts:?}");
        }
        assert!(is_all(&blocks(&["::/1", "8000::/1"]), false));
        assert!(is_all(&blocks(&["::/0"]), false));
        assert!(!is_all(&blocks(&["::/1", "10.0.0.0/8"]), false));
    }

    #[test]
    fn a_block_within_another_is_found() {
        for (wider, block, is) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("::/0", "10.0.0.0/8", false),
            ("fd00::/8", "fd00::1/128", true),
        ] {
            assert_eq!(
                holds(cidr(wider).unwrap(), cidr(block).unwrap()),
                is,
                "{wider} {block}"
            );
        }
    }
}
