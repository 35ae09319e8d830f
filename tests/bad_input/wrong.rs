//! Values that a field does not take, by its schema.

use serde_json::{Value, json};

use crate::document::{Field, is_of_type};

/// Fields that take any JSON value on purpose: yes or no in JavaScript's sense.
const TRUTHY: [&str; 1] = ["chosen"];

/// JSON texts that are wrong for a member of a body, each with what is wrong about it.
pub(crate) fn in_body(field: &Field) -> Vec<(&'static str, String)> {
    if TRUTHY.contains(&field.name.as_str()) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut add = |what, text: String| wrong.push((what, text));
    for (what, kind, value) in [
        ("a text", "string", json!("seven")),
        ("a number", "number", json!(7)),
        ("a yes", "boolean", json!(true)),
        ("a list", "array", json!([{"a": 1}])),
        ("an object", "object", json!({"a": [1]})),
    ] {
        if !field.takes(kind) {
            add(what, value.to_string());
        }
    }
    if field.required {
        add("null", "null".to_owned());
    }
    if field.takes("number") {
        for text in ["1.5", "1e300", "-1e300", "9223372036854775808", "2147483648", "-2147483649", "1e10"] {
            add("a number out of range", text.to_owned());
        }
        for (what, keyword, step) in [("too small", "minimum", -1), ("too large", "maximum", 1)] {
            if let Some(bound) = field.keyword(keyword).and_then(Value::as_i64) {
                add(what, (bound + step).to_string());
            }
        }
    }
    if field.takes("string") {
        texts(field, &mut |what, text| add(what, text));
    }
    if field.takes("object") {
        objects(&mut |what, text| add(what, text));
    }
    if field.takes("array") {
        lists(field, &mut |what, text| add(what, text));
    }
    wrong
}

fn texts(field: &Field, add: &mut impl FnMut(&'static str, String)) {
    if let Some(words) = field.words() {
        let other_case = words[0].to_uppercase();
        for word in ["no-such-word", "", other_case.as_str(), "0"] {
            add("an unknown word", json!(word).to_string());
        }
        return;
    }
    match field.keyword("format").and_then(Value::as_str) {
        Some("uuid") => {
            for id in bad_ids() {
                add("no UUID", json!(id).to_string());
            }
        }
        Some("date-time") => {
            for time in BAD_TIMES {
                add("no time", json!(time).to_string());
            }
        }
        Some("uri") => {
            for url in ["nowhere", "/a/b", "http:", "http://a b", ""] {
                add("no URL", json!(url).to_string());
            }
        }
        _ => {
            add("NUL", r#""a\u0000b""#.to_owned());
            for half in [r#""\ud800""#, r#""a\udc00b""#, r#""\ud800\ud800""#] {
                add("half a surrogate pair", half.to_owned());
            }
            if field.keyword("minLength").and_then(Value::as_u64).is_some_and(|least| least > 0) {
                add("empty", "\"\"".to_owned());
            }
            if let Some(most) =
                field.keyword("maxLength").and_then(Value::as_u64).filter(|most| *most < 10_000)
            {
                let most = usize::try_from(most).expect("a length");
                add("too long", json!("x".repeat(most + 1)).to_string());
                add("too long, in characters of two bytes", json!("é".repeat(most + 45)).to_string());
            }
        }
    }
}

fn objects(add: &mut impl FnMut(&'static str, String)) {
    add("NUL in a value", r#"{"a":{"b":["x\u0000"]}}"#.to_owned());
    add("NUL in a name", r#"{"a\u0000":1}"#.to_owned());
    add("half a surrogate pair in a value", r#"{"a":["\udfff"]}"#.to_owned());
    add("half a surrogate pair in a name", r#"{"\ud83d":1}"#.to_owned());
    add("deep lists", format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200)));
    add("deep objects", format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200)));
    add("deep beyond any stack", format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000)));
}

fn lists(field: &Field, add: &mut impl FnMut(&'static str, String)) {
    let item = field.keyword("items").expect("a list has items");
    let text_or_object = is_of_type(item, "string") && is_of_type(item, "object");
    for (kind, text) in
        [("string", "\"seven\""), ("number", "7"), ("object", "{}"), ("array", "[]"), ("null", "null")]
    {
        // The words of a list of ids are ids, those of a list of objects have a form of their own.
        if text_or_object && matches!(kind, "string" | "object") {
            continue;
        }
        if kind != "string" || !is_of_type(item, kind) || item.get("format").is_some() {
            add("a wrong entry", format!("[{text}]"));
        }
    }
    if is_of_type(item, "string") && !text_or_object && item.get("format").is_none() {
        add("an empty entry", "[\"\"]".to_owned());
        add("NUL in an entry", r#"["ok","a\u0000b"]"#.to_owned());
        add("half a surrogate pair in an entry", r#"["\ud800"]"#.to_owned());
        add("too many entries", json!(vec!["x"; 1001]).to_string());
        add("a long entry", json!(["x".repeat(3000)]).to_string());
    }
}

/// Observations that are none.
pub(crate) fn observations() -> Vec<(&'static str, String)> {
    let at = "2026-02-07T10:00:00.000Z";
    let tool = |changes: Value| {
        let mut one = json!({"type": "tool_used", "at": at, "tool_use_id": "t", "tool_name": "Bash"});
        for (name, value) in changes.as_object().expect("an object") {
            one[name] = value.clone();
        }
        json!([one]).to_string()
    };
    let prompt = |raw: &str| format!(r#"[{{"type":"prompt","at":"{at}","key":"k","text":{raw}}}]"#);
    vec![
        ("no type", format!(r#"[{{"at":"{at}"}}]"#)),
        ("an unknown type", format!(r#"[{{"type":"slept","at":"{at}"}}]"#)),
        ("no time", r#"[{"type":"task_completed","task_id":"t"}]"#.to_owned()),
        ("a bad time", tool(json!({"at": "yesterday"}))),
        ("an empty key", tool(json!({"tool_use_id": ""}))),
        ("a long key", tool(json!({"tool_use_id": "x".repeat(300)}))),
        ("a long name", tool(json!({"tool_name": "x".repeat(300)}))),
        ("a number for a text", tool(json!({"input": 7}))),
        ("a number out of range", tool(json!({"exit_code": 2_147_483_648_i64}))),
        ("a fraction", tool(json!({"duration_ms": 1.5}))),
        ("an unknown word", tool(json!({"tool_type": "magic"}))),
        ("a text for a list", tool(json!({"file_paths": "a"}))),
        ("NUL in a path", tool(json!({"file_paths": ["a\0"]}))),
        ("NUL", prompt(r#""a\u0000""#)),
        ("half a surrogate pair", prompt(r#""\ud800""#)),
        ("a wrong one after a right one", {
            let right = format!(r#"{{"type":"prompt","at":"{at}","key":"right","text":"x"}}"#);
            format!(r#"[{right},{{"type":"prompt","at":"{at}","key":"","text":"x"}}]"#)
        }),
        ("too many", format!("[{}1]", "1,".repeat(10_000))),
    ]
}

const BAD_TIMES: [&str; 6] =
    ["", "yesterday", "2026-02-07", "2026-02-07 10:00:00Z", "2026-13-07T10:00:00Z", "1770458400000"];

fn bad_ids() -> [String; 5] {
    [
        String::new(),
        "not-a-uuid".to_owned(),
        "01890a5d-ac96-774b-bcce-b302099a805".to_owned(),
        "{01890a5d-ac96-774b-bcce-b302099a8057}".to_owned(),
        "11111111-1111-1111-1111-111111111111".to_owned(),
    ]
}

/// Texts that are wrong for a parameter of path or query, before they are percent-encoded.
pub(crate) fn in_url(field: &Field) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(words) = field.words() {
        wrong.extend(["no-such-word".to_owned(), words[0].to_uppercase()]);
    } else if field.takes("number") {
        wrong.extend(["x", "1x", "-", "0x10", "1,5", "\0", "١"].map(str::to_owned));
        if field.takes("integer") && field.keyword("type").is_some_and(|kind| kind == "integer") {
            wrong.extend(["1.5", "-1", "1e3"].map(str::to_owned));
        } else {
            wrong.extend(["NaN", "inf", "-infinity"].map(str::to_owned));
        }
        if field.keyword("format").is_some_and(|format| format == "int32") {
            wrong.push("2147483648".to_owned());
        }
        if let Some(least) = field.keyword("minimum").and_then(Value::as_i64) {
            wrong.push((least - 1).to_string());
        }
    } else if field.takes("boolean") {
        wrong.extend(["yes", "1", "TRUE", "null"].map(str::to_owned));
    } else {
        match field.keyword("format").and_then(Value::as_str) {
            Some("uuid") => wrong.extend(bad_ids().into_iter().filter(|id| !id.is_empty())),
            Some("date-time") => {
                wrong.extend(BAD_TIMES.iter().filter(|t| !t.is_empty()).map(|t| (*t).to_owned()));
            }
            _ => {
                wrong.push("a\0b".to_owned());
                if let Some(most) = field.keyword("maxLength").and_then(Value::as_u64) {
                    wrong.push("x".repeat(usize::try_from(most).expect("a length") + 1));
                }
            }
        }
    }
    wrong
}
