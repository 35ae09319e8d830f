//! Values on their way to PostgreSQL, in the binary form of the type that a prepared statement asks for.

use std::borrow::Borrow;
use std::error::Error as StdError;
use std::fmt;

use bytes::{BufMut, BytesMut};
use postgres_types::{IsNull, Kind, ToSql, Type};
use uuid::Uuid;

use crate::storage::sql::value::Value;
use crate::time::Timestamp;

/// PostgreSQL counts its timestamps from 2000-01-01T00:00:00Z; this is that instant in microseconds since 1970.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// PostgreSQL takes no message of a gigabyte, and breaks the connection when it gets one.
const MAX_BYTES: usize = 1_000_000_000;

/// A parameter that is ready to be sent.
///
/// Everything is encoded before the first byte of a batch is sent: a value that does not fit must never be noticed
/// when the COMMIT behind it is under way already.
pub(super) struct Encoded(Option<BytesMut>);

// The driver prints parameters when it logs at level debug; what users wrote does not belong there.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(bytes) => write!(f, "<{} bytes>", bytes.len()),
            None => f.write_str("null"),
        }
    }
}

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql(ty, out)
    }
}

/// Why a value cannot be a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The program is wrong: nothing of this kind goes there.
    Kind(String),
    /// The value is wrong: it is too large, or not what its text should be.
    Value(String),
}

/// `value` as a parameter of type `ty`.
pub(super) fn encode(value: &Value, ty: &Type) -> Result<Encoded, Unfit> {
    let mut out = BytesMut::new();
    let is_null = put(Cell::from(value), ty, &mut out)?;
    finish(is_null, out)
}

/// The cells of a column of a bulk write as one parameter of the array type `ty`.
///
/// A cell that is a list itself becomes the text of an array (`{"a","b"}`), because PostgreSQL's arrays of arrays
/// are matrices; the query casts it back.
pub(super) fn encode_column<'a>(
    cells: impl ExactSizeIterator<Item = &'a Value>,
    ty: &Type,
) -> Result<Encoded, Unfit> {
    let Kind::Array(member) = ty.kind() else {
        return Err(Unfit::Kind(format!("a column needs an array, the query takes {ty}")));
    };
    let mut out = BytesMut::new();
    put_array(cells.map(Cell::from), member, &mut out)?;
    finish(false, out)
}

fn finish(is_null: bool, out: BytesMut) -> Result<Encoded, Unfit> {
    if out.len() > MAX_BYTES {
        return Err(Unfit::Value("it is larger than PostgreSQL takes".to_owned()));
    }
    Ok(Encoded((!is_null).then_some(out)))
}

/// A borrowed value, or one item of a list.
#[derive(Clone, Copy)]
enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Json(&'a str),
    Bytes(&'a [u8]),
    Uuid(Uuid),
    Time(Timestamp),
    Texts(&'a [String]),
    Uuids(&'a [Uuid]),
    Ints(&'a [i64]),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Text(text) => Self::Text(text),
            Value::Json(text) => Self::Json(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Uuid(uuid) => Self::Uuid(*uuid),
            Value::Time(time) => Self::Time(*time),
            Value::Texts(texts) => Self::Texts(texts),
            Value::Uuids(uuids) => Self::Uuids(uuids),
            Value::Ints(ints) => Self::Ints(ints),
        }
    }
}

impl Cell<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Json(_) => "a JSON document",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "an id",
            Self::Time(_) => "a time",
            Self::Texts(_) => "a list of texts",
            Self::Uuids(_) => "a list of ids",
            Self::Ints(_) => "a list of integers",
        }
    }
}

/// Appends `cell` in the form of `ty` and answers whether it is null (then nothing was appended).
fn put(cell: Cell<'_>, ty: &Type, out: &mut BytesMut) -> Result<bool, Unfit> {
    if let Kind::Array(member) = ty.kind() {
        match cell {
            Cell::Null => return Ok(true),
            Cell::Texts(texts) => put_array(texts.iter().map(|text| Cell::Text(text)), member, out)?,
            Cell::Uuids(uuids) => put_array(uuids.iter().map(|uuid| Cell::Uuid(*uuid)), member, out)?,
            Cell::Ints(ints) => put_array(ints.iter().map(|int| Cell::Int(*int)), member, out)?,
            other => return Err(misfit(other, ty)),
        }
        return Ok(false);
    }
    match (cell, ty) {
        (Cell::Null, _) => return Ok(true),
        (Cell::Bool(value), &Type::BOOL) => out.put_u8(u8::from(value)),
        (Cell::Int(value), &Type::INT2) => out.put_i16(narrow(value, ty)?),
        (Cell::Int(value), &Type::INT4) => out.put_i32(narrow(value, ty)?),
        (Cell::Int(value), &Type::INT8) => out.put_i64(value),
        #[expect(clippy::cast_precision_loss, reason = "the query asked for a float")]
        (Cell::Int(value), &Type::FLOAT8) => out.put_f64(value as f64),
        #[expect(clippy::cast_precision_loss, reason = "the query asked for a float")]
        (Cell::Int(value), &Type::FLOAT4) => out.put_f32(value as f32),
        (Cell::Float(value), &Type::FLOAT8) => out.put_f64(value),
        #[expect(clippy::cast_possible_truncation, reason = "scores are kept in single precision")]
        (Cell::Float(value), &Type::FLOAT4) => out.put_f32(value as f32),
        (
            Cell::Text(text) | Cell::Json(text),
            &Type::TEXT
            | &Type::VARCHAR
            | &Type::BPCHAR
            | &Type::NAME
            | &Type::UNKNOWN
            | &Type::JSON
            | &Type::BYTEA,
        ) => out.put_slice(text.as_bytes()),
        (Cell::Text(text) | Cell::Json(text), &Type::JSONB) => {
            // The version of the format, which is 1 to this day.
            out.put_u8(1);
            out.put_slice(text.as_bytes());
        }
        (Cell::Texts(texts), &Type::TEXT | &Type::VARCHAR) => {
            put_literal(texts.iter().map(String::as_str), out);
        }
        (Cell::Uuids(uuids), &Type::TEXT | &Type::VARCHAR) => {
            put_literal(uuids.iter().map(Uuid::to_string), out);
        }
        (Cell::Ints(ints), &Type::TEXT | &Type::VARCHAR) => put_literal(ints.iter().map(i64::to_string), out),
        (Cell::Bytes(bytes), &Type::BYTEA) => out.put_slice(bytes),
        (Cell::Uuid(uuid), &Type::UUID) => out.put_slice(uuid.as_bytes()),
        (Cell::Uuid(uuid), &Type::TEXT | &Type::VARCHAR) => {
            out.put_slice(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        }
        (Cell::Text(text), &Type::UUID) => {
            let uuid = Uuid::try_parse(text).map_err(|_| Unfit::Value("it is not a UUID".to_owned()))?;
            out.put_slice(uuid.as_bytes());
        }
        (Cell::Time(time), &Type::TIMESTAMPTZ) => out.put_i64(time.as_micros() - EPOCH_MICROS),
        (other, _) => return Err(misfit(other, ty)),
    }
    Ok(false)
}

fn misfit(cell: Cell<'_>, ty: &Type) -> Unfit {
    Unfit::Kind(format!("it is {}, the query takes {ty}", cell.kind()))
}

fn narrow<T: TryFrom<i64>>(value: i64, ty: &Type) -> Result<T, Unfit> {
    T::try_from(value).map_err(|_| Unfit::Value(format!("the number is out of the range of {ty}")))
}

fn put_array<'a>(
    cells: impl ExactSizeIterator<Item = Cell<'a>>,
    member: &Type,
    out: &mut BytesMut,
) -> Result<(), Unfit> {
    let too_many = |_| Unfit::Value("it is larger than PostgreSQL takes".to_owned());
    let count = i32::try_from(cells.len()).map_err(too_many)?;
    // What the length and a short item need.
    out.reserve(cells.len().saturating_mul(20));
    // The number of dimensions; whether there may be nulls; the type of the items.
    out.put_i32(i32::from(count > 0));
    out.put_i32(1);
    out.put_u32(member.oid());
    if count > 0 {
        // The length of the one dimension and the number of its first item.
        out.put_i32(count);
        out.put_i32(1);
    }
    for cell in cells {
        let start = out.len();
        // The length of the item, where -1 stands for null.
        out.put_i32(-1);
        if !put(cell, member, out)? {
            let length = i32::try_from(out.len() - start - 4).map_err(too_many)?;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

/// Appends `items` as the text of an array; every item is quoted, so that none reads as `NULL` or as nothing.
fn put_literal<T: Borrow<str>>(items: impl Iterator<Item = T>, out: &mut BytesMut) {
    out.put_u8(b'{');
    for (index, item) in items.enumerate() {
        out.put_slice(if index == 0 { b"\"" } else { b",\"" });
        let mut rest = item.borrow();
        while let Some(at) = rest.find(['"', '\\']) {
            out.put_slice(&rest.as_bytes()[..at]);
            out.put_u8(b'\\');
            out.put_u8(rest.as_bytes()[at]);
            rest = &rest[at + 1..];
        }
        out.put_slice(rest.as_bytes());
        out.put_u8(b'"');
    }
    out.put_u8(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &Value, ty: &Type) -> Vec<u8> {
        encode(value, ty).unwrap().0.unwrap().to_vec()
    }

    #[test]
    fn lists_in_bulk_writes_are_array_texts() {
        let texts = Value::Texts(vec!["a".into(), String::new(), "NULL".into(), "q\"\\,{}".into()]);
        assert_eq!(bytes(&texts, &Type::TEXT), br#"{"a","","NULL","q\"\\,{}"}"#);
        assert_eq!(bytes(&Value::Texts(vec![]), &Type::TEXT), b"{}");
        assert_eq!(bytes(&Value::Ints(vec![-1, 2]), &Type::TEXT), br#"{"-1","2"}"#);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let value = |text: &str| Unfit::Value(text.to_owned());
        assert_eq!(
            encode(&Value::Int(1 << 40), &Type::INT4).unwrap_err(),
            value("the number is out of the range of int4")
        );
        assert_eq!(encode(&Value::Text("x".into()), &Type::UUID).unwrap_err(), value("it is not a UUID"));
        assert_eq!(
            encode(&Value::Bool(true), &Type::TEXT).unwrap_err(),
            Unfit::Kind("it is a truth value, the query takes text".to_owned())
        );
        assert_eq!(
            encode_column([Value::Int(1)].iter(), &Type::INT8).unwrap_err(),
            Unfit::Kind("a column needs an array, the query takes int8".to_owned())
        );
    }

    #[test]
    fn parameters_are_never_printed() {
        let secret = encode(&Value::Text("secret".into()), &Type::TEXT).unwrap();
        assert_eq!(format!("{secret:?}"), "<6 bytes>");
    }
}
