//! The one way to write: commands wait in a bounded queue and are committed in groups.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::storage::{AnyOutcome, Batch, Command, IdempotencyKey, Storage, Submitted};
use crate::time::Clock;

/// Commands that may wait; beyond it callers are told to come back.
const QUEUE: usize = 4096;
/// Commands in one commit: enough to share its cost, few enough to keep it short.
const BATCH: usize = 256;

struct Job {
    command: Submitted,
    reply: oneshot::Sender<Result<AnyOutcome>>,
}

/// A handle to the queue; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the task that commits. It ends when every [`Writer`] is dropped, after committing what waits.
    pub(crate) fn start(
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        ids: IdSource,
    ) -> (Self, JoinHandle<()>) {
        let (queue, mut waiting) = mpsc::channel::<Job>(QUEUE);
        let task = tokio::spawn(async move {
            let mut jobs = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut jobs, BATCH).await > 0 {
                let (commands, replies): (Vec<_>, Vec<_>) =
                    jobs.drain(..).map(|job| (job.command, job.reply)).unzip();
                let batch = Batch::new(commands, clock.now(), ids.clone());
                match store.commit(batch).await {
                    Ok(outcomes) => {
                        for (reply, outcome) in replies.into_iter().zip(outcomes) {
                            // A caller that went away does not need the answer.
                            let _ = reply.send(outcome);
                        }
                    }
                    Err(error) => {
                        tracing::error!(?error, commands = replies.len(), "a batch was not committed");
                        for reply in replies {
                            let _ = reply.send(Err(copy(&error)));
                        }
                    }
                }
            }
        });
        (Self { queue }, task)
    }

    /// Commits a command and answers its outcome.
    pub(crate) async fn commit<C: Command>(
        &self,
        command: C,
        key: Option<IdempotencyKey>,
    ) -> Result<C::Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send(Job { command: Submitted::new(command, key), reply }).map_err(
            |error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    Error::new(ErrorKind::Unavailable, "too many writes are waiting, try again shortly")
                        .with_retry_after(1)
                }
                mpsc::error::TrySendError::Closed(_) => Error::unavailable("the writer has ended"),
            },
        )?;
        let outcome =
            outcome.await.map_err(|_| Error::unavailable("the writer ended before it answered"))??;
        outcome
            .downcast::<C::Outcome>()
            .map(|outcome| *outcome)
            .map_err(|_| Error::internal("an outcome has another type than its command's"))
    }
}

/// The same failure for another caller; the source was logged once.
fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message());
    match error.retry_after_seconds() {
        Some(seconds) => copy.with_retry_after(seconds),
        None => copy,
    }
}
