//! The file of a store, which others may move or remove: what is written to it then is lost when it is closed.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that was opened.
#[derive(Debug, Clone)]
pub(super) struct StoreFile {
    path: PathBuf,
    identity: Identity,
}

/// What stays the same as long as it is the same file: its device and number, where the system has them.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0)
}

impl StoreFile {
    /// The file at `path`, which is open.
    pub(super) fn opened(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path)
            .map_err(|error| Error::unavailable(format!("{}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), identity: identity(&metadata) })
    }

    /// Whether it is still there.
    pub(super) fn check(&self) -> Result<()> {
        let shown = self.path.display();
        match std::fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) => Err(Error::unavailable(format!("{shown} is another file than the one that was opened"))),
            Err(error) => Err(Error::unavailable(format!("{shown} is gone: {error}"))),
        }
    }
}
