//! What inputs of tools say, without how they say it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What an input of a tool says: the texts in it if it is JSON, for its keys say only which tool it is of; else itself.
#[must_use]
pub fn spoken(input: &str) -> Cow<'_, str> {
    if !input.trim_start().starts_with(['{', '[', '"']) {
        return Cow::Borrowed(input);
    }
    let Ok(said) = serde_json::from_str::<Said<'_>>(input) else { return Cow::Borrowed(input) };
    let mut text = String::new();
    said.collect(&mut text);
    Cow::Owned(text)
}

/// The texts of a JSON value, copied only where they hold escapes: inputs may be long, and each is looked at while it is
/// recorded.
enum Said<'a> {
    Nothing,
    Text(Cow<'a, str>),
    Items(Vec<Said<'a>>),
    /// In the order of their keys; of equal keys only the last.
    Members(Vec<(Cow<'a, str>, Said<'a>)>),
}

impl Said<'_> {
    fn collect(&self, text: &mut String) {
        match self {
            Self::Nothing => {}
            Self::Text(said) => {
                text.push_str(said);
                text.push('\n');
            }
            Self::Items(items) => items.iter().for_each(|item| item.collect(text)),
            Self::Members(members) => members.iter().for_each(|(_, member)| member.collect(text)),
        }
    }
}

/// A key, borrowed where that is possible.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Said::deserialize(deserializer)? {
            Said::Text(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a key must be a text")),
        }
    }
}

impl<'de> Deserialize<'de> for Said<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts)
    }
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Said<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Said<'de>, E> {
        Ok(Said::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Said<'de>, E> {
        Ok(Said::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Said<'de>, E> {
        Ok(Said::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Said<'de>, E> {
        Ok(Said::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Said<'de>, E> {
        Ok(Said::Nothing)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Said<'de>, E> {
        Ok(Said::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Said<'de>, E> {
        Ok(Said::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Said<'de>, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Said::Items(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Said<'de>, A::Error> {
        let mut all: Vec<(Cow<'de, str>, Said<'de>)> = Vec::new();
        while let Some((Key(key), member)) = members.next_entry()? {
            all.push((key, member));
        }
        // The last of equal keys comes first then, and is what stays.
        all.reverse();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all.dedup_by(|later, first| later.0 == first.0);
        Ok(Said::Members(all))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn of_json_only_what_it_says() {
        let input = r#"{"command":"cargo test","timeout":5,"todos":[{"content":"Fix it","status":"open"}]}"#;
        assert_eq!(
            spoken(input).split_whitespace().collect::<Vec<_>>(),
            ["cargo", "test", "Fix", "it", "open"]
        );
        assert_eq!(spoken("{not json"), "{not json");
        assert_eq!(spoken("plain"), "plain");
    }

    /// As it was first written: by way of a whole value.
    fn by_value(value: &Value, text: &mut String) {
        match value {
            Value::String(said) => {
                text.push_str(said);
                text.push('\n');
            }
            Value::Array(items) => items.iter().for_each(|item| by_value(item, text)),
            Value::Object(members) => members.values().for_each(|member| by_value(member, text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    proptest! {
        #[test]
        fn any_json_says_what_its_value_says(input in "[{\\[]([{\\[}\\],:]|\"[ab]\"|\"\\\\u00e4\\\\n\"|\"ab\":|1e9+|-0.5|true|null){0,12}[}\\]]") {
            let expected = serde_json::from_str(&input).map(|value| {
                let mut text = String::new();
                by_value(&value, &mut text);
                text
            });
            prop_assert_eq!(spoken(&input), expected.unwrap_or(input.clone()));
        }
    }

    #[test]
    fn members_come_in_the_order_of_their_keys_and_the_last_of_equal_ones_counts() {
        let input =
            r#"{"b":["one",{"x":"tw\u00f6"}],"a":"three","b":"f\"our","c":{"z":1,"y":[null,"five"]}}"#;
        assert_eq!(spoken(input), "three\nf\"our\nfive\n");
        assert_eq!(spoken(r#"["1e999 is no number", 1e999]"#), r#"["1e999 is no number", 1e999]"#);
    }
}
