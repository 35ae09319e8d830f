//! Clients that write at the same time, and what they were promised.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::calls::{Answer, Calls};

/// Sessions that the actions are spread over.
pub const SESSIONS: usize = 8;

/// What a client does when it is not told 201.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Goes on with the next action after a refusal, and ends when no answer comes.
    None,
    /// Says the same again under the same `Idempotency-Key`, until it is told 201.
    UntilAcknowledged,
}

/// Clients that record numbered actions at the same time, each number once.
#[derive(Debug)]
pub struct Writers {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
    progress: watch::Receiver<usize>,
}

/// What the clients were told.
#[derive(Debug, Default)]
pub struct Told {
    /// The ids of the acknowledged actions with their numbers.
    pub acknowledged: BTreeMap<String, usize>,
    /// Every other answer.
    pub refusals: Vec<Answer>,
}

#[derive(Debug)]
struct Shared {
    calls: Calls,
    total: usize,
    persistence: Persistence,
    next: AtomicUsize,
    told: Mutex<Told>,
    progress: watch::Sender<usize>,
}

impl Writers {
    /// Starts `clients` that record `total` actions between them.
    #[must_use]
    pub fn start(calls: &Calls, clients: usize, total: usize, persistence: Persistence) -> Self {
        let (sender, progress) = watch::channel(0);
        let shared = Arc::new(Shared {
            calls: calls.clone(),
            total,
            persistence,
            next: AtomicUsize::new(0),
            told: Mutex::default(),
            progress: sender,
        });
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move { while shared.write_next().await {} });
        }
        Self { clients: tasks, shared, progress }
    }

    /// Waits until so many actions were acknowledged.
    pub async fn acknowledged(&mut self, count: usize) {
        self.progress.wait_for(|done| *done >= count).await.expect("the clients report");
    }

    /// Waits until every client has ended.
    pub async fn finish(mut self) -> Told {
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client does not panic");
        }
        std::mem::take(&mut *self.shared.told.lock().expect("no client panicked"))
    }
}

/// The session of the action with this number.
#[must_use]
pub fn session_of(number: usize) -> String {
    format!("session-{}", number % SESSIONS)
}

/// The numbered action as a body.
fn action(number: usize) -> Value {
    json!({
        "tool_name": "Bash",
        "tool_type": "builtin",
        "input": format!("cargo test storage engine migration round{}", number % 50),
        "output": "x".repeat(number % 3000),
        "exit_code": i32::from(number.is_multiple_of(7)),
        "file_paths": [format!("/numbers/{number}")],
        "session_id": session_of(number),
        "project_path": "/srv/numbers",
    })
}

impl Shared {
    /// Writes the next action; false when this client has nothing more to do.
    async fn write_next(&self) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.total {
            return false;
        }
        let body = action(number);
        let key = format!("writer {number}");
        let key = (self.persistence == Persistence::UntilAcknowledged).then_some(key.as_str());
        loop {
            match self.calls.attempt(Method::POST, "/api/actions", key, Some(&body)).await {
                Ok(answer) if answer.status == 201 => {
                    let id = answer.json()["action"]["id"].as_str().expect("an id").to_owned();
                    self.told.lock().expect("no client panicked").acknowledged.insert(id, number);
                    self.progress.send_modify(|done| *done += 1);
                    return true;
                }
                Ok(refusal) => {
                    self.told.lock().expect("no client panicked").refusals.push(refusal);
                    if key.is_none() {
                        return true;
                    }
                }
                Err(_) if key.is_none() => return false,
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Every action that the server has, by id, with its number; no number twice.
pub async fn stored(calls: &Calls) -> BTreeMap<String, usize> {
    let mut stored = BTreeMap::new();
    loop {
        let page = calls.get(&format!("/api/actions?limit=1000&offset={}", stored.len())).await;
        let rows = page["actions"].as_array().expect("a list");
        for row in rows {
            let path = row["file_paths"][0].as_str().expect("the path of a numbered action");
            let number = path.strip_prefix("/numbers/").and_then(|text| text.parse().ok()).expect("a number");
            stored.insert(row["id"].as_str().expect("an id").to_owned(), number);
        }
        if rows.len() < 1000 {
            assert_eq!(page["total"], stored.len(), "the total is the number of rows");
            let distinct: std::collections::BTreeSet<_> = stored.values().collect();
            assert_eq!(distinct.len(), stored.len(), "an action was recorded twice");
            return stored;
        }
    }
}
