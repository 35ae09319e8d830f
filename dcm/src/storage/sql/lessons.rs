//! What the scorer learned, over SQL.

use super::driver::Driver;
use super::rows::{FromRow, all};
use super::store::{SqlStore, into_error};
use super::value::{Row, Statement, Value};
use crate::error::{Error, Result};
use crate::model::KeywordScore;
use crate::position::Position;
use crate::routing::Outcome;
use crate::storage::{BoxFuture, KEPT_LESSONS, KeptLesson, Learned, LessonStore, NewLessons};

impl FromRow for KeptLesson {
    fn from_row(row: &mut Row) -> Result<Self> {
        let outcome = Outcome::from_number(row.int(3)?)
            .ok_or_else(|| Error::internal("a lesson with an unknown outcome"))?;
        Ok(Self {
            said: row.text(0)?,
            tool_name: row.text(1)?,
            tool_type: row.opt_word(2)?,
            outcome,
            at: row.time(4)?,
        })
    }
}

/// The place up to which lessons are written.
fn watermark(rows: Option<Vec<Row>>) -> Result<Position> {
    let mut row = rows
        .and_then(|rows| rows.into_iter().next())
        .ok_or_else(|| Error::internal("the watermark of the scorer is missing"))?;
    Ok(Position::new(row.int(0)?, row.int(1)?))
}

const SCORE_COLUMNS: &[&str] =
    &["keyword", "tool_name", "tool_type", "score", "usage_count", "success_count", "last_used"];

fn score_cells(score: KeywordScore) -> Vec<Value> {
    vec![
        score.keyword.into(),
        score.tool_name.into(),
        score.tool_type.into(),
        score.score.into(),
        score.usage_count.into(),
        score.success_count.into(),
        score.last_used.into(),
    ]
}

const LESSON_COLUMNS: &[&str] = &["said", "tool_name", "tool_type", "outcome", "created_at"];

fn lesson_cells(lesson: KeptLesson) -> Vec<Value> {
    vec![
        lesson.said.into(),
        lesson.tool_name.into(),
        lesson.tool_type.into(),
        lesson.outcome.number().into(),
        lesson.at.into(),
    ]
}

/// The statements that write `news` where everything up to `known` is written.
fn keep(news: NewLessons, known: Position) -> Vec<Statement> {
    let NewLessons { upto, scores, lessons } = news;
    let mut statements = Vec::new();
    if !scores.is_empty() {
        let rows = scores.into_iter().map(score_cells).collect();
        statements.push(Statement::bulk("write_scores", SCORE_COLUMNS, rows));
    }
    let rows: Vec<_> =
        lessons.into_iter().filter(|(at, _)| *at > known).map(|(_, lesson)| lesson_cells(lesson)).collect();
    if !rows.is_empty() {
        statements.push(Statement::bulk("insert_lessons", LESSON_COLUMNS, rows));
        statements.push(Statement::new("forget_lessons").with("most", KEPT_LESSONS));
    }
    statements.push(Statement::new("move_routing_watermark").with("epoch", upto.epoch).with("seq", upto.seq));
    statements
}

impl<D: Driver> LessonStore for SqlStore<D> {
    fn learned(&self, scores: u32) -> BoxFuture<'_, Result<Learned>> {
        Box::pin(async move {
            let statements = vec![
                Statement::new("routing_watermark"),
                Statement::new("routing_scores").with("limit", scores),
                Statement::new("routing_seeds").with("limit", scores),
                Statement::new("routing_lessons"),
            ];
            let mut answers = self.driver.read(statements).await?.into_iter();
            Ok(Learned {
                watermark: watermark(answers.next())?,
                scores: all(answers.next().unwrap_or_default())?,
                seeds: all(answers.next().unwrap_or_default())?,
                lessons: all(answers.next().unwrap_or_default())?,
            })
        })
    }

    fn keep_lessons(&self, news: NewLessons) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            let decide = move |answers: Vec<Vec<Row>>| {
                let known = watermark(answers.into_iter().next())?;
                if known >= news.upto {
                    return Ok((known, Vec::new()));
                }
                Ok((news.upto, keep(news, known)))
            };
            let lock = vec![Statement::new("lock_routing_watermark")];
            let (upto, _) = self.driver.transact(lock, decide).await.map_err(into_error)?;
            Ok(upto)
        })
    }
}
