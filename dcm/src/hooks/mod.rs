//! Events of agent clients' hooks as [observations](Observation), and what a hook may answer: pure, never failing.
//!
//! Hooks are the fast path, transcripts the audit path ([`crate::transcript`]); both say the same thing of a session,
//! under the same keys, so whatever hooks missed is completed by the transcript, and nothing is there twice. What
//! becomes what:
//!
//! | event | observation |
//! |---|---|
//! | `SessionStart`, `SessionEnd` | the session begins, is resumed, ends |
//! | `UserPromptSubmit` | a prompt, by its `prompt_id` (Codex: `turn_id`); a background agent's notification is its end |
//! | `PreToolUse` of `Agent` or `Task` | a sub-agent is about to be launched; its description waits for it |
//! | `SubagentStart` | the sub-agent, by its `agent_id`; it takes the oldest waiting description of its type |
//! | `PostToolUse`, `PostToolUseFailure` | a tool call with its outcome, by its `tool_use_id`, under the agent that made it |
//! | the same of `Agent` or `Task` | besides, which call launched which agent, for certain |
//! | `SubagentStop` | the sub-agent's end, with its last message as result; without a type and never seen before it is the client's own run that writes a summary, and nobody's sub-agent; under an id never seen before it is that of the agent whose transcript it names |
//! | `Stop`, `StopFailure` | the end of the main agent's turn |
//! | `TaskCreated`, `TaskCompleted` | an entry of the client's own task list |
//! | `PreCompact`, `PostCompact` | a compaction: how it was asked for, and its summary |
//! | any other | kept in the session's metadata, but for those that only repeat what is on the screen |
//!
//! Where a client has no id of its own (the prompts of older clients, compactions), the key begins with
//! [`UNSURE`] and the rules find the transcript's row by what it says and when. Members of an event that this version
//! does not know are kept: those of tool calls in the action's metadata, others in the session's.

mod event;
mod tool;

pub use event::{Noticed, Speaks, notice};

use crate::api::hooks::{HookOutput, HookSpecificOutput};
#[cfg(doc)]
use crate::api::ingest::Observation;
use crate::model::wire_enum;

/// The beginning of keys that an observer made up because the client gave none. One that the client gave takes the
/// place of such a key when both are of one thing.
pub const UNSURE: &str = "hook:";

/// The most that a hook tells an agent, in UTF-16 units, by which clients count characters. They cut at 10,000 and hand
/// over a file name instead.
pub const MAX_CONTEXT: usize = 9_500;

wire_enum! {
    /// A program that runs agents and calls hooks.
    AgentClient {
        /// Claude Code, and those that speak its dialect.
        Claude = "claude",
        /// Codex CLI.
        Codex = "codex",
    }
}

/// How long a text is as clients count it.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The longest beginning of `text` whose [width] is at most `limit`.
pub(crate) fn cut_to_width(text: &str, limit: usize) -> &str {
    let mut width = 0;
    let beyond = text.char_indices().find(|(_, char)| {
        width += char.len_utf16();
        width > limit
    });
    beyond.map_or(text, |(at, _)| &text[..at])
}

impl HookOutput {
    /// Adds `text` to what the agent reads next. `event` is the event that is answered.
    #[must_use]
    pub fn context(event: &str, text: &str) -> Self {
        let additional_context = cut_to_width(text, MAX_CONTEXT).to_owned();
        Self {
            hook_specific_output: HookSpecificOutput {
                hook_event_name: event.to_owned(),
                additional_context,
            },
        }
    }
}

#[cfg(test)]
mod tests;
