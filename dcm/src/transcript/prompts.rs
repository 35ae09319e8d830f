//! What a `user` entry of the main conversation says: the user's own words, or something the client put in their mouth.

use serde_json::Value;

use super::entry::Entry;

/// What a `user` entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Results of tool calls.
    Results,
    /// The user's own words.
    Prompt(String),
    /// A slash command, as the user typed it. Whether it is a prompt depends on what follows: see
    /// [`super::turns::Turns`].
    Command(String),
    /// What a slash command expands to, or another note of the client for the model.
    Meta,
    /// What the client itself printed; a command before it was carried out by the client and is no prompt.
    LocalOutput,
    /// The summary that replaced the conversation.
    Summary(String),
    /// The user stopped the agent.
    Interrupted,
    /// A background job or agent reports.
    Notification(String),
    /// Anything else that is not the user's.
    Other,
}

/// Texts that begin like this were written by the client, on whatever occasion.
const NOISE: [&str; 9] = [
    "<system-reminder>",
    "<bash-input>",
    "<bash-stdout>",
    "<bash-stderr>",
    "<user-memory-input>",
    "<user-prompt-submit-hook>",
    "<teammate-message",
    "<ide_opened_file>",
    "<ide_selection>",
];

/// A prompt as the user gave it to the client, unless the client put it in their mouth.
pub(crate) fn own_words(text: &str) -> Option<&str> {
    let start = text.trim_start();
    let noise = start.is_empty()
        || start.starts_with("<task-notification>")
        || start.starts_with("<local-command-")
        || NOISE.iter().any(|tag| start.starts_with(tag));
    (!noise).then_some(text)
}

/// Reads a `user` entry.
pub(super) fn said(entry: &Entry) -> Said {
    let blocks = entry.blocks();
    let kind = |block: &Value| block.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    if blocks.iter().any(|block| kind(block) == "tool_result") {
        return Said::Results;
    }
    let texts: Vec<&str> =
        blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect();
    let first = texts.first().map_or("", |text| text.trim_start());
    if entry.flag("isCompactSummary") {
        return Said::Summary(texts.join("\n"));
    }
    if first.starts_with("<local-command-caveat>") || first.starts_with("<local-command-std") {
        return Said::LocalOutput;
    }
    if entry.flag("isMeta") {
        return Said::Meta;
    }
    if entry.flag("isVisibleInTranscriptOnly") {
        return Said::Other;
    }
    if first.starts_with("<task-notification>") {
        return Said::Notification(texts.join("\n"));
    }
    if first.starts_with("[Request interrupted by user") {
        return Said::Interrupted;
    }
    if first.starts_with("<command-name>") || first.starts_with("<command-message>") {
        return command(&texts.join("\n")).map_or(Said::Other, Said::Command);
    }
    let own: Vec<&str> = texts
        .iter()
        .filter(|text| !text.trim().is_empty() && !NOISE.iter().any(|tag| text.trim_start().starts_with(tag)))
        .copied()
        .collect();
    if !own.is_empty() {
        return Said::Prompt(own.join("\n"));
    }
    // A picture without words is a prompt as well.
    match blocks.iter().map(kind).find(|kind| !matches!(&**kind, "text" | "")) {
        Some(kind) => Said::Prompt(format!("[{kind}]")),
        None => Said::Other,
    }
}

/// A slash command as it was typed, from the tags that the client makes of it.
fn command(text: &str) -> Option<String> {
    let name = tag(text, "command-name")?.trim();
    let arguments = tag(text, "command-args").unwrap_or("").trim();
    let slash = if name.starts_with('/') { "" } else { "/" };
    (!name.is_empty()).then(|| format!("{slash}{name} {arguments}").trim_end().to_owned())
}

/// What stands between `<name>` and `</name>`.
pub(super) fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let open = format!("<{name}>");
    let start = text.find(&open)? + open.len();
    let end = text[start..].find(&format!("</{name}>"))?;
    Some(&text[start..start + end])
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Line, read};
    use super::*;

    fn of(line: &str) -> Said {
        match read(line) {
            Line::Entry(entry) => said(&entry),
            _ => panic!("not an entry: {line}"),
        }
    }

    fn text(text: &str) -> Said {
        of(&serde_json::json!({"type": "user", "message": {"role": "user", "content": text}}).to_string())
    }

    #[test]
    fn the_users_own_words() {
        assert_eq!(text("<div> is broken"), Said::Prompt("<div> is broken".to_owned()));
        let blocks = r#"{"type":"user","message":{"content":[
            {"type":"text","text":"<ide_opened_file>a.rs</ide_opened_file>"},{"type":"text","text":"mend it"},
            {"type":"image"}]}}"#;
        assert_eq!(of(blocks), Said::Prompt("mend it".to_owned()));
        let picture = r#"{"type":"user","message":{"content":[{"type":"image","source":{}}]}}"#;
        assert_eq!(of(picture), Said::Prompt("[image]".to_owned()));
    }

    #[test]
    fn what_the_client_says() {
        assert_eq!(text("[Request interrupted by user for tool use]"), Said::Interrupted);
        assert_eq!(text("<local-command-stdout>x</local-command-stdout>"), Said::LocalOutput);
        assert_eq!(text("<bash-input>ls</bash-input>"), Said::Other);
        assert_eq!(text("  "), Said::Other);
        assert!(matches!(text("<task-notification>\n</task-notification>"), Said::Notification(_)));
        assert_eq!(of(r#"{"type":"user","isMeta":true,"message":{"content":"go on"}}"#), Said::Meta);
        let result = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"a"}]}}"#;
        assert_eq!(of(result), Said::Results);
        assert_eq!(of(r#"{"type":"user","message":7}"#), Said::Other);
    }

    #[test]
    fn commands_read_as_they_were_typed() {
        assert_eq!(
            text(
                "<command-message>beads</command-message>\n<command-name>/beads</command-name>\n<command-args>all of it</command-args>"
            ),
            Said::Command("/beads all of it".to_owned())
        );
        assert_eq!(
            text("<command-name>compact</command-name>\n<command-args></command-args>"),
            Said::Command("/compact".to_owned())
        );
        assert_eq!(text("<command-name>"), Said::Other);
    }
}
