//! Rows of one kind on their way through a batch: what was loaded, what became of it, and how to take it back.

use std::collections::BTreeMap;

/// One row of a [`Table`].
#[derive(Debug, Clone)]
struct Entry<R> {
    row: Option<R>,
    stored: bool,
    changed: bool,
}

/// Rows of one kind with what became of them.
#[derive(Debug)]
pub struct Table<K, R> {
    entries: BTreeMap<K, Entry<R>>,
    undo: Vec<(K, Option<Entry<R>>)>,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, R: Clone> Table<K, R> {
    /// Takes a row that a store holds.
    pub fn load(&mut self, key: K, row: R) {
        self.entries.insert(key, Entry { row: Some(row), stored: true, changed: false });
    }

    /// The row called `key`, if it exists at this point of the batch.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&R> {
        self.entries.get(key).and_then(|entry| entry.row.as_ref())
    }

    /// Every row that exists at this point of the batch.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.entries.values().filter_map(|entry| entry.row.as_ref())
    }

    /// The rows that are to be written as things stand.
    pub(super) fn changed(&self) -> impl Iterator<Item = &R> {
        self.entries.values().filter(|entry| entry.changed).filter_map(|entry| entry.row.as_ref())
    }

    /// Writes a row.
    pub fn put(&mut self, key: K, row: R) {
        let before = self.entries.get(&key).cloned();
        let stored = before.as_ref().is_some_and(|entry| entry.stored);
        self.undo.push((key.clone(), before));
        self.entries.insert(key, Entry { row: Some(row), stored, changed: true });
    }

    /// Takes a row that is there from now on but is written by other means.
    pub(super) fn put_unwritten(&mut self, key: K, row: R) {
        let before = self.entries.get(&key).cloned();
        self.undo.push((key.clone(), before));
        self.entries.insert(key, Entry { row: Some(row), stored: false, changed: false });
    }

    /// Changes the row called `key`, if it exists.
    pub fn update(&mut self, key: &K, change: impl FnOnce(&mut R)) {
        if let Some(mut row) = self.get(key).cloned() {
            change(&mut row);
            self.put(key.clone(), row);
        }
    }

    /// Removes the row called `key` and answers it.
    pub fn remove(&mut self, key: &K) -> Option<R> {
        let before = self.entries.get(key)?.clone();
        let row = before.row.clone()?;
        let stored = before.stored;
        self.undo.push((key.clone(), Some(before)));
        self.entries.insert(key.clone(), Entry { row: None, stored, changed: true });
        Some(row)
    }

    fn keep(&mut self) {
        self.undo.clear();
    }

    fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    /// The rows to write and the keys to remove.
    pub(super) fn into_changes(self) -> RowChanges<K, R> {
        let mut changes = RowChanges { written: Vec::new(), removed: Vec::new() };
        for (key, entry) in self.entries {
            match entry {
                Entry { row: Some(row), changed: true, .. } => changes.written.push(row),
                Entry { row: None, changed: true, stored: true } => changes.removed.push(key),
                _ => {}
            }
        }
        changes
    }

    /// The written rows with their keys, in key order.
    pub(super) fn into_pairs(self) -> Vec<(K, R)> {
        self.entries
            .into_iter()
            .filter(|(_, entry)| entry.changed)
            .filter_map(|(key, entry)| entry.row.map(|row| (key, row)))
            .collect()
    }

    pub(super) fn into_changes_keys(self) -> Vec<K> {
        self.into_pairs().into_iter().map(|(key, _)| key).collect()
    }
}

/// What a batch does to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChanges<K, R> {
    /// Rows to insert, or to replace where the id exists.
    pub written: Vec<R>,
    /// Ids to remove, with everything below them.
    pub removed: Vec<K>,
}

/// The half of [`Table`] that does not depend on its types.
pub(super) trait Undoable {
    fn keep(&mut self);
    fn undo(&mut self);
}

impl<K: Ord + Clone, R: Clone> Undoable for Table<K, R> {
    fn keep(&mut self) {
        Self::keep(self);
    }

    fn undo(&mut self) {
        Self::undo(self);
    }
}
