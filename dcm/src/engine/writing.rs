//! Operations that write: each is a command, decided inside the commit.

use serde::{Deserialize, Serialize};

use super::rules::{DropPhantoms, MarkCompacted, Observe, Observed, RecordAction, SaveSnapshot, SendMessage};
use super::{Dcm, Run};
use crate::api::NoContent;
use crate::api::actions::{
    ActionDelete, ActionDeleteBySession, ActionRecord, ActionRecorded, ActionsDeleted,
};
use crate::api::blocking::{Block, Blocked, BlockingDelete, Unblock, Unblocked};
use crate::api::compact::{CompactSave, CompactSaved};
use crate::api::context::{CompactRestore, CompactRestored, ContextGenerate, ContextGenerated};
use crate::api::ingest::{Ingest, Ingested};
use crate::api::messages::{MessageSend, MessageSent, ReceiptAcknowledge};
use crate::api::projects::{ProjectDelete, ProjectUpsert, ProjectUpserted};
use crate::api::requests::{RequestCreate, RequestDelete, RequestSaved, RequestUpdate};
use crate::api::routing::{FeedbackTaken, RoutingFeedback};
use crate::api::sessions::{SessionCreate, SessionDelete, SessionUpdate};
use crate::api::subscriptions::{Subscribe, Subscribed, SubscriptionDelete, Unsubscribe, Unsubscribed};
use crate::api::subtasks::{SubtaskCreate, SubtaskDelete, SubtaskSaved, SubtaskUpdate};
use crate::api::system::{AuthToken, AuthTokenIssued};
use crate::api::tasks::{TaskCreate, TaskDelete, TaskSaved, TaskUpdate};
use crate::context::BriefOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubtaskId;
use crate::json::JsonObject;
use crate::model::{Receipt, Session};
use crate::storage::{BriefQuery, Command, Footprint, IdempotencyKey, State};
use crate::time::Timestamp;

/// Operations that are commands as they stand.
macro_rules! run_as_command {
    ($($operation:ty => $output:ty,)+) => {$(
        impl Run<$operation> for Dcm {
            async fn run(&self, operation: $operation) -> Result<$output> {
                self.commit(operation).await
            }
        }
    )+};
}

run_as_command! {
    ProjectUpsert => ProjectUpserted,
    ProjectDelete => NoContent,
    RequestCreate => RequestSaved,
    RequestUpdate => RequestSaved,
    RequestDelete => NoContent,
    TaskCreate => TaskSaved,
    TaskUpdate => TaskSaved,
    TaskDelete => NoContent,
    SubtaskCreate => SubtaskSaved,
    SubtaskUpdate => SubtaskSaved,
    SubtaskDelete => NoContent,
    ActionDelete => NoContent,
    ActionDeleteBySession => ActionsDeleted,
    RoutingFeedback => FeedbackTaken,
    SessionCreate => Session,
    SessionUpdate => Session,
    SessionDelete => NoContent,
    Subscribe => Subscribed,
    SubscriptionDelete => Unsubscribed,
    Unsubscribe => Unsubscribed,
    Block => Blocked,
    BlockingDelete => Unblocked,
    Unblock => Unblocked,
    ReceiptAcknowledge => Receipt,
}

impl Run<Ingest> for Dcm {
    async fn run(&self, operation: Ingest) -> Result<Ingested> {
        let Observed { ingested, abandoned } = self.commit(Observe(operation)).await?;
        self.drop_phantoms(abandoned).await?;
        Ok(ingested)
    }
}

impl Run<ActionRecord> for Dcm {
    async fn run(&self, operation: ActionRecord) -> Result<ActionRecorded> {
        self.commit(RecordAction::from(operation)).await
    }
}

impl Run<MessageSend> for Dcm {
    async fn run(&self, operation: MessageSend) -> Result<MessageSent> {
        self.commit(SendMessage { operation, default_ttl_ms: self.config().message_ttl_ms }).await
    }
}

/// Answers what is kept under the caller's key, and fails when nothing is.
struct Recall<T>(std::marker::PhantomData<fn() -> T>);

impl<T: Serialize + for<'de> Deserialize<'de> + Send + 'static> Command for Recall<T> {
    type Outcome = T;

    fn footprint(&self, _: &mut Footprint) {}

    fn decide(&self, _: &mut State) -> Result<T> {
        Err(Error::not_found("Kept outcome"))
    }
}

/// Keeps an outcome under the caller's key; the first that is kept is the answer of all.
struct Keep<T>(T);

impl<T: Serialize + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static> Command for Keep<T> {
    type Outcome = T;

    fn footprint(&self, _: &mut Footprint) {}

    fn decide(&self, _: &mut State) -> Result<T> {
        Ok(self.0.clone())
    }
}

impl Dcm {
    /// Looks at subtasks that lost a tool call to its true owner: an agent that never was is forgotten.
    pub(super) async fn drop_phantoms(&self, abandoned: Vec<SubtaskId>) -> Result<()> {
        if !abandoned.is_empty() {
            self.commit_aside(DropPhantoms { subtasks: abandoned }).await?;
        }
        Ok(())
    }

    /// For operations that are not one command: makes the answer unless it is kept already.
    async fn once<T, F>(&self, make: F) -> Result<T>
    where
        T: Serialize + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        if self.key.is_none() {
            return make.await;
        }
        match self.commit(Recall(std::marker::PhantomData)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => self.commit(Keep(make.await?)).await,
            outcome => outcome,
        }
    }
}

impl Run<AuthToken> for Dcm {
    async fn run(&self, operation: AuthToken) -> Result<AuthTokenIssued> {
        // Only the time is kept under an idempotency key, never the token: the same time makes the same token again.
        let now = self.now();
        let at: Timestamp = self.once(async move { Ok(now) }).await?;
        let token = self.shared.secrets.issue(&operation.agent_id, operation.session_id.as_deref(), at)?;
        Ok(AuthTokenIssued { token, expires_in: 3600 })
    }
}

impl Run<ContextGenerate> for Dcm {
    async fn run(&self, operation: ContextGenerate) -> Result<ContextGenerated> {
        self.once(self.generate_context(operation)).await
    }
}

impl Run<CompactSave> for Dcm {
    async fn run(&self, operation: CompactSave) -> Result<CompactSaved> {
        let save = self.snapshot(operation, false).await?;
        self.commit(save).await
    }
}

/// The part of a restored context that notes the compaction.
const MARKED: &str = "marked";

impl Dcm {
    /// What is to be kept of a session just before its context is compacted; once, where a hook announces that.
    async fn snapshot(&self, operation: CompactSave, by_hook: bool) -> Result<SaveSnapshot> {
        let query = BriefQuery {
            agent_id: operation.agent_id.clone().unwrap_or_else(|| operation.session_id.clone()),
            agent_type: None,
            assumed_type: String::new(),
            lines: 100,
            session_id: operation.session_id.clone(),
            project_id: None,
            steps: 0,
            now: self.now(),
        };
        // What the client does not say, the store knows.
        let rows = self.store().brief(query).await?;
        let said = serde_json::json!({
            "context_summary": operation.context_summary,
            "active_tasks": operation.active_tasks,
            "modified_files": operation.modified_files,
            "key_decisions": operation.key_decisions,
            "agent_states": operation.agent_states,
            "wave_state": operation.wave_state,
        });
        Ok(SaveSnapshot {
            session_id: operation.session_id,
            agent_id: operation.agent_id,
            trigger: operation.trigger,
            summary: operation.context_summary,
            said: JsonObject::from_value(said),
            open_work: crate::context::open_work(&rows),
            changed_files: crate::context::changed_files(&rows),
            by_hook,
        })
    }

    /// Keeps what is known of a session whose compaction a hook announced.
    pub(super) async fn save_announced_snapshot(&self, operation: CompactSave) -> Result<()> {
        let save = self.snapshot(operation, true).await?;
        self.commit_aside(save).await?;
        Ok(())
    }

    /// The caller's key for the part of an operation that is a command of its own, so that the operation's answer can
    /// still be kept under the key itself. No key that comes over HTTP has a line break in it.
    fn key_of_part(&self, part: &str) -> Option<IdempotencyKey> {
        let key = self.key.as_ref()?;
        Some(IdempotencyKey { key: format!("{part}\n{}", key.key), fingerprint: key.fingerprint.clone() })
    }
}

impl Run<CompactRestore> for Dcm {
    async fn run(&self, operation: CompactRestore) -> Result<CompactRestored> {
        self.once(async move {
            let mark = MarkCompacted {
                session_id: operation.session_id.clone(),
                agent_id: operation.agent_id.clone(),
                summary: operation.compact_summary.clone(),
            };
            let marked = self.writer()?.commit(mark, self.key_of_part(MARKED)).await?;
            let developer = || "developer".to_owned();
            let is_main = operation.agent_id == operation.session_id;
            let options = BriefOptions {
                // Unless the caller says so, no main agent is briefed as an orchestrator here (CONTRACT E.5).
                agent_type: operation.agent_type.or_else(|| is_main.then(developer)),
                assumed_type: Some(developer()),
                max_tokens: operation.max_tokens,
                history_limit: Some(15),
                summary: operation.compact_summary,
                explain: operation.explain.unwrap_or(false),
                ..BriefOptions::new(operation.agent_id, operation.session_id)
            };
            let compiled = self.compiled(options).await?;
            Ok(CompactRestored {
                success: true,
                brief: compiled.brief.content,
                sources: compiled.sources,
                explanation: compiled.explanation,
                session_compacted: marked.known,
                restored_at: marked.at,
            })
        })
        .await
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::EngineConfig;
    use crate::api::Execute;

    #[tokio::test]
    async fn a_restore_that_was_cut_off_is_not_marked_twice() {
        let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
        let project: ProjectUpsert = serde_json::from_value(serde_json::json!({"path": "/srv/p"})).unwrap();
        let project_id = dcm.execute(project).await.unwrap().project.id;
        let request = serde_json::json!({"project_id": project_id, "session_id": "s", "prompt": "Work"});
        let request: RequestCreate = serde_json::from_value(request).unwrap();
        dcm.execute(request).await.unwrap();

        let keyed =
            dcm.with_idempotency_key(IdempotencyKey { key: "k".to_owned(), fingerprint: "f".to_owned() });
        let mark = || MarkCompacted { session_id: "s".to_owned(), agent_id: "a".to_owned(), summary: None };
        // As far as the first attempt came.
        let marked = keyed.writer().unwrap().commit(mark(), keyed.key_of_part(MARKED)).await.unwrap();
        let restore = || {
            serde_json::from_value::<CompactRestore>(serde_json::json!({"agent_id": "a", "session_id": "s"}))
        };
        let restored = keyed.execute(restore().unwrap()).await.unwrap();
        assert!(restored.session_compacted);
        let at = marked.at.as_millis();
        assert_eq!(restored.restored_at.as_millis(), at);
        assert_eq!(keyed.execute(restore().unwrap()).await.unwrap().restored_at.as_millis(), at);
        assert_eq!(dcm.store().compaction_history("s".to_owned()).await.unwrap().len(), 1);
        dcm.close().await;
    }
}
