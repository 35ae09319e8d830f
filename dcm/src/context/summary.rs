//! The summary that a compaction left behind, in pieces that can stand in a brief each by itself.

use super::text::{cut, flat, members_of};
use crate::json::JsonObject;
use crate::observe::frames_a_summary;

/// How many characters of a heading are kept.
const HEADING: usize = 120;

/// How many characters a piece has at most.
const PIECE: usize = 600;

/// Words of a heading below which stands what is to be done, not what was done, in the languages that are spoken most
/// among programmers.
const AHEAD: [&str; 44] = [
    "next",
    "pending",
    "todo",
    "todos",
    "to-do",
    "remaining",
    "current",
    "open",
    "unfinished",
    "needed",
    "outstanding",
    "nächste",
    "nächster",
    "offen",
    "offene",
    "ausstehend",
    "ausstehende",
    "verbleibend",
    "verbleibende",
    "aktuell",
    "prochaine",
    "prochaines",
    "prochain",
    "suivante",
    "suivantes",
    "restant",
    "restantes",
    "faire",
    "próximo",
    "próximos",
    "próximas",
    "siguiente",
    "siguientes",
    "pendiente",
    "pendientes",
    "pendente",
    "pendentes",
    "prossimi",
    "prossimo",
    "volgende",
    "следующие",
    "следующий",
    "осталось",
    "незавершённые",
];

/// The same in languages that are written without spaces.
const AHEAD_WITHIN: [&str; 9] =
    ["下一步", "待办", "待完成", "剩余", "当前", "次の", "未完了", "残り", "다음"];

/// Words that say of a heading that there is none of what it names.
const NONE: [&str; 10] =
    ["no", "nothing", "none", "not", "nichts", "keine", "aucune", "rien", "nada", "ninguna"];

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
    if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(summary.trim()) {
        return members_pieces(&members);
    }
    let without_thoughts = without_analysis(summary);
    let lines: Vec<&str> = without_thoughts.lines().collect();
    let labelled = |label: &str| lines.iter().position(|line| line.trim() == label);
    let start = match (labelled("Analysis:"), labelled("Summary:")) {
        (Some(analysis), Some(summary)) if analysis < summary => summary + 1,
        _ => 0,
    };
    let lines = lines.get(start..).unwrap_or_default();
    let pieces = Reader::default().read(lines);
    if !pieces.is_empty() {
        return pieces;
    }
    let lines = lines.iter().filter(|line| fence_of(line).is_none()).map(|line| flat(line));
    let parts = lines.flat_map(|line| parts(&line));
    parts.filter(|text| !text.is_empty()).map(|text| Piece { text, is_ahead: false }).collect()
}

/// A summary without what stands in `<analysis>` tags, as long as something else is left, and without the tags around the
/// summary itself.
fn without_analysis(summary: &str) -> String {
    const BEGIN: &str = "<analysis>";
    const END: &str = "</analysis>";
    let thoughts = summary.find(BEGIN).and_then(|begin| {
        // One that nothing closes ends where the summary begins.
        let rest = &summary[begin..];
        let end = rest.find(END).map(|end| end + END.len()).or_else(|| rest.find("<summary>"))?;
        Some(begin..begin + end)
    });
    let kept = thoughts.map_or_else(
        || summary.to_owned(),
        |thoughts| format!("{}\n{}", &summary[..thoughts.start], &summary[thoughts.end..]),
    );
    let kept = kept.replace("<summary>", "\n").replace("</summary>", "\n");
    if kept.trim().is_empty() { summary.replace(BEGIN, "\n").replace(END, "\n") } else { kept }
}

/// The pieces of a summary that is an object: each member is a heading with what stands below it.
fn members_pieces(members: &serde_json::Map<String, serde_json::Value>) -> Vec<Piece> {
    let mut reader = Reader::default();
    for (name, value) in members {
        reader.heading(1, &flat(&name.replace('_', " ")));
        let items = match value {
            serde_json::Value::Array(items) => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        for item in items {
            match item {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => reader.text(&flat(text)),
                serde_json::Value::Object(members) => {
                    reader.text(&flat(&members_of(&JsonObject::from_map(members))));
                }
                other => reader.text(&other.to_string()),
            }
        }
        reader.is_told = true;
    }
    reader.pieces
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
        let mut code: Option<&str> = None;
        for (place, line) in lines.iter().enumerate() {
            if let Some(fence) = fence_of(line) {
                let rest = lines.get(place + 1..).unwrap_or_default();
                code = match code {
                    Some(open) => Some(open).filter(|open| *open != fence),
                    // A fence that nothing closes opens nothing.
                    None => rest.iter().any(|line| fence_of(line) == Some(fence)).then_some(fence),
                };
                continue;
            }
            let text = flat(line);
            let says_nothing = text.is_empty() || is_rule(&text) || is_tag(&text) || frames_a_summary(&text);
            if code.is_some() || says_nothing {
                continue;
            }
            let below = lines.get(place + 1).map_or("", |line| line.trim());
            match underlined(line, below).or_else(|| heading_of(line)) {
                Some((level, title)) => self.heading(level, &title),
                None => self.text(&text),
            }
        }
        self.heading(0, "");
        self.pieces
    }

    fn heading(&mut self, level: usize, title: &str) {
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
        // It stands above each of its pieces.
        self.above.push((level, cut(title, HEADING)));
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
        self.above.iter().any(|(_, heading)| looks_ahead(heading))
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

/// Whether a heading says that what stands below it is to be done.
fn looks_ahead(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    let mut words = heading.split(|c: char| !c.is_alphanumeric() && c != '-');
    let says = |words: &[&str]| words.iter().any(|word| heading.contains(word));
    !words.clone().any(|word| NONE.contains(&word))
        && (words.any(|word| AHEAD.contains(&word)) || says(&AHEAD_WITHIN))
}

/// The marks of a line that begins or ends code.
fn fence_of(line: &str) -> Option<&'static str> {
    ["```", "~~~"].into_iter().find(|fence| line.trim_start().starts_with(fence))
}

/// A line across the page, below a heading, or below the head of a table.
fn is_rule(text: &str) -> bool {
    text.chars().filter(|c| matches!(c, '-' | '=' | '*' | '_')).count() >= 3
        && text.chars().all(|c| matches!(c, '-' | '=' | '*' | '_' | '|' | ':' | '+' | ' '))
}

/// A heading that is marked by a line of `=` or `-` below it.
fn underlined(line: &str, below: &str) -> Option<(usize, String)> {
    let is_of = |mark: char| below.len() >= 3 && below.chars().all(|c| c == mark);
    let level = if is_of('=') {
        1
    } else if is_of('-') {
        2
    } else {
        return None;
    };
    let text = line.trim();
    let is_other = text.starts_with(['#', '-', '*', '+', '>', '|']) || letters(text) > 80;
    (!is_other).then(|| (level, flat(bare(text)).replace("**", "")))
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

/// A line of a list without its mark, or a row of a table without its frame.
fn item(text: &str) -> &str {
    if let Some(row) = text.strip_prefix('|') {
        return row.strip_suffix('|').unwrap_or(row).trim();
    }
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

    #[test]
    fn other_ways_to_write_one() {
        assert_eq!(
            texts("Done\n====\nfoo\n\nNext steps\n----------\nbar\n\n---\nbaz"),
            ["Done: foo", "Next steps: bar; baz"]
        );
        assert_eq!(texts("# Code\n~~~\n# no heading\n```\n~~~\nkept"), ["Code: kept"]);
        assert_eq!(
            texts("# T\n| file | state |\n|---|:--:|\n| a.rs | done |"),
            ["T: file | state; a.rs | done"]
        );
        assert_eq!(
            texts("<analysis>long thoughts</analysis><summary>Made it fast.</summary>"),
            ["Made it fast."]
        );
        assert_eq!(texts("<analysis>\nlong\n</analysis>\n\n<summary>\n# A\nb\n</summary>"), ["A: b"]);
        assert_eq!(texts("<analysis>all there is</analysis>"), ["all there is"]);
        let object =
            r#"{"done": "The reader.", "next_steps": ["Write it", {"file": "a.rs"}], "left": 2, "x": null}"#;
        assert_eq!(texts(object), ["done: The reader.", "left: 2", "next steps: Write it; file a.rs"]);
        let ahead: Vec<bool> = pieces(object).iter().map(|piece| piece.is_ahead).collect();
        assert_eq!(ahead, [false, false, true]);
    }

    #[test]
    fn what_lies_ahead_in_other_languages() {
        for heading in [
            "Nächste Schritte",
            "Offene Punkte",
            "Prochaines étapes",
            "À faire",
            "Próximos pasos",
            "Tareas pendientes",
            "Следующие шаги",
            "下一步",
            "次のステップ",
            "다음 단계",
            "Current Work",
            "TODO",
        ] {
            assert!(looks_ahead(heading), "{heading}");
        }
        for heading in
            ["Nothing pending", "No open questions", "Done", "Erledigt", "Files", "Keine offenen Punkte"]
        {
            assert!(!looks_ahead(heading), "{heading}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_pieces(text in "(# |- |~~~|===|---|\\{|\"|<analysis>|</analysis>|```|\\*\\*|:|\n|<|[ -~]|é|漢){0,400}") {
            for piece in pieces(&text) {
                proptest::prop_assert!(!piece.text.trim().is_empty() && !piece.text.contains('\n'));
            }
        }
    }
}
