//! What a tool call was about: so that a later success mends an earlier failure of the same.

use sha2::{Digest, Sha256};

use crate::model::Action;
use crate::observe::{attempt_of, cut_text, flat, plain_path, text_member, was_refused};
use crate::storage::{LaterSuccess, OpenFailure, State};

/// The most bytes of an attempt that are kept.
const ATTEMPT_LIMIT: usize = 400;
/// The most bytes of a tool's words on a failure that are kept.
const DETAIL_LIMIT: usize = 400;

/// The file that an input names, as far as it can be read.
pub(super) fn named_file(tool: &str, input: &str) -> Option<String> {
    let name = match tool {
        "Read" | "Edit" | "Write" | "MultiEdit" => "file_path",
        "NotebookEdit" | "NotebookRead" => "notebook_path",
        _ => return None,
    };
    text_member(input, name).filter(|path| !path.is_empty())
}

/// What a call tried, which needs no state to be found out.
#[derive(Debug, Default)]
pub(in crate::engine::rules) struct Attempt {
    /// A command, a path, else the beginning of the input.
    words: String,
    /// The same text for the same thing that is tried.
    subject: String,
    /// What was tried besides, and has succeeded if the whole did.
    steps: Vec<String>,
}

impl Attempt {
    /// What a call of `tool` with this input, on these files, tried.
    pub(in crate::engine::rules) fn of(tool: &str, input: Option<&str>, file_paths: &[String]) -> Self {
        let path = || file_paths.first().cloned().unwrap_or_default();
        let words = input.map(attempt_of).filter(|attempt| !attempt.is_empty()).unwrap_or_else(path);
        let subject = subject(tool, input, &words);
        let steps = match input.filter(|_| tool == "Bash") {
            Some(input) => {
                let command = text_member(input, "command");
                let steps = steps(command.as_deref().unwrap_or(input));
                steps.into_iter().map(|step| self::subject(tool, None, &flat(step))).collect()
            }
            None => Vec::new(),
        };
        Self { words, subject, steps }
    }

    fn subjects(self) -> impl Iterator<Item = String> {
        std::iter::once(self.subject).chain(self.steps)
    }
}

/// The steps of a command that succeeds only if each of them does: those between `&&`, if nothing else joins them.
fn steps(command: &str) -> Vec<&str> {
    let (mut steps, mut start) = (Vec::new(), 0);
    let (mut quote, mut depth, mut before) = (None, 0_u32, ' ');
    let command = command.trim();
    let mut letters = command.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        match (quote, letter) {
            (None | Some('"'), '\\') => drop(letters.next()),
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth > 0 => {}
            (None, '&') if next == Some('&') => {
                letters.next();
                steps.push(&command[start..at]);
                start = at + 2;
            }
            // As in `2>&1` and `&>`.
            (None, '&') if before == '>' || next == Some('>') => {}
            (None, '|') if next != Some('|') && before != '|' => {}
            // The outcome of the whole does not say how each of these ended.
            (None, '&' | '|' | ';' | '\n') => return Vec::new(),
            (None, '#') if before.is_whitespace() => return Vec::new(),
            _ => {}
        }
        before = letter;
    }
    if steps.is_empty() || quote.is_some() || depth > 0 {
        return Vec::new();
    }
    steps.push(&command[start..]);
    // What comes after one that changes where or what the next ones work on proves nothing of them elsewhere.
    let proven = steps.iter().position(|step| changes_the_scene(step)).unwrap_or(steps.len());
    steps.truncate(proven);
    steps
}

/// Whether the commands after this one work in another place, on other files or with other settings.
fn changes_the_scene(step: &str) -> bool {
    const SHELL: [&str; 15] = [
        "cd", "pushd", "popd", "export", "source", ".", "set", "unset", "exit", "exec", "eval", "alias",
        "return", "ulimit", "umask",
    ];
    let mut words = step.split_whitespace();
    let Some(first) = words.next() else { return false };
    let mut others = words;
    let moves = first == "git" && others.any(|word| matches!(word, "checkout" | "switch" | "stash"));
    SHELL.contains(&first) || first.contains('=') || moves
}

/// A command is what it says, whole: with another argument or pipe it is another one, whose success proves nothing.
/// Files are written with several tools, and a file that one of them could not change may be changed by another.
fn subject(tool: &str, input: Option<&str>, attempt: &str) -> String {
    let (kind, words) = match tool {
        "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => ("write", plain_path(attempt)),
        "Read" | "NotebookRead" => ("Read", plain_path(attempt)),
        // Where its words go does not change how it ends.
        "Bash" => {
            let words = attempt.split(' ').filter(|word| *word != "2>&1");
            ("Bash", words.collect::<Vec<_>>().join(" "))
        }
        // Other tools are told apart by all that went in.
        tool => (tool, flat(input.unwrap_or(attempt))),
    };
    let whole = format!("{kind}:{words}");
    if whole.len() <= 200 {
        return whole;
    }
    // Long ones by their beginning, for people, and a hash.
    let mut end = 160;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    let digest = Sha256::digest(&whole);
    digest.iter().take(12).fold(format!("{}#", &whole[..end]), |text, byte| text + &format!("{byte:02x}"))
}

const TELLING: [&str; 13] = [
    "error",
    "fatal",
    "panic",
    "exception",
    "fail",
    "not found",
    "no such",
    "denied",
    "cannot",
    "can't",
    "refused",
    "undefined",
    "invalid",
];

/// The line of a tool's words that says most about a failure.
fn detail(output: &str) -> Option<String> {
    let mut lines = output.lines().map(str::trim).filter(|line| {
        let is_code = line.strip_prefix("Exit code ").is_some_and(|code| code.parse::<i32>().is_ok());
        !line.is_empty() && !is_code
    });
    let telling = lines.clone().find(|line| {
        let line = line.to_lowercase();
        TELLING.iter().any(|word| line.contains(word))
    });
    telling.or_else(|| lines.next()).map(|line| cut_text(&flat(line), DETAIL_LIMIT))
}

/// Keeps the failures of a session up to date with the outcome of one more tool call.
pub(in crate::engine::rules) fn note_outcome(state: &mut State, action: &Action, attempt: &Attempt) {
    let Some(session) = action.session_id.as_deref() else { return };
    if action.is_unanswered() {
        return;
    }
    if action.succeeded() {
        for subject in std::iter::once(&attempt.subject).chain(&attempt.steps) {
            state.note_success(session, subject.clone(), action.created_at);
        }
        return;
    }
    if action.output.as_deref().is_some_and(was_refused) {
        return;
    }
    let subject = attempt.subject.clone();
    let failure = OpenFailure {
        action_id: action.id,
        tool_name: action.tool_name.clone(),
        attempt: cut_text(&attempt.words, ATTEMPT_LIMIT),
        detail: action.output.as_deref().and_then(detail),
        exit_code: action.exit_code,
        times: 1,
        failed_at: action.created_at,
    };
    let subjects_of = |success: &LaterSuccess| {
        Attempt::of(&success.tool_name, success.input.as_deref(), &success.file_paths).subjects()
    };
    state.note_failure(session, subject, failure, subjects_of);
}

#[cfg(test)]
mod tests {
    use super::*;
    fn subject_of(tool: &str, input: &str, paths: &[&str]) -> String {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Attempt::of(tool, Some(input).filter(|input| !input.is_empty()), &paths).subject
    }

    #[test]
    fn the_same_try_has_the_same_subject() {
        let bash = subject_of("Bash", r#"{"command":"cargo  test \\\n-p dcm","description":"x"}"#, &[]);
        assert_eq!(bash, "Bash:cargo test -p dcm");
        assert_eq!(subject_of("Bash", "cargo test -p dcm", &[]), bash);
        assert_eq!(subject_of("Bash", r#"{"command":"cargo test -p dcm","timeo"#, &[]), bash);
        let piped = subject_of("Bash", r#"{"command":"cargo test -p dcm | tail"}"#, &[]);
        assert_ne!(piped, bash, "the pipe's exit code is that of tail");
        let edit = subject_of("Edit", r#"{"file_path":"/a/b.rs","old_string":"x"}"#, &["/a/b.rs"]);
        assert_eq!(edit, subject_of("Write", r#"{"file_path":"/a/b.rs","content":"y"}"#, &[]));
        assert_ne!(edit, subject_of("Read", r#"{"file_path":"/a/b.rs"}"#, &[]));
        assert_eq!(subject_of("Edit", "", &["/a/b.rs"]), edit);
        assert_eq!(subject_of("Deploy", "", &[]), "Deploy:");
    }

    #[test]
    fn a_chain_proves_each_of_its_steps() {
        assert_eq!(steps("bd sync 2>&1 && git push 2>&1"), ["bd sync 2>&1 ", " git push 2>&1"]);
        assert_eq!(steps("a | tail && (b || c) && echo 'x && y; z'").len(), 3);
        for none in [
            "a",
            "a && b || c",
            "a && b; c",
            "a && b\nc",
            "a & b && c",
            "a && \"b",
            "a # b && c",
            "f(a && b)",
        ] {
            assert!(steps(none).is_empty(), "{none}: {:?}", steps(none));
        }
        assert_eq!(steps("npm run a && cd /other && npm test"), ["npm run a "]);
        for none in ["cd /a && b", "export A=1 && b", "A=1 && b", "git checkout old && b", "exit 0 && rm x"] {
            assert!(steps(none).is_empty(), "{none}: {:?}", steps(none));
        }
        let attempt = Attempt::of("Bash", Some(r#"{"command":"bd sync && git  push"}"#), &[]);
        let subjects: Vec<_> = attempt.subjects().collect();
        assert_eq!(subjects, ["Bash:bd sync && git push", "Bash:bd sync", "Bash:git push"]);
    }

    #[test]
    fn the_same_thing_has_the_same_subject() {
        let file = |tool, path: &str| subject_of(tool, &format!(r#"{{"file_path":"{path}"}}"#), &[]);
        assert_eq!(file("Edit", "/a/./b.rs"), file("Write", "/a/c/../b.rs"));
        assert_ne!(file("Edit", "/a/b.rs"), file("Read", "/a/b.rs"));
        let command = |text: &str| subject_of("Bash", &format!(r#"{{"command":"{text}"}}"#), &[]);
        assert_eq!(command("make all"), command("make all 2>&1"));
        assert_eq!(command("make all 2>&1 | tail"), command("make  all | tail"));
        assert_ne!(command("make all"), command("make all 2>errors"));
        assert_ne!(command("sleep 1\\nfalse"), command("sleep 1 false"));
    }

    #[test]
    fn long_subjects_stay_apart_and_short() {
        let long = |end: &str| subject_of("Bash", &format!("echo {}{end}", "é".repeat(500)), &[]);
        assert_ne!(long("1"), long("2"));
        assert!(long("1").len() <= 200);
    }

    #[test]
    fn a_cut_input_names_its_file() {
        assert_eq!(
            named_file("Read", r#"{"file_path": "/a/\"b\".rs", "lim"#).as_deref(),
            Some("/a/\"b\".rs")
        );
        assert_eq!(named_file("Bash", r#"{"file_path": "/a"}"#), None);
        assert_eq!(named_file("Edit", "no document"), None);
    }

    #[test]
    fn the_telling_line_is_kept() {
        let output = "Exit code 1\nCompiling\n\n  error[E0308]: mismatched   types\n more";
        assert_eq!(detail(output).as_deref(), Some("error[E0308]: mismatched types"));
        assert_eq!(detail("Exit code 2\nsomething odd").as_deref(), Some("something odd"));
        assert_eq!(detail("Exit code 2\n"), None);
    }
}
