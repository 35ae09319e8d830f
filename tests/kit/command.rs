//! The real `dcm` command, as a process of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::future::Future;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::timeout;

use crate::binary;
use crate::server::clean_command;

/// How long a command may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// A `dcm` command that is about to run.
#[derive(Debug)]
pub struct Dcm {
    command: std::process::Command,
    folder: TempDir,
}

/// A `dcm` command that runs; it is killed when this value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    folder: TempDir,
}

/// A `dcm` command that ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Dcm {
    /// `dcm` with these arguments, in an empty home folder of its own and without the caller's environment.
    #[must_use]
    pub fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let folder = tempfile::Builder::new().prefix("dcm-command-").tempdir().expect("a temporary folder");
        let mut command = clean_command(&binary::program("dcm"), folder.path());
        command.args(arguments).stdin(Stdio::null());
        Self { command, folder }
    }

    /// One more environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// A home folder that outlives the command.
    #[must_use]
    pub fn home(mut self, path: &Path) -> Self {
        self.command.env("HOME", path).current_dir(path);
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        let path = self.folder.path().join("stdin");
        fs::write(&path, text).expect("the input can be written");
        self.command.stdin(File::open(&path).expect("the input can be read"));
        self
    }

    /// Runs it to its end.
    pub async fn run(self) -> Finished {
        self.start().wait().await
    }

    /// Starts it.
    #[must_use]
    pub fn start(mut self) -> Running {
        // Files, not pipes: nobody has to read them while the command runs.
        let output = |name| File::create(self.folder.path().join(name)).expect("the output can be written");
        self.command.stdout(output("stdout")).stderr(output("stderr"));
        let child = tokio::process::Command::from(self.command).kill_on_drop(true).spawn().expect("dcm runs");
        Running { child, folder: self.folder }
    }
}

impl Running {
    /// Waits until it ends by itself.
    pub async fn wait(mut self) -> Finished {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("dcm still runs after {PATIENCE:?}: {:?}", self.texts());
        };
        self.finished(status.expect("dcm is our child"))
    }

    /// Kills it with SIGKILL as soon as `moment` has come.
    ///
    /// A command that ends before that fails the test: it was not killed half-way.
    pub async fn kill_when(mut self, moment: impl Future<Output = ()>) -> Finished {
        let ended = tokio::select! {
            () = moment => false,
            _ = self.child.wait() => true,
            () = tokio::time::sleep(PATIENCE) => panic!("the moment to kill dcm did not come within {PATIENCE:?}"),
        };
        assert!(!ended, "dcm ended before it was killed: {:?}", self.texts());
        self.child.start_kill().expect("dcm is our child");
        self.wait().await
    }

    fn texts(&self) -> (String, String) {
        let text = |name| {
            let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (text("stdout"), text("stderr"))
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        let (stdout, stderr) = self.texts();
        Finished { status, stdout, stderr }
    }
}

impl Finished {
    /// Its standard output; the test fails unless it exited with 0.
    #[must_use]
    pub fn success(self) -> String {
        assert!(self.status.success(), "dcm: {}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }
}
