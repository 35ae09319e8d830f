//! Rows that are removed, and the counts of their parents. What hangs on such a row goes by the store's own cascade, and
//! is not followed here: a command that removes more than it has loaded is [alone](crate::storage::Command::alone) in
//! its batch.

use super::State;
use crate::id::{SubtaskId, TaskId};
use crate::model::{Subtask, SubtaskStatus, Task, TaskStatus};

impl State {
    /// Removes a task with everything below it.
    pub fn remove_task(&mut self, id: TaskId) -> Option<Task> {
        let task = self.tasks.remove(&id)?;
        if let Some(mut tally) = self.request_tallies.get(&task.request_id).copied() {
            tally.count(!task.status.is_final(), task.status == TaskStatus::Failed, -1);
            self.request_tallies.put(task.request_id, tally);
        }
        Some(task)
    }

    /// Removes a subtask with its actions.
    pub fn remove_subtask(&mut self, id: SubtaskId) -> Option<Subtask> {
        let subtask = self.subtasks.remove(&id)?;
        if let Some(mut tally) = self.task_tallies.get(&subtask.task_list_id).copied() {
            tally.count(!subtask.status.is_final(), subtask.status == SubtaskStatus::Failed, -1);
            self.task_tallies.put(subtask.task_list_id, tally);
        }
        Some(subtask)
    }
}
