//! Inputs with nothing but what is required; cases add the rest with `..`.

use crate::api::actions::{ActionList, ActionRecord};
use crate::api::blocking::Block;
use crate::api::context::{CompactRestore, ContextGenerate, ContextGet};
use crate::api::ingest::{Ingest, Observation};
use crate::api::messages::{MessageContent, MessageInbox, MessageList, MessageSend};
use crate::api::projects::{ProjectList, ProjectUpsert};
use crate::api::requests::{RequestCreate, RequestList, RequestUpdate};
use crate::api::routing::{RoutingFeedback, RoutingSuggest, Truthy};
use crate::api::sessions::{SessionCreate, SessionList, SessionUpdate};
use crate::api::subscriptions::{Subscribe, SubscriptionList};
use crate::api::subtasks::{SubtaskCreate, SubtaskList, SubtaskUpdate};
use crate::api::tasks::{TaskCreate, TaskList, TaskUpdate};
use crate::id::{ProjectId, RequestId, SubtaskId, TaskId};
use crate::json::JsonObject;
use crate::model::{ToolType, Topic};
use crate::time::Timestamp;

/// An object from a `json!` literal.
pub(super) fn object(value: serde_json::Value) -> JsonObject {
    JsonObject::from_value(value)
}

pub(super) fn project(path: &str) -> ProjectUpsert {
    ProjectUpsert { path: path.to_owned(), name: None, metadata: None }
}

pub(super) fn projects() -> ProjectList {
    ProjectList { limit: Some(1000), offset: None }
}

pub(super) fn request(project_id: ProjectId, session_id: &str) -> RequestCreate {
    RequestCreate {
        project_id,
        session_id: session_id.to_owned(),
        prompt: "Please do it".to_owned(),
        prompt_type: None,
        status: None,
        metadata: None,
    }
}

pub(super) fn requests() -> RequestList {
    RequestList { project_id: None, session_id: None, status: None, limit: None, offset: None }
}

pub(super) fn request_change(id: RequestId) -> RequestUpdate {
    RequestUpdate { id, status: None, metadata: None }
}

pub(super) fn task(request_id: RequestId) -> TaskCreate {
    TaskCreate { request_id, name: None, wave_number: None, status: None }
}

pub(super) fn tasks() -> TaskList {
    TaskList { request_id: None, status: None, limit: None, offset: None }
}

pub(super) fn task_change(id: TaskId) -> TaskUpdate {
    TaskUpdate { id, status: None, name: None }
}

pub(super) fn subtask(task_id: TaskId) -> SubtaskCreate {
    SubtaskCreate {
        task_id,
        description: "A piece of work".to_owned(),
        agent_type: None,
        agent_id: None,
        status: None,
        blocked_by: None,
        context_snapshot: None,
    }
}

pub(super) fn subtasks() -> SubtaskList {
    SubtaskList { task_id: None, status: None, agent_type: None, agent_id: None, limit: None, offset: None }
}

pub(super) fn subtask_change(id: SubtaskId) -> SubtaskUpdate {
    SubtaskUpdate { id, status: None, result: None, agent_id: None, blocked_by: None }
}

pub(super) fn action(tool_name: &str) -> ActionRecord {
    ActionRecord {
        tool_name: tool_name.to_owned(),
        tool_type: ToolType::Builtin,
        input: None,
        output: None,
        exit_code: None,
        duration_ms: None,
        file_paths: None,
        subtask_id: None,
        session_id: None,
        project_path: None,
    }
}

pub(super) fn actions() -> ActionList {
    ActionList {
        tool_type: None,
        tool_name: None,
        session_id: None,
        subtask_id: None,
        limit: None,
        offset: None,
    }
}

pub(super) fn session(id: &str) -> SessionCreate {
    SessionCreate {
        id: id.to_owned(),
        project_id: None,
        started_at: None,
        ended_at: None,
        total_tools_used: None,
        total_success: None,
        total_errors: None,
    }
}

pub(super) fn sessions() -> SessionList {
    SessionList { project_id: None, active_only: None, limit: None, offset: None }
}

pub(super) fn session_change(id: &str) -> SessionUpdate {
    SessionUpdate {
        id: id.to_owned(),
        ended_at: None,
        total_tools_used: None,
        total_success: None,
        total_errors: None,
    }
}

/// A message to everybody. It lives for two minutes, so that runs of the suite do not fill each other's mailboxes.
pub(super) fn message(from_agent: &str) -> MessageSend {
    MessageSend {
        from_agent: from_agent.to_owned(),
        to_agent: None,
        topic: Topic::WorkflowProgress,
        content: MessageContent(object(serde_json::json!({"message": "hello"}))),
        priority: None,
        ttl_seconds: Some(120),
        project_id: None,
    }
}

/// A message to one agent.
pub(super) fn direct(from_agent: &str, to_agent: &str) -> MessageSend {
    MessageSend { to_agent: Some(to_agent.to_owned()), ..message(from_agent) }
}

pub(super) fn messages() -> MessageList {
    MessageList { topic: None, limit: Some(1000), offset: None }
}

/// What stands in an agent's mailbox for it alone; broadcasts of other cases would disturb.
pub(super) fn own_inbox(agent_id: &str) -> MessageInbox {
    MessageInbox {
        agent_id: agent_id.to_owned(),
        since: None,
        topic: None,
        include_broadcasts: Some(false),
        limit: None,
    }
}

pub(super) fn subscription(agent_id: &str, topic: Topic) -> Subscribe {
    Subscribe { agent_id: agent_id.to_owned(), topic, callback_url: None }
}

pub(super) fn subscriptions() -> SubscriptionList {
    SubscriptionList { agent_id: None, topic: None }
}

pub(super) fn blocking(blocked_by: &str, blocked_agent: &str) -> Block {
    Block { blocked_by: blocked_by.to_owned(), blocked_agent: blocked_agent.to_owned(), reason: None }
}

pub(super) fn suggest(keywords: &str) -> RoutingSuggest {
    RoutingSuggest {
        keywords: Some(keywords.to_owned()),
        prompt: None,
        limit: None,
        min_score: None,
        tool_type: None,
        exclude_types: None,
    }
}

pub(super) fn feedback(tool_name: &str, keywords: &[&str], chosen: Option<bool>) -> RoutingFeedback {
    RoutingFeedback {
        tool_name: tool_name.to_owned(),
        keywords: keywords.iter().map(|&word| word.to_owned()).collect(),
        chosen: chosen.map(Truthy),
    }
}

pub(super) fn context(agent_id: &str, session_id: Option<&str>) -> ContextGet {
    ContextGet {
        agent_id: agent_id.to_owned(),
        session_id: session_id.map(str::to_owned),
        agent_type: None,
        format: None,
        max_tokens: None,
        include_history: None,
        include_messages: None,
        include_blocking: None,
        history_limit: None,
        explain: None,
    }
}

pub(super) fn generate(agent_id: &str, session_id: &str) -> ContextGenerate {
    ContextGenerate {
        agent_id: agent_id.to_owned(),
        session_id: session_id.to_owned(),
        agent_type: None,
        max_tokens: None,
        include_history: None,
        include_messages: None,
        include_blocking: None,
        history_limit: None,
        project_id: None,
        explain: None,
    }
}

pub(super) fn restore(session_id: &str, agent_id: &str) -> CompactRestore {
    CompactRestore {
        session_id: session_id.to_owned(),
        agent_id: agent_id.to_owned(),
        agent_type: None,
        compact_summary: None,
        max_tokens: None,
        explain: None,
    }
}

pub(super) fn ingest(session_id: &str, project_path: &str, observations: Vec<Observation>) -> Ingest {
    Ingest {
        session_id: session_id.to_owned(),
        project_path: Some(project_path.to_owned()),
        source: Some("conformance".to_owned()),
        observations,
    }
}

/// Observations with nothing but what is required.
pub(super) mod observed {
    use super::{Observation, Timestamp};

    pub(in super::super) fn prompt(key: &str, at: Timestamp, text: &str) -> Observation {
        Observation::Prompt {
            key: key.to_owned(),
            at,
            text: text.to_owned(),
            prompt_type: None,
            metadata: None,
        }
    }

    pub(in super::super) fn turn_ended(prompt_key: Option<&str>, at: Timestamp) -> Observation {
        Observation::TurnEnded { prompt_key: prompt_key.map(str::to_owned), at, result: None, failed: false }
    }

    pub(in super::super) fn agent_started(agent_id: &str, at: Timestamp) -> Observation {
        Observation::AgentStarted {
            agent_id: agent_id.to_owned(),
            at,
            prompt_key: None,
            agent_type: Some("explorer".to_owned()),
            description: Some("Look around".to_owned()),
            metadata: None,
        }
    }

    pub(in super::super) fn agent_stopped(agent_id: &str, at: Timestamp, result: &str) -> Observation {
        Observation::AgentStopped {
            agent_id: agent_id.to_owned(),
            at,
            agent_type: None,
            prompt_key: None,
            result: Some(result.to_owned()),
            failed: false,
            reported: false,
            only_if_known: false,
        }
    }

    /// A tool call of the main agent, or of a sub-agent.
    pub(in super::super) fn tool(tool_use_id: &str, at: Timestamp, agent_id: Option<&str>) -> Observation {
        Observation::ToolUsed {
            tool_use_id: tool_use_id.to_owned(),
            at,
            agent_id: agent_id.map(str::to_owned),
            prompt_key: None,
            tool_name: "Bash".to_owned(),
            tool_type: None,
            input: Some("{\"command\":\"ls\"}".to_owned()),
            output: Some("README.md".to_owned()),
            exit_code: 0,
            duration_ms: Some(12),
            file_paths: Vec::new(),
            metadata: None,
        }
    }

    /// The same, but it failed.
    pub(in super::super) fn failed_tool(tool_use_id: &str, at: Timestamp) -> Observation {
        let mut observation = tool(tool_use_id, at, None);
        if let Observation::ToolUsed { exit_code, .. } = &mut observation {
            *exit_code = 1;
        }
        observation
    }

    /// The same, for a named prompt.
    pub(in super::super) fn tool_for(tool_use_id: &str, at: Timestamp, prompt: &str) -> Observation {
        let mut observation = tool(tool_use_id, at, None);
        if let Observation::ToolUsed { prompt_key, .. } = &mut observation {
            *prompt_key = Some(prompt.to_owned());
        }
        observation
    }

    pub(in super::super) fn compacted(key: &str, at: Timestamp, summary: &str) -> Observation {
        Observation::Compacted {
            key: key.to_owned(),
            at,
            agent_id: None,
            trigger: Some("auto".to_owned()),
            summary: Some(summary.to_owned()),
            metadata: None,
        }
    }
}
