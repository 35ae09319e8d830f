//! Which files are transcripts of sessions, and which belong to their sub-agents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Error, Result};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where Claude Code keeps the transcripts of a session's sub-agents.
const SUBAGENTS: &str = "subagents";

/// How many lines of a sub-agent's transcript are looked at for the session that it names.
const LINES_TO_A_SESSION_ID: usize = 20;

/// A session's transcript.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SessionFile {
    pub(super) path: PathBuf,
    /// Whether it was named on the command line (else found in a folder).
    pub(super) named: bool,
    /// Those of its sub-agents, by agent id.
    pub(super) agents: Vec<(String, PathBuf)>,
    /// The size of all of them.
    pub(super) bytes: u64,
}

/// What was found, in the order of the paths.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sessions: Vec<SessionFile>,
    pub(super) failures: Vec<(PathBuf, String)>,
}

/// Looks at files as they are and through folders for `*.jsonl`. `agent-*.jsonl`, and whatever lies in a folder
/// `subagents`, belongs to a session and is none.
pub(super) fn discover(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    // Sub-agents beside their sessions, by folder, then by the session that they name: read once.
    let mut beside = BTreeMap::new();
    for path in paths {
        let mut files = Vec::new();
        let named = !path.is_dir();
        if !named {
            walk(path, &mut files, &mut found.failures);
            files.retain(|file| agent_id(file).is_none());
            if files.is_empty() {
                found.failures.push((path.clone(), "holds no transcripts (*.jsonl)".to_owned()));
            }
        } else if agent_id(path).is_some() {
            let hint = "is the transcript of a sub-agent; import the session's instead, it comes along";
            found.failures.push((path.clone(), hint.to_owned()));
        } else {
            files.push(path.clone());
        }
        for file in files {
            match session_file(&file, named, &mut beside) {
                Ok(session) => {
                    if seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                        found.sessions.push(session);
                    }
                }
                Err(error) => found.failures.push((file, error.to_string())),
            }
        }
    }
    found
}

/// The `*.jsonl` below `folder`, in order, but not those in `subagents`. Links to folders are not followed: they may
/// lead back.
fn walk(folder: &Path, files: &mut Vec<PathBuf>, failures: &mut Vec<(PathBuf, String)>) {
    let entries = match sorted_entries(folder) {
        Ok(entries) => entries,
        Err(error) => return failures.push((folder.to_owned(), error.to_string())),
    };
    for path in entries {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if path.is_dir() {
            if !is_link && path.file_name().is_none_or(|name| name != SUBAGENTS) {
                walk(&path, files, failures);
            }
        } else if is_jsonl(&path) {
            files.push(path);
        }
    }
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn is_jsonl(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// The agent that a file is the transcript of: `agent-<id>.jsonl`.
fn agent_id(path: &Path) -> Option<String> {
    let id = path.file_name()?.to_str()?.strip_prefix("agent-")?.strip_suffix(".jsonl")?;
    (!id.is_empty()).then(|| id.to_owned())
}

type Beside = BTreeMap<PathBuf, BTreeMap<String, Vec<PathBuf>>>;

fn session_file(path: &Path, named: bool, beside: &mut Beside) -> Result<SessionFile> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(Error::other("is no regular file"));
    }
    let mut transcripts = Vec::new();
    let folder = path.with_extension("").join(SUBAGENTS);
    if folder.is_dir() {
        // What cannot be read in there is left out, the session itself still counts.
        walk(&folder, &mut transcripts, &mut Vec::new());
    }
    // Older clients put them beside the session's own.
    if let Some(parent) = path.parent() {
        let siblings = beside.entry(parent.to_owned()).or_insert_with(|| siblings(parent));
        if let Some(session) = path.file_stem().and_then(|stem| stem.to_str()) {
            transcripts.extend(siblings.get(session).into_iter().flatten().cloned());
        }
    }
    let agents: Vec<_> = transcripts.into_iter().filter_map(|path| Some((agent_id(&path)?, path))).collect();
    let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    let bytes = metadata.len() + agents.iter().map(|(_, path)| size(path)).sum::<u64>();
    Ok(SessionFile { path: path.to_owned(), named, agents, bytes })
}

/// The transcripts of sub-agents in `folder`, by the session that they name.
fn siblings(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut by_session: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in sorted_entries(folder).unwrap_or_default() {
        if agent_id(&path).is_some()
            && let Some(session) = session_named_in(&path)
        {
            by_session.entry(session).or_default().push(path);
        }
    }
    by_session
}

fn session_named_in(path: &Path) -> Option<String> {
    let lines = BufReader::new(File::open(path).ok()?).lines();
    lines.take(LINES_TO_A_SESSION_ID).map_while(Result::ok).find_map(|line| {
        let entry: Value = serde_json::from_str(&line).ok()?;
        entry.get("sessionId")?.as_str().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, name: &str, text: &str) -> PathBuf {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn sub_agents_come_with_their_session_and_are_none() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let session = touch(root, "p/s1.jsonl", "{}\n");
        let other = touch(root, "p/s2.jsonl", "");
        let below = touch(root, "p/s1/subagents/agent-a1.jsonl", "12345");
        touch(root, "p/s1/subagents/agent-a1.meta.json", "{}");
        let deeper = touch(root, "p/s1/subagents/workflows/w/agent-a2.jsonl", "");
        touch(root, "p/s1/subagents/workflows/w/journal.jsonl", "");
        let old = touch(root, "p/agent-a3.jsonl", "{\"type\":\"x\"}\n{\"sessionId\":\"s2\"}\n");
        touch(root, "p/notes.txt", "");

        let found = discover(&[root.to_owned(), session.clone()]);
        assert!(found.failures.is_empty());
        let [first, second] = &found.sessions[..] else { panic!("{found:?}") };
        assert_eq!(first.path, session);
        assert_eq!(first.agents, [("a1".to_owned(), below), ("a2".to_owned(), deeper)]);
        assert_eq!(first.bytes, 3 + 5);
        assert_eq!((&second.path, &second.agents), (&other, &vec![("a3".to_owned(), old)]));
    }

    #[test]
    fn what_is_no_transcript_is_told() {
        let root = tempfile::tempdir().unwrap();
        let agent = touch(root.path(), "agent-a1.jsonl", "");
        let missing = root.path().join("missing.jsonl");
        let found = discover(&[agent, missing.clone(), root.path().to_owned()]);
        assert!(found.sessions.is_empty());
        let reasons: Vec<&str> = found.failures.iter().map(|(_, reason)| &**reason).collect();
        assert!(
            reasons[0].contains("sub-agent") && reasons[2].contains("holds no transcripts"),
            "{reasons:?}"
        );
        assert_eq!(found.failures[1].0, missing);
    }
}
