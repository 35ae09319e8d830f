//! What a session says of itself when something else changes it.

use dcm_suite::on_both_stores;
use dcm_suite::server::Store;
use serde_json::{Value, json};

use super::Scenario;

on_both_stores!(a_session_that_changes_says_so);

async fn a_session_that_changes_says_so(store: Store) {
    let mut s = Scenario::new(store).await;
    let action = json!({"tool_name": "Bash", "tool_type": "builtin", "session_id": "s-1"});
    let in_project =
        json!({"tool_name": "Bash", "tool_type": "builtin", "session_id": "s-1", "project_path": "/srv/p"});
    let at_work = json!({"session_id": "s-1", "observations": [
        {"type": "tool_used", "tool_use_id": "t-1", "at": "2026-01-01T00:00:01.000Z", "tool_name": "Read"}]});
    let expect = async |s: &mut Scenario, what: &str, path: &str, body: &Value, names: &[&str]| {
        s.api.post(path, body).await;
        let events = s.new_events();
        let found: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(found, names, "{what}");
        for event in events.iter().filter(|event| event.name == "session.updated") {
            assert_eq!(event.channels, ["sessions/s-1"], "{what}");
            assert_eq!(event.summary, json!({"id": "s-1", "session_id": "s-1"}), "{what}");
        }
    };
    let actions = "/api/actions";
    expect(&mut s, "a new session", actions, &action, &["session.created", "action.created"]).await;
    let given = ["project.created", "session.updated", "action.created"];
    expect(&mut s, "it is given a project", actions, &in_project, &given).await;
    expect(&mut s, "it has one", actions, &in_project, &["action.created"]).await;
    expect(&mut s, "it goes on", actions, &action, &["action.created"]).await;

    s.api.patch("/api/sessions/s-1", &json!({"ended_at": "2025-01-01T00:00:00.000Z"})).await;
    assert_eq!(s.new_events().len(), 1);
    expect(&mut s, "it was not over", actions, &action, &["session.updated", "action.created"]).await;
    assert_eq!(s.api.get("/api/sessions/s-1").await["ended_at"], Value::Null);
    expect(&mut s, "it is open already", actions, &action, &["action.created"]).await;

    s.api.patch("/api/sessions/s-1", &json!({"ended_at": "2025-01-01T00:00:00.000Z"})).await;
    s.new_events();
    s.api.post("/api/ingest", &at_work).await;
    let updated = s.new_events().iter().filter(|event| event.name == "session.updated").count();
    assert_eq!(updated, 1, "what was observed after its end says so once");
    s.api.post("/api/ingest", &at_work).await;
    assert!(s.new_events().is_empty(), "what is known is no event");
}
