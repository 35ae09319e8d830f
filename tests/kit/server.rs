//! The real server, as a process of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binary;
use crate::embedded;
use crate::ports::free_port;
use crate::postgres::Database;

/// How long a server may take to start, to answer or to stop before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Where a server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In a file of its own.
    Embedded,
    /// In a database of its own on PostgreSQL.
    Postgres,
}

/// The part of the service that a process runs alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// REST.
    Api,
    /// WebSocket.
    Socket,
    /// The dashboard.
    Dashboard,
}

/// What a server is started with.
#[derive(Debug)]
pub struct Options {
    program: Option<PathBuf>,
    database_url: Option<String>,
    database: Option<Database>,
    data_dir: Option<PathBuf>,
    part: Option<Part>,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

/// A running server, or one that ran; it is killed when this value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    ports: Ports,
    options: Options,
    folder: TempDir,
    http: reqwest::Client,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    api: u16,
    socket: u16,
    dashboard: u16,
}

impl Options {
    /// A server with a store of its own.
    #[must_use]
    pub fn on(store: Store) -> Self {
        let database = (store == Store::Postgres).then(Database::create);
        Self {
            program: None,
            database_url: database.as_ref().map(|database| database.url().to_owned()),
            database,
            data_dir: None,
            part: None,
            wrapper: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// A server on a database that outlives it, or that it shares.
    #[must_use]
    pub fn on_database(url: &str) -> Self {
        Self { database_url: Some(url.to_owned()), ..Self::on(Store::Embedded) }
    }

    /// Keeps the data in a folder that outlives the server.
    #[must_use]
    pub fn data_dir(self, path: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(path.into()), ..self }
    }

    /// Another build of the program than that of the running test.
    #[must_use]
    pub fn program(self, path: impl Into<PathBuf>) -> Self {
        Self { program: Some(path.into()), ..self }
    }

    /// Runs the program under another one, such as a tracer that replaces itself by it.
    #[must_use]
    pub fn under(self, wrapper: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self { wrapper: wrapper.into_iter().map(|part| part.as_ref().to_owned()).collect(), ..self }
    }

    /// Runs one part of the service alone.
    #[must_use]
    pub fn only(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// One more environment variable; the server has none of the caller's but `PATH`.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts it and waits until it says that it is healthy.
    pub async fn start(self) -> Server {
        let mut server = self.spawn();
        server.wait_until_healthy().await;
        server
    }

    /// Starts it and waits for nothing: it may well exit at once.
    #[must_use]
    pub fn spawn(self) -> Server {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client");
        let ports = Ports { api: free_port(), socket: free_port(), dashboard: free_port() };
        let folder = tempfile::Builder::new().prefix("dcm-server-").tempdir().expect("a temporary folder");
        let mut server = Server { child: None, ports, options: self, folder, http };
        server.launch();
        server
    }
}

impl Server {
    /// A healthy server with a store of its own.
    pub async fn start(store: Store) -> Self {
        Options::on(store).start().await
    }

    /// `http://127.0.0.1:PORT` of the REST API.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.api)
    }

    /// `ws://127.0.0.1:PORT` of the WebSocket side.
    #[must_use]
    pub fn socket(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ports.socket)
    }

    /// `http://127.0.0.1:PORT` of the dashboard.
    #[must_use]
    pub fn dashboard(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.dashboard)
    }

    /// A client that has no proxy and does not wait for ever.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The process, while it runs.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server was stopped").id()
    }

    /// Where it keeps its data, unless that is on PostgreSQL.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// The database that it was given for itself.
    #[must_use]
    pub fn database(&self) -> Option<&Database> {
        self.options.database.as_ref()
    }

    /// Runs one statement on the store that it was given for itself, while it runs; every value as text.
    #[must_use]
    pub fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        match &self.options.database {
            Some(database) => database.rows(sql),
            None => embedded::rows(&self.data_dir().join("dcm.db"), sql),
        }
    }

    /// The one number that `sql` gives.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql);
        let value = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        value.unwrap_or_else(|| panic!("{sql} gave no number but {rows:?}"))
    }

    /// Everything it wrote to its two outputs, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself just now.
            let _ = child.kill();
            child.wait().expect("the killed server ends");
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("the server can be signalled");
        self.wait_until_exit().await
    }

    /// Stops it, unless it is down already, and starts it again on the same data, at the same addresses.
    pub async fn restart(&mut self) {
        if self.child.is_some() {
            self.stop().await;
        }
        self.launch();
        self.wait_until_healthy().await;
    }

    /// Starts it again after it went down, and waits for nothing.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log =
            File::options().create(true).append(true).open(self.log_path()).expect("the log can be written");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let path = command.get_program().to_owned();
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }

    /// Waits until it answers that it is healthy.
    pub async fn wait_until_healthy(&mut self) {
        let url = match self.options.part {
            None | Some(Part::Api) => format!("{}/health", self.api()),
            Some(Part::Socket) => format!("http://127.0.0.1:{}/health", self.ports.socket),
            Some(Part::Dashboard) => self.dashboard(),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            if let Some(status) = self.try_exit() {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "{url} is not healthy after {PATIENCE:?}:\n{}", self.log());
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Waits until it ends by itself.
    pub async fn wait_until_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.try_exit() {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "the server still runs after {PATIENCE:?}:\n{}", self.log());
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    fn try_exit(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("the server is our child")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn command(&self) -> Command {
        let options = &self.options;
        let program = options.program.clone().unwrap_or_else(|| binary::program("dcm-server"));
        let mut words = options.wrapper.iter().map(PathBuf::from).chain([program]);
        let first = words.next().unwrap_or_default();
        let mut command = clean_command(&first, self.folder.path());
        command.args(words);
        for (flag, port) in [
            ("--port", self.ports.api),
            ("--ws-port", self.ports.socket),
            ("--dashboard-port", self.ports.dashboard),
        ] {
            command.arg(flag).arg(port.to_string());
        }
        if let Some(part) = options.part {
            command.arg("--only").arg(match part {
                Part::Api => "api",
                Part::Socket => "ws",
                Part::Dashboard => "dashboard",
            });
        }
        command.env("DCM_DATA_DIR", self.data_dir());
        command.envs(options.database_url.iter().map(|url| ("DATABASE_URL", url)));
        command.envs(options.variables.iter().map(|(name, value)| (name, value)));
        command.args(&options.arguments);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server wrote:\n{}", self.log());
        }
    }
}

/// A command that sees nothing of the caller's settings: no variables, no `.env`, no home folder but `home`.
pub(crate) fn clean_command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(home).env("HOME", home).env("RUST_BACKTRACE", "1");
    command.env("PATH", env::var_os("PATH").unwrap_or_default());
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn script(folder: &TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("program");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_server_sees_its_own_settings_and_none_of_the_callers() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "env; echo \"arguments: $*\"; exit 3");
        let options = Options::on_database("postgres://db.invalid/x").program(program).only(Part::Api);
        let mut server = options.variable("DCM_ENV", "production").argument("--verbose").spawn();
        assert_eq!(server.wait_until_exit().await.code(), Some(3));
        let log = server.log();
        let ports = server.ports;
        let flags = format!(
            "--port {} --ws-port {} --dashboard-port {} --only api --verbose",
            ports.api, ports.socket, ports.dashboard
        );
        assert!(log.contains(&format!("arguments: {flags}\n")), "{log}");
        for line in ["DATABASE_URL=postgres://db.invalid/x\n", "DCM_ENV=production\n", "/data\n"] {
            assert!(log.contains(line), "{line} is not in {log}");
        }
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some() && !log.contains("CARGO_MANIFEST_DIR"), "{log}");
    }

    #[tokio::test]
    async fn a_server_can_be_stopped_killed_and_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let program =
            script(&folder, "trap 'echo stopped; exit 0' TERM; echo started; while :; do sleep 0.01; done");
        let mut server = Options::on(Store::Embedded).program(program).spawn();
        let (address, first) = (server.api(), server.pid());
        while !server.log().contains("started") {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        assert!(server.stop().await.success());
        assert_eq!(server.log(), "started\nstopped\n");

        server.launch();
        assert_ne!(server.pid(), first);
        assert_eq!(server.api(), address);
        server.kill();
        assert!(server.child.is_none());

        server.launch();
        let child = server.child.as_mut().unwrap();
        child.kill().unwrap();
        assert_eq!(server.wait_until_exit().await.signal(), Some(9));
    }
}
