//! The `dcm` command as a process of its own, with a home folder of its own and none of the caller's settings.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A user of the command.
pub(crate) struct User {
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl User {
    pub(crate) fn new(url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, variables: vec![("DCM_URL".to_owned(), url.to_owned())] }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where what waits for its server lies; `None` when nothing ever did.
    pub(crate) fn spool(&self) -> Option<PathBuf> {
        let mut found = self.home().join(".local/share/dcm/client/spool").read_dir().ok()?;
        let folder = found.next()?.unwrap().path();
        assert!(found.next().is_none(), "there is one server");
        Some(folder)
    }

    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dcm"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.home()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `dcm hook` that reads `input` and has all the time that it needs.
    pub(crate) fn hook(&self, input: &str) -> Output {
        self.hook_with(&["hook", "--deadline-ms", "60000"], input)
    }

    pub(crate) fn hook_with(&self, arguments: &[&str], input: &str) -> Output {
        self.start(arguments, input).wait_with_output().unwrap()
    }

    pub(crate) fn start(&self, arguments: &[&str], input: &str) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that does not read its input has its reasons.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}
