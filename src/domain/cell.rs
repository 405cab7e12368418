//! Texts of others in the cells of a spreadsheet, which would run some of them as formulas.

use std::borrow::Cow;

/// What a formula begins with; a `'`, which says that none does; and what is often taken off before.
const ALWAYS: [char; 7] = ['=', '+', '-', '@', '\'', '\t', '\r'];
/// What a formula begins with, in the widths that East Asian keyboards write: some spreadsheets read
/// these as the others.
const SIGNS: [char; 12] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫'];

/// Characters that show nothing, beside white space and control characters: spreadsheets, and what
/// people clean tables with, take them off. (Unicode's format characters and
/// `Default_Ignorable_Code_Point`, and the blank of Braille.)
const INVISIBLE: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// A text for a cell: guarded by one leading `'` against being run as a formula. Whoever takes one
/// leading `'` off has the text back.
pub fn guarded(cell: &str) -> Cow<'_, str> {
    if is_dangerous(cell) { format!("'{cell}").into() } else { cell.into() }
}

fn is_dangerous(cell: &str) -> bool {
    // Most texts begin with a letter, a digit or a slash.
    if cell.starts_with(ALWAYS) {
        return true;
    }
    cell.chars().find(|character| !shows_nothing(*character)).is_some_and(|c| SIGNS.contains(&c))
}

fn shows_nothing(character: char) -> bool {
    let is_invisible = || INVISIBLE.iter().any(|(from, to)| (*from..=*to).contains(&character));
    !character.is_ascii_graphic()
        && (character.is_whitespace() || character.is_control() || is_invisible())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_could_run_is_guarded() {
        let before = [
            "",
            " ",
            "  ",
            "\u{a0}",
            "\u{3000}",
            "\u{2009}",
            "\u{202f}",
            "\u{200b}",
            "\n",
            "\r\n",
            "\t",
            "\u{b}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{ad}",
            "\u{2060}",
            "\u{202e}",
            "\u{180e}",
            "\u{1}",
            "\u{7f}",
            "\u{e0020}",
            "\u{fe0f}",
            "\u{3164}",
            " \u{200b}\n\u{a0}\u{feff} ",
        ];
        for blank in before {
            for sign in SIGNS {
                let cell = format!("{blank}{sign}1+1");
                assert_eq!(guarded(&cell), format!("'{cell}"), "{cell:?}");
            }
            for text in ["", "1", "a=1", "(=1)", "\"=1\"", "#", "–1", "ü"] {
                let cell = format!("{blank}{text}");
                let known = cell.starts_with(ALWAYS);
                assert_eq!(guarded(&cell) == cell, !known, "{cell:?}");
            }
        }
        for cell in ["'", "'=1", "\t", "\rx"] {
            assert_eq!(guarded(cell), format!("'{cell}"));
        }
    }

    #[test]
    fn a_long_blank_is_looked_through_to_its_end() {
        let blank = " ".repeat(1 << 20);
        assert!(is_dangerous(&format!("{blank}=")) && !is_dangerous(&blank));
    }
}
