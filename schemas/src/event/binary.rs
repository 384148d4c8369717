//! Binary mode: attributes in `ce_*` headers, the payload in the value.

use super::decode::{Envelope, check_size, shortened};
use super::{Event, RecordContext, json};
use crate::rejection::{Rejection, RejectionCode as Code};

const CONTENT_TYPE: &str = "content-type";

/// How the content types of structured mode begin.
const STRUCTURED: &[u8] = b"application/cloudevents";

/// Whether the headers say that the record is in binary mode. A content type of CloudEvents itself
/// means structured mode, whatever headers stand beside it.
pub fn is_binary(headers: &[(&str, &[u8])]) -> bool {
    let structured = headers.iter().any(|(name, value)| {
        let start = value.get(..STRUCTURED.len()).unwrap_or_default();
        name.eq_ignore_ascii_case(CONTENT_TYPE) && start.eq_ignore_ascii_case(STRUCTURED)
    });
    !structured && headers.iter().any(|(name, _)| name.starts_with("ce_"))
}

/// Decodes and validates one CloudEvent whose attributes are headers.
///
/// # Errors
/// As [`super::decode`]; a header that is no UTF-8 or stands twice is `not_cloudevents`. The size of
/// the record counts the headers in.
pub fn decode_binary<'a>(
    headers: &[(&'a str, &'a [u8])],
    value: &'a [u8],
    record: &RecordContext<'_>,
) -> Result<Event<'a>, Rejection> {
    let in_headers: usize = headers.iter().map(|(name, bytes)| name.len() + bytes.len()).sum();
    check_size(in_headers + value.len(), record)?;
    let mut envelope = Envelope::default();
    for (name, bytes) in headers {
        let attribute = match name.strip_prefix("ce_") {
            Some(attribute) => attribute,
            None if name.eq_ignore_ascii_case(CONTENT_TYPE) => "datacontenttype",
            None => continue,
        };
        let text = simdutf8::basic::from_utf8(bytes).map_err(|_| {
            let message = format!("the header {} is not UTF-8", shortened(name));
            Rejection::new(Code::NotCloudevents, message)
        })?;
        envelope.take_text(attribute, text)?;
    }
    if !value.trim_ascii().is_empty() {
        let data = json::parse(value)?;
        if !data.is_null() {
            envelope.take_data(data);
        }
    }
    envelope.finish(record)
}
