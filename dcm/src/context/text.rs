//! Words for a line of a brief.

use crate::id::SubtaskId;
use crate::json::{JsonObject, WORDS};
use crate::time::Timestamp;

/// `text` on one line.
pub(super) fn flat(text: &str) -> String {
    let mut flat = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !flat.is_empty() {
            flat.push(' ');
        }
        flat.push_str(word);
    }
    flat
}

/// `text` on one line, cut behind a word where it is longer than `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    let mut kept = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let space = usize::from(!kept.is_empty());
        let letters = word.chars().count();
        if length + space + letters <= width {
            if space > 0 {
                kept.push(' ');
            }
            kept.push_str(word);
            length += space + letters;
            continue;
        }
        // A word that is a long text of its own is cut in itself.
        if letters * 3 > width * 2 {
            let room = width.saturating_sub(length + space);
            if space > 0 {
                kept.push(' ');
            }
            kept.extend(word.chars().take(room));
        }
        kept.push('…');
        break;
    }
    kept
}

/// `text` on one line; of one that is longer than `width` characters the beginning and the end, since commands and paths
/// often differ in their ends only.
fn cut_within(text: &str, width: usize) -> String {
    let text = flat(text);
    let length = text.chars().count();
    if length <= width {
        return text;
    }
    let (end, start) = (width / 3, width - width / 3);
    let start = cut(&text, start);
    let end: String = text.chars().skip(length - end).collect();
    // The end begins with a word of its own, unless that is all there is.
    let word = end.find(' ').filter(|at| at * 2 < end.len()).map_or(&*end, |at| &end[at + 1..]);
    format!("{start}{word}")
}

/// `text` as code, on one line: where a line ends says something in a command.
pub(super) fn code(text: &str, width: usize) -> String {
    // Of one that was too long to be kept the end is not known.
    let text = match text.rsplit_once("[cut: ") {
        Some((kept, cut)) if cut.ends_with(" bytes dropped]") => format!("{}…", kept.trim_end()),
        _ => text.to_owned(),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ⏎ ");
    format!("`{}`", cut_within(&lines, width).replace('`', "'"))
}

/// The members of an object, one after the other.
pub(super) fn members_of(object: &JsonObject) -> String {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(object.as_str()).unwrap_or_default();
    let told = members.iter().filter_map(|(name, value)| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(format!("{name} {text}")),
        value => Some(format!("{name} {value}")),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// How long ago `then` was.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", span(now.millis_since(then)))
}

/// A time span in its largest unit.
pub(super) fn span(millis: i64) -> String {
    let minutes = millis.max(0) / 60_000;
    match minutes {
        0 => "less than a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

/// What an object says in words: the member that people read, else all of them.
pub(super) fn words_of(object: &JsonObject) -> String {
    let words = WORDS.iter().find_map(|name| match object.get(name) {
        Some(serde_json::Value::String(words)) if !words.trim().is_empty() => Some(words),
        _ => None,
    });
    words.unwrap_or_else(|| members_of(object))
}

/// Whether a character changes how those around it are shown: what stands in a brief shows as it is.
pub(super) fn misleads(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || letter.is_control() && letter != '\n'
}

/// Enough of an id to tell it from others.
pub(super) fn short_id(id: SubtaskId) -> String {
    let text = id.to_string();
    // The beginning is the time; the end is chance.
    text[text.len().saturating_sub(8)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_behind_words() {
        assert_eq!(cut(" one\n two  three", 20), "one two three");
        assert_eq!(cut("one two three", 9), "one two…");
        assert_eq!(cut(&"x".repeat(50), 10), format!("{}…", "x".repeat(10)));
        assert_eq!(cut("", 5), "");
    }

    #[test]
    fn code_keeps_beginning_and_end() {
        let command =
            |end: &str| code(&format!("cargo nextest run {} {end}", "--features x ".repeat(12)), 60);
        assert_ne!(command("-E one"), command("-E two"));
        assert!(command("-E one").starts_with("`cargo nextest run"), "{}", command("-E one"));
        assert!(command("-E one").ends_with("x -E one`"), "{}", command("-E one"));
        assert!(command("-E one").chars().count() <= 63);
        assert_eq!(code("a  b", 10), "`a b`");
        assert_eq!(code("sleep 1\n\n  false\n", 20), "`sleep 1 ⏎ false`");
        assert_eq!(code("make x [cut: 130 bytes dropped]", 40), "`make x…`");
        assert_eq!(code(&"é".repeat(30), 9), "`éééééé…ééé`");
    }

    #[test]
    fn members_are_told_with_their_names() {
        let object = JsonObject::from_value(serde_json::json!({"agent": "a", "done": 2, "no": null}));
        assert_eq!(members_of(&object), "agent a, done 2");
    }

    #[test]
    fn spans_in_their_largest_unit() {
        let spans = [0, 90_000, 119 * 60_000, 2 * 3_600_000, 47 * 3_600_000, 49 * 3_600_000].map(span);
        assert_eq!(spans, ["less than a minute", "1 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
