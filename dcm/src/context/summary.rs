//! The summary that a compaction left behind, in pieces that can stand in a brief each by itself.

use super::text::flat;
use crate::observe::frames_a_summary;

/// How many characters a piece has at most.
const PIECE: usize = 600;

/// Words of a heading below which stands what is to be done, not what was done.
const AHEAD: [&str; 9] =
    ["next", "pending", "todo", "to-do", "remaining", "current", "open", "unfinished", "needed"];

/// A piece of a summary.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// What it says, on one line, with the heading that it stands below.
    pub(super) text: String,
    /// Whether it says what is to be done next.
    pub(super) is_ahead: bool,
}

/// The pieces of a summary, in its order.
///
/// Code is left out: the files hold it. So is what Claude Code calls an analysis before what it calls the summary: it is
/// the same at greater length. If nothing is left then, the lines stand as they are.
pub(super) fn pieces(summary: &str) -> Vec<Piece> {
    let lines: Vec<&str> = summary.lines().collect();
    let labelled = |labels: [&str; 2]| lines.iter().position(|line| labels.contains(&line.trim()));
    let start = match (labelled(["Analysis:", "<analysis>"]), labelled(["Summary:", "<summary>"])) {
        (Some(analysis), Some(summary)) if analysis < summary => summary + 1,
        _ => 0,
    };
    let lines = lines.get(start..).unwrap_or_default();
    let pieces = Reader::default().read(lines);
    if !pieces.is_empty() {
        return pieces;
    }
    let lines = lines.iter().filter(|line| !is_fence(line)).map(|line| flat(line));
    let parts = lines.flat_map(|line| parts(&line));
    parts.filter(|text| !text.is_empty()).map(|text| Piece { text, is_ahead: false }).collect()
}

/// Reads a summary line by line.
#[derive(Default)]
struct Reader {
    pieces: Vec<Piece>,
    /// The headings above, with their levels, from the outermost to the one that the body stands below.
    above: Vec<(usize, String)>,
    /// Whether anything stands below the last heading.
    is_told: bool,
    body: String,
    /// Of the body, in characters.
    length: usize,
}

impl Reader {
    fn read(mut self, lines: &[&str]) -> Vec<Piece> {
        let mut fences = lines.iter().filter(|line| is_fence(line)).count() / 2 * 2;
        let mut in_code = false;
        for line in lines {
            if is_fence(line) {
                // A fence that nothing closes opens nothing.
                in_code = !in_code && fences > 0;
                fences = fences.saturating_sub(1);
                continue;
            }
            let text = flat(line);
            if in_code || text.is_empty() || is_tag(&text) || frames_a_summary(&text) {
                continue;
            }
            match heading_of(line) {
                Some((level, title)) => self.heading(level, title),
                None => self.text(&text),
            }
        }
        self.heading(0, String::new());
        self.pieces
    }

    fn heading(&mut self, level: usize, title: String) {
        self.finish();
        // One that nothing stands below, and no other heading either, says something by itself.
        if !self.is_told
            && let Some((above, alone)) = self.above.last()
            && *above >= level
            && !alone.is_empty()
        {
            let piece = Piece { text: alone.clone(), is_ahead: self.is_ahead() };
            self.pieces.push(piece);
        }
        while self.above.last().is_some_and(|(above, _)| *above >= level) {
            self.above.pop();
        }
        self.above.push((level, title));
        self.is_told = false;
    }

    fn text(&mut self, text: &str) {
        for part in parts(item(text)) {
            let more = letters(&part) + 2;
            if self.length + more > PIECE {
                self.finish();
            }
            if !self.body.is_empty() {
                let ends = self.body.ends_with(['.', '!', '?', ':', ';', ',']);
                self.body.push_str(if ends { " " } else { "; " });
            }
            self.body.push_str(&part);
            self.length += more;
            self.is_told = true;
        }
    }

    fn is_ahead(&self) -> bool {
        self.above.iter().any(|(_, heading)| {
            let heading = heading.to_lowercase();
            heading.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| AHEAD.contains(&word))
        })
    }

    /// The body so far is a piece.
    fn finish(&mut self) {
        self.length = 0;
        if self.body.is_empty() {
            return;
        }
        let body = std::mem::take(&mut self.body);
        let text = match self.above.last() {
            Some((_, heading)) if !heading.is_empty() => format!("{heading}: {body}"),
            _ => body,
        };
        let is_ahead = self.is_ahead();
        self.pieces.push(Piece { text, is_ahead });
    }
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

/// `<summary>` and the like.
fn is_tag(text: &str) -> bool {
    let name = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    name.is_some_and(|name| name.trim_start_matches('/').chars().all(char::is_alphanumeric))
}

/// A line without what marks it as a heading or a tag.
fn bare(line: &str) -> &str {
    let marks = |c: char| c.is_whitespace() || matches!(c, '#' | '*' | ':' | '<' | '>');
    line.trim_matches(marks)
}

/// The level of a heading and what it says: a line with the mark of one, or a short one that ends in a colon and is no
/// list's item.
fn heading_of(line: &str) -> Option<(usize, String)> {
    let text = line.trim();
    let short = letters(text) <= 80;
    let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
    let bold = text.trim_end_matches(':').strip_prefix("**").and_then(|text| text.strip_suffix("**"));
    let is_item = text.starts_with(['-', '*', '+']);
    let level = if hashes > 0 && text[hashes..].starts_with(' ') {
        hashes
    } else if short && bold.is_some_and(|text| !text.is_empty() && !text.contains("**")) {
        8
    } else if short && text.ends_with(':') && !is_item {
        // One with a number begins a section.
        if line.starts_with(|c: char| c.is_ascii_digit()) { 7 } else { 9 }
    } else {
        return None;
    };
    // Its number says nothing where the sections before it are left out.
    let title = bare(text).trim_start_matches(|c: char| c.is_ascii_digit());
    let title = title.strip_prefix(". ").unwrap_or(bare(text));
    Some((level, flat(title).replace("**", "")))
}

/// A line of a list without its mark.
fn item(text: &str) -> &str {
    ["- ", "* ", "+ "].iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text)
}

/// A text in parts that are no longer than a piece, cut behind sentences where that is possible, else behind words.
fn parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut part, mut length) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        let ends = length > PIECE / 2 && part.trim_end().ends_with(['.', '!', '?', ';']);
        if !part.is_empty() && (ends || length + letters(word) > PIECE) {
            parts.push(std::mem::take(&mut part).trim_end().to_owned());
            length = 0;
        }
        // A word without end is cut in itself; many languages write without spaces.
        let mut rest = word;
        while let Some((at, _)) = rest.char_indices().nth(PIECE) {
            let (cut, other) = rest.split_at(at);
            parts.push(cut.to_owned());
            rest = other;
        }
        part.push_str(rest);
        length += letters(rest);
    }
    parts.extend(Some(part.trim_end().to_owned()).filter(|part| !part.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(summary: &str) -> Vec<String> {
        pieces(summary).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn a_piece_stands_below_its_heading() {
        let summary = "This session is being continued from a previous conversation that ran out of context.\n\n\
            Analysis:\n1. **First**: long thoughts\n\nSummary:\n1. Primary Request:\n   Make it fast.\n   - and small\n\n\
            2. Files:\n   - `a.rs`\n     ```rust\n     fn main() {}\n     ```\n\n3. Pending Tasks:\n   - Commit and push\n\n\
            4. Current Work:\n   At b.\n\n   Still needed for b:\n   - Add tests\n\n\
            Please continue the conversation from where we left off without asking.";
        assert_eq!(
            texts(summary),
            [
                "Primary Request: Make it fast. and small",
                "Files: `a.rs`",
                "Pending Tasks: Commit and push",
                "Current Work: At b.",
                "Still needed for b: Add tests"
            ]
        );
        let ahead: Vec<bool> = pieces(summary).iter().map(|piece| piece.is_ahead).collect();
        assert_eq!(ahead, [false, false, true, true, true]);
    }

    #[test]
    fn long_ones_come_apart_and_nothing_is_lost() {
        let sentence = "The parser reads each line once and keeps what it needs. ";
        let long = sentence.repeat(40);
        let pieces = texts(&long);
        assert!(pieces.len() >= 4 && pieces.iter().all(|piece| letters(piece) <= PIECE), "{pieces:?}");
        assert!(pieces.iter().all(|piece| piece.ends_with('.')), "{pieces:?}");
        assert_eq!(pieces.join(" "), long.trim_end());
        let lines = (0..1000).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n");
        assert!(texts(&lines).iter().any(|piece| piece.contains("line 999")));
        assert_eq!(texts(&"漢".repeat(1500)).concat(), "漢".repeat(1500));
    }

    #[test]
    fn headings_of_other_kinds() {
        assert_eq!(texts("## Next steps\nRun it.\n**Done**\n- all"), ["Next steps: Run it.", "Done: all"]);
        assert_eq!(
            texts("**Bold** begins this sentence.\n```\nnever closed"),
            ["**Bold** begins this sentence. never closed"]
        );
    }

    #[test]
    fn headings_without_a_body_say_something_too() {
        assert_eq!(texts("# Fixed the parser; next add tests"), ["Fixed the parser; next add tests"]);
        assert_eq!(texts("#12 fixed the login\n#13 is open"), ["#12 fixed the login; #13 is open"]);
        assert_eq!(
            texts("**Fixed the parser.**\n**Next: write tests**"),
            ["Fixed the parser.", "Next: write tests"]
        );
        assert_eq!(texts("1. Fix login:\n2. Add tests:"), ["Fix login", "Add tests"]);
        assert_eq!(texts("Run this next:\n```\nmake\n```"), ["Run this next"]);
        assert_eq!(texts("```\nmake all\n```"), ["make all"]);
        let nested = pieces("## Next steps\n### API\nbar\n## Done\nfoo");
        let told: Vec<_> = nested.iter().map(|piece| (&*piece.text, piece.is_ahead)).collect();
        assert_eq!(told, [("API: bar", true), ("Done: foo", false)]);
        let own = "## Analysis\nlong\n## Next steps\nDo it\n## Summary\nAll well";
        assert_eq!(texts(own), ["Analysis: long", "Next steps: Do it", "Summary: All well"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_pieces(text in "(# |- |```|\\*\\*|:|\n|<|[ -~]|é|漢){0,400}") {
            for piece in pieces(&text) {
                proptest::prop_assert!(!piece.text.trim().is_empty() && !piece.text.contains('\n'));
            }
        }
    }
}
