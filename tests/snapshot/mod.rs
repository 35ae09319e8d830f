//! Everything that a server holds, in a form that can be compared.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dcm_suite::calls::Calls;
use serde_json::{Map, Value, json};

/// What of a row is kept as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it: the same rows, looked at twice.
    Everything,
    /// Not the ids that the server gave, nor the times of its own clock.
    RecordedTimes,
    /// Neither ids nor times.
    NoTimes,
}

/// Members that hold ids which the server gave. An agent's or a session's id is its client's.
const IDS: [&str; 6] = ["id", "project_id", "request_id", "task_list_id", "task_id", "subtask_id"];

/// The trees of all projects, all sessions, and the actions and compactions of each.
pub(crate) async fn contents(api: &Calls, kept: Kept) -> Value {
    let mut projects = api.get("/api/projects?limit=1000").await["projects"].as_array().unwrap().clone();
    projects.sort_by_key(|project| project["path"].to_string());
    let mut trees = Vec::new();
    for project in &projects {
        trees.push(api.get(&format!("/api/hierarchy/{}", project["id"].as_str().unwrap())).await);
    }
    let mut sessions = api.get("/api/sessions?limit=1000").await["sessions"].as_array().unwrap().clone();
    sessions.sort_by_key(|session| session["id"].to_string());
    let (mut actions, mut compactions) = (Map::new(), Map::new());
    for session in &sessions {
        let id = session["id"].as_str().unwrap();
        let page = api.get(&format!("/api/actions?session_id={id}&limit=1000")).await;
        assert_eq!(page["total"], page["count"], "one page holds them all");
        actions.insert(id.to_owned(), page["actions"].clone());
        compactions.insert(id.to_owned(), api.get(&format!("/api/compact/status/{id}")).await);
    }
    let mut contents = json!({
        "trees": trees, "sessions": sessions, "actions": actions, "compactions": compactions,
    });
    if kept != Kept::Everything {
        let mut anonymous = Anonymous { kept, ids: HashMap::new() };
        for tree in contents["trees"].as_array_mut().unwrap() {
            // The only rows that have the time of the server's clock.
            for name in ["created_at", "updated_at"] {
                tree["hierarchy"][name] = "now".into();
            }
        }
        anonymous.visit(&mut contents);
    }
    contents
}

/// Puts numbers in the place of ids, the same for the same, in the order in which they come.
struct Anonymous {
    kept: Kept,
    ids: HashMap<String, usize>,
}

impl Anonymous {
    fn visit(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.visit(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if IDS.contains(&name.as_str()) => {
                            let next = self.ids.len();
                            *text = format!("id {}", self.ids.entry(text.clone()).or_insert(next));
                        }
                        Value::String(text) if self.kept == Kept::NoTimes && is_time(name, text) => {
                            "a time".clone_into(text);
                        }
                        value => self.visit(value),
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_time(name: &str, text: &str) -> bool {
    (name.ends_with("_at") || name == "last_activity") && text.len() == 24 && text.ends_with('Z')
}

/// Fails at the first place where two snapshots differ.
pub(crate) fn same(one: &Value, other: &Value) {
    if let Some((place, one, other)) = difference(one, other, String::new()) {
        panic!("at {place}:\n  {one}\n  {other}");
    }
}

fn difference(one: &Value, other: &Value, place: String) -> Option<(String, String, String)> {
    match (one, other) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.into_iter().find_map(|(index, (a, b))| difference(a, b, format!("{place}[{index}]")))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(name, value)| difference(value, &b[name], format!("{place}.{name}")))
        }
        _ => (one != other).then(|| (place, one.to_string(), other.to_string())),
    }
}

/// How long the cleaning jobs may take: a server that follows a killed one waits for its lease to run out.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, mut come: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !come().await {
        assert!(Instant::now() < deadline, "{what} did not come within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the cleaning jobs have run once.
pub(crate) async fn first_cleaning(api: &Calls) {
    until("the first cleaning", async || !api.get("/api/cleanup/stats").await["last_cleanup"].is_null()).await;
}

/// Waits until the cleaning jobs have closed every session and every subtask that nobody will ever end.
pub(crate) async fn settled(api: &Calls) {
    until("the end of old sessions", async || {
        api.get("/api/sessions?active_only=true").await["total"] == 0
            && api.get("/api/active-sessions").await["count"] == 0
    })
    .await;
}
