//! Commands: what wants to be written, what it must see, and the rule that decides it.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::log::CommitListener;
use super::state::{Changes, Footprint, Remembered, State};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{EventId, IdSource};
use crate::time::Timestamp;

/// One decision that is made inside a commit. It is pure: it sees and changes the [`State`] only.
pub trait Command: Send + Sync + 'static {
    /// What the caller is told.
    type Outcome: Serialize + DeserializeOwned + Send + 'static;

    /// Names what [`Command::decide`] must see.
    fn footprint(&self, footprint: &mut Footprint);

    /// Decides. When it fails, whatever it changed is taken back.
    fn decide(&self, state: &mut State) -> Result<Self::Outcome>;

    /// Whether no other command may share its batch: what it removes takes along rows that were not loaded, which a
    /// later command of the same batch would still see, and an earlier one may just have written.
    fn alone(&self) -> bool {
        false
    }
}

/// The key under which the outcome of a call is kept for 24 hours, so that repeating the call answers the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key that the caller chose, 1 to 255 characters.
    pub key: String,
    /// A hash of the call (method, path, query and body).
    pub fingerprint: String,
}

/// What a command came to; downcast by whoever submitted it.
pub type AnyOutcome = Box<dyn Any + Send>;

trait ErasedCommand: Send + Sync {
    fn footprint(&self, footprint: &mut Footprint);
    fn decide(&self, state: &mut State, key: Option<&IdempotencyKey>) -> Result<AnyOutcome>;
    fn alone(&self) -> bool;
}

impl<C: Command> ErasedCommand for C {
    fn footprint(&self, footprint: &mut Footprint) {
        Command::footprint(self, footprint);
    }

    fn decide(&self, state: &mut State, key: Option<&IdempotencyKey>) -> Result<AnyOutcome> {
        if let Some(key) = key
            && let Some(known) = state.remembered.get(&key.key)
        {
            if known.fingerprint != key.fingerprint {
                return Err(Error::new(
                    ErrorKind::KeyReused,
                    "this Idempotency-Key was used before with another request",
                ));
            }
            let outcome: C::Outcome = serde_json::from_str(&known.outcome)
                .map_err(|error| Error::internal("a kept outcome cannot be read").with_source(error))?;
            return Ok(Box::new(outcome));
        }
        let outcome = Command::decide(self, state)?;
        if let Some(key) = key {
            let kept = serde_json::to_string(&outcome)
                .map_err(|error| Error::internal("an outcome cannot be kept").with_source(error))?;
            let remembered = Remembered { fingerprint: key.fingerprint.clone(), outcome: kept };
            state.remembered.put(key.key.clone(), remembered);
        }
        Ok(Box::new(outcome))
    }

    fn alone(&self) -> bool {
        Command::alone(self)
    }
}

/// A command with the key under which its outcome is kept.
#[derive(Clone)]
pub struct Submitted {
    command: Arc<dyn ErasedCommand>,
    key: Option<IdempotencyKey>,
}

impl Submitted {
    /// Wraps a command.
    pub fn new<C: Command>(command: C, key: Option<IdempotencyKey>) -> Self {
        Self { command: Arc::new(command), key }
    }

    /// Whether it must be the only one of its [`Batch`].
    #[must_use]
    pub fn alone(&self) -> bool {
        self.command.alone()
    }
}

impl std::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitted").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Commands that are committed together, in order. A command that fails does not disturb the others; one that must be
/// [alone](Command::alone) comes in a batch of its own.
#[derive(Debug, Clone)]
pub struct Batch {
    commands: Vec<Submitted>,
    now: Timestamp,
    ids: IdSource,
    listener: Option<CommitListener>,
    decided: Option<Arc<Notify>>,
}

/// What the rules made of a batch.
#[derive(Debug)]
pub struct Decision {
    /// What to write; in one transaction, before anybody is answered.
    pub changes: Changes,
    /// What to tell the callers, in the order of the commands.
    pub outcomes: Vec<Result<AnyOutcome>>,
}

impl Batch {
    /// A batch that is decided at `now`.
    #[must_use]
    pub fn new(commands: Vec<Submitted>, now: Timestamp, ids: IdSource) -> Self {
        Self { commands, now, ids, listener: None, decided: None }
    }

    /// Has `listener` told which events were committed, and where they stand in the log.
    #[must_use]
    pub fn with_listener(mut self, listener: CommitListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Has `decided` notified when the batch was decided: what is left is writing.
    pub(crate) fn telling_when_decided(mut self, decided: Arc<Notify>) -> Self {
        self.decided = Some(decided);
        self
    }

    /// Who wants to be told what was committed. A store that does not tell only costs its reader a look into the log.
    #[must_use]
    pub fn listener(&self) -> Option<&CommitListener> {
        self.listener.as_ref()
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The same batch, a command at a time.
    pub fn split(&self) -> impl Iterator<Item = Self> {
        self.commands.iter().map(|one| Self {
            commands: vec![one.clone()],
            now: self.now,
            ids: self.ids.clone(),
            listener: self.listener.clone(),
            decided: self.decided.clone(),
        })
    }

    /// The time at which the batch is decided.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// A new name for one attempt to commit the batch.
    pub(crate) fn attempt(&self) -> EventId {
        self.ids.next()
    }

    /// What must be loaded before the batch can be decided.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::default();
        for submitted in &self.commands {
            submitted.command.footprint(&mut footprint);
            if let Some(key) = &submitted.key {
                footprint.idempotency_keys.insert(key.key.clone());
            }
        }
        footprint
    }

    /// An empty state for the store to load rows into.
    #[must_use]
    pub fn state(&self) -> State {
        State::new(self.now, self.ids.clone())
    }

    /// Decides every command, in order, on the loaded `state`.
    #[must_use]
    pub fn decide(&self, mut state: State) -> Decision {
        let mut outcomes = Vec::with_capacity(self.commands.len());
        for submitted in &self.commands {
            let outcome = submitted.command.decide(&mut state, submitted.key.as_ref());
            if outcome.is_ok() {
                state.keep();
            } else {
                state.undo();
            }
            outcomes.push(outcome);
        }
        if let Some(decided) = &self.decided {
            decided.notify_one();
        }
        Decision { changes: state.into_changes(), outcomes }
    }
}
