//! The engine: the plain async Rust API of DCM, over any store.

mod briefing;
mod config;
mod delivering;
mod dispatch;
mod events;
mod health;
mod hooks;
mod learning;
mod maintenance;
mod reading;
pub(crate) mod rules;
mod stores;
mod suggesting;
mod tokens;
mod tools;
pub(crate) mod writer;
mod writing;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use config::EngineConfig;
pub use delivering::{NotIdentified, Notice, Publication};
pub use rules::Published;
pub use tokens::TokenClaims;

use crate::api::{Execute, Operation};
use crate::delivery::Hub;
use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::id::{EventId, IdSource};
use crate::storage::{Command, IdempotencyKey, Storage};
use crate::time::{Clock, SystemClock};
use health::HealthCheck;
use learning::Learning;
use maintenance::Maintenance;
use tokens::TokenSecrets;
use tools::ToolsCache;
use writer::Writer;

/// DCM in process: every operation as a method, over an embedded store, PostgreSQL or a store of your own.
///
/// A handle is cheap to clone; all clones share one store. Call [`Dcm::close`] at the end to have the background tasks
/// finish in order; dropping the last handle stops them too.
#[derive(Debug, Clone)]
pub struct Dcm {
    shared: Arc<Shared>,
    key: Option<IdempotencyKey>,
    /// Whether reads leave no trace.
    looks_only: bool,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Storage>,
    writer: Mutex<Option<Writer>>,
    feed: Feed,
    hub: Arc<Hub>,
    learning: Arc<Learning>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    node_id: EventId,
    config: EngineConfig,
    health: HealthCheck,
    tools: ToolsCache,
    secrets: TokenSecrets,
    tasks: Mutex<Option<JoinSet<()>>>,
    writer_tasks: Mutex<Option<JoinSet<()>>>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for dyn Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Storage")
    }
}

/// How long [`Dcm::close`] waits for what is under way.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);

impl Dcm {
    /// Runs on a store of your own, with the machine's clock.
    ///
    /// # Errors
    ///
    /// When the store cannot be used.
    pub async fn with_store(store: Arc<dyn Storage>, config: EngineConfig) -> Result<Self> {
        Self::with_store_and_clock(store, Arc::new(SystemClock), config).await
    }

    /// Runs on a store and a clock of your own.
    ///
    /// # Errors
    ///
    /// When the store cannot be used.
    pub async fn with_store_and_clock(
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        config: EngineConfig,
    ) -> Result<Self> {
        let ids = IdSource::new(Arc::clone(&clock));
        let secrets = TokenSecrets::load(&*store, &config.token_secrets).await?;
        let (feed, handed) = Feed::open(Arc::clone(&store)).await?;
        let (writer, writer_tasks) = Writer::start(&store, &clock, &ids, &feed);
        let (stop, stopped) = watch::channel(false);
        let (hub, orders) = Hub::open(&feed, &clock, &ids, &config);
        let (learning, requests) = Learning::new(Arc::clone(&store), feed.clone());
        let node_id: EventId = ids.next();
        let maintenance = Arc::new(Maintenance::new(node_id, Arc::clone(&learning)));
        let mut tasks = JoinSet::new();
        tasks.spawn(feed.clone().run(handed, stopped.clone()));
        tasks.spawn(Arc::clone(&learning).run(requests, stopped.clone()));
        tasks.spawn(Arc::clone(&hub).run(
            orders,
            Arc::clone(&store),
            writer.clone(),
            Arc::clone(&clock),
            stopped.clone(),
        ));
        tasks.spawn(maintenance.run(
            Arc::clone(&store),
            writer.clone(),
            Arc::clone(&clock),
            config.clone(),
            stopped,
        ));
        let shared = Shared {
            health: HealthCheck::new(Arc::clone(&store)),
            tools: ToolsCache::new(config.home_dir.clone()),
            store,
            writer: Mutex::new(Some(writer)),
            feed,
            hub,
            learning,
            clock,
            ids,
            node_id,
            config,
            secrets,
            tasks: Mutex::new(Some(tasks)),
            writer_tasks: Mutex::new(Some(writer_tasks)),
            stop,
        };
        Ok(Self { shared: Arc::new(shared), key: None, looks_only: false })
    }

    /// How this engine was configured.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.shared.config
    }

    /// A handle whose writes are remembered under `key` for 24 hours: repeating one answers the same and changes
    /// nothing. Use it for one operation.
    #[must_use]
    pub fn with_idempotency_key(&self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self.clone() }
    }

    /// A handle whose reads leave no trace: mail that it looks at stays unread.
    #[must_use]
    pub fn looking_only(&self) -> Self {
        Self { looks_only: true, ..self.clone() }
    }

    /// The event log: everything that happens, in order, on every node of the store.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// Begins a new epoch of the event log. Whoever restores a backup calls this afterwards: positions that were given
    /// out since the backup mean other events from now on, and readers who stand there are told so.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn raise_epoch(&self) -> Result<()> {
        let epoch = self.store().log_head().await?.epoch;
        self.store().raise_epoch(epoch).await?;
        self.shared.feed.nudge();
        self.notify(Notice::EpochRaised).await
    }

    /// What a WebSocket token says, if one of the configured secrets signed it and it has not expired.
    #[must_use]
    pub fn verify_token(&self, token: &str) -> Option<TokenClaims> {
        self.shared.secrets.verify(token, self.now())
    }

    /// Stops the background tasks, commits what waits, and releases the store; takes a few seconds at most.
    pub async fn close(&self) {
        let _ = self.shared.stop.send(true);
        let tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer_tasks = self.shared.writer_tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(writer);
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, async {
            for mut tasks in [tasks, writer_tasks].into_iter().flatten() {
                while tasks.join_next().await.is_some() {}
            }
        });
        if ended.await.is_err() {
            tracing::warn!("background tasks did not end in time");
        }
        self.shared.store.close().await;
    }

    fn writer(&self) -> Result<Writer> {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        writer.ok_or_else(|| Error::unavailable("the engine is closed"))
    }

    async fn commit<C: Command>(&self, command: C) -> Result<C::Outcome> {
        self.writer()?.commit(command, self.key.clone()).await
    }

    /// Commits something that is not the caller's operation itself, so its idempotency key does not apply.
    async fn commit_aside<C: Command>(&self, command: C) -> Result<C::Outcome> {
        self.writer()?.commit(command, None).await
    }

    pub(crate) fn store(&self) -> &dyn Storage {
        &*self.shared.store
    }

    fn now(&self) -> crate::Timestamp {
        self.shared.clock.now()
    }
}

/// How the engine carries out one operation, after its bounds were checked.
trait Run<O: Operation> {
    fn run(&self, operation: O) -> impl Future<Output = Result<O::Output>> + Send;
}

macro_rules! define_methods {
    ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {
        /// Every operation of the table.
        impl Dcm {$(
            #[doc = $doc]
            ///
            /// # Errors
            ///
            /// [`crate::ErrorKind::Invalid`] when a field breaks its bounds, and what the operation itself may come to.
            pub async fn $id(&self, operation: $operation) -> Result<$output> {
                operation.validate()?;
                self.run(operation).await
            }
        )+}

        $(
            impl Execute<$operation> for Dcm {
                fn execute(&self, operation: $operation) -> impl Future<Output = Result<$output>> + Send {
                    self.$id(operation)
                }
            }
        )+
    };
}

crate::api::for_each_operation!(define_methods);
