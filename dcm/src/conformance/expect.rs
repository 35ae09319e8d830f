//! What a case expects of an answer, with panics that say it in words.

use std::fmt::Debug;

use crate::error::{Error, ErrorKind, Result};

/// The output of a call that has to succeed.
#[track_caller]
pub(super) fn must<T>(result: Result<T>, what: &str) -> T {
    match result {
        Ok(output) => output,
        Err(error) => panic!("{what}: expected success, got {:?} `{error}`", error.kind()),
    }
}

/// The error of a call that has to fail in this way.
#[track_caller]
pub(super) fn refused<T: Debug>(result: Result<T>, kind: ErrorKind, what: &str) -> Error {
    match result {
        Ok(output) => panic!("{what}: expected {kind:?}, got success: {output:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{what}: the wrong kind of error, it says `{error}`");
            assert_harmless(&error, what);
            error
        }
    }
}

/// A call that names something unknown: 404 with exactly this message.
#[track_caller]
pub(super) fn not_found<T: Debug>(result: Result<T>, message: &str) {
    let error = refused(result, ErrorKind::NotFound, message);
    assert_eq!(error.message(), message, "the message of the 404");
}

/// A reference inside a body to something unknown: 404 or 400, whose message names the kind of thing (in lower case here).
#[track_caller]
pub(super) fn unknown_reference<T: Debug>(result: Result<T>, named: &str) {
    match result {
        Ok(output) => panic!("a reference to an unknown {named} was accepted: {output:?}"),
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::NotFound | ErrorKind::Invalid),
                "a reference to an unknown {named} answers 404 or 400, not {kind:?} `{error}`"
            );
            let text = error.to_string().to_lowercase();
            assert!(text.contains(named), "the error says that it is the {named} that is unknown: `{error}`");
            assert_harmless(&error, named);
        }
    }
}

/// Bad input: 400 whose `details` name the field.
#[track_caller]
pub(super) fn invalid<T: Debug>(result: Result<T>, field: &str) -> Error {
    let error = refused(result, ErrorKind::Invalid, field);
    let complaints = error.details().and_then(|details| details.get(field));
    assert!(
        complaints.is_some_and(|complaints| complaints.iter().any(|text| !text.is_empty())),
        "the details of `{error}` name the field `{field}` and say what is wrong with it"
    );
    error
}

/// Bad input as a whole: 400 with exactly this message.
#[track_caller]
pub(super) fn invalid_with<T: Debug>(result: Result<T>, message: &str) {
    let error = refused(result, ErrorKind::Invalid, message);
    assert_eq!(error.message(), message, "the message of the 400");
}

/// Error bodies show nothing of the store's inside.
#[track_caller]
fn assert_harmless(error: &Error, what: &str) {
    let body = error.to_body().to_string().to_lowercase();
    for leak in ["select ", "insert into", "sqlstate", "constraint", "foreign key", "panicked"] {
        assert!(!body.contains(leak), "{what}: the error body leaks the store's inside: {body}");
    }
}

/// Scores are kept in single precision, so they are compared with three decimals.
#[track_caller]
pub(super) fn close(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() < 0.000_6, "{what}: expected {expected}, got {actual}");
}

/// Both sides hold the same, and in the same order.
#[track_caller]
pub(super) fn same_order<T: PartialEq + Debug>(actual: &[T], expected: &[T], what: &str) {
    assert_eq!(actual, expected, "{what}");
}

/// Where `wanted` stands in `all`.
#[track_caller]
pub(super) fn place<T: PartialEq + Debug>(all: &[T], wanted: &T, what: &str) -> usize {
    all.iter()
        .position(|one| one == wanted)
        .unwrap_or_else(|| panic!("{what}: {wanted:?} is not among {} entries", all.len()))
}
