//! What the quick path reads by itself, without the command line's parser: variables, and where this user's files lie.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::DEFAULT_URL;

/// Keys that `dcm hooks install` was given, by server: command hooks need them, and not every host hands its
/// variables to them.
const KEYS: &str = "keys.json";

/// The text of a variable; `None` when it is not set, empty or no text.
pub(super) fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    (!value.trim().is_empty()).then_some(value)
}

/// The folder of this user's data: `DCM_DATA_DIR`, else where the system keeps such things; the server's is the same.
pub(super) fn data_folder() -> Option<PathBuf> {
    if let Some(folder) = variable("DCM_DATA_DIR") {
        return Some(PathBuf::from(folder));
    }
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .map(|base| base.join("dcm"))
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share/dcm")))
}

/// The part of it that the command keeps to itself.
pub(super) fn client_folder() -> Option<PathBuf> {
    data_folder().map(|folder| folder.join("client"))
}

/// A server and the key that it asks for.
#[derive(Clone)]
pub(super) struct Server {
    /// Without a slash at its end.
    pub(super) url: String,
    pub(super) api_key: Option<String>,
}

impl Server {
    /// What was given on the command line counts, then what variables say, then what was kept at installation.
    pub(super) fn find(url: Option<String>, api_key: Option<String>) -> Self {
        let url = url
            .filter(|url| !url.trim().is_empty())
            .or_else(|| variable("DCM_URL"))
            .or_else(|| variable("CONTEXT_MANAGER_URL"))
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        let url = url.trim().trim_end_matches('/').to_owned();
        let api_key = api_key
            .filter(|key| !key.trim().is_empty())
            .or_else(|| variable("DCM_API_KEY"))
            .or_else(|| kept_keys(&client_folder()?).remove(&url));
        Self { url, api_key }
    }

    /// A name for the folder of what waits for this server: readable, and never that of another one.
    pub(super) fn folder_name(&self) -> String {
        file_name(&self.url)
    }
}

fn kept_keys(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read(folder.join(KEYS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps the key of a server for command hooks.
pub(super) fn keep_key(folder: &Path, url: &str, key: &str) -> io::Result<()> {
    let mut keys = kept_keys(folder);
    if keys.get(url).is_some_and(|kept| kept == key) {
        return Ok(());
    }
    keys.insert(url.to_owned(), key.to_owned());
    write_private(&folder.join(KEYS), &serde_json::to_vec(&keys)?)
}

/// Forgets the key of a server.
pub(super) fn forget_key(folder: &Path, url: &str) -> io::Result<()> {
    let mut keys = kept_keys(folder);
    if keys.remove(url).is_none() {
        return Ok(());
    }
    write_private(&folder.join(KEYS), &serde_json::to_vec(&keys)?)
}

/// `text` as the name of a file: readable where it can be, and different for different texts.
pub(super) fn file_name(text: &str) -> String {
    let readable: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .take(80)
        .collect();
    if readable == text && !readable.is_empty() {
        readable
    } else {
        format!("{readable}-{:016x}", hash(text))
    }
}

/// FNV-1a: the same in every version of this program.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A folder that only its owner can look into.
pub(super) fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// How to open a file that only its owner can read.
pub(super) fn private_file() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Replaces a file that only its owner can read; readers see the old or the new one as a whole.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = private_file().write(true).create(true).truncate(true).open(&draft)?;
    io::Write::write_all(&mut file, bytes)?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_safe_and_differ() {
        assert_eq!(file_name("258c7280-ae70"), "258c7280-ae70");
        for bad in ["", "..", "../x", "a/b", "http://127.0.0.1:3847"] {
            let name = file_name(bad);
            assert!(!name.contains(['/', '.', ':']) && name.len() > 10, "{name}");
        }
        assert_ne!(file_name("http://a.b"), file_name("http://a-b"));
    }

    #[test]
    fn keys_are_kept_by_server() {
        let folder = tempfile::tempdir().unwrap();
        keep_key(folder.path(), "http://a", "one").unwrap();
        keep_key(folder.path(), "http://b", "two").unwrap();
        forget_key(folder.path(), "http://a").unwrap();
        assert_eq!(kept_keys(folder.path()), BTreeMap::from([("http://b".to_owned(), "two".to_owned())]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(KEYS)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
