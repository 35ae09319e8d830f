//! Operations that write: each is a command, decided inside the commit.

use serde::{Deserialize, Serialize};

use super::rules::{DropPhantoms, MarkCompacted, Observe, Observed, RecordAction, SaveSnapshot, SendMessage};
use super::{Dcm, Run};
use crate::api::NoContent;
use crate::api::actions::{
    ActionDelete, ActionDeleteBySession, ActionRecord, ActionRecorded, ActionsDeleted,
};
use crate::api::blocking::{Block, Blocked, BlockingDelete, Unblock, Unblocked};
use crate::api::compact::{CompactSave, CompactSaved, Entries};
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
use crate::storage::{BriefQuery, Command, Footprint, State};
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
        self.once(self.save_snapshot(operation, false)).await
    }
}

impl Dcm {
    /// Keeps what is known of a session just before its context is compacted; once, where a hook announces that.
    pub(super) async fn save_snapshot(&self, operation: CompactSave, by_hook: bool) -> Result<CompactSaved> {
        let query = BriefQuery {
            agent_id: operation.agent_id.clone().unwrap_or_else(|| operation.session_id.clone()),
            session_id: operation.session_id.clone(),
            project_id: None,
            steps: 0,
            now: self.now(),
        };
        // What the client does not say, the store knows.
        let rows = self.store().brief(query).await?;
        let active_tasks =
            operation.active_tasks.unwrap_or_else(|| Entries(crate::context::open_work(&rows)));
        let modified_files = operation.modified_files.unwrap_or_else(|| crate::context::changed_files(&rows));
        let snapshot = serde_json::json!({
            "context_summary": operation.context_summary,
            "active_tasks": active_tasks,
            "modified_files": modified_files,
            "key_decisions": operation.key_decisions.unwrap_or_default(),
            "agent_states": operation.agent_states.unwrap_or_default(),
            "wave_state": operation.wave_state,
        });
        let save = SaveSnapshot {
            session_id: operation.session_id,
            agent_id: operation.agent_id,
            trigger: operation.trigger,
            summary: operation.context_summary,
            snapshot: JsonObject::from_value(snapshot),
            by_hook,
        };
        self.commit_aside(save).await
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
            let marked = self.commit_aside(mark).await?;
            let options = BriefOptions {
                agent_type: Some(operation.agent_type.unwrap_or_else(|| "developer".to_owned())),
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
