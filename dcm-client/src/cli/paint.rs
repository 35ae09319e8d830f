//! Text for people: colours where there is a terminal, and no tricks of others' texts with it.

use std::fmt::{self, Display};
use std::io::Write;

use anstyle::{AnsiColor, Style};

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();

/// A text in a style.
pub(super) struct Painted<T>(pub(super) Style, pub(super) T);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.0.render(), self.1, self.0.render_reset())
    }
}

/// The style for a status of anything.
pub(super) fn of_status(status: &str) -> Style {
    match status {
        "completed" => GOOD,
        "failed" => BAD,
        "running" | "active" => STRONG,
        "blocked" | "paused" => WARNING,
        _ => FAINT,
    }
}

/// What somebody else wrote, without the characters that a terminal obeys.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The first line of what somebody else wrote, in at most `most` characters.
pub(super) fn first_line(text: &str, most: usize) -> String {
    let line = plain(text.trim().lines().next().unwrap_or_default());
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Prints to standard output; colours stay away unless it is a terminal and `NO_COLOR` is not set.
pub(super) fn print(text: &str) {
    // A reader that went away (`dcm … | head`) has seen enough.
    let _ = writeln!(anstream::stdout().lock(), "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_texts_cannot_speak_to_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\tc\nd"), "a\u{fffd}[31mb\u{fffd}\tc\nd");
        assert_eq!(first_line("\n one two\nthree", 20), "one two");
        assert_eq!(first_line("äöüß", 3), "äö…");
        assert_eq!(Painted(GOOD, "x").to_string(), "\u{1b}[32mx\u{1b}[0m");
    }
}
