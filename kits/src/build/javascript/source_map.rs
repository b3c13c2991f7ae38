//! A source map (ECMA-426), as a table that the kit can look up without decoding anything: the map of a small filter
//! has 25 KB, and an interpreter would need milliseconds for it in the phase that failed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The parts of esbuild's source map that matter here.
#[derive(Deserialize)]
struct SourceMap {
    sources: Vec<String>,
    mappings: String,
}

/// What stands before the bundle.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct LineTable {
    /// Files, from the plugin's folder.
    sources: Vec<String>,
    /// By the line of the bundle: for each segment its column, the index of its source, and line and column there. All
    /// of them begin with 1, but the index. Lines of the kit are left out.
    lines: BTreeMap<usize, Vec<i64>>,
}

/// The table as JavaScript. `before` is how many lines stand before the bundle at run time.
pub(super) fn table(written: &str, before: usize) -> String {
    // Without one, errors name lines of the bundle.
    read(written, before)
        .and_then(|table| serde_json::to_string(&table).ok())
        .unwrap_or_else(|| "undefined".to_owned())
}

fn read(written: &str, before: usize) -> Option<LineTable> {
    let map: SourceMap = serde_json::from_str(written).ok()?;
    let sources: Vec<String> = map
        .sources
        .iter()
        .map(|source| from_folder(source))
        .collect();
    let mut lines = BTreeMap::new();
    // All but the column go on from the segment before, over the end of the line.
    let [mut source, mut line, mut column] = [0; 3];
    for (index, row) in map.mappings.split(';').enumerate() {
        let mut made_column = 0;
        let mut segments = Vec::new();
        for segment in row.split(',').filter(|segment| !segment.is_empty()) {
            let numbers = numbers(segment)?;
            let [made, to_source, to_line, to_column, ..] = numbers.as_slice() else {
                // Code that is from no source.
                made_column += numbers.first()?;
                continue;
            };
            made_column += made;
            source += to_source;
            line += to_line;
            column += to_column;
            let name = sources.get(usize::try_from(source).ok()?)?;
            if !is_of_the_kit(name) {
                segments.extend([made_column + 1, source, line + 1, column + 1]);
            }
        }
        if !segments.is_empty() {
            lines.insert(index + 1 + before, segments);
        }
    }
    Some(LineTable { sources, lines })
}

/// `../../src/filter.js`, seen from `build/js/`, is `src/filter.js`.
fn from_folder(source: &str) -> String {
    source.trim_start_matches("../").to_owned()
}

fn is_of_the_kit(source: &str) -> bool {
    source == "entry.js"
        || source.starts_with("sdk/")
        || source.contains("node_modules/windlass-plugin/")
}

/// The numbers of a segment: base64 VLQ.
fn numbers(segment: &str) -> Option<Vec<i64>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut numbers = Vec::new();
    let mut value: i64 = 0;
    let mut shift = 0;
    for digit in segment.chars() {
        let digit = i64::try_from(DIGITS.find(digit)?).ok()?;
        value |= (digit & 31).checked_shl(shift)?;
        shift += 5;
        if digit & 32 == 0 {
            numbers.push(if value & 1 == 1 {
                -(value >> 1)
            } else {
                value >> 1
            });
            value = 0;
            shift = 0;
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_sign_and_several_digits() {
        assert_eq!(numbers("AAAA"), Some(vec![0, 0, 0, 0]));
        assert_eq!(numbers("CDEF"), Some(vec![1, -1, 2, -2]));
        assert_eq!(numbers("gB"), Some(vec![16]));
        assert_eq!(numbers("2H"), Some(vec![123]));
        assert_eq!(numbers("?"), None);
    }

    #[test]
    fn a_table_has_the_author_s_lines_and_none_of_the_kit() {
        // Two lines of the kit, then one of the author's with two segments: column 3 of line 5, and column 9 of line 6.
        let written = r#"{"version":3,"sources":["../../sdk/filter.js","../../src/filter.ts"],
            "mappings":"AAAA;AACA;ACGE,GACM"}"#;
        let table = read(written, 1).unwrap();
        assert_eq!(table.sources, ["sdk/filter.js", "src/filter.ts"]);
        let lines = BTreeMap::from([(4, vec![1, 1, 5, 3, 4, 1, 6, 9])]);
        assert_eq!(table.lines, lines);
    }

    #[test]
    fn without_a_map_there_is_no_table() {
        assert_eq!(table("nothing", 1), "undefined");
    }
}
