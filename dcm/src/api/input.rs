//! How an operation's input is read from path, query and body: field by field, with every complaint by name.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::error::{Error, FieldErrors};
pub(crate) use crate::json::complaint;
use crate::json::{JsonObject, check_text};
use crate::model::{PromptType, RequestStatus, SubtaskStatus, TaskStatus, ToolType, Topic};
use crate::time::{Timestamp, WANTED};

/// A bound on one field, checked by the engine and shown in the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// Whatever the type allows.
    Any,
    /// A text of `min` to `max` characters.
    Text {
        /// The least number of characters.
        min: usize,
        /// The largest number of characters.
        max: usize,
    },
    /// A whole number from `min` to `max`.
    Int {
        /// The least value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// An absolute URL.
    Url,
}

/// A text of `min` to `max` characters.
pub(crate) const fn text(min: usize, max: usize) -> Rule {
    Rule::Text { min, max }
}

/// A whole number from `min` to `max`.
pub(crate) const fn int(min: i64, max: i64) -> Rule {
    Rule::Int { min, max }
}

/// An agent id, session id, agent type or tool name: short enough for every index.
pub(crate) const NAME: Rule = text(1, 255);
/// The same where the original allowed the empty text.
pub(crate) const NAME_OR_EMPTY: Rule = text(0, 255);
/// A file system path.
pub(crate) const PATH: Rule = text(1, 2048);
/// A prompt, a description, a tool's input: bounded by the body limit alone.
pub(crate) const LONG: Rule = text(1, 8 << 20);
/// What fits a 32-bit counter.
pub(crate) const COUNTER: Rule = int(0, i32::MAX as i64);

/// One field of an operation's input.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// Its bound.
    pub rule: Rule,
}

/// A type that a field can have.
pub trait FieldValue: Sized {
    /// Whether the field may be left out.
    const OPTIONAL: bool = false;

    /// Reads a member of a JSON body.
    fn from_json(raw: &RawValue) -> Result<Self, String>;

    /// Reads a path segment or query parameter, already percent-decoded.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Whether an empty query parameter means that there is none.
    #[must_use]
    fn empty_text_is_absent() -> bool {
        true
    }

    /// What the field is when it is left out.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

    /// Whether this value stands for a field that was left out.
    fn is_absent(&self) -> bool {
        false
    }

    /// Complains when the value breaks `rule`.
    fn check(&self, rule: &Rule) -> Result<(), String> {
        let _ = rule;
        Ok(())
    }
}

/// `serde`'s `skip_serializing_if` for every field.
pub(crate) fn is_absent<T: FieldValue>(value: &T) -> bool {
    value.is_absent()
}

impl<T: FieldValue> FieldValue for Option<T> {
    const OPTIONAL: bool = true;

    fn from_json(raw: &RawValue) -> Result<Self, String> {
        T::from_json(raw).map(Some)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        T::from_text(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn check(&self, rule: &Rule) -> Result<(), String> {
        self.as_ref().map_or(Ok(()), |value| value.check(rule))
    }
}

fn check_length(text: &str, rule: &Rule) -> Result<(), String> {
    check_text(text)?;
    match *rule {
        Rule::Text { min: 1, .. } if text.is_empty() => Err("must not be empty".to_owned()),
        // Counting characters is only needed when the bytes do not settle it already.
        Rule::Text { max, .. } if text.len() > max && text.chars().count() > max => {
            Err(format!("must have at most {max} characters"))
        }
        Rule::Url if !is_absolute_url(text) => Err("must be an absolute URL".to_owned()),
        _ => Ok(()),
    }
}

/// `scheme:` as RFC 3986 3.1 spells it, followed by something.
fn is_absolute_url(text: &str) -> bool {
    text.len() <= 2048
        && !text.contains(char::is_whitespace)
        && text.split_once(':').is_some_and(|(scheme, rest)| {
            !rest.is_empty()
                && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        })
}

impl FieldValue for String {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        serde_json::from_str(raw.get()).map_err(|error| complaint(&error))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn check(&self, rule: &Rule) -> Result<(), String> {
        check_length(self, rule)
    }
}

impl FieldValue for Vec<String> {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        serde_json::from_str(raw.get()).map_err(|error| match complaint(&error) {
            text if text.starts_with("must be a ") => "must be a list of strings".to_owned(),
            text => text,
        })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    fn check(&self, rule: &Rule) -> Result<(), String> {
        if self.len() > 1000 {
            return Err("must have at most 1000 entries".to_owned());
        }
        self.iter().try_for_each(|text| check_length(text, rule))
    }
}

fn check_number(value: i64, rule: &Rule) -> Result<(), String> {
    match *rule {
        Rule::Int { min, max } if value < min || value > max => Err(format!("{OUT_OF_RANGE} {min} to {max}")),
        _ => Ok(()),
    }
}

/// How the complaint about a number begins that is out of its range.
const OUT_OF_RANGE: &str = "must be a whole number from";

/// What is out of the range of a type is out of that of the field, which is the smaller one.
fn of_field(complaint: String, rule: &Rule) -> String {
    match rule {
        Rule::Int { min, max } if complaint.starts_with(OUT_OF_RANGE) => {
            format!("{OUT_OF_RANGE} {min} to {max}")
        }
        _ => complaint,
    }
}

impl FieldValue for i64 {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        let text = raw.get();
        if let Ok(value) = text.parse() {
            return Ok(value);
        }
        // `3.0` and `1e2` are integral JSON numbers too.
        match text.parse::<f64>() {
            #[expect(clippy::cast_possible_truncation, reason = "bounded to 2^53, where f64 is exact")]
            Ok(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_991.0 => Ok(value as Self),
            Ok(_) => Err("must be a whole number within 2^53".to_owned()),
            Err(_) => Err("must be a whole number".to_owned()),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "must be a whole number".to_owned())
    }

    fn check(&self, rule: &Rule) -> Result<(), String> {
        check_number(*self, rule)
    }
}

impl FieldValue for i32 {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        narrow(i64::from_json(raw).unwrap_or(i64::MAX))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        narrow(i64::from_text(text)?)
    }

    fn check(&self, rule: &Rule) -> Result<(), String> {
        check_number(i64::from(*self), rule)
    }
}

fn narrow(value: i64) -> Result<i32, String> {
    i32::try_from(value).map_err(|_| format!("{OUT_OF_RANGE} {} to {}", i32::MIN, i32::MAX))
}

/// A count such as `limit` or `offset`.
impl FieldValue for u32 {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        Self::from_text(raw.get())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("must be a whole number, 0 or more".to_owned());
        }
        text.parse().map_err(|_| format!("must be a whole number from 0 to {}", Self::MAX))
    }

    fn check(&self, rule: &Rule) -> Result<(), String> {
        check_number(i64::from(*self), rule)
    }
}

impl FieldValue for f64 {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        Self::from_text(raw.get())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.trim()
            .parse::<Self>()
            .ok()
            .filter(|value| value.is_finite())
            .ok_or_else(|| "must be a number".to_owned())
    }
}

impl FieldValue for bool {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        Self::from_text(raw.get())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
}

impl FieldValue for JsonObject {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        Self::parse(raw.get())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

/// Field types that are one word: ids and enums.
macro_rules! words {
    ($($type:ty,)+) => {$(
        impl FieldValue for $type {
            fn from_json(raw: &RawValue) -> Result<Self, String> {
                Self::from_text(&String::from_json(raw)?)
            }

            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(str::to_owned)
            }
        }
    )+};
}

words! {
    crate::id::ActionId, crate::id::BlockingId, crate::id::MessageId, crate::id::ProjectId, crate::id::RequestId,
    crate::id::SubscriptionId, crate::id::SubtaskId, crate::id::TaskId,
    PromptType, RequestStatus, SubtaskStatus, TaskStatus, ToolType, Topic,
    crate::api::context::BriefFormat, crate::hooks::AgentClient,
}

impl FieldValue for Timestamp {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        Self::from_text(&String::from_json(raw)?)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| WANTED.to_owned())
    }
}

impl FieldValue for Vec<crate::id::SubtaskId> {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        serde_json::from_str(raw.get()).map_err(|error| complaint(&error))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',').map(|part| part.trim().parse().map_err(str::to_owned)).collect()
    }
}

/// Where the fields of one request come from.
#[derive(Debug, Default)]
pub struct FieldSource {
    /// Path segments, percent-decoded; they win over everything else.
    pub path: Vec<(String, String)>,
    /// Query parameters, decoded; the first of a name counts.
    pub query: Vec<(String, String)>,
    /// Members of the JSON body.
    pub body: BTreeMap<String, Box<RawValue>>,
}

/// What a body that is JSON but no object is told; `details` stays empty for it, as the clients expect.
const NO_OBJECT: &str = "the body must be a JSON object, such as {}";

impl FieldSource {
    /// A source for `body`, which must be a JSON object.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Invalid`] when the text is not JSON, or not an object.
    pub fn from_body(path: Vec<(String, String)>, body: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|_| {
            Error::invalid("Malformed JSON").with_extra("message", "the body is not valid UTF-8")
        })?;
        match serde_json::from_str(text) {
            Ok(body) => Ok(Self { path, query: Vec::new(), body }),
            Err(error) if error.is_data() => Err(Error::invalid("Validation failed")
                .with_details(FieldErrors::new())
                .with_extra("message", NO_OBJECT)),
            Err(error) => Err(Error::invalid("Malformed JSON").with_extra("message", error.to_string())),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        let find = |pairs: &'_ [(String, String)]| pairs.iter().position(|(known, _)| known == name);
        find(&self.path)
            .map(|at| &*self.path[at].1)
            .or_else(|| find(&self.query).map(|at| &*self.query[at].1))
    }

    /// Reads one field that is looked for in the query alone.
    pub(crate) fn read_query<T: FieldValue>(&self, spec: &FieldSpec, errors: &mut InputErrors) -> Option<T> {
        let query = Self { query: self.query.clone(), ..Self::default() };
        query.read(spec, errors)
    }

    /// Reads one field; a complaint goes into `errors`.
    pub(crate) fn read<T: FieldValue>(&self, spec: &FieldSpec, errors: &mut InputErrors) -> Option<T> {
        let found = if let Some(text) = self.text(spec.name) {
            let absent = text.is_empty() && (T::OPTIONAL || T::empty_text_is_absent());
            (!absent).then(|| T::from_text(text))
        } else {
            let member = self.body.get(spec.name).filter(|raw| raw.get() != "null");
            member.map(|raw| T::from_json(raw))
        };
        match found {
            Some(Ok(value)) => Some(value),
            Some(Err(complaint)) => {
                errors.push(spec.name, of_field(complaint, &spec.rule));
                None
            }
            None => T::absent().or_else(|| {
                errors.push(spec.name, "is required".to_owned());
                None
            }),
        }
    }
}

/// The complaints about one input, in the order of its fields.
#[derive(Debug, Default)]
pub struct InputErrors(Vec<(&'static str, String)>);

impl InputErrors {
    pub(crate) fn push(&mut self, field: &'static str, complaint: String) {
        self.0.push((field, complaint));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Brings the complaints into the order of the fields.
    pub(crate) fn order_by(&mut self, fields: &[FieldSpec]) {
        self.0.sort_by_key(|(name, _)| fields.iter().position(|field| field.name == *name));
    }

    /// Checks `value` against the bound of `spec`.
    pub(crate) fn check<T: FieldValue>(&mut self, spec: &FieldSpec, value: &T) {
        if let Err(complaint) = value.check(&spec.rule) {
            self.push(spec.name, complaint);
        }
    }

    /// Turns the complaints, if there are any, into the error body that `style` asks for.
    pub(crate) fn into_result(self, style: InputErrorStyle, missing: &[(&str, &str)]) -> Result<(), Error> {
        let Some((first, first_complaint)) = self.0.first() else { return Ok(()) };
        let special = missing.iter().find(|(field, _)| {
            field == first && matches!(&**first_complaint, "is required" | "must not be empty")
        });
        let message = match (special, style) {
            (Some((_, message)), _) => (*message).to_owned(),
            (None, InputErrorStyle::NamesField) => format!("Validation failed: Invalid {first}"),
            (None, InputErrorStyle::Plain) => "Validation failed".to_owned(),
            (None, InputErrorStyle::Query) => "Invalid query parameters".to_owned(),
        };
        let mut details = FieldErrors::new();
        for (field, complaint) in self.0 {
            details.entry(field.to_owned()).or_default().push(complaint);
        }
        Err(Error::invalid(message).with_details(details))
    }
}

/// How an operation words the summary of its input errors (CONTRACT 0.4 and M.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputErrorStyle {
    /// `Validation failed: Invalid <first field>`.
    NamesField,
    /// `Validation failed`.
    Plain,
    /// `Invalid query parameters`.
    Query,
}

/// Defines the input of an operation: a plain struct, how it is read from the wire, and its bounds.
///
/// `field: Type [rule] => "message when missing",` where rule and message are optional.
macro_rules! input {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty $([$rule:expr])? $(=> $missing:literal)?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "crate::api::input::is_absent")]
                pub $field: $type,
            )*
        }

        impl $crate::api::Input for $name {
            const FIELDS: &'static [$crate::api::FieldSpec] = &[
                $($crate::api::FieldSpec {
                    name: stringify!($field),
                    required: !<$type as $crate::api::input::FieldValue>::OPTIONAL,
                    rule: input!(@rule $($rule)?),
                },)*
            ];
            const MISSING: &'static [(&'static str, &'static str)] =
                &[$($((stringify!($field), $missing),)?)*];

            #[allow(unused_mut, unused_variables, unused_assignments, clippy::allow_attributes,
                reason = "an input may have no field at all")]
            fn read(
                source: &$crate::api::FieldSource,
                errors: &mut $crate::api::input::InputErrors,
            ) -> Option<Self> {
                let mut specs = Self::FIELDS.iter();
                $(let $field = specs.next().and_then(|spec| source.read::<$type>(spec, errors));)*
                // Who has to mend a field anyway is told of the others too; else the engine checks them all.
                if !errors.is_empty() {
                    let mut specs = Self::FIELDS.iter();
                    $(if let (Some(spec), Some(value)) = (specs.next(), &$field) { errors.check(spec, value); })*
                    errors.order_by(Self::FIELDS);
                }
                Some(Self { $($field: $field?,)* })
            }

            #[allow(unused_mut, unused_variables, clippy::allow_attributes,
                reason = "an input may have no field at all")]
            fn check(&self, errors: &mut $crate::api::input::InputErrors) {
                let mut specs = Self::FIELDS.iter();
                $(if let Some(spec) = specs.next() { errors.check(spec, &self.$field); })*
            }
        }
    };
    (@rule) => { $crate::api::input::Rule::Any };
    (@rule $rule:expr) => { $rule };
}
pub(crate) use input;
