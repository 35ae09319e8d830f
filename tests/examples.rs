//! Every example runs, and says what its readers are told it says.

#[path = "../examples/quickstart.rs"]
#[expect(dead_code, reason = "the examples' own `main` only prints what is looked at here")]
mod quickstart;

#[path = "../examples/brief.rs"]
#[expect(dead_code, reason = "the examples' own `main` only prints what is looked at here")]
mod brief;

#[tokio::test]
async fn a_brief_names_task_files_and_what_failed() {
    let text = brief::run().await.unwrap();
    for part in ["Index names and descriptions", "src/index.rs ×2", "cargo test index", "stems panicked"] {
        assert!(text.contains(part), "{part:?} is not in the brief:\n{text}");
    }
}

#[tokio::test]
async fn quickstart_prints_the_tree_and_a_brief() {
    let folder = tempfile::tempdir().unwrap();
    let first = quickstart::run(folder.path()).await.unwrap();
    let tree = "/srv/shop\n  \
                \"Add a search box\" (active)\n    \
                wave 0 (running)\n      \
                Index the products (running): Edit 0\n    \
                wave 1 (running)\n      \
                Show the results (running): Edit 1\n\n";
    let brief = first.strip_prefix(tree).unwrap_or_else(|| panic!("another tree than\n{tree}but\n{first}"));
    for part in ["Index the products", "Add a search box", "Which fields can be searched?", "front"] {
        assert!(brief.contains(part), "{part:?} is not in the brief:\n{brief}");
    }

    // The store outlives the program: the second run finds the prompt of the first.
    let second = quickstart::run(folder.path()).await.unwrap();
    assert_eq!(second.matches("\"Add a search box\" (active)").count(), 2, "{second}");
}
