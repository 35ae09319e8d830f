//! The operations as the OpenAPI document describes them: what it does not allow, the server has to refuse.

use serde_json::{Map, Value};

/// One operation.
#[derive(Debug)]
pub(crate) struct Described {
    /// Its name in the table.
    pub(crate) id: String,
    pub(crate) method: String,
    /// With `{name}` for parameters.
    pub(crate) path: String,
    /// Parameters of path and query.
    pub(crate) parameters: Vec<Field>,
    /// Members of the body.
    pub(crate) body: Vec<Field>,
}

/// A field of an operation.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) in_path: bool,
    /// Without references.
    pub(crate) schema: Value,
}

/// Every operation of the document.
pub(crate) fn operations() -> Vec<Described> {
    let document = dcm::api::openapi::document();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("operationId").to_owned();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            // What is shared by reference is the header `Idempotency-Key`.
            let parameters = parameters.iter().filter(|one| one.get("$ref").is_none()).map(|one| Field {
                name: text(&one["name"]),
                required: one["required"] == true,
                in_path: one["in"] == "path",
                schema: resolved(&document, &one["schema"]),
            });
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let required = body["required"].as_array().cloned().unwrap_or_default();
            let members = body["properties"].as_object().cloned().unwrap_or_default();
            let body = members.iter().map(|(name, schema)| Field {
                name: name.clone(),
                required: required.iter().any(|required| required == name),
                in_path: false,
                schema: resolved(&document, schema),
            });
            operations.push(Described {
                id,
                method: method.to_uppercase(),
                path: path.clone(),
                parameters: parameters.collect(),
                body: body.collect(),
            });
        }
    }
    assert_eq!(operations.len(), dcm::api::OPERATIONS.len());
    operations
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The schema with what it refers to in its place.
fn resolved(document: &Value, schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut whole = Map::new();
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                let target = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference}"));
                let Value::Object(target) = resolved(document, target) else { panic!("{reference}") };
                whole.extend(target);
            }
            let others = members.iter().filter(|(name, _)| *name != "$ref");
            whole.extend(others.map(|(name, member)| (name.clone(), resolved(document, member))));
            Value::Object(whole)
        }
        Value::Array(items) => items.iter().map(|item| resolved(document, item)).collect(),
        other => other.clone(),
    }
}

impl Field {
    /// The branches of the schema that stand for something (`null` means that the field is absent).
    pub(crate) fn branches(&self) -> Vec<&Value> {
        branches(&self.schema)
    }

    /// Whether a JSON value of this type may be right.
    pub(crate) fn takes(&self, kind: &str) -> bool {
        self.branches().into_iter().any(|branch| is_of_type(branch, kind))
    }

    /// The words of a closed set.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        self.branches().into_iter().find_map(words)
    }

    /// The first value that the schema has for `keyword`.
    pub(crate) fn keyword(&self, keyword: &str) -> Option<&Value> {
        self.branches().into_iter().find_map(|branch| branch.get(keyword))
    }
}

fn branches(schema: &Value) -> Vec<&Value> {
    let of = |keyword| schema.get(keyword).and_then(Value::as_array);
    match of("anyOf") {
        Some(any) => any.iter().flat_map(branches).filter(|branch| branch["type"] != "null").collect(),
        None => vec![schema],
    }
}

pub(crate) fn is_of_type(schema: &Value, kind: &str) -> bool {
    let is = |known: &Value| known == kind || (known == "integer" && kind == "number");
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is),
        Some(known) => is(known),
        // A closed set says its type in each of its words.
        None => words(schema).is_some() && kind == "string",
    }
}

fn words(schema: &Value) -> Option<Vec<String>> {
    let one_of = schema.get("oneOf")?.as_array()?;
    one_of.iter().map(|one| one.get("const")?.as_str().map(str::to_owned)).collect()
}
