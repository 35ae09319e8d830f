//! What the user has installed for their agent (CONTRACT G.6).

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::api::system::ToolsSummaryReport;
use crate::time::Timestamp;

/// How long counts are kept, in milliseconds.
const KEPT_MS: i64 = 300_000;
/// No command folder nests deeper; a loop of mounts must not hang the count.
const MAX_DEPTH: usize = 16;

#[derive(Debug)]
pub(super) struct ToolsCache {
    home: Option<PathBuf>,
    counted: Mutex<Option<ToolsSummaryReport>>,
}

impl ToolsCache {
    pub(super) fn new(home: Option<PathBuf>) -> Self {
        Self { home, counted: Mutex::new(None) }
    }

    /// The counts, at most five minutes old.
    pub(super) async fn summary(&self, now: Timestamp) -> ToolsSummaryReport {
        let lock = || self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let cached = lock().clone();
        if let Some(cached) = cached.filter(|cached| now.millis_since(cached.cached_at) < KEPT_MS) {
            return ToolsSummaryReport { from_cache: true, ..cached };
        }
        let home = self.home.clone();
        let counted = tokio::task::spawn_blocking(move || count(home.as_deref(), now)).await;
        let counted = counted.unwrap_or_else(|_| count(None, now));
        *lock() = Some(counted.clone());
        counted
    }
}

fn count(home: Option<&Path>, now: Timestamp) -> ToolsSummaryReport {
    let claude = home.map(|home| home.join(".claude"));
    let number = |count: fn(&Path) -> i64| claude.as_deref().map_or(0, count);
    ToolsSummaryReport {
        skills: number(|claude| {
            counted(
                entries(&claude.join("skills"))
                    .filter(|(path, kind)| kind.is_dir() && path.join("SKILL.md").is_file()),
            )
        }),
        commands: number(|claude| commands(&claude.join("commands"), 0)),
        workflows: number(|claude| {
            let templates = entries(&claude.join("skills/workflow/templates"));
            counted(templates.filter(|(path, kind)| kind.is_file() && ends_with(path, "yaml")))
        }),
        plugins: number(plugins),
        cached_at: now,
        from_cache: false,
    }
}

/// The entries of a directory with their kinds; links are not followed.
fn entries(directory: &Path) -> impl Iterator<Item = (PathBuf, std::fs::FileType)> + use<> {
    std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| {
        entry.ok().and_then(|entry| entry.file_type().ok().map(|kind| (entry.path(), kind)))
    })
}

fn counted<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

fn ends_with(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn commands(directory: &Path, depth: usize) -> i64 {
    if depth > MAX_DEPTH {
        return 0;
    }
    entries(directory)
        .map(|(path, kind)| {
            if kind.is_dir() {
                commands(&path, depth + 1)
            } else {
                i64::from(kind.is_file() && ends_with(&path, "md"))
            }
        })
        .sum()
}

/// Keys of `.plugins`, else the length of the array, else the keys at the top.
fn plugins(claude: &Path) -> i64 {
    let text = std::fs::read_to_string(claude.join("plugins/installed_plugins.json")).unwrap_or_default();
    let length = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(plugins)) => plugins.len(),
        Ok(Value::Object(members)) => match members.get("plugins") {
            Some(Value::Object(plugins)) => plugins.len(),
            Some(Value::Array(plugins)) => plugins.len(),
            _ => members.len(),
        },
        _ => 0,
    };
    i64::try_from(length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_there_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let claude = home.path().join(".claude");
        for file in [
            "skills/one/SKILL.md",
            "skills/two/README.md",
            "skills/workflow/templates/a.yaml",
            "skills/workflow/templates/b.yml",
            "commands/x.md",
            "commands/deep/er/y.md",
            "commands/z.txt",
        ] {
            let path = claude.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir_all(claude.join("plugins")).unwrap();
        std::fs::write(
            claude.join("plugins/installed_plugins.json"),
            r#"{"version":2,"plugins":{"a":[],"b":[]}}"#,
        )
        .unwrap();
        let counted = count(Some(home.path()), Timestamp::from_millis(0));
        assert_eq!((counted.skills, counted.commands, counted.workflows, counted.plugins), (1, 2, 1, 2));
        assert_eq!(count(None, Timestamp::from_millis(0)).skills, 0);
    }
}
