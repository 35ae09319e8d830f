//! The operations of DCM: each one defined once, as an input struct and one row of [the table](crate::for_each_operation).
//!
//! The server's routes, the SDK's methods, the OpenAPI document, the engine's dispatch and the conformance suite are
//! folds over that table. Nothing in here does I/O.

pub mod actions;
pub mod agent_contexts;
pub mod blocking;
pub mod compact;
pub mod context;
pub mod events;
pub mod hierarchy;
pub mod hooks;
pub mod ingest;
pub mod input;
pub mod messages;
pub mod openapi;
pub mod projects;
pub mod requests;
pub mod routing;
pub mod sessions;
pub mod subscriptions;
pub mod subtasks;
pub mod system;
mod table;
pub mod tasks;
pub mod wire;

use std::fmt::Debug;
use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use input::{FieldSource, FieldSpec, InputErrorStyle, InputErrors, Rule};

use crate::error::Result;

/// An HTTP method that an operation is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    GET,
    /// Creates, or does something.
    POST,
    /// Changes the given fields.
    PATCH,
    /// Removes.
    DELETE,
}

impl Method {
    /// The method as HTTP spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GET => "GET",
            Self::POST => "POST",
            Self::PATCH => "PATCH",
            Self::DELETE => "DELETE",
        }
    }

    /// Whether the fields that are not in the path travel as a JSON body (else as a query).
    #[must_use]
    pub const fn has_body(self) -> bool {
        matches!(self, Self::POST | Self::PATCH)
    }
}

/// Who may call an operation when API keys are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody who reaches the server.
    Open,
    /// Holders of an API key.
    Key,
}

/// What the table says of an operation.
#[derive(Debug, Clone, Copy)]
pub struct OperationMeta {
    /// Its name, unique, in `snake_case`; also the SDK's method.
    pub id: &'static str,
    /// Its HTTP method.
    pub method: Method,
    /// Its path with `{name}` for parameters.
    pub path: &'static str,
    /// The HTTP status of success.
    pub success: u16,
    /// One line for people.
    pub summary: &'static str,
    /// The group it belongs to.
    pub tag: &'static str,
    /// How input errors are summarised.
    pub input_errors: InputErrorStyle,
    /// Who may call it.
    pub access: Access,
    /// Fields that travel in the query although there is a body.
    pub query: &'static [&'static str],
}

/// The input side of an operation; implemented by `input!`.
pub trait Input: Serialize + DeserializeOwned + JsonSchema + Debug + Clone + Send + Sync + 'static {
    /// Its fields, in the order in which they are read.
    const FIELDS: &'static [FieldSpec];
    /// Fields whose absence has a message of its own.
    const MISSING: &'static [(&'static str, &'static str)];
    /// Fields that travel in the query although the method has a body.
    const QUERY: &'static [&'static str] = &[];

    /// Reads the fields; `None` when one could not be read, with the complaint in `errors`.
    fn read(source: &FieldSource, errors: &mut InputErrors) -> Option<Self>;

    /// Checks every field against its bound.
    fn check(&self, errors: &mut InputErrors);
}

/// One operation of DCM: the request *is* `Self`.
pub trait Operation: Input {
    /// What a successful call answers.
    type Output: Serialize + DeserializeOwned + JsonSchema + Debug + Send + 'static;
    /// Its row of the table.
    const META: OperationMeta;

    /// Reads the operation from the wire, without checking bounds (the engine does, for every caller).
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Invalid`] with the complaints by field.
    fn from_source(source: &FieldSource) -> Result<Self> {
        let mut errors = InputErrors::default();
        let read = Self::read(source, &mut errors);
        errors.into_result(Self::META.input_errors, Self::MISSING)?;
        read.ok_or_else(|| crate::Error::internal("a field was neither read nor complained about"))
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Invalid`] with the complaints by field.
    fn validate(&self) -> Result<()> {
        let mut errors = InputErrors::default();
        self.check(&mut errors);
        errors.into_result(Self::META.input_errors, Self::MISSING)
    }
}

/// Something that can carry out `O`: the engine in process, or the SDK over HTTP.
pub trait Execute<O: Operation> {
    /// Carries out the operation.
    fn execute(&self, operation: O) -> impl Future<Output = Result<O::Output>> + Send;
}

/// Defines [`Api`]: everything that can carry out every operation.
macro_rules! define_api {
    ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {
        /// Everything that can carry out every operation of DCM; the conformance suite takes one.
        pub trait Api: Send + Sync $(+ Execute<$operation>)+ {}

        impl<T: Send + Sync $(+ Execute<$operation>)+> Api for T {}

        $(
            impl Operation for $operation {
                type Output = $output;
                const META: OperationMeta = OperationMeta {
                    id: stringify!($id),
                    method: Method::$method,
                    path: $path,
                    success: $success,
                    summary: $doc.trim_ascii(),
                    tag: $tag,
                    input_errors: InputErrorStyle::$style,
                    access: Access::$access,
                    query: <$operation as Input>::QUERY,
                };
            }
        )+

        /// Every row of the table, in its order.
        pub const OPERATIONS: &[OperationMeta] = &[$(<$operation as Operation>::META),+];
    };
}

pub(crate) use table::for_each_operation;

for_each_operation!(define_api);

/// An answer without a body (204).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoContent;

impl Serialize for NoContent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for NoContent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

impl JsonSchema for NoContent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NoContent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "null"})
    }
}
