//! The program itself: its configuration, its start and its end.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The program in an empty world: no variables, a directory of its own.
fn program(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcm-server"));
    command
        .env_clear()
        .env("HOME", directory)
        .envs([("PORT", "0"), ("WS_PORT", "0"), ("DASHBOARD_PORT", "0")])
        .envs(variables.iter().copied())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

fn output(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    program(directory.path(), variables, arguments).output().unwrap()
}

/// Runs the program, which must refuse its configuration in one line.
fn refused(variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = output(variables, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_bad_value_names_variable_value_and_fix() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("PORT", "abc", &["abc", "1 to 65535"]),
        ("WS_PORT", "70000", &["70000", "1 to 65535"]),
        ("DASHBOARD_PORT", "-1", &["-1", "1 to 65535"]),
        ("DB_PORT", "0", &["\"0\"", "1 to 65535"]),
        ("HOST", "http://x", &["http://x", "127.0.0.1"]),
        ("HOST", "localhost:80", &["localhost:80", "without a port"]),
        ("MESSAGE_TTL_MS", "1h", &["1h", "whole number"]),
        ("HEALTHCHECK_INTERVAL_MS", "0", &["\"0\"", "whole number from 10"]),
        ("MAX_DB_RETRIES", "-1", &["-1", "0 to 100"]),
        ("DB_MAX_CONNECTIONS", "0", &["\"0\"", "1 to 1000"]),
        ("NODE_ENV", "prod", &["prod", "production"]),
        ("DCM_ENV", "staging", &["staging", "development or production"]),
        ("ALLOWED_ORIGINS", "*", &["*", "http://localhost:3000"]),
        ("DCM_ALLOWED_HOSTS", "http://a", &["http://a", "host name"]),
        ("RUST_LOG", "dcm=loud", &["loud", "dcm=debug,info"]),
        ("DCM_EVENT_RETENTION_DAYS", "week", &["week", "whole number"]),
        ("DATABASE_URL", "mysql://x", &["postgres://user:password@"]),
        ("DB_USER", "u", &["DB_PASSWORD is missing"]),
        ("DB_HOST", "db", &["DB_USER and DB_PASSWORD are missing"]),
        ("DCM_ONLY", "ws", &["--only", "PostgreSQL", "DATABASE_URL"]),
    ];
    for (variable, value, parts) in cases {
        let text = refused(&[(variable, value)], &[]);
        assert_says(&text, &["dcm-server: ", variable]);
        assert_says(&text, parts);
    }
}

#[test]
fn an_open_address_needs_a_key() {
    let text = refused(&[("HOST", "0.0.0.0")], &[]);
    assert_says(&text, &["HOST", "0.0.0.0", "DCM_API_KEYS"]);

    let text = refused(&[("HOST", "0.0.0.0"), ("DCM_API_KEYS", "hush")], &[]);
    assert_says(&text, &["HOST", "0.0.0.0", "4 bytes in DCM_API_KEYS", "16 bytes", "openssl rand"]);
    assert!(!text.contains("hush"), "{text}");

    let text = refused(&[("HOST", "::"), ("DCM_API_KEYS", "a-key-of-16-byte,hush-hush")], &[]);
    assert_says(&text, &["HOST", "9 bytes in DCM_API_KEYS"]);
}

#[test]
fn production_needs_a_secret() {
    assert_says(&refused(&[("NODE_ENV", "production")], &[]), &["WS_AUTH_SECRET", "openssl rand"]);
    let example = [("DCM_ENV", "production"), ("WS_AUTH_SECRET", "dcm-dev-secret-change-me")];
    assert_says(&refused(&example, &[]), &["WS_AUTH_SECRET", "example"]);
    let short = [("DCM_ENV", "production"), ("WS_AUTH_SECRET", "hush-hush")];
    let text = refused(&short, &[]);
    assert_says(&text, &["WS_AUTH_SECRET", "32 bytes"]);
    assert!(!text.contains("hush"));
}

#[test]
fn flags_are_checked_like_variables() {
    assert_says(&refused(&[], &["--port", "abc"]), &["--port (PORT)", "abc"]);
    let unknown = output(&[], &["--prot", "1"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_says(&String::from_utf8(unknown.stderr).unwrap(), &["--prot", "--port"]);
}

#[test]
fn the_file_of_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    let run = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(directory.path().join(".env"), text).unwrap();
        let output = program(directory.path(), variables, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_says(&run("MAX_DB_RETRIES=many\n", &[]), &["MAX_DB_RETRIES in .env", "many"]);
    // What is set to nothing counts as not set; what is set wins over the file.
    assert_says(&run("MAX_DB_RETRIES=many\n", &[("MAX_DB_RETRIES", "")]), &["MAX_DB_RETRIES in .env"]);
    let text = run("MAX_DB_RETRIES=1\n", &[("MAX_DB_RETRIES", "none")]);
    assert!(text.starts_with("dcm-server: MAX_DB_RETRIES (--max-db-retries) is \"none\""), "{text}");
    let text = run("PORT=0\nDB_PASSWORD hush\n", &[]);
    assert_says(&text, &[".env line 2", "DB_PASSWORD", "NAME=value"]);
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn what_needs_no_configuration_works_with_a_broken_one() {
    let broken = [("PORT", "abc")];
    let document = output(&broken, &["openapi"]);
    assert_eq!(document.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document, dcm::api::openapi::document());
    let help = output(&broken, &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for variable in
        ["DATABASE_URL", "DCM_DATA_DIR", "WS_AUTH_SECRET", "DCM_API_KEYS", "ALLOWED_ORIGINS", "RUST_LOG"]
    {
        assert_says(&help, &[&format!("[env: {variable}]")]);
    }
    assert_eq!(output(&broken, &["--version"]).status.code(), Some(0));
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = output(&[("WS_PORT", &port)], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8(output.stderr).unwrap(), &[&port, "in use", "WS_PORT"]);
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let data = directory.path().join("file/data");
    let output =
        program(directory.path(), &[("DCM_DATA_DIR", data.to_str().unwrap())], &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_says(&String::from_utf8(output.stderr).unwrap(), &["file/data", "DCM_DATA_DIR"]);
}

/// A running program, killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What the service said of itself, in order.
#[cfg(unix)]
fn notices(api: &str) -> Vec<(String, String)> {
    let answer = ask(api, "/api/events?channel=global");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let page: serde_json::Value = serde_json::from_str(body).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| (text(&event["event"]), text(&event["data"]["status"]))).collect()
}

#[cfg(unix)]
#[test]
fn it_says_when_it_starts_and_stops_and_that_a_backup_was_restored() {
    let directory = tempfile::tempdir().unwrap();
    let run = || {
        let mut running = Running(
            program(directory.path(), &[], &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap(),
        );
        let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
        let address = lines.map(Result::unwrap).nth(1).unwrap().rsplit("//").next().unwrap().to_owned();
        let said = notices(&address);
        let told = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
        said
    };
    let info = |status: &str| ("system.info".to_owned(), status.to_owned());
    assert_eq!(run(), [info("started")]);
    let raised = program(directory.path(), &[], &["raise-epoch"]).output().unwrap();
    assert_eq!(raised.status.code(), Some(0), "{raised:?}");
    assert_says(&String::from_utf8(raised.stdout).unwrap(), &["dcm.db", "new epoch"]);
    assert_eq!(run(), [info("started"), info("stopping"), info("epoch_raised"), info("started")]);
}

#[test]
fn it_starts_says_where_and_stops_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running(
        program(directory.path(), &[], &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap(),
    );
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let said: Vec<_> = lines.map(Result::unwrap).take(6).collect();
    assert_says(&said[0], &["DCM", env!("CARGO_PKG_VERSION")]);
    let file = directory.path().join(".local/share/dcm/dcm.db");
    assert_says(&said[4], &[file.to_str().unwrap(), "embedded"]);
    assert!(file.exists());
    let address = |line: &str| line.rsplit("//").next().unwrap().to_owned();
    let import = format!("dcm import --url http://{} ~/.claude/projects", address(&said[1]));
    assert_says(&said[5], &[&import]);
    let [api, sockets, dashboard] = [address(&said[1]), address(&said[2]), address(&said[3])];
    assert!(ask(&api, "/health").starts_with("HTTP/1.1 200 "));
    assert!(ask(&sockets, "/health").contains("\"type\":\"websocket\""));
    assert!(ask(&dashboard, "/").contains("<title>DCM</title>"));

    let port = api.rsplit(':').next().unwrap();
    let well = program(directory.path(), &[], &["healthcheck", "--port", port]).output().unwrap();
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    // The pages of this dashboard, wherever it is, may call.
    let dashboard_port = dashboard.rsplit(':').next().unwrap();
    let mut stream = TcpStream::connect(&api).unwrap();
    write!(stream, "GET /health HTTP/1.1\r\nHost: {api}\r\nOrigin: http://localhost:{dashboard_port}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let told = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
        assert!(TcpStream::connect(&api).is_err());
        let ill = program(directory.path(), &[], &["healthcheck", "--port", port]).output().unwrap();
        assert_eq!(ill.status.code(), Some(1));
    }
}
