//! Operations that read an agent's context: briefs, what was saved before a compaction, contexts of agents.

use super::reading::page;
use super::{Dcm, Run};
use crate::api::agent_contexts::{AgentContextList, AgentContextPage, AgentContextReport, AgentContextStats};
use crate::api::compact::{CompactSnapshot, SnapshotAnswer};
use crate::api::context::{
    Brief, BriefChoice, BriefFormat, CompactState, CompactStatus, ContextAnswer, ContextCounts, ContextData,
    ContextGenerate, ContextGenerated, ContextGet, ContextSource, GeneratedBrief,
};
use crate::context::{self, BriefOptions};
use crate::error::Result;
use crate::model::Compaction;
use crate::storage::{AgentContextFilter, BriefQuery, ContextQuery, ContextRows, Page, RequestFilter};

/// A brief with all that is known of it.
pub(super) struct CompiledBrief {
    pub(super) brief: Brief,
    pub(super) sources: Vec<ContextSource>,
    pub(super) explanation: Option<Vec<BriefChoice>>,
    /// The agent type it was compiled for.
    pub(super) agent_type: String,
}

impl Dcm {
    /// The raw data of a context.
    async fn context_rows(&self, options: &BriefOptions) -> Result<ContextRows> {
        let history = u32::try_from(options.history_limit.unwrap_or(10)).unwrap_or(10);
        self.store()
            .context(ContextQuery {
                agent_id: options.agent_id.clone(),
                session_id: options.session_id.clone(),
                project_id: options.project_id,
                messages: options.include_messages,
                blocking: options.include_blocking,
                history_limit: if options.include_history { history } else { 0 },
                now: self.now(),
            })
            .await
    }

    /// A brief, where it comes from, and the agent type it was compiled for: what
    /// [`context_get`](Dcm::context_get) answers with, for callers in process.
    ///
    /// # Errors
    ///
    /// When the store is away.
    pub async fn brief(&self, options: BriefOptions) -> Result<(Brief, Vec<ContextSource>, String)> {
        let compiled = self.compiled(options).await?;
        Ok((compiled.brief, compiled.sources, compiled.agent_type))
    }

    /// A brief with all that is known of it.
    pub(super) async fn compiled(&self, options: BriefOptions) -> Result<CompiledBrief> {
        let now = self.now();
        let steps = u32::try_from(options.history_limit.unwrap_or(10)).unwrap_or(10);
        let query = BriefQuery {
            agent_id: options.agent_id.clone(),
            agent_type: options.agent_type.clone(),
            assumed_type: options.assumed_type(),
            lines: options.lines(),
            session_id: options.session_id.clone(),
            project_id: options.project_id,
            steps: if options.include_history { steps } else { 0 },
            now,
        };
        let rows = self.store().brief(query).await?;
        let compiled = context::compile(&options, &rows, now, &*self.config().token_counter);
        let brief = Brief {
            id: self.shared.ids.next(),
            content: compiled.content,
            token_count: compiled.token_count,
            truncated: compiled.truncated,
            generated_at: now,
        };
        let explanation = options.explain.then_some(compiled.choices);
        let agent_type = rows.agent_type;
        Ok(CompiledBrief { brief, sources: compiled.sources, explanation, agent_type })
    }

    pub(super) async fn generate_context(&self, operation: ContextGenerate) -> Result<ContextGenerated> {
        let options = BriefOptions {
            agent_type: operation.agent_type.filter(|kind| !kind.is_empty()),
            max_tokens: operation.max_tokens,
            history_limit: operation.history_limit,
            include_history: operation.include_history.unwrap_or(true),
            include_messages: operation.include_messages.unwrap_or(true),
            include_blocking: operation.include_blocking.unwrap_or(true),
            project_id: operation.project_id,
            explain: operation.explain.unwrap_or(false),
            ..BriefOptions::new(operation.agent_id.clone(), operation.session_id.clone())
        };
        let CompiledBrief { brief, sources, explanation, agent_type } = self.compiled(options).await?;
        let brief = GeneratedBrief {
            id: brief.id,
            agent_id: operation.agent_id,
            agent_type,
            session_id: operation.session_id,
            content: brief.content,
            token_count: brief.token_count,
            truncated: brief.truncated,
            generated_at: brief.generated_at,
        };
        Ok(ContextGenerated { success: true, brief, sources, explanation })
    }
}

impl Run<ContextGet> for Dcm {
    async fn run(&self, operation: ContextGet) -> Result<ContextAnswer> {
        let agent_id = operation.agent_id;
        let session = match operation.session_id {
            Some(session) => Some(session),
            None => self.store().session_of_agent(agent_id.clone()).await?,
        };
        let Some(session_id) = session else {
            let message = "No active session found for this agent".to_owned();
            return Ok(ContextAnswer::NoSession { agent_id, context: None, message });
        };
        let options = BriefOptions {
            agent_type: operation.agent_type,
            max_tokens: operation.max_tokens,
            history_limit: operation.history_limit,
            include_history: operation.include_history.unwrap_or(true),
            include_messages: operation.include_messages.unwrap_or(true),
            include_blocking: operation.include_blocking.unwrap_or(true),
            explain: operation.explain.unwrap_or(false),
            ..BriefOptions::new(agent_id.clone(), session_id.clone())
        };
        if operation.format == Some(BriefFormat::Raw) {
            let rows = self.context_rows(&options).await?;
            let recorded = options.agent_type.clone().or(rows.agent_type);
            let counts = ContextCounts {
                tasks: rows.tasks.len(),
                messages: rows.messages.len(),
                blockings: rows.blockings.len(),
                history: rows.history.len(),
            };
            let data = ContextData {
                tasks: rows.tasks,
                messages: rows.messages,
                blockings: rows.blockings,
                history: rows.history,
                session: rows.session,
                project: rows.project,
            };
            return Ok(ContextAnswer::Raw {
                agent_id,
                session_id,
                agent_type: recorded.unwrap_or_else(|| options.assumed_type()),
                data,
                counts,
            });
        }
        let CompiledBrief { brief, sources, explanation, agent_type } = self.compiled(options).await?;
        Ok(ContextAnswer::Brief { agent_id, session_id, agent_type, brief, sources, explanation })
    }
}

impl Run<CompactSnapshot> for Dcm {
    async fn run(&self, operation: CompactSnapshot) -> Result<SnapshotAnswer> {
        let session_id = operation.session_id;
        let kept_for = |agent: String| Compaction::kept_for(&session_id, Some(&agent)).unwrap_or_default();
        let agent = operation.agent_id.map(kept_for);
        let saved = self.store().newest_snapshot(session_id.clone(), agent).await?;
        let history = self.store().compaction_history(session_id.clone()).await?;
        let snapshot = saved.as_ref().and_then(|saved| saved.snapshot.clone());
        let files = snapshot.as_ref().and_then(|snapshot| snapshot.get("modified_files"));
        Ok(SnapshotAnswer {
            session_id,
            exists: saved.is_some(),
            modified_files: files.and_then(|files| serde_json::from_value(files).ok()).unwrap_or_default(),
            saved_at: saved.as_ref().map(|saved| saved.created_at),
            summary: saved.and_then(|saved| saved.summary),
            snapshot,
            history,
        })
    }
}

impl Run<AgentContextList> for Dcm {
    async fn run(&self, operation: AgentContextList) -> Result<AgentContextPage> {
        let page = page(operation.limit, operation.offset, 100);
        let filter = AgentContextFilter {
            project_id: operation.project_id,
            session_id: operation.session_id,
            agent_id: operation.agent_id,
            agent_type: operation.agent_type,
        };
        let (contexts, total) = self.store().agent_contexts(filter, page).await?;
        Ok(AgentContextPage {
            count: contexts.len(),
            contexts,
            total,
            limit: page.limit,
            offset: page.offset,
        })
    }
}

impl Run<AgentContextStats> for Dcm {
    async fn run(&self, _: AgentContextStats) -> Result<AgentContextReport> {
        let (by_status, by_type) = self.store().agent_context_counts().await?;
        Ok(AgentContextReport {
            total: by_status.iter().map(|(_, count)| count).sum(),
            by_status: by_status.into_iter().collect(),
            by_type: by_type.into_iter().collect(),
            timestamp: self.now(),
        })
    }
}

impl Run<CompactStatus> for Dcm {
    async fn run(&self, operation: CompactStatus) -> Result<CompactState> {
        let session_id = operation.session_id;
        let filter = RequestFilter { session_id: Some(session_id.clone()), ..RequestFilter::default() };
        if self.store().request_page(filter, Page { limit: 1, offset: 0 }).await?.is_empty() {
            return Ok(CompactState::Unknown { session_id, exists: false, compacted: false });
        }
        let compaction = self.store().newest_compaction(session_id.clone()).await?;
        let agent = compaction.as_ref().and_then(|one| one.metadata.get("agent_id"));
        Ok(CompactState::Known {
            session_id,
            exists: true,
            compacted: compaction.is_some(),
            compacted_at: compaction.as_ref().map(|one| one.created_at),
            compact_summary: compaction.and_then(|one| one.summary),
            compact_agent: agent.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
        })
    }
}
