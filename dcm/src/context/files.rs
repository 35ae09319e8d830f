//! Files in play: what was touched, ranked by how likely it is needed again.

use std::collections::HashMap;

use crate::observe::plain_path;
use crate::storage::BriefFile;
use crate::time::Timestamp;

/// What a tool does to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    Change,
    Look,
    /// It names a place to search in, which is rarely a file that matters.
    Search,
}

fn touch(tool: &str) -> Touch {
    let tool = tool.to_lowercase();
    let does = |words: &[&str]| words.iter().any(|word| tool.contains(word));
    if does(&["edit", "write", "create", "update", "replace", "delete", "remove", "move", "rename", "patch"])
    {
        Touch::Change
    } else if does(&["glob", "grep", "search", "find"]) || tool == "ls" {
        Touch::Search
    } else {
        Touch::Look
    }
}

/// A file with what was done to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RankedFile {
    /// As it is shown: relative to `root`, where it lies below.
    pub(super) shown: String,
    /// Its path, absolute where that is known.
    pub(super) path: String,
    /// How often it was changed.
    pub(super) changes: i64,
    /// How likely it is needed again, from 0 to 1.
    pub(super) score: f64,
}

/// Files by score, and the folder that they are shown relative to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Files {
    pub(super) root: Option<String>,
    pub(super) ranked: Vec<RankedFile>,
}

impl Files {
    /// A path relative to the root, where it lies below.
    pub(super) fn shown(&self, path: &str) -> String {
        let path = plain_path(path);
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root.as_str())?.strip_prefix('/'));
        below.unwrap_or(&path).to_owned()
    }
}

/// Whether a path says by itself which file it is: it begins at a root, a home or a drive, or is a URL.
fn is_absolute(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.starts_with(|c: char| c.is_ascii_alphabetic());
    path.starts_with(['/', '\\', '~']) || drive || path.contains("://")
}

/// Which file each path names: a relative one is below the project, or, where no project is known, the only file that its
/// end fits.
struct Places<'a> {
    project: Option<&'a str>,
    absolute: Vec<String>,
}

impl<'a> Places<'a> {
    fn new(project: Option<&'a str>, paths: impl Iterator<Item = &'a str>) -> Self {
        let project = project.filter(|path| path.starts_with('/') && path.len() > 1);
        let mut absolute = Vec::new();
        if project.is_none() {
            absolute = paths.filter(|path| is_absolute(path)).map(plain_path).collect();
            absolute.sort_unstable();
            absolute.dedup();
        }
        Self { project, absolute }
    }

    fn file(&self, path: &str) -> String {
        let path = plain_path(path);
        if path.is_empty() || is_absolute(&path) {
            return path;
        }
        if let Some(project) = self.project {
            return plain_path(&format!("{}/{path}", project.trim_end_matches('/')));
        }
        let end = format!("/{path}");
        let mut fits = self.absolute.iter().filter(|file| file.ends_with(&end));
        match (fits.next(), fits.next()) {
            (Some(file), None) => file.clone(),
            _ => path,
        }
    }
}

struct Tally {
    path: String,
    changes: i64,
    looks: i64,
    last_at: Timestamp,
}

/// After so many other files, half of what made a file likely is gone.
const HALF_LIFE: f64 = 12.0;

/// The folder that most of the paths lie in, when there is no project or its path is another one.
fn common_root(paths: &[&str]) -> Option<String> {
    let absolute: Vec<&str> = paths.iter().copied().filter(|path| path.starts_with('/')).collect();
    let mut root = absolute.first()?.rsplit_once('/')?.0.to_owned();
    if absolute.len() < 2 {
        return None;
    }
    while !root.is_empty() {
        let inside = absolute.iter().filter(|path| path.starts_with(&format!("{root}/"))).count();
        // A few lie outside: temporary files, notes of the client.
        if inside * 10 >= absolute.len() * 7 {
            break;
        }
        root.truncate(root.rfind('/').unwrap_or(0));
    }
    (root.matches('/').count() > 1).then_some(root)
}

/// Ranks files by when they were last touched, how often they were changed and read, and whether that was for the
/// newest request (since `since`); `noted` are files that somebody named as changed.
pub(super) fn rank(
    rows: &[BriefFile],
    noted: &[String],
    project: Option<&str>,
    since: Option<Timestamp>,
) -> Files {
    let mut tallies: Vec<Tally> = Vec::new();
    let all = rows.iter().flat_map(|row| &row.paths).chain(noted);
    let places = Places::new(project, all.map(String::as_str));
    let mut known: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let kind = touch(&row.tool_name);
        for path in row.paths.iter().filter(|path| !path.trim().is_empty() && kind != Touch::Search) {
            let path = places.file(path);
            if path.is_empty() {
                continue;
            }
            let at = *known.entry(path).or_insert_with_key(|path| {
                tallies.push(Tally { path: path.clone(), changes: 0, looks: 0, last_at: row.last_at });
                tallies.len() - 1
            });
            let tally = &mut tallies[at];
            tally.last_at = tally.last_at.max(row.last_at);
            match kind {
                Touch::Change => tally.changes += row.times,
                _ => tally.looks += row.times,
            }
        }
    }
    // Behind all that was seen.
    let oldest = tallies.iter().map(|tally| tally.last_at.as_micros()).min().unwrap_or(0);
    let oldest = Timestamp::from_micros(oldest.saturating_sub(1));
    for path in noted {
        let path = places.file(path);
        match known.get(&path).copied() {
            Some(at) => tallies[at].changes = tallies[at].changes.max(1),
            None if path.is_empty() => {}
            None => tallies.push(Tally { path, changes: 1, looks: 0, last_at: oldest }),
        }
    }
    tallies.sort_by(|a, b| b.last_at.cmp(&a.last_at).then_with(|| a.path.cmp(&b.path)));
    let paths: Vec<&str> = tallies.iter().map(|tally| tally.path.as_str()).collect();
    let root = project
        .map(|path| path.trim_end_matches('/').to_owned())
        .filter(|root| !root.is_empty() && paths.iter().any(|path| path.starts_with(&format!("{root}/"))))
        .or_else(|| common_root(&paths));
    let mut ranked: Vec<RankedFile> = tallies
        .into_iter()
        .enumerate()
        .map(|(place, tally)| {
            #[expect(clippy::cast_precision_loss, reason = "places and counts are small")]
            let (place, touches) = (place as f64, (3 * tally.changes + tally.looks) as f64);
            let recent = 0.5_f64.powf(place / HALF_LIFE);
            let often = (touches.ln_1p() / 13.0_f64.ln()).min(1.0);
            let current = if since.is_some_and(|since| tally.last_at >= since) { 1.0 } else { 0.85 };
            let below =
                root.as_ref().and_then(|root| tally.path.strip_prefix(root.as_str())?.strip_prefix('/'));
            RankedFile {
                shown: below.unwrap_or(&tally.path).to_owned(),
                changes: tally.changes,
                score: (0.55 * recent + 0.45 * often) * current,
                path: tally.path,
            }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    Files { root, ranked }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, tool: &str, times: i64, at: i64) -> BriefFile {
        BriefFile {
            paths: vec![path.to_owned()],
            tool_name: tool.to_owned(),
            times,
            last_at: Timestamp::from_millis(at),
        }
    }

    fn shown(files: &Files) -> Vec<(&str, i64)> {
        files.ranked.iter().map(|file| (file.shown.as_str(), file.changes)).collect()
    }

    #[test]
    fn what_is_changed_often_and_late_comes_first() {
        let rows = [
            row("/p/late.rs", "Read", 1, 100),
            row("/p/busy.rs", "Edit", 6, 90),
            row("/p/busy.rs", "Read", 2, 95),
            row("/p/old.rs", "Read", 1, 1),
            row("/p", "Grep", 9, 99),
        ];
        let files = rank(&rows, &[], Some("/p"), None);
        assert_eq!(shown(&files), [("busy.rs", 6), ("late.rs", 0), ("old.rs", 0)]);
        assert_eq!(files.root.as_deref(), Some("/p"));
    }

    #[test]
    fn one_file_is_one_line_by_whatever_path() {
        let rows = [
            row("/p/src/a.rs", "Edit", 2, 100),
            row("src/a.rs", "Edit", 1, 90),
            row("./src/a.rs", "Read", 1, 80),
            row("/p/tests/../src/./a.rs", "Edit", 1, 70),
            row("../q/b.rs", "Edit", 1, 60),
        ];
        let noted = ["src//a.rs".to_owned(), "src/c.rs".to_owned()];
        let files = rank(&rows, &noted, Some("/p/"), None);
        assert_eq!(shown(&files), [("src/a.rs", 4), ("/q/b.rs", 1), ("src/c.rs", 1)]);
        assert_eq!(files.shown("/p/x/../src/a.rs"), "src/a.rs");
        // Where nobody says what a relative path begins at, it may be the end of one file only.
        let rows = [
            row("/a/b/src/one.rs", "Edit", 2, 100),
            row("src/one.rs", "Edit", 1, 90),
            row("/a/b/lib.rs", "Edit", 1, 80),
            row("/a/c/lib.rs", "Edit", 1, 70),
            row("lib.rs", "Edit", 1, 60),
        ];
        let changes: Vec<_> =
            rank(&rows, &[], None, None).ranked.into_iter().map(|file| (file.path, file.changes)).collect();
        let expected = [("/a/b/src/one.rs", 3), ("/a/b/lib.rs", 1), ("/a/c/lib.rs", 1), ("lib.rs", 1)];
        assert_eq!(changes, expected.map(|(path, changes)| (path.to_owned(), changes)));
    }

    #[test]
    fn paths_of_other_kinds_stay_as_they_are() {
        for path in [
            "C:\\src\\a.cs",
            "~/notes.md",
            "https://example.org/a//b",
            "/a/b.rs",
            "src/a.rs",
            ".env",
            "/",
            "a/..b",
        ] {
            assert_eq!(plain_path(path), path);
        }
        for (path, plainly) in
            [("/..//a/", "/a"), ("../../a", "../../a"), ("a/../..", ".."), ("./", ""), ("/a/./b/.", "/a/b")]
        {
            assert_eq!(plain_path(path), plainly, "{path}");
        }
    }

    #[test]
    fn without_a_project_the_common_folder_is_the_root() {
        let rows = [
            row("/a/b/c/x.rs", "Edit", 1, 3),
            row("/a/b/d/y.rs", "Edit", 1, 2),
            row("/a/b/z.rs", "Edit", 1, 1),
        ];
        let files = rank(&rows, &["/a/b/noted.rs".to_owned()], None, None);
        assert_eq!(files.root.as_deref(), Some("/a/b"));
        assert_eq!(shown(&files), [("c/x.rs", 1), ("d/y.rs", 1), ("z.rs", 1), ("noted.rs", 1)]);
    }
}
