use serde_json::json;

use crate::api::NoContent;
use crate::api::projects::{ProjectDelete, ProjectUpsert, ProjectUpserted};
use crate::error::{Error, Result};
use crate::model::Project;
use crate::storage::{Command, Footprint, State};

/// A path without trailing slashes; `/` stays.
pub(crate) fn canonical_path(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed }
}

pub(super) fn emit_project(state: &mut State, name: &'static str, project: &Project) {
    let data = json!({"id": project.id});
    state.emit(name, None, data.clone(), data);
}

/// The project at `path`, made when there is none.
pub(super) fn ensure_project(state: &mut State, path: &str) -> Project {
    let path = canonical_path(path);
    if let Some(project) = state.project_at(path) {
        return project.clone();
    }
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    let project = Project {
        id: state.ids.next(),
        path: path.to_owned(),
        name,
        created_at: state.now,
        updated_at: state.now,
        metadata: crate::JsonObject::default(),
    };
    state.put_project(project.clone());
    emit_project(state, "project.created", &project);
    project
}

impl Command for ProjectUpsert {
    type Outcome = ProjectUpserted;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.project_paths.insert(canonical_path(&self.path).to_owned());
    }

    fn decide(&self, state: &mut State) -> Result<ProjectUpserted> {
        let path = canonical_path(&self.path);
        let metadata = self.metadata.clone().unwrap_or_default();
        let (project, event) = if let Some(known) = state.project_at(path) {
            let project = Project {
                name: self.name.clone().or_else(|| known.name.clone()),
                metadata: known.metadata.merged_with(&metadata),
                updated_at: state.now,
                ..known.clone()
            };
            (project, "project.updated")
        } else {
            let project = Project {
                id: state.ids.next(),
                path: path.to_owned(),
                name: self.name.clone(),
                created_at: state.now,
                updated_at: state.now,
                metadata,
            };
            (project, "project.created")
        };
        state.put_project(project.clone());
        emit_project(state, event, &project);
        Ok(ProjectUpserted { success: true, project })
    }
}

impl Command for ProjectDelete {
    type Outcome = NoContent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.projects.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<NoContent> {
        let project = state.projects.remove(&self.id).ok_or_else(|| Error::not_found("Project"))?;
        emit_project(state, "project.deleted", &project);
        Ok(NoContent)
    }

    fn alone(&self) -> bool {
        true
    }
}
