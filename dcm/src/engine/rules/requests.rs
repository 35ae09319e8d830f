use serde_json::json;

use super::roll_up::{emit_request, request_event, set_request_status};
use super::sessions::note_work;
use super::{nothing_to_update, unknown_parent};
use crate::api::NoContent;
use crate::api::requests::{RequestCreate, RequestDelete, RequestSaved, RequestUpdate};
use crate::error::{Error, Result};
use crate::model::{Request, RequestStatus};
use crate::storage::{Command, Footprint, State, session_channel};

impl Command for RequestCreate {
    type Outcome = RequestSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.projects.insert(self.project_id);
        footprint.sessions.insert(self.session_id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<RequestSaved> {
        if state.projects.get(&self.project_id).is_none() {
            return Err(unknown_parent("Project", self.project_id));
        }
        let mut request = Request {
            id: state.ids.next(),
            project_id: Some(self.project_id),
            session_id: self.session_id.clone(),
            prompt: self.prompt.clone(),
            prompt_type: self.prompt_type,
            status: RequestStatus::Active,
            created_at: state.now,
            completed_at: None,
            metadata: self.metadata.clone().unwrap_or_default(),
            external_key: None,
        };
        set_request_status(&mut request, self.status.unwrap_or(RequestStatus::Active), state.now);
        emit_request(state, "request.created", &request);
        note_work(state, &request.session_id);
        state.put_request(request.clone());
        Ok(RequestSaved { success: true, request })
    }
}

impl Command for RequestUpdate {
    type Outcome = RequestSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.requests.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<RequestSaved> {
        if self.status.is_none() && self.metadata.is_none() {
            return Err(nothing_to_update());
        }
        let mut request = state.requests.get(&self.id).ok_or_else(|| Error::not_found("Request"))?.clone();
        if let Some(metadata) = &self.metadata {
            request.metadata = request.metadata.merged_with(metadata);
        }
        let before = request.status;
        if let Some(status) = self.status {
            set_request_status(&mut request, status, state.now);
        }
        emit_request(state, request_event(&request, request.status != before), &request);
        note_work(state, &request.session_id);
        state.put_request(request.clone());
        Ok(RequestSaved { success: true, request })
    }
}

impl Command for RequestDelete {
    type Outcome = NoContent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.requests.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<NoContent> {
        let request = state.requests.remove(&self.id).ok_or_else(|| Error::not_found("Request"))?;
        let data = json!({"id": request.id});
        state.emit("request.deleted", session_channel(Some(&request.session_id)), data.clone(), data);
        Ok(NoContent)
    }

    fn alone(&self) -> bool {
        true
    }
}
