//! The OpenAPI document is held against a copy in the repository, so that a change of the wire is seen in review.

use std::path::Path;

/// Run with `UPDATE_GOLDEN=1` to accept a change.
#[test]
fn the_document_is_the_golden_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/openapi.json");
    let document = dcm::api::openapi::document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{document:#}\n")).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE_GOLDEN=1 to write it", path.display()));
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    if golden == document {
        return;
    }
    for (name, new) in document["paths"].as_object().unwrap() {
        assert_eq!(golden["paths"].get(name), Some(new), "{name} changed; UPDATE_GOLDEN=1 accepts it");
    }
    for (name, new) in document["components"]["schemas"].as_object().unwrap() {
        assert_eq!(
            golden["components"]["schemas"].get(name),
            Some(new),
            "{name} changed; UPDATE_GOLDEN=1 accepts it"
        );
    }
    panic!("the document lost a path or schema, or its head changed; UPDATE_GOLDEN=1 accepts it");
}
