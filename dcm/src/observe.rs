//! What every observer of an agent needs, hooks and transcripts alike: the kind of a tool, a guess at what a prompt
//! asks for, and texts cut to a size that a store should hold.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::{PromptType, ToolType};

/// The most bytes of a tool's input, a tool's output or an agent's last words that are recorded: 64 KiB.
pub const TEXT_LIMIT: usize = 65_536;

/// The most bytes of a prompt or of a compaction's summary that are recorded: 1 MiB.
///
/// People write prompts, and a summary stands for the whole session, so they get more room than a tool's output.
pub const PROMPT_LIMIT: usize = 1_048_576;

/// Drops NUL characters and puts U+FFFD in the place of unpaired surrogates, which PostgreSQL and UTF-8 cannot hold.
///
/// It works on the text of JSON, before it is read as JSON, which would refuse the whole for one of them.
pub(crate) fn mend(line: &str) -> Cow<'_, str> {
    let suspicious = ["\0", "\\u0000", "\\ud", "\\uD"];
    if !suspicious.iter().any(|pattern| line.contains(pattern)) {
        return Cow::Borrowed(line);
    }
    let mut mended = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['\\', '\0']) {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match unit(rest) {
            Some(0) => 6,
            // A pair is one character and copied as it stands.
            Some(0xd800..=0xdbff) if matches!(rest.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => {
                mended.push_str(&rest[..12]);
                12
            }
            Some(0xd800..=0xdfff) => {
                mended.push('\u{fffd}');
                6
            }
            _ if rest.starts_with('\0') => 1,
            // Any other escape is copied as a whole, so that the second backslash of `\\` opens nothing.
            _ => {
                let taken = 1 + rest[1..].chars().next().filter(|c| *c != '\0').map_or(0, char::len_utf8);
                mended.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

/// The UTF-16 unit of the `\uXXXX` that `text` begins with.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// What kind of tool goes by the name `name`.
///
/// Tools of MCP servers are called `mcp__<server>__<tool>`; `Task` is what older clients call `Agent`.
#[must_use]
pub fn tool_type_of(name: &str) -> ToolType {
    match name {
        "Task" | "Agent" => ToolType::Agent,
        "Skill" => ToolType::Skill,
        "SlashCommand" => ToolType::Command,
        _ if name.starts_with("mcp__") => ToolType::Mcp,
        _ => ToolType::Builtin,
    }
}

/// Whether a tool call has this output because the user did not want it: it has not failed then, it was never made.
pub(crate) fn was_refused(output: &str) -> bool {
    const BEGINNINGS: [&str; 3] = [
        "The user doesn't want to proceed with this tool use",
        "The user doesn't want to take this action",
        "[Request interrupted by user",
    ];
    BEGINNINGS.iter().any(|words| output.trim_start().starts_with(words))
}

/// Whether a line is what Claude Code puts around a summary for the model that goes on: it says nothing of the work.
pub(crate) fn frames_a_summary(line: &str) -> bool {
    const BEGINNINGS: [&str; 4] = [
        "This session is being continued from a previous conversation",
        "Please continue the conversation from where we left",
        "Continue the conversation from where it left off",
        "If you need specific details from before compaction",
    ];
    BEGINNINGS.iter().any(|words| line.starts_with(words))
}

/// `text` in at most `limit` bytes.
///
/// A longer text keeps its beginning and ends with a marker that says how many bytes were dropped; the cut never
/// falls inside a character. A `limit` too small for the marker keeps the beginning alone.
#[must_use]
pub fn cut_text(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    // The number in the marker depends on the cut and the cut on the marker's length; the number never has more
    // digits than the length of the whole text has, so room for that many is always enough.
    let room = marker(text.len()).len();
    let Some(budget) = limit.checked_sub(room) else {
        return text[..floor_char_boundary(text, limit)].to_owned();
    };
    let kept = floor_char_boundary(text, budget);
    let mut cut = String::with_capacity(limit);
    cut.push_str(&text[..kept]);
    cut.push_str(&marker(text.len() - kept));
    cut
}

fn marker(dropped: usize) -> String {
    format!("\n[cut: {dropped} bytes dropped]")
}

/// The largest character boundary that is not beyond `index`.
fn floor_char_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Members of a tool's input that say what was tried, the most telling first.
#[derive(Deserialize, Default)]
struct Told {
    command: Option<String>,
    file_path: Option<String>,
    notebook_path: Option<String>,
    pattern: Option<String>,
    query: Option<String>,
    url: Option<String>,
    skill: Option<String>,
    description: Option<String>,
}

/// The value of a text member, also of a document that was cut; of a text that was cut itself what is left of it.
pub(crate) fn text_member(input: &str, name: &str) -> Option<String> {
    let at = input.find(&format!("\"{name}\""))?;
    let rest = input[at + name.len() + 2..].trim_start().strip_prefix(':')?.trim_start();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let error = match values.next()? {
        Ok(text) => return Some(text),
        Err(error) => error,
    };
    if !error.is_eof() || !rest.starts_with('"') {
        return None;
    }
    // The cut may lie within an escape: `\uD83D\uDE00` is the longest.
    let ends = rest.char_indices().rev().map(|(at, letter)| at + letter.len_utf8()).take(12);
    let mut kept = ends.filter_map(|end| serde_json::from_str(&format!("{}\"", &rest[..end])).ok());
    kept.next()
}

/// `text` on one line.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first line of a prompt, at most 200 characters: what its main agent is said to be at.
#[must_use]
pub fn first_line(prompt: &str) -> String {
    prompt.trim_start().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// What a call tried, out of its input: a command, a path, else the input itself, on one line.
#[must_use]
pub fn attempt_of(input: &str) -> String {
    if !input.trim_start().starts_with('{') {
        return one_line(input);
    }
    // An input that was cut is no document any more, but its beginning says the same.
    let told: Told = serde_json::from_str(input).unwrap_or_else(|_| Told {
        command: text_member(input, "command"),
        file_path: text_member(input, "file_path"),
        pattern: text_member(input, "pattern"),
        ..Told::default()
    });
    let words = told.command.or(told.file_path).or(told.notebook_path).or(told.pattern).or(told.query);
    let words = words.or(told.url).or(told.skill).or(told.description);
    words.map_or_else(|| flat(input), |words| one_line(&words))
}

/// `text` on one line that still says where its lines ended: in a command that is not a space, unless it goes on.
fn one_line(text: &str) -> String {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(flat).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ⏎ ")
}

/// A path without `.` and `..`, as far as it says itself what they stand for.
pub(crate) fn plain_path(path: &str) -> String {
    let path = path.trim();
    if path.contains("://") || !(path.contains("./") || path.contains("//") || path.ends_with(['.', '/'])) {
        return path.to_owned();
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    format!("{root}{}", parts.join("/"))
}

/// Words that settle what is asked for, whatever stands around them.
const STRONG: [(PromptType, &str); 6] = [
    (
        PromptType::Debug,
        "fix fixes bug bugs debug error errors broken crash crashes crashing fail fails failed failing panic panics exception traceback stacktrace doesnt isnt wont cant repair regression hang hangs wrong",
    ),
    (PromptType::Review, "review reviews audit critique approve"),
    (
        PromptType::Refactor,
        "refactor refactoring rename simplify restructure reorganize reorganise cleanup deduplicate extract inline split tidy",
    ),
    (
        PromptType::Feature,
        "add adds implement implements create introduce support feature develop integrate extend",
    ),
    (PromptType::Test, "test tests testing coverage benchmark benchmarks"),
    (PromptType::Explain, "explain describe clarify summarize summarise understand document"),
];

/// Words that settle it only when no strong word is there.
const WEAK: [(PromptType, &str); 3] = [
    (PromptType::Search, "find search where locate look grep list websearch which"),
    (PromptType::Explain, "what how why whats hows"),
    (PromptType::Feature, "write make generate build new"),
];

/// How many words of a prompt are looked at: what it asks for stands at its beginning, pasted logs come after.
const WORDS: usize = 60;

/// A guess at what a prompt asks for, from its first words.
///
/// The first telling word decides, so "add a login endpoint and its tests" is a feature and "test the login" is a
/// test; words that only ask ("where", "how") count when nothing else does. It is a guess: a caller that knows better
/// says so, and [`PromptType::Other`] is an honest answer.
#[must_use]
pub fn prompt_type_of(text: &str) -> PromptType {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’'))
        .map(|word| {
            word.chars().filter(|c| c.is_alphanumeric()).take(24).flat_map(char::to_lowercase).collect()
        })
        .filter(|word: &String| !word.is_empty())
        .take(WORDS)
        .collect();
    first_of(&STRONG, &words).or_else(|| first_of(&WEAK, &words)).unwrap_or(PromptType::Other)
}

fn first_of(table: &[(PromptType, &str)], words: &[String]) -> Option<PromptType> {
    words.iter().enumerate().find_map(|(at, word)| {
        let negated =
            at > 0 && words[at - 1] == "not" && matches!(&**word, "work" | "working" | "start" | "run");
        let found =
            table.iter().find(|(_, cues)| cues.split(' ').any(|cue| cue == word)).map(|(kind, _)| *kind);
        // "does not work" is no cue word, but nobody means anything else by it.
        found.or_else(|| negated.then_some(PromptType::Debug))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_was_cut_says_what_is_left_of_it() {
        let whole = r#"{"command": "echo \"a\\b\" \uD83D\uDE00 ende", "x": 1}"#;
        assert_eq!(text_member(whole, "command").as_deref(), Some("echo \"a\\b\" 😀 ende"));
        for end in 14..whole.len() - 9 {
            let cut = text_member(&whole[..end], "command");
            assert!(cut.is_some_and(|cut| "echo \"a\\b\" 😀 ende".starts_with(&cut)), "{}", &whole[..end]);
        }
        assert_eq!(text_member(r#"{"command": 5"#, "command"), None);
    }

    #[test]
    fn tools_by_name() {
        assert_eq!(tool_type_of("Bash"), ToolType::Builtin);
        assert_eq!(tool_type_of("TaskCreate"), ToolType::Builtin);
        assert_eq!(tool_type_of("Task"), ToolType::Agent);
        assert_eq!(tool_type_of("Agent"), ToolType::Agent);
        assert_eq!(tool_type_of("Skill"), ToolType::Skill);
        assert_eq!(tool_type_of("SlashCommand"), ToolType::Command);
        assert_eq!(tool_type_of("mcp__github__create_issue"), ToolType::Mcp);
    }

    #[test]
    fn the_first_telling_word_decides() {
        for (text, expected) in [
            ("Add a login endpoint and its tests", PromptType::Feature),
            ("test the login endpoint", PromptType::Test),
            ("mix phx.server doesn't seem to start", PromptType::Debug),
            ("scrolling still does not work", PromptType::Debug),
            ("Why is the build failing?", PromptType::Debug),
            ("why is it so slow", PromptType::Explain),
            ("where is the router", PromptType::Search),
            ("Please review my change", PromptType::Review),
            ("rename Foo to Bar", PromptType::Refactor),
            ("did you push?", PromptType::Other),
            ("", PromptType::Other),
        ] {
            assert_eq!(prompt_type_of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_cut_says_how_much_is_missing() {
        let cut = cut_text(&"x".repeat(100), 60);
        assert_eq!(cut, format!("{}\n[cut: 65 bytes dropped]", "x".repeat(35)));
        assert_eq!(cut_text("short", 5), "short");
        assert_eq!(cut_text("äöü", 3), "ä");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits_and_begins_like_the_original(text in "\\PC{0,300}", limit in 0_usize..200) {
            let cut = cut_text(&text, limit);
            if text.len() <= limit {
                prop_assert_eq!(&cut, &text);
            } else {
                prop_assert!(cut.len() <= limit);
                let kept = cut.rfind("\n[cut: ").unwrap_or(cut.len());
                prop_assert!(text.starts_with(&cut[..kept]));
            }
        }
    }

    #[test]
    fn what_the_user_refused_has_not_failed() {
        assert!(was_refused(
            "The user doesn't want to proceed with this tool use. The tool use was rejected"
        ));
        assert!(was_refused("[Request interrupted by user for tool use]"));
        assert!(!was_refused("error: The user doesn't want to proceed with this tool use"));
    }
}
