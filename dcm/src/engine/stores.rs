//! The built-in stores: opened with an engine on them, or alone.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use super::{Dcm, EngineConfig};
use crate::error::Result;
use crate::storage::Storage;
use crate::storage::sql::SqlStore;

impl Dcm {
    /// Opens the embedded store at `path`, creating it when there is none. One process at a time may have it open.
    ///
    /// # Errors
    ///
    /// When another process has it open, or the file cannot be used.
    #[cfg(feature = "sqlite")]
    pub async fn open_sqlite(path: &Path, config: EngineConfig) -> Result<Self> {
        Self::with_store(Self::sqlite_store(path, &config).await?, config).await
    }

    /// An embedded store that lives in memory and ends with the process.
    ///
    /// # Errors
    ///
    /// When the machine has no memory left.
    #[cfg(feature = "sqlite")]
    pub async fn open_in_memory(config: EngineConfig) -> Result<Self> {
        Self::with_store(Self::memory_store(&config).await?, config).await
    }

    /// Connects to the PostgreSQL database at `url` (`postgres://user:password@host/name`), creating or adopting the
    /// tables.
    ///
    /// # Errors
    ///
    /// When the URL cannot be read, the server does not answer or is older than version 14.
    #[cfg(feature = "postgres")]
    pub async fn connect_postgres(url: &str, config: EngineConfig) -> Result<Self> {
        Self::with_store(Self::postgres_store(url, &config).await?, config).await
    }

    /// The store of [`Dcm::open_sqlite`] alone: to be a part of one of your own
    /// ([`StoreParts`](crate::storage::StoreParts)), or for [`Dcm::with_store_and_clock`].
    ///
    /// # Errors
    ///
    /// As [`Dcm::open_sqlite`].
    #[cfg(feature = "sqlite")]
    pub async fn sqlite_store(path: &Path, config: &EngineConfig) -> Result<Arc<dyn Storage>> {
        let readers = config.max_connections.clamp(1, 4);
        let driver = crate::storage::sql::SqliteDriver::open(path, readers).await?;
        Ok(Arc::new(SqlStore::new(driver, config.max_db_retries)))
    }

    /// The store of [`Dcm::open_in_memory`] alone.
    ///
    /// # Errors
    ///
    /// As [`Dcm::open_in_memory`].
    #[cfg(feature = "sqlite")]
    pub async fn memory_store(config: &EngineConfig) -> Result<Arc<dyn Storage>> {
        let driver = crate::storage::sql::SqliteDriver::open_in_memory().await?;
        Ok(Arc::new(SqlStore::new(driver, config.max_db_retries)))
    }

    /// The store of [`Dcm::connect_postgres`] alone.
    ///
    /// # Errors
    ///
    /// As [`Dcm::connect_postgres`].
    #[cfg(feature = "postgres")]
    pub async fn postgres_store(url: &str, config: &EngineConfig) -> Result<Arc<dyn Storage>> {
        use crate::storage::sql::postgres::{PostgresDriver, PostgresOptions, parse_url};
        // Who cannot be told must look more often.
        let poll_ms = if config.notify { 1000 } else { 100 };
        let max_connections = config.max_connections;
        let options = PostgresOptions { max_connections, poll_ms, ..PostgresOptions::default() };
        let driver = PostgresDriver::connect(parse_url(url)?, options).await?;
        driver.migrate().await?;
        let mut store = SqlStore::new(driver, config.max_db_retries);
        if config.notify {
            let clock = Arc::new(crate::time::SystemClock);
            let node: crate::id::EventId = crate::id::IdSource::new(clock).next();
            store = store.notifying(node.to_string());
        }
        Ok(Arc::new(store))
    }
}
