//! The health check: one question to the store answers everybody who waits for one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::api::system::DatabaseHealth;
use crate::storage::Storage;

/// Shares a check among the requests that came before it began; so an answer is never older than its request.
#[derive(Debug)]
pub(super) struct HealthCheck {
    store: Arc<dyn Storage>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    running: bool,
    callers: Vec<oneshot::Sender<DatabaseHealth>>,
}

/// How long the store may take to answer a trivial question.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

impl HealthCheck {
    pub(super) fn new(store: Arc<dyn Storage>) -> Self {
        Self { store, waiting: Arc::default() }
    }

    pub(super) async fn check(&self) -> DatabaseHealth {
        let (caller, answer) = oneshot::channel();
        let start = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.callers.push(caller);
            !std::mem::replace(&mut waiting.running, true)
        };
        if start {
            // A task of its own, so that a caller who goes away does not take the others' answer along.
            tokio::spawn(Self::run(Arc::clone(&self.store), Arc::clone(&self.waiting)));
        }
        answer.await.unwrap_or_else(|_| unhealthy(0, "the check was interrupted"))
    }

    async fn run(store: Arc<dyn Storage>, waiting: Arc<Mutex<Waiting>>) {
        loop {
            let callers = {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if waiting.callers.is_empty() {
                    waiting.running = false;
                    return;
                }
                std::mem::take(&mut waiting.callers)
            };
            let began = Instant::now();
            let outcome = tokio::time::timeout(TIMEOUT, store.ping()).await;
            let latency = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
            let answer = match outcome {
                Ok(Ok(())) => DatabaseHealth { healthy: true, latency_ms: latency, error: None },
                Ok(Err(error)) => unhealthy(latency, error.message()),
                Err(_) => unhealthy(latency, "the store does not answer"),
            };
            for caller in callers {
                let _ = caller.send(answer.clone());
            }
        }
    }
}

fn unhealthy(latency_ms: i64, error: &str) -> DatabaseHealth {
    DatabaseHealth { healthy: false, latency_ms, error: Some(error.to_owned()) }
}
