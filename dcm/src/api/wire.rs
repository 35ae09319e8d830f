//! Operation to HTTP and back, without any I/O.
//!
//! The path takes its parameters from the fields of the same name; the other fields travel as a query (GET, DELETE)
//! or as a JSON body (POST, PATCH), except for those that an operation wants in the query all the same.

use serde_json::Value;

use super::{FieldSource, NoContent, Operation};
use crate::error::{Error, Result};

/// An operation as an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRequest {
    /// The HTTP method.
    pub method: &'static str,
    /// The path and, where there is one, the query; percent-encoded.
    pub path_and_query: String,
    /// The JSON body.
    pub body: Option<String>,
}

/// Writes an operation as an HTTP request; the inverse of [`from_request`].
///
/// # Errors
///
/// [`crate::ErrorKind::Invalid`] when a field of the path is empty, `.` or `..`, which no URL can carry;
/// [`crate::ErrorKind::Internal`] when the operation cannot be written as JSON, which no operation of the table does.
pub fn to_request<O: Operation>(operation: &O) -> Result<WireRequest> {
    let fields = serde_json::to_value(operation)
        .map_err(|error| Error::internal("operation to JSON").with_source(error))?;
    let Value::Object(mut fields) = fields else {
        return Err(Error::internal("an operation is not an object"));
    };
    let mut path_and_query = String::with_capacity(O::META.path.len() + 40);
    let mut rest = O::META.path;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        path_and_query.push_str(before);
        let value = plain_text(&fields.remove(name).unwrap_or(Value::Null));
        // Every URL library folds such segments, also percent-encoded ones, so that another path would be asked for.
        if matches!(value.as_str(), "" | "." | "..") {
            let complaint = "must not be empty, \".\" or \"..\": a URL cannot say that";
            return Err(Error::invalid_field(format!("Validation failed: Invalid {name}"), name, complaint));
        }
        percent_encode(&value, &mut path_and_query);
        rest = after;
    }
    path_and_query.push_str(rest);
    let (body, query) = if O::META.method.has_body() {
        let (query, body) = fields.into_iter().partition(|(name, _)| O::META.query.contains(&&**name));
        (Some(Value::Object(body).to_string()), query)
    } else {
        (None, fields)
    };
    for (index, (name, value)) in query.iter().enumerate() {
        path_and_query.push(if index == 0 { '?' } else { '&' });
        path_and_query.push_str(name);
        path_and_query.push('=');
        percent_encode(&plain_text(value), &mut path_and_query);
    }
    Ok(WireRequest { method: O::META.method.as_str(), path_and_query, body })
}

/// Reads an operation from the parts of an HTTP request; `path` and `query` are percent-decoded pairs.
///
/// # Errors
///
/// [`crate::ErrorKind::Invalid`] with the complaints by field. Bounds are checked by whoever executes it.
pub fn from_request<O: Operation>(
    path: Vec<(String, String)>,
    mut query: Vec<(String, String)>,
    body: &[u8],
) -> Result<O> {
    let source = if O::META.method.has_body() {
        query.retain(|(name, _)| O::META.query.contains(&&**name));
        FieldSource { query, ..FieldSource::from_body(path, body)? }
    } else {
        FieldSource { path, query, ..FieldSource::default() }
    };
    O::from_source(&source)
}

/// Reads an answer of the wire: the output, or the error that the status and body stand for.
///
/// # Errors
///
/// What the server answered, or [`crate::ErrorKind::Internal`] when the answer cannot be read.
pub fn from_response<O: Operation>(status: u16, body: &[u8]) -> Result<O::Output> {
    // `/health` answers 503 with the same shape as 200.
    let carries_output = (200..300).contains(&status) || (status == 503 && O::META.id == "health");
    if !carries_output {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        return Err(Error::from_body(status, &body));
    }
    let body = if status == 204 { b"null".as_slice() } else { body };
    serde_json::from_slice(body).map_err(|error| {
        Error::internal(format!("the answer to {} cannot be read", O::META.id)).with_source(error)
    })
}

/// Writes an output as a body; empty for [`NoContent`].
///
/// # Errors
///
/// [`crate::ErrorKind::Internal`] when it cannot be written as JSON.
pub fn to_body<T: serde::Serialize + 'static>(output: &T) -> Result<Vec<u8>> {
    if std::any::TypeId::of::<T>() == std::any::TypeId::of::<NoContent>() {
        return Ok(Vec::new());
    }
    // Long answers would be copied a dozen times while a small buffer grows.
    let mut body = Vec::with_capacity(4096);
    serde_json::to_writer(&mut body, output)
        .map_err(|error| Error::internal("answer to JSON").with_source(error))?;
    Ok(body)
}

/// A field as it stands in a path or query.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(plain_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn percent_encode(text: &str, target: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            target.push('%');
            target.push(char::from(HEX[usize::from(byte >> 4)]));
            target.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::blocking::BlockingCheck;
    use crate::api::tasks::{TaskCreate, TaskUpdate};
    use crate::model::TaskStatus;

    #[test]
    fn path_query_and_body() {
        let update = TaskUpdate {
            id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            status: Some(TaskStatus::Running),
            name: None,
        };
        let request = to_request(&update).unwrap();
        assert_eq!(request.method, "PATCH");
        assert_eq!(request.path_and_query, "/api/tasks/01890a5d-ac96-774b-bcce-b302099a8057");
        assert_eq!(request.body.as_deref(), Some(r#"{"status":"running"}"#));

        let check = BlockingCheck { blocker: "a/b c".to_owned(), blocked: "é".to_owned() };
        let request = to_request(&check).unwrap();
        assert_eq!(request.path_and_query, "/api/blocking/check?blocked=%C3%A9&blocker=a%2Fb%20c");
    }

    #[test]
    fn what_a_path_cannot_carry_is_refused_by_name() {
        let check = |agent: &str| {
            to_request(&crate::api::subscriptions::SubscriptionsOfAgent { agent_id: agent.to_owned() })
        };
        for agent in ["", ".", ".."] {
            let error = check(agent).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Invalid);
            assert!(error.details().unwrap()["agent_id"][0].contains("URL"), "{agent}: {error}");
        }
        for (agent, path) in [("...", "/..."), (".a", "/.a"), ("%2e", "/%252e"), ("a/../b", "/a%2F..%2Fb")] {
            assert!(check(agent).unwrap().path_and_query.ends_with(path), "{agent}");
        }
    }

    #[test]
    fn complaints_name_the_field_and_what_would_be_right() {
        let error =
            from_request::<TaskCreate>(vec![], vec![], br#"{"request_id":"x","status":"done"}"#).unwrap_err();
        assert_eq!(error.message(), "Validation failed: Invalid request_id");
        let details = error.details().unwrap();
        assert!(details["request_id"][0].contains("UUID"));
        assert!(details["status"][0].contains("pending running completed failed blocked"));

        let error = from_request::<TaskCreate>(vec![], vec![], b"{").unwrap_err();
        assert_eq!(error.message(), "Malformed JSON");
        let error = from_request::<TaskCreate>(vec![], vec![], b"[]").unwrap_err();
        assert_eq!(
            error.to_body(),
            serde_json::json!({"error": "Validation failed", "details": {}, "message": "the body must be a JSON object, such as {}"})
        );
    }

    #[test]
    fn every_complaint_comes_at_once_in_the_order_of_the_fields() {
        let body =
            br#"{"tool_name":"","tool_type":"magic","duration_ms":1099511627776,"exit_code":1.5,"input":"\ud800"}"#;
        let error = from_request::<crate::api::actions::ActionRecord>(vec![], vec![], body).unwrap_err();
        assert_eq!(error.message(), "Validation failed: Invalid tool_name");
        let details = error.details().unwrap();
        assert_eq!(details["tool_name"], ["must not be empty"]);
        assert_eq!(details["duration_ms"], ["must be a whole number from 0 to 2147483647"]);
        assert_eq!(details["exit_code"], ["must be a whole number from -2147483648 to 2147483647"]);
        assert_eq!(details["input"], ["must not contain half of a surrogate pair (\\ud800 to \\udfff)"]);
        assert!(details["tool_type"][0].starts_with("must be one of"));
    }

    #[test]
    fn null_means_absent() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let body = format!(r#"{{"request_id":"{id}","name":null,"wave_number":3.0}}"#);
        let read = from_request::<TaskCreate>(vec![], vec![], body.as_bytes()).unwrap();
        assert_eq!((read.name, read.wave_number), (None, Some(3)));
    }
}
