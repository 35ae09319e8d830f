//! A throwaway PostgreSQL server.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::free_port;

/// Waits until the test process is gone, however it went, then stops the server and removes its folder.
const JANITOR: &str = r#"trap "" HUP INT TERM; cat >/dev/null
"$1/pg_ctl" --pgdata="$2/data" --mode=immediate --silent stop; cd /; rm -rf "$2""#;

/// A PostgreSQL server of its own in a temporary folder, on a free loopback port, as a user that is not root.
///
/// It writes to the disk as a real one does (`fsync` is on). It is removed when this value is dropped, and also when
/// the process dies without dropping it.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    account: Option<Account>,
    folder: PathBuf,
    port: u16,
    janitor: Option<Child>,
}

/// Whom the server runs as when the tests run as root, which PostgreSQL refuses.
#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Cluster {
    /// A server with the settings of a new installation.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with other `settings`, such as `("max_connections", "5")`.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::prepare();
        cluster.initialise(settings);
        cluster.start_first_time();
        cluster
    }

    /// An empty folder for a server that is not there yet, and who removes it.
    fn prepare() -> Self {
        let programs = find_programs();
        let folder = tempfile::Builder::new().prefix("dcm-postgres-").tempdir().expect("a temporary folder");
        let account = Account::needed_for(folder.path());
        if let Some(account) = account {
            chown(folder.path(), Some(account.user), Some(account.group))
                .expect("the folder can be given away");
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))
            .expect("the folder can be closed");

        // From here on the janitor removes it.
        let mut cluster = Self { programs, account, folder: folder.keep(), port: free_port(), janitor: None };
        cluster.janitor = Some(cluster.hire_janitor());
        cluster
    }

    /// The URL of a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The loopback port it listens on, while it runs.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds `initdb`, `pgbench` and the others of the same version.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A standby that follows this one without being waited for.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self::prepare();
        let mut backup = standby.program("pg_basebackup");
        backup.arg("--pgdata").arg(standby.folder.join("data")).arg("--dbname").arg(self.url());
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        let output = backup.output().expect("pg_basebackup runs");
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        standby.start_first_time();
        standby
    }

    /// Makes a standby receive nothing any more from the server that it follows.
    pub fn cut_off(&self) {
        let sql = "alter system set primary_conninfo = ''";
        for sql in [sql, "select pg_reload_conf()"] {
            let _ = self.rows("postgres", sql);
        }
        // Until then it may still receive something.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.rows("postgres", "select 1 from pg_stat_wal_receiver").is_empty() {
            assert!(Instant::now() < deadline, "the standby still receives:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a standby the server, at the address of `other`, which is down.
    pub fn take_over(&mut self, other: &Self) {
        self.stop();
        self.port = other.port;
        self.start_again();
        self.control(&["promote"]);
    }

    /// Runs one statement in one of its databases; the rows, every value as text.
    #[must_use]
    pub fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}", self.port);
        super::query(&url, sql).unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.log()))
    }

    /// Stops it; connections are cut, what is committed is written out.
    pub fn stop(&self) {
        self.control(&["--mode=fast", "stop"]);
    }

    /// Stops it as a crash does: nothing is written out, the next start recovers from the write-ahead log.
    pub fn kill(&self) {
        self.control(&["--mode=immediate", "stop"]);
    }

    /// Starts it again at the same address.
    pub fn start_again(&self) {
        self.control(&["start"]);
    }

    fn initialise(&self, settings: &[(&str, &str)]) {
        let data = self.folder.join("data");
        let mut initdb = self.program("initdb");
        // The new files need no flush: nobody relies on them before they are used.
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--pgdata",
        ]);
        let output = initdb.arg(&data).output().expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));

        let path = data.join("postgresql.conf");
        let mut text = fs::read_to_string(&path).expect("initdb wrote postgresql.conf");
        text.push_str(
            "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n",
        );
        for (name, value) in settings {
            writeln!(text, "{name} = '{value}'").expect("text can be written to");
        }
        fs::write(&path, text).expect("postgresql.conf can be written");
    }

    /// Somebody else may take the free port before PostgreSQL does; then another one is tried.
    fn start_first_time(&mut self) {
        for _ in 0..4 {
            if self.pg_ctl(&["start"]).status.success() {
                return;
            }
            assert!(
                self.log().contains("Address already in use"),
                "PostgreSQL does not start:\n{}",
                self.log()
            );
            self.port = free_port();
        }
        panic!("PostgreSQL finds no free port:\n{}", self.log());
    }

    fn control(&self, arguments: &[&str]) {
        let output = self.pg_ctl(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_ctl {arguments:?}: {complaint}\n{}", self.log());
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.program("pg_ctl");
        command.arg("--pgdata").arg(self.folder.join("data")).args(["--wait", "--timeout=60", "--silent"]);
        if arguments.contains(&"start") {
            command.arg("--log").arg(self.folder.join("log")).arg(format!("--options=-p {}", self.port));
        }
        command.args(arguments).output().expect("pg_ctl runs")
    }

    fn program(&self, name: &str) -> Command {
        self.as_account(Command::new(self.programs.join(name)))
    }

    fn hire_janitor(&self) -> Child {
        let mut command = self.as_account(Command::new("sh"));
        command.args(["-c", JANITOR, "janitor"]).arg(&self.programs).arg(&self.folder);
        // In a process group of its own: a test runner that kills the group of the test must not kill it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().expect("sh runs")
    }

    fn as_account(&self, mut command: Command) -> Command {
        // The environment of the caller may hold PGDATA, PGHOST and the like.
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        command.current_dir(&self.folder);
        if let Some(Account { user, group }) = self.account {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            // It fails only where the machine is about to fail; there is nothing left to do then.
            let _ = janitor.wait();
        }
    }
}

impl Account {
    /// None when the tests do not run as root, seen from who owns a folder that they made.
    fn needed_for(own_folder: &Path) -> Option<Self> {
        let root = fs::metadata(own_folder).expect("the folder is there").uid() == 0;
        root.then(|| {
            let accounts = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
            ["postgres", "nobody"]
                .iter()
                .find_map(|name| Self::named(name, &accounts))
                .expect("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
        })
    }

    fn named(name: &str, accounts: &str) -> Option<Self> {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next() == Some(name);
            let mut ids = fields.skip(1).map_while(|field| field.parse().ok());
            found.then_some(Self { user: ids.next()?, group: ids.next()? })
        })
    }
}

/// The folder with `initdb` and `pg_ctl`: the one on the path, else the newest of Debian's.
fn find_programs() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort();
    env::split_paths(&path)
        .chain(debian.into_iter().rev().map(|(_, folder)| folder))
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
        // Links lead to the folder that holds the other programs as well.
        .and_then(|folder| Some(fs::canonicalize(folder.join("pg_ctl")).ok()?.parent()?.to_owned()))
        .expect("no PostgreSQL server is installed (initdb, pg_ctl): run `tests/run`, which installs it on Debian")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Database;

    #[test]
    fn a_cluster_survives_a_crash_and_a_stop_and_leaves_nothing_behind() {
        let cluster = Cluster::start_with(&[("max_connections", "17")]);
        let database = Database::create_on(&cluster);
        assert_eq!(database.value("show max_connections"), "17");
        database.execute("create table kept (a int); insert into kept values (1)");

        cluster.kill();
        cluster.start_again();
        assert_eq!(database.value("select a from kept"), "1");
        assert!(cluster.log().contains("automatic recovery"), "the stop was no crash:\n{}", cluster.log());

        cluster.stop();
        cluster.start_again();
        assert_eq!(database.value("select a from kept"), "1");

        drop(database);
        let folder = cluster.folder.clone();
        assert!(folder.exists());
        drop(cluster);
        assert!(!folder.exists());
    }

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let accounts =
            "root:x:0:0::/root:/bin/sh\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/:/bin/sh\n";
        let account = Account::named("postgres", accounts).unwrap();
        assert_eq!((account.user, account.group), (101, 104));
        assert!(Account::named("nobody", accounts).is_none());
    }
}
