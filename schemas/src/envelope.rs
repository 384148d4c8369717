//! The envelope as a Rust type: its JSON Schema and its reference are generated from here.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// A CloudEvents 1.0 event in structured mode: one JSON object. Further attributes are kept.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Envelope {
    /// Version of CloudEvents.
    #[schemars(extend("const" = "1.0"))]
    specversion: String,
    /// Unique with `clientid` and `source`; a resend repeats it, which is how duplicates are found.
    #[schemars(length(min = 1))]
    id: String,
    /// The emitting app, a URI reference.
    #[schemars(length(min = 1))]
    source: String,
    /// A type of the catalogue, or one of an allowed namespace.
    #[schemars(length(min = 1))]
    r#type: String,
    /// The session id; should be the Kafka key too.
    #[schemars(length(min = 1))]
    subject: String,
    /// When it happened, RFC 3339 with an offset; kept as UTC microseconds.
    #[schemars(extend("format" = "date-time"))]
    time: String,
    /// The tenant.
    #[schemars(length(min = 1))]
    clientid: String,
    /// The person; pseudonymised when a key is configured.
    #[serde(default)]
    userid: Option<String>,
    /// Trace across apps; the session id where it is missing.
    #[serde(default)]
    correlationid: Option<String>,
    /// The event that caused this one.
    #[serde(default)]
    causationid: Option<String>,
    /// Schema of the payload, ending in `/<type>/v<N>`; missing means v1.
    #[serde(default)]
    dataschema: Option<String>,
    /// The payload; further fields are kept.
    #[serde(default)]
    data: Option<Map<String, Value>>,
}

/// The attributes in the order of the reference.
pub const ATTRIBUTES: [&str; 12] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "clientid",
    "userid",
    "correlationid",
    "causationid",
    "dataschema",
    "data",
];

/// The JSON Schema (2020-12) of the envelope.
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Envelope>();
    schema.insert("$id".into(), "urn:onramp:schemas/envelope/v1".into());
    schema.insert("title".into(), "CloudEvents envelope".into());
    schema.insert("additionalProperties".into(), true.into());
    schema
}
