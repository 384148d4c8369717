//! Binary mode: attributes in `ce_*` headers, the payload in the value.

use std::borrow::Cow;

use super::decode::{Envelope, check_size};
use super::{Event, RecordContext, json};
use crate::rejection::{Rejection, RejectionCode as Code};

/// Whether the headers say that the record is in binary mode.
pub fn is_binary(headers: &[(&str, &[u8])]) -> bool {
    headers.iter().any(|(name, _)| name.starts_with("ce_"))
}

/// Decodes and validates one CloudEvent whose attributes are headers.
///
/// # Errors
/// As [`super::decode`]; a header that is no UTF-8 is `not_cloudevents`.
pub fn decode_binary<'a>(
    headers: &[(&'a str, &'a [u8])],
    value: &'a [u8],
    record: &RecordContext<'_>,
) -> Result<Event<'a>, Rejection> {
    check_size(value.len(), record)?;
    let mut envelope = Envelope::default();
    for (name, bytes) in headers {
        let attribute = match name.strip_prefix("ce_") {
            Some(attribute) => attribute,
            None if name.eq_ignore_ascii_case("content-type") => "datacontenttype",
            None => continue,
        };
        let text = simdutf8::basic::from_utf8(bytes).map_err(|_| {
            Rejection::new(Code::NotCloudevents, format!("the header {name} is not UTF-8"))
        })?;
        envelope.take_text(attribute, Cow::Borrowed(text))?;
    }
    if !value.trim_ascii().is_empty() {
        envelope.take_data(json::parse(value)?);
    }
    envelope.finish(record)
}
