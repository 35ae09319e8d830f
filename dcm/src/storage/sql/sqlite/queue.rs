//! The queue between async callers and the threads that own the connections.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::session::Session;
use crate::error::{Error, Result};

/// Work for a thread; without a session it must answer that the store is closed.
pub(super) type Job = Box<dyn FnOnce(Option<&Session>) + Send>;

/// More waiting jobs than this mean that the disk does not keep up.
const LIMIT: usize = 1024;

/// Jobs, first in, first out; any number of threads may take them.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many threads sleep: waking nobody would cost a system call per job.
    idle: usize,
    closed: bool,
}

impl Queue {
    // No code that can panic runs under the lock, so a poisoned one is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues `job`, or says why not.
    pub(super) fn push(&self, job: Job) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(closed());
        }
        if state.jobs.len() >= LIMIT {
            return Err(Error::unavailable("the queue of the embedded store is full"));
        }
        state.jobs.push_back(job);
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits for a job; `None` when the queue is closed.
    pub(super) fn pop(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Takes no more jobs and refuses those that wait.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.jobs);
        drop(state);
        self.work.notify_all();
        for job in waiting {
            job(None);
        }
    }
}

/// What every call answers after the store was closed.
pub(super) fn closed() -> Error {
    Error::unavailable("the embedded store is closed")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_full_queue_refuses_and_closing_refuses_what_waits() {
        let (queue, refused) = (Queue::default(), Arc::new(AtomicUsize::new(0)));
        let job = || -> Job {
            let refused = Arc::clone(&refused);
            Box::new(move |session| {
                assert!(session.is_none());
                refused.fetch_add(1, Ordering::Relaxed);
            })
        };
        for _ in 0..LIMIT {
            queue.push(job()).unwrap();
        }
        let error = queue.push(job()).unwrap_err();
        assert_eq!((error.kind(), error.retry_after_seconds()), (ErrorKind::Unavailable, Some(1)));
        queue.close();
        assert_eq!(refused.load(Ordering::Relaxed), LIMIT);
        assert!(queue.pop().is_none());
        assert_eq!(queue.push(job()).unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
