//! The scores of words and tools as clients know them (CONTRACT D), in memory.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use twox_hash::XxHash3_64;

use super::evidence::insert;
use super::fast::growth;
use super::score::ScoreChange;
use crate::time::Timestamp;

/// How a tool has done with one word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) tool: u32,
    /// Between 0.1 and 5.0, in single precision.
    pub(super) score: f32,
    pub(super) usage: u32,
    pub(super) success: u32,
    /// Seconds since 1970.
    pub(super) last_used: u32,
}

/// Sums over the rows of one tool.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ToolSums {
    pub(super) rows: u32,
    pub(super) score: f64,
    pub(super) usage: u64,
}

/// Every pair of word and tool, by word.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorded {
    words: HashMap<Box<str>, Vec<Row>, FixedState>,
    rows: usize,
    tools: Vec<ToolSums>,
}

fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis() / 1000).unwrap_or(0)
}

#[expect(clippy::cast_possible_truncation, reason = "scores are kept in single precision")]
fn single(score: f64) -> f32 {
    score as f32
}

impl Recorded {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    pub(super) fn tools(&self) -> &[ToolSums] {
        &self.tools
    }

    pub(super) fn row(&self, word: &str, tool: u32) -> Option<&Row> {
        let rows = self.of(word);
        rows.binary_search_by_key(&tool, |row| row.tool).ok().map(|at| &rows[at])
    }

    /// The tools of a word, by their numbers.
    pub(super) fn of(&self, word: &str) -> &[Row] {
        self.words.get(word).map_or(&[], Vec::as_slice)
    }

    /// Whether anything is recorded of the tool.
    pub(super) fn knows(&self, tool: u32) -> bool {
        self.tools.get(tool as usize).is_some_and(|sums| sums.rows > 0)
    }

    /// Takes the number of a tool without rows from it; another may get it.
    pub(super) fn let_go(&mut self, tool: u32) {
        if let Some(sums) = self.tools.get_mut(tool as usize) {
            // Nothing but what was lost by rounding.
            *sums = ToolSums::default();
        }
    }

    fn sums(&mut self, tool: u32) -> &mut ToolSums {
        let place = tool as usize;
        if self.tools.len() <= place {
            self.tools.resize(place + 1, ToolSums::default());
        }
        &mut self.tools[place]
    }

    /// Looks at where the words lie, all at once, before any is changed (see `Evidence::look_at`). Answers how many of them
    /// the tool has served.
    pub(super) fn look_at(&self, words: &[String], tool: u32) -> usize {
        words.iter().filter(|word| self.row(word, tool).is_some()).count()
    }

    /// Moves a score; answers whether there is one now.
    pub(super) fn change(&mut self, word: &str, tool: u32, change: &ScoreChange, at: Timestamp) -> bool {
        let new_row = || {
            let count = |number: i32| u32::try_from(number).unwrap_or(0);
            let (usage, success) = (count(change.usage), count(change.success));
            change.new_score.map(|score| Row {
                tool,
                score: single(score),
                usage,
                success,
                last_used: seconds(at),
            })
        };
        let Some(rows) = self.words.get_mut(word) else {
            let Some(row) = new_row() else { return false };
            self.words.insert(word.into(), vec![row]);
            self.count_in(row);
            return true;
        };
        let row = match rows.binary_search_by_key(&tool, |row| row.tool) {
            Ok(place) => &mut rows[place],
            Err(place) => {
                let Some(row) = new_row() else { return false };
                insert(rows, place, row);
                self.count_in(row);
                return true;
            }
        };
        let before = *row;
        row.score = single(change.apply(f64::from(row.score)));
        row.usage = row.usage.saturating_add_signed(change.usage);
        row.success = row.success.saturating_add_signed(change.success);
        row.last_used = row.last_used.max(seconds(at));
        let after = *row;
        let sums = self.sums(tool);
        sums.score += f64::from(after.score) - f64::from(before.score);
        sums.usage = sums.usage + u64::from(after.usage) - u64::from(before.usage);
        true
    }

    /// Puts a row in the place of the one there may be.
    pub(super) fn put(&mut self, word: &str, row: Row) {
        self.remove(word, row.tool);
        if !self.words.contains_key(word) {
            self.words.insert(word.into(), Vec::with_capacity(1));
        }
        if let Some(rows) = self.words.get_mut(word) {
            let place = rows.partition_point(|other| other.tool < row.tool);
            insert(rows, place, row);
        }
        self.count_in(row);
    }

    fn count_in(&mut self, row: Row) {
        self.rows += 1;
        let sums = self.sums(row.tool);
        sums.rows += 1;
        sums.score += f64::from(row.score);
        sums.usage += u64::from(row.usage);
    }

    fn remove(&mut self, word: &str, tool: u32) {
        let Some(rows) = self.words.get_mut(word) else { return };
        let Ok(place) = rows.binary_search_by_key(&tool, |row| row.tool) else { return };
        let row = rows.remove(place);
        if rows.is_empty() {
            self.words.remove(word);
        }
        self.count_out(row);
    }

    fn count_out(&mut self, row: Row) {
        self.rows -= 1;
        let sums = self.sums(row.tool);
        sums.rows -= 1;
        sums.score -= f64::from(row.score);
        sums.usage -= u64::from(row.usage);
    }

    /// Forgets the rows that were used least, and least lately, until so many are left.
    ///
    /// What is equally worth keeping goes in an order that only depends on the word and on `tie`, a number of the tool that
    /// does not depend on when it was first used, so that every node forgets the same.
    pub(super) fn forget_down_to(&mut self, rows: usize, tie: impl Fn(u32) -> u64) {
        let surplus = self.rows.saturating_sub(rows);
        if surplus == 0 {
            return;
        }
        let newest = self.words.values().flatten().map(|row| row.last_used).max().unwrap_or(0);
        let mut ages: Vec<f32> = Vec::new();
        let mut rank = |word: u64, row: &Row| {
            let days = (newest - row.last_used) / 86_400;
            while ages.len() <= days as usize {
                ages.push(faded(ages.len()));
            }
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let worth = row.usage.max(1) as f32 * ages[days as usize];
            let tie = (word ^ tie(row.tool)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (u64::from(worth.to_bits()) << 32) | (tie >> 32)
        };
        let mut ranks: Vec<u64> = Vec::with_capacity(self.rows);
        for (word, rows) in &self.words {
            let word = XxHash3_64::oneshot(word.as_bytes());
            ranks.extend(rows.iter().map(|row| rank(word, row)));
        }
        let (_, last, _) = ranks.select_nth_unstable(surplus - 1);
        let last = *last;
        let mut words = std::mem::take(&mut self.words);
        words.retain(|word, rows| {
            let word = XxHash3_64::oneshot(word.as_bytes());
            rows.retain(|row| {
                let stays = rank(word, row) > last;
                if !stays {
                    self.count_out(*row);
                }
                stays
            });
            !rows.is_empty()
        });
        self.words = words;
    }
}

/// What a use of so many days ago counts beside one of today.
#[expect(clippy::cast_possible_truncation, reason = "an estimate")]
fn faded(days: usize) -> f32 {
    growth(i32::try_from(days).map_or(i32::MIN, |days| -days), super::HALF_LIFE_DAYS) as f32
}

#[cfg(test)]
mod tests {
    use super::super::score::{lesson, opinion};
    use super::*;

    #[test]
    fn sums_follow_the_rows() {
        let at = Timestamp::from_millis(86_400_000);
        let mut recorded = Recorded::default();
        assert!(!recorded.change("word", 0, &opinion(true), at), "feedback creates nothing");
        for (word, tool, succeeded) in
            [("word", 0, true), ("word", 0, false), ("word", 1, true), ("other", 0, true)]
        {
            assert!(recorded.change(word, tool, &lesson(succeeded), at));
        }
        assert_eq!((recorded.rows(), recorded.words.len()), (3, 2));
        let first = recorded.tools[0];
        assert_eq!((first.rows, first.usage), (2, 3));
        assert!((first.score - 1.95).abs() < 1e-5);
        assert_eq!(recorded.of("word").first().map(|row| (row.usage, row.success)), Some((2, 1)));
        // The least used goes first, and of two alike always the same.
        recorded.forget_down_to(1, u64::from);
        assert_eq!((recorded.rows(), recorded.words.len(), recorded.tools[0].usage), (1, 1, 2));
        assert!(recorded.row("word", 0).is_some() && recorded.knows(0) && !recorded.knows(1));
    }
}
