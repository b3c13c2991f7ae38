//! Blocks of `trusted_proxies` side by side: one within another, and those that are everybody.

use ipnet::IpNet;

use super::Server;
use crate::config::read::Table;
use crate::config::source::Span;

/// Warns of blocks that say nothing, more than they seem to, or too much.
pub(super) fn check(table: &mut Table<'_>, server: &Server) {
    let (key, blocks) = ("trusted_proxies", &server.trusted_proxies);
    let spans = table.spans_of_items(key);
    // A text that is there twice was reported.
    if !table.is_sound(key) || spans.len() != blocks.len() {
        return;
    }
    if are_all(blocks) {
        table
            .warning_at(key, "`trusted_proxies` holds every address")
            .help("any client can then choose its own `client.ip`: list the proxies' blocks");
        return;
    }
    let pairs = || blocks.iter().zip(&spans).enumerate();
    for (index, (block, span)) in pairs() {
        if block.network() != block.addr() {
            loose(table, *block, *span);
            continue;
        }
        let other = pairs().find(|(other, (wider, _))| {
            *other != index
                && wider.contains(block)
                && (*other < index || wider.prefix_len() < block.prefix_len())
        });
        if let Some((_, (wider, _))) = other {
            let message =
                format!("`trusted_proxies` holds `{block}`, which is within `{wider}` already");
            table
                .warning(*span, &message)
                .help("remove it, or the wider block if only this one was meant");
        }
    }
}

/// Warns of an address that stands for many others too.
fn loose(table: &mut Table<'_>, block: IpNet, span: Span) {
    let (whole, one) = (block.trunc(), IpNet::from(block.addr()));
    let message = format!("`trusted_proxies` holds `{block}`, which is the whole block `{whole}`");
    table.warning(span, &message).help(format!(
        "write `\"{whole}\"` for the block, or `\"{one}\"` for the one address"
    ));
}

/// Whether the blocks are all IPv4 or all IPv6 addresses together.
fn are_all(blocks: &Vec<IpNet>) -> bool {
    let blocks = IpNet::aggregate(blocks);
    blocks.iter().any(|block| block.prefix_len() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn blocks_that_are_all_addresses_together_are_found() {
        for (texts, are) in [
            (&["0.0.0.0/0"][..], true),
            (&["128.0.0.0/1", "0.0.0.0/1"], true),
            (&["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/1"], true),
            (&["0.0.0.0/0", "10.0.0.0/8"], true),
            (&["0.0.0.0/1", "10.0.0.0/8"], false),
            (&["0.0.0.0/1", "129.0.0.0/1"], true),
            (&["0.0.0.0/2", "128.0.0.0/1"], false),
            (&[], false),
            (&["::/1", "8000::/1"], true),
            (&["::/0"], true),
            (&["::/1", "10.0.0.0/8"], false),
        ] {
            assert_eq!(are_all(&blocks(texts)), are, "{texts:?}");
        }
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
            let [wider, block] = [wider, block].map(|text| text.parse::<IpNet>().unwrap());
            assert_eq!(wider.contains(&block), is, "{wider} {block}");
        }
    }
}
