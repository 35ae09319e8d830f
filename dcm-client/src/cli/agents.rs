//! `dcm send`, `inbox`, `block`, `unblock`, `token`: what agents say to each other and are told.

use std::fmt::Write;

use clap::Args;
use dcm::api::blocking::{Block, Unblock};
use dcm::api::messages::{Inbox as Messages, MessageContent, MessageInbox, MessageSend, MessageView};
use dcm::api::projects::ProjectByPath;
use dcm::api::sessions::SessionGet;
use dcm::api::system::AuthToken;
use dcm::model::Topic;
use dcm::{ErrorKind, JsonObject, ProjectId, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::paint::{FAINT, Painted, STRONG, WARNING, plain};
use super::{Outcome, complain, complain_of, print};
use crate::Client;

/// The session that a command speaks of.
#[derive(Debug, Args)]
pub(super) struct Session {
    /// The session; inside an agent's shell it is known
    #[arg(long, env = "CLAUDE_CODE_SESSION_ID", value_name = "ID")]
    session: Option<String>,
}

impl Session {
    pub(super) fn id(&self) -> Option<String> {
        self.session.clone().filter(|id| !id.is_empty())
    }

    /// The agent that is meant when none is named: a session's main agent goes by the session's id.
    pub(super) fn agent(&self, named: Option<&String>) -> std::result::Result<String, Outcome> {
        named.cloned().or_else(|| self.id()).ok_or_else(|| {
            complain("name the agent; outside of a session nobody is meant");
            Outcome::Usage
        })
    }
}

/// Prints an answer.
pub(super) fn answered<T: Serialize>(
    client: &Client,
    as_json: bool,
    answer: Result<T>,
    to_text: impl Fn(&T) -> String,
) -> Outcome {
    match answer {
        Ok(answer) => {
            print(&if as_json { json!(answer).to_string() } else { to_text(&answer) });
            Outcome::Well
        }
        Err(error) => complain_of(client, &error),
    }
}

/// Arguments of `dcm send`.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The agent that the message is for, or a kind of agent; `all` for everybody in this project
    #[arg(value_name = "TO")]
    to: String,
    /// What it says; a JSON object is sent as it is
    #[arg(required = true, value_name = "TEXT")]
    text: Vec<String>,
    /// Who writes [default: the session's main agent]
    #[arg(long, value_name = "AGENT")]
    from: Option<String>,
    #[command(flatten)]
    session: Session,
    /// What it is about
    #[arg(long, default_value = "workflow.progress", value_parser = topic)]
    topic: Topic,
    /// From 0 to 10
    #[arg(long, value_name = "N")]
    priority: Option<i32>,
    /// For how many seconds it is delivered
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<i32>,
    /// To agents of a kind, or all, in every project, and not only in that of the session or this folder
    #[arg(long)]
    everywhere: bool,
}

fn topic(word: &str) -> std::result::Result<Topic, String> {
    serde_json::from_value(Value::String(word.to_owned())).map_err(|error| error.to_string())
}

impl Send {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let from_agent = match self.session.agent(self.from.as_ref()) {
            Ok(agent) => agent,
            Err(outcome) => return outcome,
        };
        let project_id = match self.project(client).await {
            Ok(project_id) => project_id,
            Err(error) => return complain_of(client, &error),
        };
        let text = self.text.join(" ");
        let content =
            JsonObject::parse(&text).unwrap_or_else(|_| JsonObject::from_value(json!({"message": text})));
        let answer = client
            .message_send(MessageSend {
                from_agent,
                to_agent: (self.to != "all").then_some(self.to),
                topic: self.topic,
                content: MessageContent(content),
                priority: self.priority,
                ttl_seconds: self.ttl,
                project_id,
            })
            .await;
        answered(client, as_json, answer, |sent| {
            let message = &sent.message;
            let to = match (message.to_agent.as_deref(), project_id) {
                (Some(to), _) => to,
                (None, Some(_)) => "everybody in this project",
                (None, None) => "everybody in every project",
            };
            let unknown = if message.known_recipient == Some(false) {
                format!("\n{}", Painted(WARNING, "nobody of that name was ever heard of"))
            } else {
                String::new()
            };
            format!("sent to {}: {}{unknown}", plain(to), message.id)
        })
    }
}

impl Send {
    /// The project that the message is for: that of the session, else that which this folder lies in.
    async fn project(&self, client: &Client) -> Result<Option<ProjectId>> {
        if self.everywhere {
            return Ok(None);
        }
        if let Some(id) = self.session.id()
            && let Some(found) = known(client.session_get(SessionGet { id }).await)?
            && let Some(project_id) = found.session.project_id
        {
            return Ok(Some(project_id));
        }
        let here = std::env::current_dir().and_then(|folder| folder.canonicalize());
        for folder in here.iter().flat_map(|here| here.ancestors()) {
            let Some(path) = folder.to_str() else { continue };
            if let Some(found) = known(client.project_by_path(ProjectByPath { path: path.to_owned() }).await)?
            {
                return Ok(Some(found.project.id));
            }
        }
        Ok(None)
    }
}

/// `None` for what the server never heard of.
fn known<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

/// Arguments of `dcm inbox`.
#[derive(Debug, Args)]
pub(super) struct Inbox {
    /// The agent [default: the session's main agent]
    agent: Option<String>,
    #[command(flatten)]
    session: Session,
    /// Only what was written to the agent itself
    #[arg(long)]
    no_broadcasts: bool,
    /// How many messages at most
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl Inbox {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let agent_id = match self.session.agent(self.agent.as_ref()) {
            Ok(agent) => agent,
            Err(outcome) => return outcome,
        };
        let answer = client
            .message_inbox(MessageInbox {
                agent_id,
                since: None,
                topic: None,
                include_broadcasts: self.no_broadcasts.then_some(false),
                limit: self.limit,
            })
            .await;
        answered(client, as_json, answer, inbox_text)
    }
}

fn inbox_text(inbox: &Messages) -> String {
    if inbox.messages.is_empty() {
        return format!("no messages for {}", plain(&inbox.agent_id));
    }
    let mut text: String = inbox.messages.iter().map(message_text).collect();
    if inbox.unread_remaining > 0 {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{} more are unread", inbox.unread_remaining);
    }
    text
}

fn message_text(message: &MessageView) -> String {
    let from = plain(message.from_agent.as_deref().unwrap_or("somebody"));
    let new = if message.already_read { " " } else { "*" };
    let about = plain(message.topic.as_deref().unwrap_or_default());
    let words = match message.content.get("message") {
        Some(Value::String(words)) if message.content.to_map().len() == 1 => words,
        _ => message.content.as_str().to_owned(),
    };
    let body = plain(&words).replace('\n', "\n    ");
    let when = Painted(FAINT, message.created_at);
    format!("{new} {} {} {when}\n    {body}\n", Painted(STRONG, from), Painted(FAINT, about))
}

/// Arguments of `dcm block`.
#[derive(Debug, Args)]
pub(super) struct BlockArguments {
    /// The agent that has to wait
    agent: String,
    /// Who blocks it [default: the session's main agent]
    #[arg(long, value_name = "AGENT")]
    by: Option<String>,
    #[command(flatten)]
    session: Session,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl BlockArguments {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let blocked_by = match self.session.agent(self.by.as_ref()) {
            Ok(agent) => agent,
            Err(outcome) => return outcome,
        };
        let answer = client.block(Block { blocked_by, blocked_agent: self.agent, reason: self.reason }).await;
        answered(client, as_json, answer, |blocked| {
            let blocking = &blocked.blocking;
            format!("{} is blocked by {}", plain(&blocking.blocked_agent), plain(&blocking.blocked_by))
        })
    }
}

/// Arguments of `dcm unblock`.
#[derive(Debug, Args)]
pub(super) struct UnblockArguments {
    /// The agent that need not wait any more
    agent: String,
    /// Who blocked it [default: the session's main agent]
    #[arg(long, value_name = "AGENT")]
    by: Option<String>,
    #[command(flatten)]
    session: Session,
}

impl UnblockArguments {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let blocked_by = match self.session.agent(self.by.as_ref()) {
            Ok(agent) => agent,
            Err(outcome) => return outcome,
        };
        let answer = client.unblock(Unblock { blocked_by, blocked_agent: self.agent }).await;
        answered(client, as_json, answer, |unblocked| {
            let removed = &unblocked.unblocked;
            format!(
                "{} is no longer blocked by {}",
                plain(&removed.blocked_agent),
                plain(&removed.blocked_by)
            )
        })
    }
}

/// Arguments of `dcm token`.
#[derive(Debug, Args)]
pub(super) struct Token {
    /// The agent that will use it [default: the session's main agent]
    agent: Option<String>,
    #[command(flatten)]
    session: Session,
}

impl Token {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let agent_id = match self.session.agent(self.agent.as_ref()) {
            Ok(agent) => agent,
            Err(outcome) => return outcome,
        };
        let answer = client.auth_token(AuthToken { agent_id, session_id: self.session.id() }).await;
        answered(client, as_json, answer, |issued| issued.token.clone())
    }
}
