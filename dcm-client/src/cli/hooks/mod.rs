//! `dcm hooks`: DCM's entries in the settings of Claude Code.

mod edit;
pub(super) mod entries;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use self::edit::Unusable;
use self::entries::{Entry, KEY_VARIABLE, Key, Wanted, all_entries, is_own, own_command, server_of};
use self::file::SettingsFile;
use super::place::{Server, client_folder, forget_key, keep_key, variable};
use super::{Outcome, claude_folder, complain, print};

/// What to do with the hooks.
#[derive(Debug, Subcommand)]
pub(super) enum Hooks {
    /// Put DCM's hooks into the settings; doing it again changes nothing
    Install(Install),
    /// Take DCM's hooks out of the settings again, and nothing else
    Uninstall(Place),
    /// Which settings hold DCM's hooks
    Status(Place),
}

/// Arguments of `dcm hooks install`.
#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    place: Place,
    /// Use commands for every event, where http hooks are not allowed or not known
    #[arg(long)]
    command: bool,
    /// Print what the settings would be and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which settings.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Whose settings [default: user; all of them for `status`]
    #[arg(long, value_enum)]
    scope: Option<Scope>,
    /// Another settings file
    #[arg(long, value_name = "FILE", conflicts_with = "scope")]
    settings: Option<PathBuf>,
    /// Where Claude Code keeps its files, if not in ~/.claude
    #[arg(long, env = "CLAUDE_CONFIG_DIR", value_name = "DIR", hide = true)]
    claude_config_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// ~/.claude/settings.json: all your projects
    User,
    /// .claude/settings.json below this folder: everybody who works on this project
    Project,
    /// .claude/settings.local.json below this folder: you, in this project
    Local,
}

impl Scope {
    fn path(self, place: &Place) -> Option<PathBuf> {
        match self {
            Self::User => Some(claude_folder(place.claude_config_dir.as_ref())?.join("settings.json")),
            Self::Project => Some(PathBuf::from(".claude/settings.json")),
            Self::Local => Some(PathBuf::from(".claude/settings.local.json")),
        }
    }
}

impl Hooks {
    pub(super) fn run(&self, server: &Server, as_json: bool) -> Outcome {
        let Some(folder) = client_folder() else {
            complain("there is no home directory to keep backups in; set DCM_DATA_DIR");
            return Outcome::Usage;
        };
        let done = match self {
            Self::Install(install) => install.run(server, &folder, as_json),
            Self::Uninstall(place) => uninstall(place, &folder, as_json),
            Self::Status(place) => Ok(status(place, as_json)),
        };
        done.unwrap_or_else(|(path, reason)| {
            complain(&format!("{}: {reason}\n  It was not changed.", path.display()));
            Outcome::Failed
        })
    }
}

type Done = Result<Outcome, (PathBuf, String)>;

/// Tells of which file a failure speaks.
fn of(path: &Path) -> impl Fn(std::io::Error) -> (PathBuf, String) {
    let path = path.to_owned();
    move |error| (path.clone(), error.to_string())
}

fn unusable(path: &Path) -> impl Fn(Unusable) -> (PathBuf, String) {
    let path = path.to_owned();
    move |reason| (path.clone(), reason.0)
}

impl Place {
    /// The one file that is meant.
    fn path(&self) -> Result<PathBuf, (PathBuf, String)> {
        let path = match &self.settings {
            Some(path) => Some(path.clone()),
            None => self.scope.unwrap_or(Scope::User).path(self),
        };
        path.ok_or_else(|| {
            (PathBuf::from("settings.json"), "there is no home directory; use --settings".to_owned())
        })
    }
}

impl Install {
    fn run(&self, server: &Server, folder: &Path, as_json: bool) -> Done {
        let path = self.place.path()?;
        let key = match &server.api_key {
            None => Key::None,
            Some(key) if variable(KEY_VARIABLE).as_ref() == Some(key) => Key::Variable,
            Some(_) if self.place.scope == Some(Scope::Project) => {
                let reason =
                    "the key would be seen by everybody who has the project; export DCM_API_KEY instead";
                return Err((path, reason.to_owned()));
            }
            Some(key) => Key::Literal(key.clone()),
        };
        let program = stable_program().map_err(of(Path::new("dcm")))?;
        let wanted = Wanted { program, url: server.url.clone(), key, commands_only: self.command };
        let file = SettingsFile::open(&path).map_err(of(&path))?;
        let text = file.text.as_deref().unwrap_or("");
        let fresh = own_entries(text).map_err(unusable(&path))?.is_empty();
        let new = edit::with_entries(text, wanted.entries()).map_err(unusable(&path))?;
        if self.dry_run {
            print(new.as_deref().unwrap_or(text));
            return Ok(Outcome::Well);
        }
        let mut backup = None;
        if let Some(new) = &new {
            let private = matches!(wanted.key, Key::Literal(_));
            backup = file.replace(new, private, folder).map_err(of(&path))?;
            file.keep_receipt(new, fresh, folder).map_err(of(&path))?;
        }
        if let Key::Literal(key) = &wanted.key {
            keep_key(folder, &wanted.url, key).map_err(of(folder))?;
        }
        let path = file.path();
        if as_json {
            let report = json!({"path": path, "changed": new.is_some(), "backup": backup, "url": wanted.url});
            print(&report.to_string());
        } else if new.is_some() {
            let mut text = format!("DCM's hooks are in {}\n", path.display());
            if let Some(backup) = backup {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(text, "  as it was before: {}", backup.display());
            }
            text.push_str("Sessions that begin now are recorded. `dcm doctor` proves it.");
            print(&text);
        } else {
            print(&format!("DCM's hooks were in {} already; nothing was changed", path.display()));
        }
        Ok(Outcome::Well)
    }
}

fn own_entries(text: &str) -> Result<Vec<Entry>, Unusable> {
    Ok(all_entries(&edit::read(text)?).into_iter().filter(|entry| is_own(&entry.handler)).collect())
}

fn uninstall(place: &Place, folder: &Path, as_json: bool) -> Done {
    let path = place.path()?;
    let file = SettingsFile::open(&path).map_err(of(&path))?;
    let text = file.text.as_deref().unwrap_or("");
    let own = own_entries(text).map_err(unusable(&path))?;
    let receipt = file.receipt(folder);
    let mut backup = None;
    if !own.is_empty() {
        backup = match &receipt {
            Some(receipt) if receipt.is_of(&file) => file.restore(receipt.original.as_deref(), folder),
            _ => {
                let original = receipt.as_ref().map(|receipt| receipt.original.as_deref().unwrap_or(""));
                let original = original.and_then(|text| edit::read(text).ok()).unwrap_or(Value::Null);
                let new = edit::without_entries(text, &original).map_err(unusable(&path))?;
                new.map_or(Ok(None), |new| file.replace(&new, false, folder))
            }
        }
        .map_err(of(&path))?;
    }
    file.forget_receipt(folder);
    let needed = servers_elsewhere(place, folder);
    for server in own.iter().filter_map(server_of).map(|server| server.url).collect::<BTreeSet<_>>() {
        if !needed.contains(&server) {
            forget_key(folder, &server).map_err(of(folder))?;
        }
    }
    let path = file.path();
    if as_json {
        print(&json!({"path": path, "removed": own.len(), "backup": backup}).to_string());
    } else if own.is_empty() {
        print(&format!("There are no hooks of DCM in {}", path.display()));
    } else {
        print(&format!("Took {} entries out of {}", own.len(), path.display()));
    }
    Ok(Outcome::Well)
}

/// The servers that settings name: those that count in this folder, and all that DCM's hooks were ever put into.
fn servers_elsewhere(place: &Place, folder: &Path) -> BTreeSet<String> {
    let counting = find(place.claude_config_dir.clone(), None);
    let others = file::installed(folder).into_iter().flat_map(|path| find(None, Some(path)));
    let entries = counting.into_iter().chain(others).filter_map(|found| found.settings?.ok());
    let own = entries.flat_map(|settings| all_entries(&settings)).filter(|entry| is_own(&entry.handler));
    own.filter_map(|entry| server_of(&entry)).map(|server| server.url).collect()
}

/// What a settings file holds of ours.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) scope: &'static str,
    pub(super) path: PathBuf,
    /// `None` when there is no such file; the error is why it cannot be read.
    pub(super) settings: Option<Result<Value, String>>,
}

impl Found {
    /// Every entry of the file.
    pub(super) fn entries(&self) -> Vec<(String, Option<String>, Value)> {
        let Some(Ok(settings)) = &self.settings else { return Vec::new() };
        all_entries(settings).into_iter().map(|entry| (entry.event, entry.matcher, entry.handler)).collect()
    }
}

/// The settings that count in this folder.
pub(super) fn find(claude_config_dir: Option<PathBuf>, settings: Option<PathBuf>) -> Vec<Found> {
    look(&Place { scope: None, settings, claude_config_dir })
}

fn look(place: &Place) -> Vec<Found> {
    let scopes = [("user", Scope::User), ("project", Scope::Project), ("local", Scope::Local)];
    let mut paths: Vec<(&str, PathBuf)> = match &place.settings {
        Some(path) => vec![("file", path.clone())],
        None => scopes
            .into_iter()
            .filter(|(_, scope)| place.scope.is_none_or(|wanted| wanted == *scope))
            .filter_map(|(name, scope)| Some((name, scope.path(place)?)))
            .collect(),
    };
    // In the home folder the user's settings are those of the project as well.
    let mut seen = BTreeSet::new();
    paths.retain(|(_, path)| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    paths
        .into_iter()
        .map(|(scope, path)| {
            let settings = match SettingsFile::open(&path) {
                Ok(file) => file.text.map(|text| edit::read(&text).map_err(|reason| reason.0)),
                Err(error) => Some(Err(error.to_string())),
            };
            Found { scope, path: std::path::absolute(&path).unwrap_or(path), settings }
        })
        .collect()
}

fn status(place: &Place, as_json: bool) -> Outcome {
    let mut rows = Vec::new();
    let mut lines = String::new();
    let mut anywhere = false;
    for found in look(place) {
        let own: Vec<Entry> = match &found.settings {
            Some(Ok(settings)) => {
                all_entries(settings).into_iter().filter(|entry| is_own(&entry.handler)).collect()
            }
            _ => Vec::new(),
        };
        anywhere |= !own.is_empty();
        let commands = own.iter().filter(|entry| own_command(&entry.handler).is_some()).count();
        let urls: BTreeSet<String> = own.iter().filter_map(server_of).map(|server| server.url).collect();
        let events: BTreeSet<&str> = own.iter().map(|entry| &*entry.event).collect();
        let error = found.settings.as_ref().and_then(|settings| settings.as_ref().err());
        let says = match (&found.settings, error) {
            (None, _) => "no such file".to_owned(),
            (_, Some(error)) => format!("cannot be used: {error}"),
            _ if own.is_empty() => "no hooks of DCM".to_owned(),
            _ => format!(
                "{} events ({} http, {commands} command) to {}",
                events.len(),
                own.len() - commands,
                urls.iter().cloned().collect::<Vec<_>>().join(", ")
            ),
        };
        let _ = writeln!(lines, "{:<8} {}\n         {says}", found.scope, found.path.display());
        rows.push(json!({
            "scope": found.scope, "path": found.path, "exists": found.settings.is_some(), "error": error,
            "events": events, "http": own.len() - commands, "commands": commands, "urls": urls,
        }));
    }
    print(&if as_json { json!({"installed": anywhere, "settings": rows}).to_string() } else { lines });
    if anywhere { Outcome::Well } else { Outcome::Failed }
}

/// The path of this program that will still be right after an update: the one that a shell finds, if it leads here.
fn stable_program() -> std::io::Result<String> {
    let this = std::env::current_exe()?;
    let real = this.canonicalize()?;
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("dcm"))
        .find(|path| path.canonicalize().is_ok_and(|path| path == real));
    let path = found.unwrap_or(this);
    path.into_os_string().into_string().map_err(|_| std::io::Error::other("its path is not UTF-8"))
}
