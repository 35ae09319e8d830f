//! JSON objects that DCM stores and hands on without looking inside.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Nothing on the wire nests deeper; `serde_json` refuses 128 levels itself, the stores are kept well below.
const MAX_DEPTH: usize = 100;

/// A JSON object as compact text: read once at the border, then only copied.
///
/// It never holds a NUL character or an unpaired surrogate (PostgreSQL can store neither) and nests at most 100
/// levels.
#[derive(Clone)]
pub struct JsonObject(Box<RawValue>);

/// Members of an object that people read, the most telling first.
pub(crate) const WORDS: [&str; 7] = ["message", "text", "summary", "result", "output", "content", "error"];

impl JsonObject {
    /// `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_map(&Map::new())
    }

    /// The text of this object.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The text of this object, without copying it.
    #[must_use]
    pub fn into_text(self) -> String {
        Box::<str>::from(self.0).into_string()
    }

    /// Writes `map` as text.
    ///
    /// NUL characters are dropped: maps are built by the library from input that was checked already.
    #[must_use]
    pub fn from_map(map: &Map<String, Value>) -> Self {
        // A map of JSON values always has a text form.
        serde_json::value::to_raw_value(map).map_or_else(|_| Self::default(), Self)
    }

    /// Writes what serialises as a map: for events that are made very often, in place of a `json!` literal.
    pub(crate) fn from_members(members: &impl Serialize) -> Self {
        serde_json::value::to_raw_value(members).map_or_else(|_| Self::default(), Self)
    }

    /// Takes the members of a `json!({…})` literal.
    ///
    /// A value that is not an object becomes `{"value": …}`.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Object(map) => Self::from_map(&map),
            other => Self::from_map(&Map::from_iter([("value".to_owned(), other)])),
        }
    }

    /// Takes text that a store holds, as it is, and compacts nothing; text that is no JSON becomes `{}`.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        RawValue::from_string(text).map_or_else(|_| Self::default(), Self)
    }

    /// Reads `text`, which must be a JSON object that every store can hold.
    pub fn parse(text: &str) -> Result<Self, String> {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(map)) => {
                let value = Value::Object(map);
                check(&value, 0)?;
                let Value::Object(map) = value else { return Ok(Self::default()) };
                Ok(Self::from_map(&map))
            }
            Ok(_) => Err("must be an object".to_owned()),
            Err(error) => Err(complaint(&error)),
        }
    }

    /// Takes any JSON value, also one that is no object; it must be one that every store can hold.
    pub fn any(value: &Value) -> Result<Self, String> {
        check(value, 0)?;
        serde_json::value::to_raw_value(value).map(Self).map_err(|error| complaint(&error))
    }

    /// The members of this object.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }

    /// The member called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        self.to_map().remove(name)
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.get() == "{}" || self.to_map().is_empty()
    }

    /// This object with the members of `newer` over its own (shallow, new keys win).
    #[must_use]
    pub fn merged_with(&self, newer: &Self) -> Self {
        if newer.is_empty() {
            return self.clone();
        }
        let mut map = self.to_map();
        map.extend(newer.to_map());
        Self::from_map(&map)
    }
}

/// `serde_json`'s complaint in words for the caller; the position in a part of a body would say nothing to them.
pub(crate) fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let speaks_of = |word: &str| text.contains(word);
    if speaks_of("recursion limit") {
        return format!("must not nest deeper than {MAX_DEPTH} levels");
    }
    if speaks_of("surrogate") || speaks_of("hex escape") || speaks_of("unicode code point") {
        return "must not contain half of a surrogate pair (\\ud800 to \\udfff)".to_owned();
    }
    if let Some(member) = text.strip_prefix("missing field ") {
        return format!("needs the member {member}");
    }
    match text.split_once(", expected ") {
        Some((_, "a sequence")) => "must be a list".to_owned(),
        Some((_, expected)) if expected.starts_with("internally tagged") => "must be an object".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None if error.is_data() => text.to_owned(),
        None => format!("is not valid JSON: {text}"),
    }
}

/// Complains about what PostgreSQL's `jsonb` cannot hold.
fn check(value: &Value, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("must not nest deeper than {MAX_DEPTH} levels"));
    }
    match value {
        Value::String(text) => check_text(text),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(map) => map.iter().try_for_each(|(name, member)| {
            check_text(name)?;
            check(member, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// Complains about characters that PostgreSQL's `text` cannot hold.
pub(crate) fn check_text(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("must not contain the NUL character".to_owned()) } else { Ok(()) }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get() || self.to_map() == other.to_map()
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not through `RawValue`: that only works where nothing is flattened or tagged around it.
        let value = Value::Object(Map::deserialize(deserializer)?);
        check(&value, 0).map_err(serde::de::Error::custom)?;
        Ok(Self::from_value(value))
    }
}

impl schemars::JsonSchema for JsonObject {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonObject".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": true})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_store_cannot_hold() {
        assert!(JsonObject::parse(r#"{"a":"x\u0000y"}"#).unwrap_err().contains("NUL"));
        assert!(JsonObject::parse(r#"{"a\u0000":1}"#).unwrap_err().contains("NUL"));
        for half in [r#"{"a":"\ud800"}"#, r#"{"\udc00":1}"#, r#"{"a":["\ud800\ud800"]}"#] {
            assert!(JsonObject::parse(half).unwrap_err().contains("surrogate"), "{half}");
        }
        assert!(JsonObject::parse("[1]").unwrap_err().contains("object"));
        assert!(
            JsonObject::parse("{'a':1}").unwrap_err().starts_with("is not valid JSON: key must be a string")
        );
        for depth in [110, 200] {
            let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(JsonObject::parse(&deep).unwrap_err(), "must not nest deeper than 100 levels");
        }
    }

    #[test]
    fn merging_is_shallow_and_new_keys_win() {
        let old = JsonObject::parse(r#"{"a":{"x":1},"b":2}"#).unwrap();
        let new = JsonObject::parse(r#"{"a":{"y":1}}"#).unwrap();
        assert_eq!(old.merged_with(&new), JsonObject::parse(r#"{"b":2,"a":{"y":1}}"#).unwrap());
        assert_eq!(JsonObject::default().as_str(), "{}");
    }
}
