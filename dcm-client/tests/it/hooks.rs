//! `dcm hooks` and `dcm doctor` over settings on disk.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dcm::{User, json as report, text};
use crate::support::{Answer, Asked, Server, url_of_nobody};

const OTHERS: &str = r#"{
    "permissions": {"allow": ["Bash(ls:*)"]},
    "hooks": {
        "PostToolUse": [{"matcher": "Write", "hooks": [{"type": "command", "command": "fmt"}]}],
        "Notification": [{"hooks": [{"type": "command", "command": "beep", "async": true}]}]
    },
    "big": 12345678901234567890,
    "exact": 0.10
}
"#;

fn settings(user: &User) -> PathBuf {
    user.home().join(".claude/settings.json")
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn read(path: &Path) -> Value {
    serde_json::from_str(std::fs::read_to_string(path).unwrap().trim_start_matches('\u{feff}')).unwrap()
}

fn well(user: &User, arguments: &[&str]) -> String {
    let output = user.run(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    text(&output.stdout)
}

fn commands(settings: &Value, event: &str) -> Vec<String> {
    let groups = settings["hooks"][event].as_array().cloned().unwrap_or_default();
    let handlers = groups.iter().flat_map(|group| group["hooks"].as_array().unwrap());
    handlers
        .map(|handler| handler["command"].as_str().or(handler["url"].as_str()).unwrap().to_owned())
        .collect()
}

/// How a file lies there before DCM comes.
struct Fixture {
    name: &'static str,
    /// `None` for no file at all.
    text: Option<String>,
    mode: u32,
    linked: bool,
}

fn fixtures() -> Vec<Fixture> {
    let plain = |name, text: &str| Fixture { name, text: Some(text.to_owned()), mode: 0o644, linked: false };
    vec![
        Fixture { name: "missing", text: None, mode: 0, linked: false },
        plain("empty", ""),
        plain("no hooks", "{\"model\": \"opus\"}"),
        plain("others' hooks", OTHERS),
        plain("CRLF", &OTHERS.replace('\n', "\r\n")),
        plain("byte order mark", &format!("\u{feff}{OTHERS}")),
        plain("no line feed at the end, tabs", &OTHERS.trim_end().replace("    ", "\t")),
        plain("empty lists", "{ \"hooks\" : { \"Stop\" : [ ] , \"SessionEnd\":[{\"hooks\":[]}]} }\n\n"),
        Fixture { mode: 0o400, ..plain("read-only", OTHERS) },
        Fixture { linked: true, ..plain("behind a link", OTHERS) },
    ]
}

#[test]
fn ten_kinds_of_settings_are_as_they_were() {
    for fixture in fixtures() {
        for edited in [false, true] {
            let user = User::new("");
            let path = settings(&user);
            let file = if fixture.linked { user.home().join("dotfiles/claude.json") } else { path.clone() };
            if let Some(text) = &fixture.text {
                write(&file, text);
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(fixture.mode)).unwrap();
            }
            if fixture.linked {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                symlink("../dotfiles/claude.json", &path).unwrap();
            }
            let name = fixture.name;
            let said = well(&user, &["hooks", "install"]);
            assert!(said.contains("settings.json"), "{name}: {said}");
            let installed = std::fs::read(&path).unwrap();
            assert_eq!(
                commands(&read(&path), "PostToolUse").last().unwrap(),
                "http://127.0.0.1:3847/hooks/claude"
            );
            assert!(commands(&read(&path), "SessionStart")[0].ends_with("/dcm hook"), "{name}");
            let again = well(&user, &["hooks", "install"]);
            assert!(again.contains("nothing was changed"), "{name}: {again}");
            assert_eq!(std::fs::read(&path).unwrap(), installed, "{name}");
            well(&user, &["hooks", "status"]);

            if edited && fixture.text.as_ref().is_none_or(|text| !text.is_empty()) && fixture.mode != 0o400 {
                // Somebody changes something else meanwhile; that stays.
                let now = std::fs::read_to_string(&path).unwrap();
                let at = now.find('{').unwrap() + 1;
                std::fs::write(&path, format!("{}\"later\": true,{}", &now[..at], &now[at..])).unwrap();
                well(&user, &["hooks", "uninstall"]);
                let mut now = read(&path);
                assert_eq!(now.as_object_mut().unwrap().remove("later"), Some(json!(true)), "{name}");
                let before =
                    fixture.text.as_deref().unwrap_or("{}").trim_start_matches('\u{feff}').to_owned();
                assert_eq!(now, serde_json::from_str::<Value>(&before).unwrap(), "{name}");
                continue;
            }
            well(&user, &["hooks", "uninstall"]);
            match &fixture.text {
                None => assert!(!path.exists(), "{name}"),
                Some(text) => {
                    assert_eq!(std::fs::read_to_string(&path).unwrap(), *text, "{name}");
                    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                    assert_eq!(mode, fixture.mode, "{name}");
                }
            }
            assert_eq!(path.is_symlink(), fixture.linked, "{name}");
            let nothing = well(&user, &["hooks", "uninstall"]);
            assert!(nothing.contains("no hooks of DCM"), "{name}: {nothing}");
        }
    }
}

#[test]
fn broken_settings_are_refused_with_the_place_and_left_alone() {
    let user = User::new("");
    let path = settings(&user);
    for (broken, place) in [
        ("{\n  \"a\": 1,\n}\n", "line 3, column 1"),
        ("{\"hooks\": {\"Stop\": [}}", "line 1, column 21"),
        ("{\"a\": \"\n\"}", "line 2, column 0"),
        ("[1]", "must hold a JSON object"),
    ] {
        write(&path, broken);
        for what in ["install", "uninstall"] {
            let output = user.run(&["hooks", what]);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(place) && said.contains("settings.json"), "{said}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
        assert_eq!(user.run(&["hooks", "status"]).status.code(), Some(1));
    }
}

#[test]
fn every_scope_and_every_way() {
    let user = User::new("http://127.0.0.1:4000");
    well(&user, &["hooks", "install", "--scope", "project", "--command"]);
    well(&user, &["hooks", "install", "--scope", "local"]);
    let project = read(&user.home().join(".claude/settings.json"));
    assert!(commands(&project, "PostToolUse")[0].ends_with("/dcm hook --url http://127.0.0.1:4000"));
    assert_eq!(project["hooks"]["PreToolUse"][0]["matcher"], "Agent|Task");
    assert_eq!(project["hooks"]["SessionEnd"][0]["hooks"][0]["timeout"], 1);
    let local = read(&user.home().join(".claude/settings.local.json"));
    assert_eq!(commands(&local, "PostToolUse"), ["http://127.0.0.1:4000/hooks/claude"]);
    let status = report(&user.run(&["hooks", "status", "--json"]));
    assert_eq!(status["installed"], true);
    assert_eq!(status["settings"].as_array().unwrap().len(), 2, "the home folder is this folder: {status}");

    let other = user.home().join("elsewhere/s.json");
    let named = other.to_str().unwrap();
    let dry = well(&user, &["hooks", "install", "--settings", named, "--dry-run"]);
    assert!(!other.exists());
    well(&user, &["hooks", "install", "--settings", named]);
    assert_eq!(std::fs::read_to_string(&other).unwrap().trim_end(), dry.trim_end());
    let status = user.run(&["hooks", "status", "--settings", "/nowhere/at/all.json"]);
    assert_eq!(status.status.code(), Some(1));
}

#[test]
fn keys_are_kept_where_nobody_else_looks() {
    let user = User::new("").variable("DCM_API_KEY", "from-outside");
    well(&user, &["hooks", "install"]);
    let here = std::fs::read_to_string(settings(&user)).unwrap();
    assert!(here.contains("Bearer $DCM_API_KEY") && !here.contains("from-outside"), "{here}");

    let user = User::new("");
    let output = user.run(&["hooks", "install", "--scope", "project", "--api-key", "s3cret"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!user.home().join(".claude").exists());
    well(&user, &["hooks", "install", "--api-key", "s3cret"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&settings(&user)), 0o600);
    let keys = user.home().join(".local/share/dcm/client/keys.json");
    assert_eq!((mode(&keys), read(&keys)["http://127.0.0.1:3847"].clone()), (0o600, json!("s3cret")));
    well(&user, &["hooks", "uninstall"]);
    assert_eq!(read(&keys), json!({}));
}

#[test]
fn a_key_is_kept_as_long_as_some_settings_need_it() {
    let user = User::new("");
    let keys = user.home().join(".local/share/dcm/client/keys.json");
    let project = user.home().join("work/.claude/settings.json");
    let project = project.to_str().unwrap();
    well(&user, &["hooks", "install", "--api-key", "s3cret"]);
    well(&user, &["hooks", "install", "--settings", project, "--command", "--api-key", "s3cret"]);
    well(&user, &["hooks", "uninstall"]);
    assert_eq!(read(&keys)["http://127.0.0.1:3847"], "s3cret", "the project's commands have no other");
    well(&user, &["hooks", "install", "--scope", "local", "--api-key", "s3cret"]);
    well(&user, &["hooks", "uninstall", "--settings", project]);
    assert_eq!(read(&keys)["http://127.0.0.1:3847"], "s3cret");
    well(&user, &["hooks", "uninstall", "--scope", "local"]);
    assert_eq!(read(&keys), json!({}));
}

fn healthy(asked: &Asked) -> Answer {
    match &*asked.target {
        "/health" => Answer::Json(
            200,
            json!({"status": "healthy", "timestamp": "2026-01-01T00:00:00.000Z",
                "version": env!("CARGO_PKG_VERSION"),
                "database": {"healthy": true, "latencyMs": 0}, "features": {}}),
        ),
        "/stats" => Answer::Json(
            200,
            json!({"projectCount": 0, "requestCount": 0, "actionCount": 0, "messageCount": 0,
                "timestamp": "2026-01-01T00:00:00.000Z"}),
        ),
        _ => Answer::Json(404, json!({"error": "Not found"})),
    }
}

fn says(report: &Value, level: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let of_level = findings.filter(|finding| finding["level"] == level);
    of_level.map(|finding| finding["says"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_wrong() {
    let server = Server::answering(healthy).await;
    let user = User::new(&server.url);
    let output = user.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(says(&report(&output), "problem"), ["no settings hold DCM's hooks"]);

    well(&user, &["hooks", "install"]);
    let output = user.run(&["doctor", "--no-probe"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!text(&output.stdout).contains('\u{1b}'), "no colours where there is no terminal");
    // The probe goes out, and this server does not record it.
    let output = user.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let problems = says(&report(&output), "problem");
    assert!(problems.len() == 1 && problems[0].contains("the server answers 404"), "{problems:?}");

    let mut broken = read(&settings(&user));
    broken["disableAllHooks"] = json!(true);
    broken["hooks"]["Stop"][0]["hooks"][0] =
        json!({"type": "command", "command": "/gone/dcm hook", "timeout": 5000});
    broken["hooks"]["PreCompact"] = json!([]);
    broken["hooks"]["PostToolUse"]
        .as_array_mut()
        .unwrap()
        .push(json!({"matcher": "*", "hooks": [{"type": "command", "command": "bash ~/x/track-action.sh"}]}));
    write(&settings(&user), &broken.to_string());
    well(&user, &["hooks", "install", "--scope", "local", "--command"]);
    let output = user.run(&["doctor", "--no-probe", "--json"]);
    let report = report(&output);
    let (problems, warnings) = (says(&report, "problem").join("\n"), says(&report, "warning").join("\n"));
    for expected in
        ["disableAllHooks", "/gone/dcm, which is not there", "may take 5000 seconds", "told more than once"]
    {
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
    for expected in
        ["does not tell of PreCompact", "older hook for PostToolUse", "goes to http://127.0.0.1:3847"]
    {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_without_a_server() {
    let user = User::new(&url_of_nobody().await);
    user.hook(r#"{"hook_event_name":"Stop","session_id":"s"}"#);
    let output = user.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let warnings = says(&report(&output), "warning").join("\n");
    assert!(warnings.contains("1 events"), "{warnings}");
}
