//! The summary that a compaction left behind, in pieces that can stand in a brief each by itself.

use super::text::flat;

/// How many characters a piece has at most.
const PIECE: usize = 600;

/// Words of a heading below which stands what is to be done, not what was done.
const AHEAD: [&str; 9] =
    ["next", "pending", "todo", "to-do", "remaining", "current", "open", "unfinished", "needed"];

/// How sentences begin that a client puts around a summary for the model that goes on: they say nothing of the work.
const FRAME: [&str; 3] = [
    "This session is being continued from a previous conversation",
    "Please continue the conversation from where we left",
    "If you need specific details from before compaction",
];

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
/// Code is left out: the files hold it. So is what is called an analysis before a part that is called the summary: it is
/// the same at greater length (Claude Code writes both).
pub(super) fn pieces(summary: &str) -> Vec<Piece> {
    let lines: Vec<&str> = summary.lines().collect();
    let named = |name: &str| lines.iter().position(|line| bare(line).eq_ignore_ascii_case(name));
    let start = match (named("analysis"), named("summary")) {
        (Some(analysis), Some(summary)) if analysis < summary => summary + 1,
        _ => 0,
    };
    let lines = lines.get(start..).unwrap_or_default();
    let mut fences = lines.iter().filter(|line| is_fence(line)).count() / 2 * 2;
    let (mut pieces, mut in_code) = (Vec::new(), false);
    let (mut above, mut heading) = (String::new(), String::new());
    let (mut body, mut length) = (String::new(), 0);
    for line in lines {
        if is_fence(line) {
            // A fence that nothing closes opens nothing.
            in_code = !in_code && fences > 0;
            fences = fences.saturating_sub(1);
            continue;
        }
        let text = flat(line);
        if in_code || text.is_empty() || is_tag(&text) || FRAME.iter().any(|frame| text.starts_with(frame)) {
            continue;
        }
        if let Some(title) = heading_of(line) {
            finish(&mut pieces, &above, &heading, &mut body);
            // A heading inside a section does not end it.
            if is_section(line) || heading.is_empty() {
                above.clone_from(&title);
            }
            heading = title;
            continue;
        }
        for part in parts(item(&text)) {
            let more = letters(&part) + 2;
            if length + more > PIECE {
                finish(&mut pieces, &above, &heading, &mut body);
            }
            if body.is_empty() {
                length = 0;
            } else {
                body.push_str(if body.ends_with(['.', '!', '?', ':', ';', ',']) { " " } else { "; " });
            }
            body.push_str(&part);
            length += more;
        }
    }
    finish(&mut pieces, &above, &heading, &mut body);
    pieces
}

fn finish(pieces: &mut Vec<Piece>, above: &str, heading: &str, body: &mut String) {
    let body = std::mem::take(body);
    if body.is_empty() {
        return;
    }
    let is_ahead = [above, heading].iter().any(|heading| {
        let heading = heading.to_lowercase();
        heading.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| AHEAD.contains(&word))
    });
    let text = if heading.is_empty() { body } else { format!("{heading}: {body}") };
    pieces.push(Piece { text, is_ahead });
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

/// Whether a heading begins a section, by its mark: `#`, or a number.
fn is_section(line: &str) -> bool {
    line.starts_with('#') || line.starts_with(|c: char| c.is_ascii_digit())
}

/// What a line says that is a heading: one with the mark of one, or a short one that ends in a colon and is no list's item.
fn heading_of(line: &str) -> Option<String> {
    let text = line.trim();
    let short = letters(text) <= 80;
    let is_bold = text.len() > 4 && text.starts_with("**") && text.trim_end_matches(':').ends_with("**");
    let is_item = text.starts_with(['-', '*', '+']) && !is_bold;
    let marked = text.starts_with('#') || (is_bold && short && !text[2..text.len() - 2].contains(". "));
    let told = short && text.ends_with(':') && !is_item;
    // Its number says nothing where the sections before it are left out.
    let title = bare(text).trim_start_matches(|c: char| c.is_ascii_digit());
    let title = title.strip_prefix(". ").unwrap_or(bare(text));
    (marked || told).then(|| flat(title).replace("**", ""))
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
        assert!(texts("Only a heading:\n\n# Another").is_empty());
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
