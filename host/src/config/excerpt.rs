//! The line of the file that a problem is shown at, with carets below.
//!
//! Promises: one line of bounded width, carets under the right characters whatever the line
//! holds (tabs, control characters, a thousand columns), and nothing of a masked span, not even
//! its length.

use super::source::{Source, Span};

/// The widest line shown; a longer one is cut around the carets.
const WIDTH: usize = 100;
/// How much is kept before the carets when a line is cut.
const BEFORE: usize = 40;
const TAB: &str = "    ";
const MASK: &str = "****";
const CUT: char = '…';

/// A line and its carets, both ready to print.
pub(super) struct Excerpt {
    pub(crate) line: String,
    pub(crate) carets: String,
}

/// One column of the line as shown.
struct Cell {
    shown: char,
    marked: bool,
}

/// The line at the start of a span. Of a span of several lines, the first is marked.
pub(super) fn cut(source: &Source, span: Span, masked: &[Span]) -> Excerpt {
    let line = source.line(span.start);
    let mut cells = cells(source, line, span, masked);
    while cells
        .last()
        .is_some_and(|cell| cell.shown == ' ' && !cell.marked)
    {
        cells.pop();
    }
    if !cells.iter().any(|cell| cell.marked) {
        cells.push(Cell {
            shown: ' ',
            marked: true,
        });
    }
    let cells = window(cells);
    let line: String = cells.iter().map(|cell| cell.shown).collect();
    let carets: String = cells
        .iter()
        .map(|cell| if cell.marked { '^' } else { ' ' })
        .collect();
    Excerpt {
        line: line.trim_end().to_owned(),
        carets: carets.trim_end().to_owned(),
    }
}

fn cells(source: &Source, line: Span, span: Span, masked: &[Span]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut mask_before = None;
    for (offset, character) in source.slice(line).char_indices() {
        let at = line.start + offset;
        let here = Span::new(at, at + character.len_utf8());
        let mask = masked.iter().position(|mask| mask.overlaps(here));
        let marked = span.overlaps(here);
        let mut put = |shown: char| cells.push(Cell { shown, marked });
        match (mask, character) {
            (Some(_), _) if mask == mask_before => {}
            (Some(_), _) => MASK.chars().for_each(put),
            (None, '\t') => TAB.chars().for_each(put),
            (None, '\u{feff}') => {}
            (None, other) if other.is_control() => put('\u{fffd}'),
            (None, other) => put(other),
        }
        mask_before = mask;
    }
    cells
}

/// At most [`WIDTH`] cells, with the first marked one among them.
fn window(mut cells: Vec<Cell>) -> Vec<Cell> {
    if cells.len() <= WIDTH {
        return cells;
    }
    let first = cells.iter().position(|cell| cell.marked).unwrap_or(0);
    let start = if first < WIDTH - BEFORE {
        0
    } else {
        first - BEFORE
    };
    let mut kept = cells.split_off(start);
    if start > 0
        && let Some(edge) = kept.first_mut()
    {
        edge.shown = CUT;
    }
    if kept.len() > WIDTH {
        kept.truncate(WIDTH);
        if let Some(edge) = kept.last_mut() {
            edge.shown = CUT;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Span, masked: &[Span]) -> (String, String) {
        let excerpt = cut(&Source::new("t", text), span, masked);
        (excerpt.line, excerpt.carets)
    }

    fn pair(line: &str, carets: &str) -> (String, String) {
        (line.to_owned(), carets.to_owned())
    }

    #[test]
    fn tabs_keep_the_carets_in_line() {
        assert_eq!(
            shown("\ta\t= 1", Span::new(3, 4), &[]),
            pair("    a    = 1", "         ^")
        );
    }

    #[test]
    fn several_lines_show_the_first() {
        assert_eq!(
            shown("a = [\n1,\n]", Span::new(4, 10), &[]),
            pair("a = [", "    ^")
        );
    }

    #[test]
    fn the_end_of_a_line_has_a_caret_of_its_own() {
        assert_eq!(shown("a =\nb", Span::new(3, 3), &[]), pair("a =", "   ^"));
        assert_eq!(shown("a =", Span::new(99, 120), &[]), pair("a =", "   ^"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            shown("a\u{1b}[1m", Span::new(0, 1), &[]),
            pair("a\u{fffd}[1m", "^")
        );
    }

    #[test]
    fn a_mask_hides_even_the_length() {
        let text = "k = \"a long secret\" # x";
        let hidden = Span::new(4, 19);
        assert_eq!(
            shown(text, hidden, &[hidden]),
            pair("k = **** # x", "    ^^^^")
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_carets() {
        let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let (line, carets) = shown(&text, Span::new(500, 504), &[]);
        assert_eq!(line.chars().count(), WIDTH);
        assert!(line.starts_with("…a") && line.ends_with("b…"), "{line}");
        let at: Vec<usize> = carets.match_indices('^').map(|(at, _)| at).collect();
        let under: String = at.iter().filter_map(|&at| line.chars().nth(at)).collect();
        assert_eq!(under, "HERE");
    }
}
