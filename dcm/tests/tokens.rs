//! The estimate of tokens against the true counts, on real texts.

#![cfg(feature = "engine")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dcm::context::{Estimate, TokenCounter};
use proptest::prelude::*;
use serde_json::Value;

fn true_count(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { find(&path, files) } else { files.push(path) }
    }
}

fn strings(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(texts.insert(text.chars().take(2000).collect())),
        Value::Array(items) => items.iter().for_each(|item| strings(item, texts)),
        Value::Object(members) => members.values().for_each(|member| strings(member, texts)),
        _ => {}
    }
}

/// Every text of the recorded sessions, and the project's own prose and code.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut files, mut texts) = (Vec::new(), BTreeSet::new());
    for folder in ["tests/data/transcripts", "tests/data/hook-payloads", "dcm/src"] {
        find(&root.join(folder), &mut files);
    }
    files.extend(["README.md", "ARCHITECTURE.md"].map(|name| root.join(name)));
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(value) => strings(&value, &mut texts),
                Err(_) => drop(texts.insert(line.to_owned())),
            }
        }
    }
    texts.into_iter().collect()
}

#[test]
fn the_estimate_is_never_below_the_true_count() {
    let (mut estimated, mut counted) = (0, 0);
    let mut below = Vec::new();
    // Every third, or a debug build would take minutes.
    for text in corpus().iter().step_by(3) {
        let (estimate, count) = (Estimate.count(text), true_count(text));
        estimated += estimate;
        counted += count;
        if estimate < count {
            below.push((count, estimate, text.clone()));
        }
    }
    assert!(counted > 50_000, "there is something to count: {counted}");
    assert!(below.is_empty(), "{} below, such as {:?}", below.len(), &below[..below.len().min(5)]);
    assert!(estimated * 10 < counted * 17, "and it is no guess in the blue: {estimated} for {counted}");
}

#[test]
fn nor_is_it_for_pieces_put_together_by_chance() {
    let corpus = corpus();
    let pieces = proptest::collection::vec((0..corpus.len(), 0..200_usize, 1..80_usize), 1..12);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&pieces, |pieces| {
        let text: Vec<String> = pieces
            .into_iter()
            .map(|(at, skip, take)| corpus[at].chars().skip(skip).take(take).collect())
            .collect();
        let text = text.join("\n");
        prop_assert!(Estimate.count(&text) >= true_count(&text), "{text}");
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn nor_is_it_for_other_languages_and_it_leaves_them_room() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/languages/sentences.tsv");
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (language, text) = line.split_once('\t').unwrap();
        let (estimate, count) = (Estimate.count(text), true_count(text));
        assert!(estimate >= count, "{language}: {estimate} for {count}: {text}");
        assert!(estimate * 10 <= count * 23 + 20, "{language}: {estimate} for {count}: {text}");
    }
}

#[test]
fn nor_is_it_for_characters_by_chance() {
    let kinds = [
        // What can be seen, of all of Unicode.
        "\\PC{0,60}",
        "[a-z]{1,80}",
        "[bcdfghjklmnpqrstvwxz]{1,80}",
        "[a-zA-Z]{1,80}",
        "[A-Z]{1,60}",
        "[0-9]{1,80}",
        "[ \\t]{0,60}",
        "[ \\t\\r\\n]{0,60}",
        // Digests, keys, encoded data and paths.
        "[0-9a-f]{1,64}",
        "[A-Za-z0-9+/]{1,100}={0,2}",
        "/nix/store/[0-9a-df-np-sv-z]{32}-[a-z]{3,12}",
        "(/[a-z]{2,12}){1,6}",
        "[ -~]{0,80}",
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    for kind in kinds {
        let strings = proptest::string::string_regex(kind).unwrap();
        let outcome = runner.run(&strings, |text| {
            let (estimate, count) = (Estimate.count(&text), true_count(&text));
            prop_assert!(estimate >= count, "{estimate} for {count}");
            Ok(())
        });
        assert!(outcome.is_ok(), "{kind}: {outcome:?}");
    }
}

#[test]
fn nor_is_it_for_rare_writing() {
    for text in ["뷁쉛쭯껣뾻쒧꿿릛쬹뗅뼋쟑", "𓀀𓁐𓂀𓃀𓄿𓅓𓆣𓇋𓈖𓉐𓊪𓋹", "ᚠᚢᚦᚨᚱᚲ ᛒᛖᛗᛚ", "ꀀꀁꀂ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ", "𠮷𠀋𡈽㐂㒵"]
    {
        let (estimate, count) = (Estimate.count(text), true_count(text));
        assert!(estimate >= count, "{estimate} for {count}: {text}");
    }
}
