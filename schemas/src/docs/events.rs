//! The event reference.

use serde_json::Value;

use super::{GENERATED, head, row};
use crate::catalogue::{self, Check, EventType};
use crate::envelope;
use crate::rejection::RejectionCode;

/// What the tables of the page cannot say.
const READING: &str = "\
## How it is read

- An attribute that is null is missing, and so is an empty optional one. The required ones are \
non-empty text.
- A name that stands twice in the envelope or at the top of the payload is `malformed_json`: \
readers differ in which of the two they take. So is what is nested deeper than 128 levels.
- A number without a fraction is an integer however it is written: `3`, `3.0` and `3e2` are, \
`1.5` is not.
- Digits of `time` past microseconds are cut off; a leap second is the last microsecond of its \
minute.
- A payload is a JSON object: `data_base64` is a `schema_violation`.
- A type outside the catalogue needs an allowed namespace: `com.acme` allows `com.acme.order.paid`, \
not `com.acmex.paid`. Its payload may hold any fields; those that the catalogue names fill the same \
columns, with null where the value is of another type.
- Old versions of a payload are kept as they arrived, their columns are those of the newest.
- Times are judged against the record's own timestamp (HTTP and files: its arrival).
";

/// The reference of the envelope, the event types and the rejection codes, as Markdown.
pub fn events() -> String {
    let mut page = format!(
        "{GENERATED}# Events\n\nAn event is a CloudEvents 1.0 object in JSON \
         (`application/cloudevents+json`). Binary mode, with the attributes in `ce_*` headers and \
         the payload in the value, is read too.\n\n## Envelope\n\n"
    );
    let schema = envelope::schema().to_value();
    page.push_str(&head(["attribute", "required", "meaning"]));
    for name in envelope::ATTRIBUTES {
        let required =
            schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let name_cell = format!("`{name}`");
        let required = if required { "yes" } else { "" };
        page.push_str(&row([&name_cell, required, description(&schema, name)]));
    }
    page.push_str(
        "\nEvery field of a payload may be missing or null. Fields that a type does not name are \
         kept, as are further attributes.\n\n",
    );
    page.push_str(READING);
    page.push_str("\n## Types\n");
    let schemas = catalogue::schemas();
    for known in catalogue::list() {
        let schema = schemas.get(known.name).map(|schema| schema.clone().to_value());
        page.push_str(&section(known, &schema.unwrap_or_default()));
    }
    page.push_str(&rejections());
    page
}

fn description<'s>(schema: &'s Value, field: &str) -> &'s str {
    schema["properties"][field]["description"].as_str().unwrap_or_default()
}

fn section(known: &EventType, schema: &Value) -> String {
    let older: Vec<String> = known.upcast_from.iter().map(|from| format!("v{from}")).collect();
    let mut section = format!("\n### {}\n\n{} Version v{}", known.name, known.doc, known.version);
    if !older.is_empty() {
        section.push_str(&format!("; {} is read too", older.join(", ")));
    }
    section.push_str(&format!(
        ". [JSON Schema](../../schemas/events/{}.v{}.json)\n\n",
        known.name, known.version
    ));
    section.push_str(&head(["field", "value", "meaning"]));
    for field in known.fields {
        let name = format!("`{}`", field.name);
        section.push_str(&row([&name, &value(field.check), description(schema, field.name)]));
    }
    section
}

fn value(check: Check) -> String {
    match check {
        Check::Text => "text".into(),
        Check::OneOf(allowed) => super::code(allowed),
        Check::Bool => "true or false".into(),
        Check::Count => "integer from 0".into(),
        Check::Share => "number from 0 to 1".into(),
        Check::NonNegative => "number from 0".into(),
        Check::Object => "object".into(),
        Check::Any => "anything".into(),
    }
}

fn rejections() -> String {
    let mut section = String::from(
        "\n## Rejections\n\nWhat is no valid event is kept in `dead_letters` under one of these \
         codes.\n\n",
    );
    section.push_str(&head(["code", "what to do"]));
    for code in RejectionCode::ALL {
        section.push_str(&row([&format!("`{}`", code.as_str()), code.remedy()]));
    }
    section
}
