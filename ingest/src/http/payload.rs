//! Cutting a request body into events: one, a batch, or binary mode.

use axum::http::HeaderMap;
use bytes::Bytes;
use onramp_schemas::event::split_batch;

/// One event of a request as it arrived.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The event's bytes.
    pub bytes: Bytes,
    /// `ce-*` headers and the content type, in binary mode, named as in Kafka (`ce_*`).
    pub headers: Vec<(String, Bytes)>,
}

/// Cuts `body` into events.
///
/// # Errors
/// A body without an event, a batch that is no JSON array; the message says what is wrong.
pub fn cut(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Payload>, String> {
    if headers.contains_key("ce-id") || headers.contains_key("ce-specversion") {
        return Ok(vec![Payload { bytes: body.clone(), headers: binary(headers) }]);
    }
    let batch = headers
        .get(axum::http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/cloudevents-batch+json"));
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_none() {
        return Err("the body is empty; send an event or a batch of them".to_owned());
    }
    if !batch && first != Some(&b'[') {
        return Ok(vec![Payload { bytes: body.clone(), headers: Vec::new() }]);
    }
    let elements = split_batch(body).map_err(|rejection| rejection.message)?;
    let event = |text: &str| Payload {
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        headers: Vec::new(),
    };
    Ok(elements.into_iter().map(event).collect())
}

fn binary(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str();
            let kafka = match name.strip_prefix("ce-") {
                Some(attribute) => format!("ce_{attribute}"),
                None if name == "content-type" => name.to_owned(),
                None => return None,
            };
            Some((kafka, Bytes::copy_from_slice(value.as_bytes())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(kind: &'static str, body: &'static [u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        let cut = cut(&headers, &Bytes::from_static(body))?;
        Ok(cut.into_iter().map(|p| p.bytes.to_vec()).collect())
    }

    #[test]
    fn a_batch_is_cut_into_its_events_as_they_stand() {
        let batch = texts("application/cloudevents-batch+json", b" [ {\"a\": [1]} ,{\"b\":2}]");
        assert_eq!(batch.unwrap(), [b"{\"a\": [1]}".to_vec(), b"{\"b\":2}".to_vec()]);
        assert_eq!(texts("application/json", b"[]").unwrap(), Vec::<Vec<u8>>::new());
        let nested = format!("[{}{}]", "[".repeat(50_000), "]".repeat(50_000)).into_bytes();
        assert!(texts("application/json", nested.leak()).unwrap_err().contains("nested"));
        assert!(texts("application/json", b"[{},").unwrap_err().contains("no JSON"));
    }

    #[test]
    fn one_event_stays_as_it_is_even_when_it_is_broken() {
        assert_eq!(texts("application/json", b"{\"a\"").unwrap(), [b"{\"a\"".to_vec()]);
    }
}
