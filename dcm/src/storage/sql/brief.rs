//! The rows of the query `brief`: of many kinds, in one answer.

use std::cmp::Reverse;

use super::value::{Row, Statement};
use crate::api::context::{ContextMessage, ContextProject};
use crate::error::{Error, Result};
use crate::json::{JsonObject, WORDS};
use crate::model::{Compaction, RequestStatus, SubtaskStatus};
use crate::observe::text_member;
use crate::storage::{
    BriefBlocker, BriefBlocking, BriefContext, BriefFailure, BriefFile, BriefList, BriefPrompt, BriefQuery,
    BriefRows, BriefSnapshot, BriefStep, BriefSummary, BriefWork, OpenFailure,
};

/// The first column, that says of what kind a row is.
const KIND: usize = 0;
const ID: usize = 1;
/// Seven texts, what they say depends on the kind.
const TEXT: usize = 2;
/// Two numbers.
const NUMBER: usize = 9;
/// Three times.
const TIME: usize = 11;
/// A list, as JSON text.
const LIST: usize = 14;
const BYTES: usize = 15;

/// Asks for the rows.
pub(super) fn brief_statement(query: BriefQuery) -> Statement {
    // One more than is wanted says that there are more.
    let many = query.lines.saturating_add(1);
    let (prompts, some) = (query.prompts().saturating_add(1), query.contexts().saturating_add(1));
    let (failures, files) = (query.failures().saturating_add(1), query.files().saturating_add(1));
    let file_calls = query.file_calls();
    let compacted_as = Compaction::kept_for(&query.session_id, Some(&query.agent_id)).unwrap_or_default();
    Statement::new("brief")
        .with("compacted_as", compacted_as)
        .with("agent", query.agent_id)
        .with("given_type", query.agent_type)
        .with("assumed_type", query.assumed_type)
        .with("many", many)
        .with("some", some)
        .with("prompts", prompts)
        .with("failures", failures)
        .with("files", files)
        .with("file_calls", file_calls)
        .with("session_id", query.session_id)
        .with("project_id", query.project_id)
        .with("steps", query.steps)
        .with("now", query.now)
}

fn prompt(row: &mut Row) -> Result<BriefPrompt> {
    let added = row.opt_text(TEXT + 2)?;
    let (text, all) = (row.text(TEXT)?, row.int(NUMBER)?);
    Ok(BriefPrompt {
        id: row.id(ID)?,
        whole: i64::try_from(text.chars().count()).is_ok_and(|kept| all <= kept),
        text,
        // Anybody may have written the metadata: what is no list of texts is none.
        added: added.and_then(|added| serde_json::from_str(&added).ok()).unwrap_or_default(),
        status: row.opt_word(TEXT + 1)?.unwrap_or(RequestStatus::Active),
        created_at: row.time(TIME)?,
    })
}

/// A document. A very long one was cut in the database, and is none any more; its beginning says the same.
fn words_or_object(text: &str) -> JsonObject {
    JsonObject::parse(text).unwrap_or_else(|_| {
        let words = WORDS.iter().find_map(|name| text_member(text, name));
        JsonObject::from_value(serde_json::json!({ "message": words.unwrap_or_else(|| text.to_owned()) }))
    })
}

fn work(row: &mut Row) -> Result<BriefWork> {
    Ok(BriefWork {
        id: row.id(ID)?,
        description: row.opt_text(TEXT)?,
        status: row.opt_word(TEXT + 1)?.unwrap_or(SubtaskStatus::Pending),
        agent_type: row.opt_text(TEXT + 2)?,
        agent_id: row.opt_text(TEXT + 3)?,
        task_name: row.opt_text(TEXT + 4)?,
        result: row.opt_text(TEXT + 5)?.map(|result| words_or_object(&result)),
        wave_number: row.opt_int32(NUMBER)?,
        created_at: row.time(TIME)?,
        started_at: row.opt_time(TIME + 1)?,
        completed_at: row.opt_time(TIME + 2)?,
        blocked_by: row.opt_ids(LIST)?.unwrap_or_default(),
    })
}

/// A message, and to whom it is; to all where nobody is named.
fn message(row: &mut Row) -> Result<(ContextMessage, Option<String>)> {
    let (content, to) = (row.text(TEXT + 2)?, row.opt_text(TEXT + 3)?);
    let message = ContextMessage {
        id: row.id(ID)?,
        from_agent: row.opt_text(TEXT)?,
        topic: row.opt_text(TEXT + 1)?,
        content: words_or_object(&content),
        is_broadcast: to.is_none(),
        priority: row.opt_int32(NUMBER)?.unwrap_or(0),
        created_at: row.time(TIME)?,
    };
    Ok((message, to))
}

/// What an input says; one that is no text, as the original's compressed ones, says nothing to a reader.
fn text_of(mut input: Vec<u8>) -> Option<String> {
    if let Err(error) = std::str::from_utf8(&input) {
        // The database may have cut it inside its last character.
        if error.error_len().is_some() {
            return None;
        }
        input.truncate(error.valid_up_to());
    }
    String::from_utf8(input).ok()
}

fn step(row: &mut Row) -> Result<BriefStep> {
    Ok(BriefStep {
        id: row.id(ID)?,
        tool_name: row.text(TEXT)?,
        agent_id: row.opt_text(TEXT + 1)?,
        input: row.opt_bytes(BYTES)?.and_then(text_of),
        paths: row.texts(LIST)?,
        exit_code: row.opt_int32(NUMBER)?.unwrap_or(0),
        created_at: row.time(TIME)?,
    })
}

/// How many unread messages there are to the agent, to its kinds, and to all.
#[derive(Default)]
struct Mail {
    own: usize,
    of_kind: usize,
    of_all: usize,
}

/// The lists that are longer than was wanted.
fn cut(query: &BriefQuery, rows: &BriefRows, mail: &Mail) -> Vec<BriefList> {
    let over = |count: usize, wanted: u32| count > usize::try_from(wanted).unwrap_or(usize::MAX);
    let agent = query.agent_id.as_str();
    let count = |own: bool, is: &dyn Fn(SubtaskStatus) -> bool| {
        let work = rows.work.iter().filter(|work| (work.agent_id.as_deref() == Some(agent)) == own);
        work.filter(|work| is(work.status)).count()
    };
    let states = [
        SubtaskStatus::Running,
        SubtaskStatus::Blocked,
        SubtaskStatus::Paused,
        SubtaskStatus::Pending,
        SubtaskStatus::Failed,
        SubtaskStatus::Completed,
    ];
    // As the query reads them: of the agent's own what is open and what has ended, of others each state.
    let work = over(count(true, &|status| !status.is_final()), query.lines)
        || over(count(true, &SubtaskStatus::is_final), query.lines)
        || states.into_iter().any(|state| over(count(false, &|status| status == state), query.lines));
    let calls: i64 = rows.files.iter().map(|file| file.times).sum();
    [
        (over(rows.prompts.len(), query.prompts()), BriefList::Prompts),
        (work, BriefList::Work),
        (
            [mail.own, mail.of_kind, mail.of_all].into_iter().any(|count| over(count, query.lines)),
            BriefList::Messages,
        ),
        (over(rows.blockings.len(), query.lines), BriefList::Blockings),
        (over(rows.files.len(), query.files()) || calls >= i64::from(query.file_calls()), BriefList::Files),
        (over(rows.failures.len(), query.failures()), BriefList::Failures),
        (over(rows.contexts.len(), query.contexts()), BriefList::Contexts),
    ]
    .into_iter()
    .filter_map(|(is_cut, list)| is_cut.then_some(list))
    .collect()
}

/// Sorts the rows by their kinds.
pub(super) fn brief_rows(rows: Vec<Row>, query: &BriefQuery) -> Result<BriefRows> {
    let mut brief = BriefRows::default();
    let mut mail = Mail::default();
    for mut row in rows {
        let row = &mut row;
        match row.int(KIND)? {
            0 => brief.agent_type = row.text(TEXT)?,
            1 => {
                let (id, path, name) = (row.id(ID)?, row.text(TEXT)?, row.opt_text(TEXT + 1)?);
                // The one that the caller names comes first.
                brief.project.get_or_insert(ContextProject { id, name, path });
            }
            2 => brief.prompts.push(prompt(row)?),
            3 => brief.work.push(work(row)?),
            4 => {
                let (message, to) = message(row)?;
                let count = match to {
                    None => &mut mail.of_all,
                    Some(agent) if agent == query.agent_id => &mut mail.own,
                    Some(_) => &mut mail.of_kind,
                };
                *count += 1;
                brief.messages.push(message);
            }
            5 => brief.blockings.push(BriefBlocking {
                id: row.id(ID)?,
                blocked_by: row.text(TEXT)?,
                blocked_agent: row.text(TEXT + 1)?,
                reason: row.opt_text(TEXT + 2)?,
                created_at: row.time(TIME)?,
            }),
            6 => brief.files.push(BriefFile {
                paths: row.texts(LIST)?,
                tool_name: row.text(TEXT)?,
                times: row.int(NUMBER)?,
                last_at: row.time(TIME)?,
            }),
            7 => brief.failures.push(BriefFailure {
                failure: OpenFailure {
                    action_id: row.id(ID)?,
                    tool_name: row.text(TEXT)?,
                    attempt: row.text(TEXT + 1)?,
                    detail: row.opt_text(TEXT + 2)?,
                    exit_code: row.opt_int32(NUMBER)?.unwrap_or(1),
                    times: row.opt_int32(NUMBER + 1)?.unwrap_or(1),
                    failed_at: row.time(TIME)?,
                },
                agent_id: row.opt_text(TEXT + 3)?,
            }),
            8 => brief.steps.push(step(row)?),
            12 => brief.blockers.push(BriefBlocker {
                id: row.id(ID)?,
                description: row.opt_text(TEXT)?,
                status: row.opt_word(TEXT + 1)?.unwrap_or(SubtaskStatus::Pending),
            }),
            9 => {
                let (id, text, created_at) = (row.id(ID)?, row.text(TEXT)?, row.time(TIME)?);
                brief.summary = Some(BriefSummary { id, text, created_at });
            }
            10 => brief.contexts.push(BriefContext {
                id: row.id(ID)?,
                progress: row.text(TEXT)?,
                updated_at: row.time(TIME)?,
            }),
            11 => {
                let (id, saved, created_at) = (row.id(ID)?, row.json(TEXT + 1)?, row.time(TIME)?);
                brief.snapshot = Some(BriefSnapshot { id, saved, created_at });
            }
            kind => return Err(Error::internal(format!("query brief: there is no kind {kind}"))),
        }
    }
    // What was chosen by id comes in any order.
    brief.work.sort_by_key(|work| (work.created_at, work.id));
    brief.blockings.sort_by_key(|blocking| Reverse((blocking.created_at, blocking.id)));
    brief.messages.sort_by(|a, b| {
        b.priority.cmp(&a.priority).then(a.created_at.cmp(&b.created_at)).then(a.id.cmp(&b.id))
    });
    brief.cut = cut(query, &brief, &mail);
    Ok(brief)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_when_it_is_text() {
        let text = |bytes: &[u8]| text_of(bytes.to_vec());
        assert_eq!(text("für ☃".as_bytes()).as_deref(), Some("für ☃"));
        assert_eq!(text(&"für ☃".as_bytes()[..7]).as_deref(), Some("für "), "cut inside a character");
        assert_eq!(text(&[0x1f, 0x8b, 8, 0, 0, 0]), None, "compressed");
        assert_eq!(text(b"a\xffb"), None);
    }
}
