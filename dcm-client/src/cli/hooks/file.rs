//! Settings on disk: read, replaced as a whole, and put back as they were.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dcm::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::super::place::{file_name, hash, write_private};

/// How many backups of one file are kept.
const BACKUPS: usize = 10;

/// A settings file, wherever links lead.
#[derive(Debug)]
pub(super) struct SettingsFile {
    path: PathBuf,
    /// The file itself, behind links.
    target: PathBuf,
    /// `None` when there is none.
    pub(super) text: Option<String>,
}

/// What is remembered of an installation, to undo it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Receipt {
    path: PathBuf,
    /// The text before; `None` when there was no file.
    pub(super) original: Option<String>,
    /// The hash of what was written last.
    written: u64,
}

impl SettingsFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let target = behind_links(&path)?;
        let text = match fs::read(&target) {
            Ok(bytes) => Some(String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, target, text })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file, unless somebody else has changed it meanwhile; says where the backup lies.
    pub(super) fn replace(&self, text: &str, private: bool, folder: &Path) -> io::Result<Option<PathBuf>> {
        let backup = self.back_up(folder)?;
        let parent = self.target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let mut name = OsString::from(".");
        name.push(self.target.file_name().unwrap_or_default());
        name.push(format!(".dcm-{}", std::process::id()));
        let draft = parent.join(name);
        let written = self.write_draft(&draft, text, private).and_then(|()| {
            if fs::read(&self.target).ok().as_deref() != self.text.as_ref().map(String::as_bytes) {
                return Err(io::Error::other("somebody else is changing it; try again"));
            }
            fs::rename(&draft, &self.target)
        });
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written.map(|()| backup)
    }

    fn write_draft(&self, draft: &Path, text: &str, private: bool) -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut file = options.open(draft)?;
        file.write_all(text.as_bytes())?;
        if let Ok(metadata) = self.target.metadata() {
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt;
                // Only root may give files away, and only root edits those of others.
                let _ = std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()));
            }
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()
    }

    /// Puts back what was there before DCM came.
    pub(super) fn restore(&self, original: Option<&str>, folder: &Path) -> io::Result<Option<PathBuf>> {
        if let Some(text) = original {
            return self.replace(text, false, folder);
        }
        let backup = self.back_up(folder)?;
        fs::remove_file(&self.target)?;
        Ok(backup)
    }

    fn back_up(&self, folder: &Path) -> io::Result<Option<PathBuf>> {
        let Some(text) = &self.text else { return Ok(None) };
        let folder = folder.join("backups").join(self.name());
        let now = SystemClock.now().to_string().replace(':', "-");
        let backup = folder.join(format!("{now}.json"));
        write_private(&backup, text.as_bytes())?;
        let mut all: Vec<PathBuf> =
            fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        all.sort();
        for old in &all[..all.len().saturating_sub(BACKUPS)] {
            let _ = fs::remove_file(old);
        }
        Ok(Some(backup))
    }

    fn name(&self) -> String {
        file_name(&self.path.to_string_lossy())
    }

    fn receipt_path(&self, folder: &Path) -> PathBuf {
        folder.join("installed").join(self.name())
    }

    pub(super) fn receipt(&self, folder: &Path) -> Option<Receipt> {
        serde_json::from_slice(&fs::read(self.receipt_path(folder)).ok()?).ok()
    }

    /// Remembers how the file was and what was made of it. `fresh` says that nothing of ours was in it.
    pub(super) fn keep_receipt(&self, written: &str, fresh: bool, folder: &Path) -> io::Result<()> {
        let earlier = self.receipt(folder).filter(|_| !fresh);
        if earlier.is_none() && !fresh {
            // Installed by somebody whose receipt is lost: there is nothing to go back to.
            return Ok(());
        }
        let untouched = earlier.as_ref().is_none_or(|earlier| earlier.is_of(self));
        let receipt = Receipt {
            path: self.path.clone(),
            original: earlier.map_or_else(|| self.text.clone(), |earlier| earlier.original),
            written: if untouched { hash(written) } else { 0 },
        };
        write_private(&self.receipt_path(folder), &serde_json::to_vec(&receipt)?)
    }

    pub(super) fn forget_receipt(&self, folder: &Path) {
        let _ = fs::remove_file(self.receipt_path(folder));
    }
}

impl Receipt {
    /// Whether the file is still what was written, so that nothing is lost when the original comes back.
    pub(super) fn is_of(&self, file: &SettingsFile) -> bool {
        file.text.as_deref().is_some_and(|text| hash(text) == self.written)
    }
}

/// The files that installations are remembered of.
pub(super) fn installed(folder: &Path) -> Vec<PathBuf> {
    let Ok(receipts) = fs::read_dir(folder.join("installed")) else { return Vec::new() };
    let read = |path: PathBuf| serde_json::from_slice::<Receipt>(&fs::read(path).ok()?).ok();
    receipts.filter_map(|entry| Some(read(entry.ok()?.path())?.path)).collect()
}

/// The file that a path means in the end, even when it is not there yet.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}
