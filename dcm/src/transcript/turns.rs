//! Who speaks: the main agent, turn by turn, and what each agent said last.

use std::collections::{BTreeMap, BTreeSet};

use crate::observe::{PROMPT_LIMIT, TEXT_LIMIT, cut_text};
use crate::time::Timestamp;

/// How far an agent has come with what it was asked.
#[derive(Debug, Default)]
pub(super) struct Voice {
    /// When it last did something.
    pub(super) last_at: Option<Timestamp>,
    /// What it said last.
    pub(super) words: Option<String>,
    /// Whether it has come to an end, as far as the transcript shows.
    pub(super) ended: bool,
    /// Whether that end was an error of the model's service.
    pub(super) failed: bool,
    pending: BTreeSet<String>,
}

impl Voice {
    /// It said something. Newer clients write why the model stopped; with older ones, words that no tool call
    /// accompanies are the end.
    pub(super) fn said(
        &mut self,
        at: Option<Timestamp>,
        text: &str,
        stop_reason: Option<&str>,
        failed: bool,
    ) {
        self.last_at = self.last_at.max(at);
        if !text.trim().is_empty() {
            self.words = Some(cut_text(text, TEXT_LIMIT));
            self.failed = failed;
        }
        self.ended = match stop_reason {
            Some("tool_use" | "pause_turn") => false,
            Some(_) => true,
            None => self.pending.is_empty() && !text.trim().is_empty(),
        };
    }

    /// It called a tool.
    pub(super) fn called(&mut self, at: Option<Timestamp>, tool_use_id: &str) {
        self.last_at = self.last_at.max(at);
        self.pending.insert(tool_use_id.to_owned());
        (self.ended, self.failed) = (false, false);
    }

    /// A tool answered; what it makes of that is still to come.
    pub(super) fn answered(&mut self, at: Option<Timestamp>, tool_use_id: &str) {
        if self.pending.remove(tool_use_id) {
            self.last_at = self.last_at.max(at);
            self.ended = false;
        }
    }

    /// The user stopped it.
    pub(super) fn interrupted(&mut self, at: Option<Timestamp>) {
        self.last_at = self.last_at.max(at);
        self.pending.clear();
        self.ended = true;
    }
}

/// One prompt and the main agent's work on it.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) key: String,
    pub(super) at: Option<Timestamp>,
    pub(super) text: String,
    /// What the user added while the agent was at work.
    pub(super) added: Vec<String>,
    pub(super) voice: Voice,
    pub(super) order: u64,
}

/// A prompt that has not been recorded yet.
#[derive(Debug)]
pub(super) struct NewPrompt {
    pub(super) key: String,
    pub(super) at: Option<Timestamp>,
    pub(super) text: String,
    pub(super) order: u64,
}

/// The turns of the main conversation, in the order of the file.
///
/// A slash command is held back until the next entry shows what became of it: when the client hands the model its
/// expansion (a meta entry) or the model answers, it was a prompt; when the client prints something itself, or the next
/// prompt comes, it was not.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) list: Vec<Turn>,
    by_key: BTreeMap<String, usize>,
    held: Option<NewPrompt>,
}

impl Turns {
    /// The position of the turn that is going on.
    pub(super) fn current(&self) -> Option<usize> {
        self.list.len().checked_sub(1)
    }

    /// The position of the turn whose prompt has `key`.
    pub(super) fn by_key(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The newest turn that had begun at `at`.
    pub(super) fn at(&self, at: Option<Timestamp>) -> Option<usize> {
        self.list.iter().rposition(|turn| turn.at <= at)
    }

    /// What the main agent does in the present turn; `None` before the first prompt.
    pub(super) fn voice(&mut self) -> Option<&mut Voice> {
        self.list.last_mut().map(|turn| &mut turn.voice)
    }

    /// The user gave a prompt. A key that was seen before is the same prompt again.
    pub(super) fn prompt(&mut self, prompt: NewPrompt) {
        self.held = None;
        if self.by_key.contains_key(&prompt.key) {
            return;
        }
        if let Some(voice) = self.voice() {
            voice.ended = true;
        }
        self.by_key.insert(prompt.key.clone(), self.list.len());
        self.list.push(Turn {
            key: prompt.key,
            at: prompt.at,
            text: cut_text(&prompt.text, PROMPT_LIMIT),
            added: Vec::new(),
            voice: Voice::default(),
            order: prompt.order,
        });
    }

    /// The user typed a slash command.
    pub(super) fn command(&mut self, command: NewPrompt) {
        self.held = Some(command);
    }

    /// The command, if there is one, went to the model.
    pub(super) fn command_was_a_prompt(&mut self) {
        if let Some(command) = self.held.take() {
            self.prompt(command);
        }
    }

    /// The command, if there is one, was carried out by the client.
    pub(super) fn command_was_local(&mut self) {
        self.held = None;
    }

    /// The user said something more while the agent was at work.
    pub(super) fn added(&mut self, text: &str) {
        let text = cut_text(text, TEXT_LIMIT);
        // Some clients say it twice: when it leaves the queue, and when it reaches the agent.
        if let Some(turn) = self.list.last_mut()
            && !turn.added.contains(&text)
        {
            turn.added.push(text);
        }
    }
}
