//! `/health`, `/stats`, `/api/cleanup/stats` and `/api/auth/token`

use super::expect::{invalid, invalid_with, must};
use super::fixture::{Fixture, record};
use super::inputs;
use crate::api::Api;
use crate::api::messages::MessageSend;
use crate::api::system::{AuthToken, CleanupStats, Health, Stats, ToolsSummary};
use crate::model::Topic;

/// A service whose store answers is healthy and says its version.
pub async fn health_is_healthy(api: &impl Api) {
    let report = must(api.execute(Health {}).await, "asking for health");
    assert_eq!(report.status, "healthy", "the status while the store answers");
    assert!(report.database.healthy, "the store answered");
    assert_eq!(report.database.error, None, "a healthy store has no error");
    assert!(report.database.latency_ms >= 0, "how long it took");
    assert!(!report.version.is_empty(), "the version of the service");
}

/// The numbers count what is stored.
pub async fn stats_count_rows(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    fixture.request(api, tree.project.id, &tree.session_id).await;
    record(api, inputs::action(&fixture.name("Tool"))).await;
    must(api.execute(inputs::direct(&fixture.name("from"), &fixture.name("to"))).await, "sending a message");
    let report = must(api.execute(Stats {}).await, "asking for numbers");
    let counts = (report.project_count, report.request_count, report.action_count, report.message_count);
    assert!(
        counts.0 >= 1 && counts.1 >= 2 && counts.2 >= 1 && counts.3 >= 1,
        "what was just created: {counts:?}"
    );
}

/// The summary of tools is counted, then kept for a while.
pub async fn tools_summary_is_kept(api: &impl Api) {
    let mut kept = false;
    // Twice at most: the first of them may be the moment at which the kept counts grew too old.
    for _ in 0..2 {
        let first = must(api.execute(ToolsSummary {}).await, "counting tools");
        for count in [first.skills, first.commands, first.workflows, first.plugins] {
            assert!(count >= 0, "a count is no less than zero: {first:?}");
        }
        let second = must(api.execute(ToolsSummary {}).await, "counting tools again");
        kept |= second.from_cache;
    }
    assert!(kept, "a second call within five minutes answers the kept counts");
}

/// The report on cleaning counts messages by state and topic.
pub async fn cleanup_stats_count_messages(api: &impl Api) {
    let fixture = Fixture::new();
    let input = MessageSend {
        topic: Topic::AgentHeartbeat,
        ..inputs::direct(&fixture.name("from"), &fixture.name("to"))
    };
    must(api.execute(input).await, "sending a message");
    let report = must(api.execute(CleanupStats {}).await, "asking for the report");
    let messages = &report.messages;
    assert!(messages.total >= 1 && messages.unread >= 1, "the unread message is counted: {messages:?}");
    assert!(
        messages.unread <= messages.total && messages.expired <= messages.total,
        "states are parts: {messages:?}"
    );
    let of_topic = messages.by_topic.get("agent.heartbeat").and_then(serde_json::Value::as_i64);
    assert!(of_topic.is_some_and(|count| count >= 1), "topics are counted as numbers: {messages:?}");
    if let Some(last) = report.last_cleanup {
        let numbers = [last.deleted_messages, last.duration_ms, last.closed_sessions, last.failed_subtasks];
        assert!(numbers.iter().all(|number| *number >= 0), "counts are no less than zero: {last:?}");
    }
}

/// A token is a payload and its HMAC-SHA256, good for an hour; without an agent there is none.
pub async fn tokens_are_signed(api: &impl Api) {
    let fixture = Fixture::new();
    let token =
        |agent: &str, session_id: Option<String>| AuthToken { agent_id: agent.to_owned(), session_id };
    let agent = fixture.name("ágent");
    let plain = must(api.execute(token(&agent, None)).await, "asking for a token");
    let bound =
        must(api.execute(token(&agent, Some(fixture.name("s")))).await, "asking for a token of a session");
    assert_ne!(plain.token, bound.token, "a token is bound to its session");
    for issued in [plain, bound] {
        assert_eq!(issued.expires_in, 3600, "a token lives an hour");
        let Some((payload, signature)) = issued.token.split_once('.') else {
            panic!("a token is payload.signature, not {}", issued.token)
        };
        let url_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(
            !payload.is_empty() && payload.chars().all(url_safe),
            "the payload is base64url without padding"
        );
        assert_eq!(signature.len(), 64, "the signature has 256 bits");
        assert!(signature.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "in hexadecimal digits");
    }
    invalid_with(api.execute(token("", None)).await, "Missing agent_id");
    invalid(api.execute(token(&"a".repeat(256), None)).await, "agent_id");
}
