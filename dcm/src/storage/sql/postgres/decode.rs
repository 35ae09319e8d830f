//! Values on their way from PostgreSQL, out of their binary form.

use std::error::Error as StdError;
use std::fmt::Write as _;

use bytes::Buf;
use postgres_types::{FromSql, Type};
use uuid::Uuid;

use super::encode::EPOCH_MICROS;
use crate::storage::sql::value::Value;
use crate::time::Timestamp;

type Failure = Box<dyn StdError + Sync + Send>;

/// A column of a row.
pub(super) struct Decoded(pub(super) Value);

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        decode(ty, raw).map(Self)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(Value::Null))
    }

    fn accepts(ty: &Type) -> bool {
        is_known(ty)
    }
}

/// Whether columns of this type can be read; asked when a query is prepared, so that a column that cannot is noticed
/// before anything is committed.
pub(super) fn is_known(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::VOID
            | Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::UUID
            | Type::TIMESTAMPTZ
            | Type::JSON
            | Type::JSONB
            | Type::BYTEA
            | Type::TEXT_ARRAY
            | Type::VARCHAR_ARRAY
            | Type::UUID_ARRAY
            | Type::INT2_ARRAY
            | Type::INT4_ARRAY
            | Type::INT8_ARRAY
    )
}

fn decode(ty: &Type, mut raw: &[u8]) -> Result<Value, Failure> {
    Ok(match *ty {
        Type::VOID => Value::Null,
        Type::BOOL => Value::Bool(raw.try_get_u8()? != 0),
        Type::INT2 => Value::Int(raw.try_get_i16()?.into()),
        Type::INT4 => Value::Int(raw.try_get_i32()?.into()),
        Type::INT8 => Value::Int(raw.try_get_i64()?),
        Type::FLOAT4 => Value::Float(raw.try_get_f32()?.into()),
        Type::FLOAT8 => Value::Float(raw.try_get_f64()?),
        Type::NUMERIC => Value::Float(numeric(raw)?),
        Type::UUID => Value::Uuid(Uuid::from_slice(raw)?),
        // `infinity` and `-infinity` are the ends of the range; `from_micros` clamps them to years it can write.
        Type::TIMESTAMPTZ => {
            Value::Time(Timestamp::from_micros(raw.try_get_i64()?.saturating_add(EPOCH_MICROS)))
        }
        Type::JSON => Value::Json(text(raw)?),
        // One byte for the version of the format.
        Type::JSONB => Value::Json(text(&compact(raw.get(1..).unwrap_or_default()))?),
        Type::BYTEA => Value::Bytes(raw.to_vec()),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => Value::Texts(items(raw, text)?),
        Type::UUID_ARRAY => Value::Uuids(items(raw, |item| Ok(Uuid::from_slice(item)?))?),
        Type::INT2_ARRAY => Value::Ints(items(raw, |mut item| Ok(item.try_get_i16()?.into()))?),
        Type::INT4_ARRAY => Value::Ints(items(raw, |mut item| Ok(item.try_get_i32()?.into()))?),
        Type::INT8_ARRAY => Value::Ints(items(raw, |mut item| Ok(item.try_get_i64()?))?),
        _ => Value::Text(text(raw)?),
    })
}

/// JSON without the spaces that `jsonb` is written with, so that both stores hand on the same.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b' ' | b'"')) {
        let (before, from) = rest.split_at(at);
        kept.extend_from_slice(before);
        // A text is kept as it is.
        let length = if from.starts_with(b"\"") { 1 + rest_of_text(&from[1..]) } else { 0 };
        let (text, after) = from.split_at(length.min(from.len()));
        kept.extend_from_slice(text);
        rest = if length == 0 { &after[1..] } else { after };
    }
    kept.extend_from_slice(rest);
    kept
}

/// How many bytes there are up to the quotation mark that ends a text, with it.
fn rest_of_text(json: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

fn text(raw: &[u8]) -> Result<String, Failure> {
    Ok(std::str::from_utf8(raw)?.to_owned())
}

/// The items of an array of any shape; nulls are left out, because no list of DCM has them.
fn items<T>(mut raw: &[u8], item: impl Fn(&[u8]) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    let dimensions = usize::try_from(raw.try_get_i32()?)?;
    // Whether there are nulls, and the type of the items.
    raw.try_get_i64()?;
    // Of each dimension its length and the number of its first item.
    for _ in 0..dimensions {
        raw.try_get_i64()?;
    }
    let mut list = Vec::new();
    while raw.has_remaining() {
        // A negative length stands for null.
        let Ok(length) = usize::try_from(raw.try_get_i32()?) else { continue };
        let (taken, rest) = raw.split_at_checked(length).ok_or("an array ends too early")?;
        list.push(item(taken)?);
        raw = rest;
    }
    Ok(list)
}

/// Sums and averages come as `numeric`: digits to the base 10000, the first of which counts 10000^weight.
fn numeric(mut raw: &[u8]) -> Result<f64, Failure> {
    const NEGATIVE: u16 = 0x4000;
    const NAN: u16 = 0xC000;
    const INFINITY: u16 = 0xD000;
    const NEGATIVE_INFINITY: u16 = 0xF000;

    let count = raw.try_get_u16()?;
    let weight = i32::from(raw.try_get_i16()?);
    let sign = raw.try_get_u16()?;
    // How many digits to show behind the point.
    raw.try_get_u16()?;
    match sign {
        NAN => return Ok(f64::NAN),
        INFINITY => return Ok(f64::INFINITY),
        NEGATIVE_INFINITY => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    // Through a decimal text, because only the parser of floats rounds correctly.
    let mut decimal = String::from(if sign == NEGATIVE { "-0" } else { "0" });
    for _ in 0..count {
        write!(decimal, "{:04}", raw.try_get_u16()?)?;
    }
    write!(decimal, "e{}", 4 * (weight + 1 - i32::from(count)))?;
    Ok(decimal.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL writes `jsonb`.
    struct Spaced;

    impl serde_json::ser::Formatter for Spaced {
        fn begin_array_value<W: std::io::Write + ?Sized>(
            &mut self,
            to: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            to.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_key<W: std::io::Write + ?Sized>(
            &mut self,
            to: &mut W,
            first: bool,
        ) -> std::io::Result<()> {
            to.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_value<W: std::io::Write + ?Sized>(&mut self, to: &mut W) -> std::io::Result<()> {
            to.write_all(b": ")
        }
    }

    proptest::proptest! {
        #[test]
        fn compact_json_says_the_same(texts in proptest::collection::vec("(\\\\|\"| |:|,|é|[a-z{}]){0,12}", 0..6)) {
            use serde::Serialize;
            let value = serde_json::json!({"a b": texts, "c": [null, 1.5, {"d": true}], "": {}});
            let mut spaced = Vec::new();
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut spaced, Spaced)).unwrap();
            proptest::prop_assert!(spaced.len() > value.to_string().len());
            proptest::prop_assert_eq!(String::from_utf8(compact(&spaced)).unwrap(), value.to_string());
        }
    }

    #[test]
    fn broken_json_is_handed_on() {
        for json in ["", " ", "\"a", "\"a\\", "{\"a\": 1"] {
            assert_eq!(compact(json.as_bytes()).is_empty(), json.trim().is_empty(), "{json}");
        }
    }
}
