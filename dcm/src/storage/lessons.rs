//! What DCM asks of a store to remember what the scorer learned.

use super::BoxFuture;
use crate::error::Result;
use crate::model::{KeywordScore, ToolType};
use crate::position::Position;
use crate::routing::Outcome;
use crate::time::Timestamp;

/// Of so many of the latest lessons the evidence is made again at start.
pub const KEPT_LESSONS: u32 = 50_000;

/// One lesson as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptLesson {
    /// What was said.
    pub said: String,
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is, where the lesson says so.
    pub tool_type: Option<ToolType>,
    /// How it went.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// Everything that was learned, of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Up to here in the log.
    pub watermark: Position,
    /// The recorded scores, those used last first.
    pub scores: Vec<KeywordScore>,
    /// Scores from before there were lessons.
    pub seeds: Vec<KeywordScore>,
    /// The latest lessons, in order.
    pub lessons: Vec<KeptLesson>,
}

/// What was learned since it was last written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLessons {
    /// Up to here in the log.
    pub upto: Position,
    /// The scores that moved, as they stand there.
    pub scores: Vec<KeywordScore>,
    /// The lessons with their places in the log, in order.
    pub lessons: Vec<(Position, KeptLesson)>,
}

/// What the scorer learned, kept beside the log it was learned from.
pub trait LessonStore: Send + Sync {
    /// Everything that was learned; at most `scores` recorded scores.
    fn learned(&self, scores: u32) -> BoxFuture<'_, Result<Learned>>;

    /// Writes `news` in one transaction, unless another node has written as much already, and answers up to where it is
    /// written now. Of lessons that another node wrote only the later ones are written.
    fn keep_lessons(&self, news: NewLessons) -> BoxFuture<'_, Result<Position>>;
}
