//! The tools that a scorer knows, by the numbers that it counts them under.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::model::ToolType;

/// A tool that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: Arc<str>,
    /// As in the lesson that came last.
    pub(super) kind: ToolType,
    /// Its hash, which decides what is forgotten first of what is equally weak.
    pub(super) tie: u64,
    /// Whether the number is in use.
    known: bool,
}

/// Numbers are given in the order of first use, and given again when a tool is let go. Nothing that is answered may
/// depend on them: a node that was started anew gives others.
#[derive(Debug, Default)]
pub(super) struct Tools {
    list: Vec<Tool>,
    by_name: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
}

impl Tools {
    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Every number that was given, also those that are free again.
    pub(super) fn numbers(&self) -> Range<u32> {
        0..u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn number_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn has(&self, number: u32) -> bool {
        self.get(number).known
    }

    pub(super) fn get(&self, number: u32) -> &Tool {
        &self.list[number as usize]
    }

    /// The tool of every number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.list.iter()
    }

    /// The number of a tool, a new one if it is not known; but none if it is not said what kind of tool it is, as
    /// feedback about a tool that was never used teaches nothing.
    pub(super) fn number(&mut self, name: &str, tool_type: Option<ToolType>) -> Option<u32> {
        if let Some(number) = self.number_of(name) {
            if let Some(tool_type) = tool_type {
                self.list[number as usize].kind = tool_type;
            }
            return Some(number);
        }
        let (kind, name) = (tool_type?, Arc::<str>::from(name));
        let tie = XxHash3_64::oneshot(name.as_bytes());
        let tool = Tool { name: Arc::clone(&name), kind, tie, known: true };
        let number = if let Some(number) = self.free.pop() {
            self.list[number as usize] = tool;
            number
        } else {
            let number = u32::try_from(self.list.len()).ok()?;
            self.list.push(tool);
            number
        };
        self.by_name.insert(name, number);
        Some(number)
    }

    /// Forgets the tool of a number that is in use.
    pub(super) fn let_go(&mut self, number: u32) {
        let tool = &mut self.list[number as usize];
        tool.known = false;
        self.by_name.remove(&*std::mem::take(&mut tool.name));
        self.free.push(number);
    }
}
