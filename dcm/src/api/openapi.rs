//! The OpenAPI 3.1 document, folded from the operation table.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Access, FieldSpec, Method, Operation, OperationMeta, Rule};
use crate::error::ErrorKind;

/// Where the document keeps the schemas that have a name.
const SCHEMAS: &str = "#/components/schemas/";

/// The document for every operation of the table, in the form of OpenAPI 3.1.
///
/// Equal input gives an equal document: paths, members and schemas are in alphabetical order.
#[must_use]
pub fn document() -> Value {
    macro_rules! fold {
        ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {{
            let mut builder = Builder::new();
            $(builder.operation::<$operation>();)+
            builder.finish()
        }};
    }
    crate::for_each_operation!(fold)
}

struct Builder {
    /// What callers may send: optional members may be left out.
    inputs: SchemaGenerator,
    /// What is answered: members are there as they are written.
    outputs: SchemaGenerator,
    paths: Map<String, Value>,
    tags: BTreeSet<&'static str>,
}

impl Builder {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            inputs: settings().for_deserialize().into_generator(),
            outputs: settings().for_serialize().into_generator(),
            paths: Map::new(),
            tags: BTreeSet::new(),
        }
    }

    fn operation<O: Operation>(&mut self) {
        let meta = &O::META;
        self.tags.insert(meta.tag);
        // The input itself is written out in place, since its fields are spread over path, query and body.
        let input = O::json_schema(&mut self.inputs).to_value();
        let properties = input.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let in_path = |field: &FieldSpec| meta.path.contains(&format!("{{{}}}", field.name));

        let mut parameters = Vec::new();
        let mut body = Map::new();
        let mut required = Vec::new();
        for field in O::FIELDS {
            let schema =
                bounded(properties.get(field.name).cloned().unwrap_or_else(|| json!({})), field.rule);
            if in_path(field) {
                parameters.push(parameter(field, "path", schema));
            } else if meta.method.has_body() && !meta.query.contains(&field.name) {
                if field.required {
                    required.push(field.name);
                }
                body.insert(field.name.to_owned(), schema);
            } else {
                parameters.push(parameter(field, "query", schema));
            }
        }
        if meta.method == Method::POST {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }

        let mut entry = Map::new();
        entry.insert("operationId".to_owned(), meta.id.into());
        entry.insert("summary".to_owned(), meta.summary.into());
        entry.insert("tags".to_owned(), json!([meta.tag]));
        if !parameters.is_empty() {
            entry.insert("parameters".to_owned(), parameters.into());
        }
        if meta.method.has_body() {
            let mut schema = json!({"type": "object", "properties": body});
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            if input.get("additionalProperties") == Some(&Value::Bool(true)) {
                schema["additionalProperties"] = json!(true);
            }
            let content = json!({"application/json": {"schema": schema}});
            entry.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
        }
        let answer = self.outputs.subschema_for::<O::Output>();
        entry.insert("responses".to_owned(), responses(meta, &answer, O::FIELDS.is_empty()));
        if meta.access == Access::Open {
            entry.insert("security".to_owned(), json!([]));
        }
        let path = self.paths.entry(meta.path).or_insert_with(|| json!({}));
        path[meta.method.as_str().to_ascii_lowercase()] = entry.into();
    }

    fn finish(mut self) -> Value {
        let mut schemas = self.inputs.take_definitions(true);
        // A type that is both sent and answered stands there as it is answered: never less is known of it then.
        schemas.extend(self.outputs.take_definitions(true));
        schemas.remove("NoContent");
        for schema in schemas.values_mut().chain(self.paths.values_mut()) {
            plain_descriptions(schema);
        }
        schemas.insert(
            "Error".to_owned(),
            json!({
                "description": "What went wrong, for people; some errors carry more members.",
                "type": "object",
                "properties": {
                    "error": {"type": "string", "description": "One line for people."},
                    "details": {
                        "type": "object",
                        "description": "The complaints by field.",
                        "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1}
                    },
                    "request_id": {"type": "string", "description": "Where to look in the log; only with a status of 500 or more."}
                },
                "required": ["error"]
            }),
        );
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Distributed Context Manager",
                "version": env!("CARGO_PKG_VERSION"),
                "summary": "One shared, durable memory for many AI coding agents.",
                "license": {"name": "MIT", "identifier": "MIT"}
            },
            "servers": [{"url": "http://127.0.0.1:3847", "description": "The default address"}],
            "security": [{"apiKey": []}],
            "tags": self.tags.iter().map(|tag| json!({"name": tag})).collect::<Vec<_>>(),
            "paths": self.paths,
            "components": {
                "schemas": schemas,
                "responses": named_responses(),
                "parameters": {
                    "IdempotencyKey": {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "required": false,
                        "description": "Makes it safe to repeat the call: within 24 hours the same key with the same request gets the same answer, with another request 422.",
                        "schema": {"type": "string", "minLength": 1, "maxLength": 255}
                    }
                },
                "securitySchemes": {
                    "apiKey": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "One of `DCM_API_KEYS`; nothing is needed where none is configured."
                    }
                }
            }
        })
    }
}

/// One field in the path or the query.
fn parameter(field: &FieldSpec, place: &str, mut schema: Value) -> Value {
    // There is no null in a text: what is optional is left out.
    let description = schema.as_object_mut().and_then(|members| {
        not_null(members);
        members.remove("description")
    });
    let mut parameter =
        json!({"name": field.name, "in": place, "required": field.required || place == "path"});
    if let Some(description) = description {
        parameter["description"] = description;
    }
    if schema.get("type").is_some_and(|kind| kind == "array") {
        parameter["style"] = json!("form");
        parameter["explode"] = json!(false);
    }
    parameter["schema"] = schema;
    parameter
}

/// Takes the null out of a schema of an optional field.
fn not_null(members: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if kinds.len() == 1 {
            let only = kinds.remove(0);
            members.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = members.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
    if choices.len() == 1
        && let Value::Object(only) = choices.remove(0)
    {
        members.remove("anyOf");
        members.extend(only);
    }
}

/// Turns what only rustdoc reads as a link (``[`Task`]``) into plain words.
fn plain_descriptions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("[`", "`").replace("`]", "`");
                    }
                    _ => plain_descriptions(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}

/// Adds the bound of a field to its schema.
fn bounded(mut schema: Value, rule: Rule) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    match rule {
        Rule::Any => {}
        Rule::Text { min, max } => {
            // The bound of a list of texts holds for each of them.
            let target = match members.get_mut("items").and_then(Value::as_object_mut) {
                Some(items) => items,
                None => members,
            };
            if min > 0 {
                target.insert("minLength".to_owned(), min.into());
            }
            target.insert("maxLength".to_owned(), max.into());
        }
        Rule::Int { min, max } => {
            members.insert("minimum".to_owned(), min.into());
            members.insert("maximum".to_owned(), max.into());
        }
        Rule::Url => {
            members.insert("format".to_owned(), "uri".into());
        }
    }
    schema
}

/// The kinds of errors that the document names, with the name and the words for each.
const ERRORS: [(ErrorKind, &str, &str); 8] = [
    (ErrorKind::Invalid, "Invalid", "The input is not what the operation takes; `details` names the fields."),
    (ErrorKind::Unauthorized, "Unauthorized", "An API key is needed, or the one given is wrong."),
    (ErrorKind::Forbidden, "Forbidden", "This host, origin or caller may not do that."),
    (ErrorKind::NotFound, "NotFound", "There is no such thing."),
    (ErrorKind::TooLarge, "TooLarge", "The body is larger than the limit."),
    (ErrorKind::KeyReused, "KeyReused", "The idempotency key was used before for another request."),
    (ErrorKind::Internal, "Internal", "DCM itself failed; the log says more."),
    (
        ErrorKind::Unavailable,
        "Unavailable",
        "The store is away or the server is full; the same call may succeed later.",
    ),
];

/// The error answers that operations refer to.
fn named_responses() -> Value {
    let content = json!({"application/json": {"schema": {"$ref": format!("{SCHEMAS}Error")}}});
    let mut named = Map::new();
    for (kind, name, description) in ERRORS {
        let mut response = json!({"description": description, "content": content});
        if kind == ErrorKind::Unavailable {
            response["headers"] = json!({"Retry-After": {
                "description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}
            }});
        }
        named.insert(name.to_owned(), response);
    }
    named.insert("Other".to_owned(), json!({"description": "Any other error.", "content": content}));
    Value::Object(named)
}

/// What an operation may answer.
fn responses(meta: &OperationMeta, answer: &Schema, no_fields: bool) -> Value {
    let content = json!({"application/json": {"schema": answer}});
    let mut responses = Map::new();
    let mut success = json!({"description": meta.summary});
    if meta.success != 204 {
        success["content"] = content.clone();
    }
    responses.insert(meta.success.to_string(), success);
    for (kind, name, _) in ERRORS {
        let possible = match kind {
            ErrorKind::Invalid => !no_fields || meta.method.has_body(),
            ErrorKind::Unauthorized => meta.access == Access::Key,
            ErrorKind::NotFound => meta.path.contains('{') || meta.method.has_body(),
            ErrorKind::TooLarge => meta.method.has_body(),
            ErrorKind::KeyReused => meta.method == Method::POST,
            _ => true,
        };
        if possible {
            let reference = json!({"$ref": format!("#/components/responses/{name}")});
            responses.insert(kind.status().to_string(), reference);
        }
    }
    if meta.id == "hook" {
        responses.insert("204".to_owned(), json!({"description": "There is nothing to tell the agent."}));
    }
    if meta.id == "health" {
        responses.insert(
            "503".to_owned(),
            json!({"description": "The store does not answer.", "content": content}),
        );
    }
    responses.insert("default".to_owned(), json!({"$ref": "#/components/responses/Other"}));
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OPERATIONS;

    /// Every value of every `$ref` below `value`.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(target) if name == "$ref" => found.push(target),
                        _ => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves_and_every_schema_is_used() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(&&*format!("{SCHEMAS}{name}")), "nothing uses the schema {name}");
        }
    }

    #[test]
    fn every_operation_is_there_with_its_fields() {
        let document = document();
        let mut count = 0;
        for meta in OPERATIONS {
            let entry = &document["paths"][meta.path][meta.method.as_str().to_ascii_lowercase()];
            assert_eq!(entry["operationId"], meta.id);
            assert_eq!(entry["summary"], meta.summary);
            assert!(entry["responses"].get(meta.success.to_string()).is_some(), "{}", meta.id);
            assert_eq!(entry.get("requestBody").is_some(), meta.method.has_body(), "{}", meta.id);
            let in_path =
                entry["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path");
            assert_eq!(in_path.count(), meta.path.matches('{').count(), "{}", meta.id);
            count += 1;
        }
        let listed =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
        assert_eq!(listed.sum::<usize>(), count);
    }

    #[test]
    fn types_that_are_sent_and_answered_have_one_meaning() {
        let mut builder = Builder::new();
        macro_rules! fold {
            ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {
                $(builder.operation::<$operation>();)+
            };
        }
        crate::for_each_operation!(fold);
        let answered = builder.outputs.definitions();
        for (name, sent) in builder.inputs.definitions() {
            if let Some(answered) = answered.get(name) {
                assert_eq!(sent, answered, "{name}");
            }
        }
    }

    #[test]
    fn bounds_and_absence() {
        let document = document();
        let inbox = &document["paths"]["/api/messages"]["post"];
        let body = &inbox["requestBody"]["content"]["application/json"]["schema"];
        assert!(body["properties"].get("topic").is_some());
        let suggest = &document["paths"]["/api/context/{agent_id}"]["get"]["parameters"];
        let budget = suggest.as_array().unwrap().iter().find(|one| one["name"] == "max_tokens").unwrap();
        assert_eq!(budget["schema"]["minimum"], 100);
        assert_eq!(budget["schema"]["maximum"], 8000);
        assert_eq!(budget["schema"]["type"], "integer");
        assert_eq!(budget["required"], false);
        let format = suggest.as_array().unwrap().iter().find(|one| one["name"] == "format").unwrap();
        assert_eq!(format["schema"], json!({"$ref": "#/components/schemas/BriefFormat"}));
        assert_eq!(document["paths"]["/health"]["get"]["security"], json!([]));
    }
}
