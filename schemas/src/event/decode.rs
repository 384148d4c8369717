//! Structured mode: one JSON object holds the envelope and the payload.

use std::borrow::Cow;

use super::fields::Fields;
use super::json::{self, Names, Value};
use super::time::parse_time;
use super::{Event, FailedTask, RecordContext};
use crate::catalogue::{Check, EventType, TASK_FAILED, event_type};
use crate::rejection::{Rejection, RejectionCode as Code};
use crate::upcast;

/// Decodes and validates one CloudEvent in JSON.
///
/// # Errors
/// A [`Rejection`] whose code depends on the bytes and `record` alone.
pub fn decode<'a>(bytes: &'a [u8], record: &RecordContext<'_>) -> Result<Event<'a>, Rejection> {
    check_size(bytes.len(), record)?;
    let mut envelope = Envelope::default();
    let object = json::read(bytes, |name, value| envelope.take(name, value))?;
    if !object.is_object() {
        let message = format!("expected a JSON object, found {}", object.kind());
        return Err(Rejection::new(Code::NotCloudevents, message));
    }
    envelope.finish(record)
}

pub(super) fn check_size(bytes: usize, record: &RecordContext<'_>) -> Result<(), Rejection> {
    if bytes > record.max_bytes {
        let most = record.max_bytes;
        let message = format!("the record has {bytes} bytes, at most {most} are taken");
        return Err(Rejection::new(Code::TooLarge, message));
    }
    Ok(())
}

/// Declares the attributes of the envelope that have a column, and how one is found: compared with constants in line, where
/// to go through a list is a call a name.
macro_rules! attributes {
    ($($name:literal = $place:literal,)+) => {
        /// In the order of [`Envelope::texts`].
        const ATTRIBUTES: [&str; [$($name),+].len()] = [$($name),+];

        fn place(name: &str) -> Option<usize> {
            match name {
                $($name => Some($place),)+
                _ => None,
            }
        }
    };
}

attributes! {
    "specversion" = 0,
    "id" = 1,
    "source" = 2,
    "type" = 3,
    "clientid" = 4,
    "subject" = 5,
    "time" = 6,
    "userid" = 7,
    "dataschema" = 8,
    "correlationid" = 9,
    "causationid" = 10,
}

/// The places of the payload behind those of the attributes.
const DATA: usize = ATTRIBUTES.len();
const DATA_BASE64: usize = DATA + 1;

/// What was found of one attribute.
#[derive(Clone, Debug, Default)]
enum Found<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    /// A value that is no text; what it is.
    Other(&'static str),
}

/// The attributes as they are read.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    texts: [Found<'a>; ATTRIBUTES.len()],
    names: Names<'a>,
    extensions: String,
    data: Option<Value<'a>>,
    data_base64: bool,
}

impl<'a> Envelope<'a> {
    fn take(&mut self, name: Cow<'a, str>, value: Value<'a>) -> Result<(), Rejection> {
        let place = match name.as_ref() {
            "data" => Some(DATA),
            "data_base64" => Some(DATA_BASE64),
            name => place(name),
        };
        if !self.names.meet(place, &name) {
            return Err(twice(Code::MalformedJson, &name));
        }
        match place {
            _ if value.is_null() => {}
            Some(DATA) => self.data = Some(value),
            Some(DATA_BASE64) => self.data_base64 = true,
            Some(place) => {
                self.texts[place] = match value.text() {
                    Some(text) => Found::Text(text),
                    None => Found::Other(value.kind()),
                };
            }
            None => self.extend(&name, value.raw()),
        }
        Ok(())
    }

    /// An attribute of binary mode.
    pub(super) fn take_text(&mut self, name: &'a str, text: &'a str) -> Result<(), Rejection> {
        let place = place(name);
        if !self.names.meet(place, &Cow::Borrowed(name)) {
            return Err(twice(Code::NotCloudevents, name));
        }
        match place {
            Some(place) => self.texts[place] = Found::Text(Cow::Borrowed(text)),
            None => self.extend(name, &serde_json::Value::from(text).to_string()),
        }
        Ok(())
    }

    /// The payload of binary mode.
    pub(super) fn take_data(&mut self, data: Value<'a>) {
        self.data = Some(data);
    }

    fn extend(&mut self, name: &str, json: &str) {
        // Mostly there is one: its room is made at once, with that of the quotes and brackets.
        self.extensions.reserve(name.len() + json.len() + 5);
        self.extensions.push(if self.extensions.is_empty() { '{' } else { ',' });
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            // As CloudEvents wants them: nothing to escape.
            self.extensions.extend(["\"", name, "\""]);
        } else {
            self.extensions.push_str(&serde_json::Value::from(name).to_string());
        }
        self.extensions.push(':');
        self.extensions.push_str(json);
    }

    fn required(&mut self, index: usize, code: Code) -> Result<Cow<'a, str>, Rejection> {
        let name = ATTRIBUTES[index];
        match std::mem::take(&mut self.texts[index]) {
            Found::Text(text) if !text.is_empty() => Ok(text),
            Found::Text(_) => Err(Rejection::new(code, format!("{name} is empty"))),
            Found::Missing => Err(Rejection::new(code, format!("{name} is missing"))),
            Found::Other(kind) => {
                Err(Rejection::new(code, format!("{name} must be text, found {kind}")))
            }
        }
    }

    /// An attribute that may be missing; an empty one counts as missing.
    fn optional(&mut self, index: usize) -> Result<Option<Cow<'a, str>>, Rejection> {
        match self.texts[index] {
            Found::Missing => Ok(None),
            Found::Text(ref text) if text.is_empty() => Ok(None),
            _ => self.required(index, Code::NotCloudevents).map(Some),
        }
    }

    pub(super) fn finish(&mut self, record: &RecordContext<'_>) -> Result<Event<'a>, Rejection> {
        match &self.texts[0] {
            Found::Text(version) if version == "1.0" => {}
            Found::Missing => {
                return Err(Rejection::new(Code::NotCloudevents, "specversion is missing"));
            }
            Found::Text(_) | Found::Other(_) => {
                let message = "specversion must be the text 1.0";
                return Err(Rejection::new(Code::UnsupportedVersion, message));
            }
        }
        let id = self.required(1, Code::NotCloudevents)?;
        let source = self.required(2, Code::NotCloudevents)?;
        let name = self.required(3, Code::NotCloudevents)?;
        let client_id = self.required(4, Code::NotCloudevents)?;
        let session_id = self.required(5, Code::MissingSession)?;
        let time = self.required(6, Code::BadTimestamp)?;
        let user_id = self.optional(7)?;
        let dataschema = self.optional(8)?;
        let correlation_id = self.optional(9)?.unwrap_or_else(|| session_id.clone());
        let causation_id = self.optional(10)?;
        let known = known_type(&name, record.namespaces)?;
        let version = version(known, dataschema.as_deref())?;
        let occurred_at = occurred_at(&time, record)?;
        if self.data_base64 {
            let message = "data_base64 is not read; send the payload as a JSON object in data";
            return Err(Rejection::new(Code::SchemaViolation, message));
        }
        if !self.extensions.is_empty() {
            self.extensions.push('}');
        }
        // An event is a thousand bytes long: its fields are filled where they are.
        let mut event = Event {
            id,
            source,
            event_type: name,
            session_id,
            client_id,
            user_id,
            occurred_at,
            dataschema,
            correlation_id,
            causation_id,
            extensions: Some(std::mem::take(&mut self.extensions)).filter(|text| !text.is_empty()),
            data: None,
            fields: Fields::default(),
            task: None,
        };
        event.payload(self.data, known, version)?;
        Ok(event)
    }
}

/// The rejection of a name that stands twice.
fn twice(code: Code, name: &str) -> Rejection {
    // Which of the two is meant cannot be known, and readers differ in which they take.
    Rejection::new(code, format!("{} is given twice", shortened(name)))
}

/// A name of the sender's making, bounded: messages are kept and shown.
pub(super) fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(64) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

fn known_type(name: &str, namespaces: &[String]) -> Result<Option<&'static EventType>, Rejection> {
    let known = event_type(name);
    let custom = || {
        namespaces.iter().any(|namespace| {
            let inside = name.strip_prefix(namespace.as_str());
            inside.and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| !rest.is_empty())
        }) && name.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
        })
    };
    if known.is_none() && !custom() {
        let message = "the type is neither in the catalogue nor a reverse-DNS-like name of an \
                       allowed namespace";
        return Err(Rejection::new(Code::UnknownType, message));
    }
    Ok(known)
}

/// The version that `dataschema` ends in; custom types have versions of their own, which nothing
/// here depends on.
fn version(known: Option<&EventType>, dataschema: Option<&str>) -> Result<u32, Rejection> {
    let (Some(known), Some(dataschema)) = (known, dataschema) else { return Ok(1) };
    let last = dataschema.rsplit('/').next().unwrap_or_default();
    // Written as it is counted: the standard parser would take v+1 and v01 too.
    let plain =
        |number: &&str| *number == "0" || number.starts_with(|c: char| matches!(c, '1'..='9'));
    let number = last.strip_prefix('v').filter(plain).and_then(|number| number.parse().ok());
    number
        .filter(|version| *version == known.version || known.upcast_from.contains(version))
        .ok_or_else(|| {
            let newest = known.version;
            let message = format!("dataschema must end in /v{newest} or an older known version");
            Rejection::new(Code::UnsupportedVersion, message)
        })
}

fn occurred_at(time: &str, record: &RecordContext<'_>) -> Result<i64, Rejection> {
    let at = parse_time(time).ok_or_else(|| {
        let message = "time must be an RFC 3339 instant with an offset";
        Rejection::new(Code::BadTimestamp, message)
    })?;
    let ahead = at.saturating_sub(record.timestamp);
    if ahead > record.max_future_us {
        let message = format!("time lies {} s after the record's own", ahead / 1_000_000);
        return Err(Rejection::new(Code::FromTheFuture, message));
    }
    if record.horizon_us.is_some_and(|horizon| ahead.saturating_neg() > horizon) {
        let message = format!("time lies {} s before the record's own", -(ahead / 1_000_000));
        return Err(Rejection::new(Code::TooOld, message));
    }
    Ok(at)
}

impl<'a> Event<'a> {
    /// Takes what is in `data`.
    fn payload(
        &mut self,
        data: Option<Value<'a>>,
        known: Option<&EventType>,
        version: u32,
    ) -> Result<(), Rejection> {
        let Self { fields, task, .. } = self;
        let is_task = known.is_some_and(|known| known.name == TASK_FAILED);
        *task = is_task.then(FailedTask::default);
        let Some(data) = data else { return Ok(()) };
        if !data.is_object() {
            let message = format!("data must be an object, found {}", data.kind());
            return Err(Rejection::new(Code::SchemaViolation, message));
        }
        let mut names = Names::default();
        json::members(data, |sent, value| {
            let name = match known {
                Some(known) => upcast::field_name(known.name, version, &sent),
                None => Some(sent.as_ref()),
            };
            let own = known.zip(name).and_then(|(known, name)| known.field(name));
            if let Some(field) = own {
                check(field.name, field.check, value)?;
            }
            let column = name.and_then(|name| fields.set(name, value));
            if !names.meet(column, &sent) {
                return Err(twice(Code::MalformedJson, &format!("data.{}", shortened(&sent))));
            }
            if let Some(task) = task.as_mut() {
                match name {
                    Some("task_name") => task.task_name = value.text(),
                    Some("message") => task.message = value.text(),
                    _ => {}
                }
            }
            Ok(())
        })?;
        self.data = Some(Cow::Borrowed(data.raw()));
        Ok(())
    }
}

fn check(name: &str, check: Check, value: Value<'_>) -> Result<(), Rejection> {
    if value.is_null() {
        return Ok(());
    }
    let expected = match check {
        Check::Text if !value.is_text() => "text".to_owned(),
        Check::OneOf(allowed)
            if !value.text().is_some_and(|text| allowed.contains(&text.as_ref())) =>
        {
            format!("one of {}", allowed.join(", "))
        }
        Check::Bool if value.boolean().is_none() => "true or false".to_owned(),
        Check::Count if value.integer().is_none_or(|count| count < 0) => {
            "a 64-bit integer from 0 without a fraction".to_owned()
        }
        Check::Share if value.number().is_none_or(|n| !(0.0..=1.0).contains(&n)) => {
            "a number from 0 to 1".to_owned()
        }
        Check::NonNegative if value.number().is_none_or(|n| n < 0.0) => {
            "a number from 0".to_owned()
        }
        Check::Object if !value.is_object() => "an object".to_owned(),
        _ => return Ok(()),
    };
    // The value itself may be personal: only its kind is told.
    let message = format!("data.{name} must be {expected}, found {}", value.kind());
    Err(Rejection::new(Code::SchemaViolation, message))
}
