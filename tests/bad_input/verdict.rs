//! What every refusal has to look like.

use std::fmt::Write as _;

use serde_json::Value;

use crate::world::Answer;

/// Words that an answer never has in it: of the database, of the library, of the machine.
const INSIDE: [&str; 14] = [
    "select",
    "insert",
    "sqlite",
    "postgres",
    "sqlstate",
    "constraint",
    "relation \"",
    "syntax error at",
    "panicked",
    "/home",
    "/root",
    "/tmp",
    ".rs:",
    "src/",
];

/// Everything that was wrong about the answers of one test.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    complaints: Vec<String>,
    pub(crate) judged: usize,
}

impl Verdict {
    /// A refusal with this status that names `field`, if one is at fault.
    pub(crate) fn refused(&mut self, what: &str, answer: &Answer, status: u16, field: Option<&str>) {
        self.judged += 1;
        let mut complain = |complaint: &str| {
            let body: String = answer.body.chars().take(300).collect();
            self.complaints.push(format!("{what}: {complaint}: {} {body}", answer.status));
        };
        if answer.status != status {
            return complain(&format!("not {status}"));
        }
        if answer.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
            return complain("no JSON by its headers");
        }
        let Ok(body) = serde_json::from_str::<Value>(&answer.body) else { return complain("no JSON") };
        if body["error"].as_str().is_none_or(str::is_empty) {
            complain("no `error`");
        }
        if let Some(field) = field {
            let complaints = body["details"][field].as_array();
            if !complaints.is_some_and(|all| {
                !all.is_empty() && all.iter().all(|one| one.as_str().is_some_and(|one| one.len() > 4))
            }) {
                complain(&format!("`details` does not say what is wrong with {field}"));
            }
        }
        let lower = answer.body.to_lowercase();
        if let Some(word) = INSIDE.iter().find(|word| lower.contains(*word)) {
            complain(&format!("{word} is in the answer"));
        }
        if answer.body.len() > 4000 {
            complain("a long answer to a bad request");
        }
    }

    /// A success with this status.
    pub(crate) fn taken(&mut self, what: &str, answer: &Answer, status: u16) {
        self.judged += 1;
        if answer.status != status {
            self.complaints.push(format!("{what}: not {status}: {} {}", answer.status, answer.body));
        }
    }

    /// Fails the test when there was a complaint, or nothing to judge.
    pub(crate) fn end(self, at_least: usize) {
        let mut text = String::new();
        for complaint in self.complaints.iter().take(60) {
            let _ = writeln!(text, "  {complaint}");
        }
        let (wrong, all) = (self.complaints.len(), self.judged);
        assert!(self.complaints.is_empty(), "{wrong} of {all} answers are wrong:\n{text}");
        assert!(all >= at_least, "only {all} answers were judged");
    }
}
