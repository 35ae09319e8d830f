//! What goes with a row that is removed: the store's own cascades, followed in what a batch has loaded.

use super::State;
use crate::id::{ProjectId, RequestId, SubtaskId, TaskId};
use crate::model::{Project, Request, Subtask, SubtaskStatus, Task, TaskStatus};

impl State {
    /// Removes a project with everything below it.
    pub fn remove_project(&mut self, id: ProjectId) -> Option<Project> {
        let project = self.projects.remove(&id)?;
        for request in self.requests.forget_where(|request| request.project_id == Some(id)) {
            self.forget_tasks_of(request);
        }
        self.messages.forget_where(|message| message.project_id == Some(id));
        let sessions: Vec<String> = self
            .sessions
            .iter()
            .filter(|session| session.project_id == Some(id))
            .map(|session| session.id.clone())
            .collect();
        for session in sessions {
            self.sessions.update(&session, |session| session.project_id = None);
        }
        Some(project)
    }

    /// Removes a request with everything below it.
    pub fn remove_request(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.forget_tasks_of(id);
        Some(request)
    }

    /// Removes a task with everything below it.
    pub fn remove_task(&mut self, id: TaskId) -> Option<Task> {
        let task = self.tasks.remove(&id)?;
        if let Some(mut tally) = self.request_tallies.get(&task.request_id).copied() {
            tally.count(!task.status.is_final(), task.status == TaskStatus::Failed, -1);
            self.request_tallies.put(task.request_id, tally);
        }
        self.forget_subtasks_of(id);
        Some(task)
    }

    /// Removes a subtask with its actions.
    pub fn remove_subtask(&mut self, id: SubtaskId) -> Option<Subtask> {
        let subtask = self.subtasks.remove(&id)?;
        if let Some(mut tally) = self.task_tallies.get(&subtask.task_list_id).copied() {
            tally.count(!subtask.status.is_final(), subtask.status == SubtaskStatus::Failed, -1);
            self.task_tallies.put(subtask.task_list_id, tally);
        }
        self.forget_actions_of(id);
        Some(subtask)
    }

    fn forget_tasks_of(&mut self, request: RequestId) {
        for task in self.tasks.forget_where(|task| task.request_id == request) {
            self.forget_subtasks_of(task);
        }
    }

    fn forget_subtasks_of(&mut self, task: TaskId) {
        for subtask in self.subtasks.forget_where(|subtask| subtask.task_list_id == task) {
            self.forget_actions_of(subtask);
        }
    }

    fn forget_actions_of(&mut self, subtask: SubtaskId) {
        for id in self.known_actions.forget_where(|action| action.subtask_id == Some(subtask)) {
            self.new_actions.forget(&id);
        }
    }
}
