//! The end of a command (kept or taken back) and of a batch (what is to be written).

use std::collections::BTreeSet;

use super::table::Undoable;
use super::{Changes, State};
use crate::id::ActionId;
use crate::model::Subtask;

impl State {
    fn each_table(&mut self, mut visit: impl FnMut(&mut dyn Undoable)) {
        visit(&mut self.projects);
        visit(&mut self.sessions);
        visit(&mut self.requests);
        visit(&mut self.request_tallies);
        visit(&mut self.tasks);
        visit(&mut self.task_tallies);
        visit(&mut self.subtasks);
        visit(&mut self.known_actions);
        visit(&mut self.messages);
        visit(&mut self.message_reads);
        visit(&mut self.subscriptions);
        visit(&mut self.blockings);
        visit(&mut self.compactions);
        visit(&mut self.hooks);
        visit(&mut self.receipts);
        visit(&mut self.agent_contexts);
        visit(&mut self.remembered);
        visit(&mut self.answers);
        visit(&mut self.new_actions);
        visit(&mut self.removed_action_sessions);
        visit(&mut self.failures);
    }

    /// Keeps what was done since the last call: the command succeeded.
    pub(crate) fn keep(&mut self) {
        self.each_table(|table| table.keep());
        self.kept_events = self.events.len();
    }

    /// Takes back what was done since the last [`State::keep`]: the command failed.
    pub(crate) fn undo(&mut self) {
        self.each_table(|table| table.undo());
        self.events.truncate(self.kept_events);
    }

    /// What a store is to write.
    pub(crate) fn into_changes(self) -> Changes {
        let touched_sessions = self.touched_sessions();
        let known_actions = self.known_actions.into_changes();
        let new_actions = self.new_actions.into_changes().written;
        let inserted: BTreeSet<ActionId> = new_actions.iter().map(|action| action.id).collect();
        let session_of = |subtask: &Subtask| {
            let request = self.tasks.get(&subtask.task_list_id).map(|task| task.request_id)?;
            Some((subtask.id, self.requests.get(&request)?.session_id.clone()))
        };
        let subtask_sessions = self.subtasks.iter().filter_map(session_of).collect();
        let action_answers = self.answers.into_pairs();
        let answered: BTreeSet<ActionId> = action_answers.iter().map(|(id, _)| *id).collect();
        let is_there = |action| inserted.contains(&action) || answered.contains(&action);
        let failures =
            self.failures.into_pairs().into_iter().map(|(key, change)| (key, change.only_if(is_there)));
        let failures = failures.collect();
        let mut agent_contexts = self.agent_contexts.into_changes().written;
        // Work that went in the same batch takes them along.
        agent_contexts
            .retain(|context| context.subtask_id.is_none_or(|subtask| self.subtasks.get(&subtask).is_some()));
        Changes {
            touched_sessions,
            agent_contexts,
            subtask_sessions,
            failures,
            projects: self.projects.into_changes(),
            sessions: self.sessions.into_changes(),
            requests: self.requests.into_changes(),
            tasks: self.tasks.into_changes(),
            subtasks: self.subtasks.into_changes(),
            action_owners: known_actions
                .written
                .iter()
                .filter(|action| !inserted.contains(&action.id))
                .map(|action| (action.id, action.subtask_id))
                .collect(),
            action_answers,
            actions: new_actions,
            removed_actions: known_actions.removed,
            removed_action_sessions: self.removed_action_sessions.into_changes_keys(),
            messages: self.messages.into_changes(),
            message_reads: self
                .message_reads
                .into_pairs()
                .into_iter()
                .map(|((message, agent), at)| (message, agent, at))
                .collect(),
            subscriptions: self.subscriptions.into_changes(),
            blockings: self.blockings.into_changes(),
            compactions: self.compactions.into_changes(),
            hooks: self.hooks.into_pairs(),
            receipts: self.receipts.into_pairs().into_iter().map(|(_, receipt)| receipt).collect(),
            idempotency: self.remembered.into_pairs(),
            events: self.events,
            now: self.now,
        }
    }
}
