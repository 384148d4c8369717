//! The reference of funnel files.

use schemars::{Schema, generate::SchemaSettings};
use serde_json::Value;

use super::{GENERATED, code, head, row};
use crate::funnel::Funnel;

/// The JSON Schema (2020-12) of a funnel file.
pub fn funnel_schema() -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Funnel>();
    schema.insert("$id".into(), "urn:onramp:schemas/funnel".into());
    schema
}

/// The reference of funnel files, as Markdown.
pub fn funnel() -> String {
    let schema = funnel_schema().to_value();
    let mut page = format!("{GENERATED}# Funnel files\n\n{}\n\n", text(&schema["description"]));
    page.push_str(&fields(&schema));
    let parts = schema["$defs"].as_object().into_iter().flatten();
    for (name, part) in parts {
        if name == "Types" {
            // Written out where it is used.
            continue;
        }
        page.push_str(&format!("\n## {name}\n\n{}\n\n", text(&part["description"])));
        page.push_str(&if part["oneOf"].is_array() { choices(part) } else { fields(part) });
    }
    page
}

/// A description on one line of Markdown.
fn text(description: &Value) -> String {
    let text = description.as_str().unwrap_or_default();
    text.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

fn fields(schema: &Value) -> String {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
    };
    let mut table = head(["field", "value", "required", "meaning"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let shown = format!("`{name}`");
        let needed = if required(name) { "yes" } else { "" };
        table.push_str(&row([&shown, &kind(field), needed, &text(&field["description"])]));
    }
    table
}

fn choices(schema: &Value) -> String {
    let mut table = head(["value", "meaning"]);
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        let value = code(&[choice["const"].as_str().unwrap_or_default()]);
        table.push_str(&row([&value, &text(&choice["description"])]));
    }
    table
}

/// What a field holds, in words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return match reference.rsplit('/').next().unwrap_or_default() {
            "Types" => "text or list of text".into(),
            name => format!("[{name}](#{})", name.to_lowercase()),
        };
    }
    if let Some(some) = schema["anyOf"].as_array().and_then(|choices| choices.first()) {
        return kind(some);
    }
    let name = match &schema["type"] {
        Value::Array(names) => names.first().and_then(Value::as_str),
        name => name.as_str(),
    };
    match name {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("string") => "text".into(),
        Some("boolean") => "true or false".into(),
        Some("integer") => "integer from 0".into(),
        other => other.unwrap_or("anything").into(),
    }
}
