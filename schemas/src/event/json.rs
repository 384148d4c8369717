//! Reading JSON strictly without building a tree.

use std::borrow::Cow;

use sonic_rs::{JsonValueTrait, LazyValue};

use crate::rejection::{Rejection, RejectionCode};

/// Levels of nesting that are read: the parser recurses, and its stack must not be the sender's.
const MAX_DEPTH: usize = 128;

/// Levels that any thread's stack is good for.
const SHALLOW: usize = 16;

/// Bytes of stack for the others: 20 KiB a level were seen in an unoptimised build.
const NESTED_STACK: usize = 8 << 20;

/// A JSON value that was checked as a whole and is read piece by piece.
pub type Value<'a> = LazyValue<'a>;

fn malformed(message: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::MalformedJson, message)
}

/// Checks `bytes` to be one JSON value in UTF-8 with nothing behind it.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, Rejection> {
    let text = simdutf8::compat::from_utf8(bytes).map_err(|error| {
        malformed(format!("byte {} is not UTF-8", error.valid_up_to()))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(malformed("the record is empty"));
    }
    let nested = check_depth(bytes)?;
    let parsed = if nested {
        stacker::grow(NESTED_STACK, || sonic_rs::from_str(text))
    } else {
        sonic_rs::from_str(text)
    };
    parsed.map_err(|error| {
        // The parser's own message quotes the record, which may hold personal values.
        malformed(format!("no JSON at byte {}", error.offset()))
    })
}

/// Refuses values nested deeper than [`MAX_DEPTH`], and tells whether one may be nested deeper than
/// [`SHALLOW`]. Only the rare value with many brackets is walked.
fn check_depth(bytes: &[u8]) -> Result<bool, Rejection> {
    let brackets = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if brackets <= MAX_DEPTH {
        return Ok(brackets > SHALLOW);
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(malformed(format!("nested deeper than {MAX_DEPTH} levels")));
        }
    }
    Ok(true)
}

/// Visits the members of an object in their order.
pub fn members<'a>(
    object: Value<'a>,
    mut visit: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let Some(members) = object.into_object_iter() else { return Ok(()) };
    for member in members {
        let (name, value) =
            member.map_err(|error| malformed(format!("no JSON at byte {}", error.offset())))?;
        visit(name, value)?;
    }
    Ok(())
}

/// The text of a string value, borrowed where nothing in it is escaped; `None` for another type.
pub fn text<'a>(value: &Value<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    if !value.is_str() {
        return Ok(None);
    }
    if let Cow::Borrowed(raw) = value.as_raw_cow() {
        let inner = &raw[1..raw.len() - 1];
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Ok(Some(Cow::Borrowed(inner)));
        }
    }
    let owned: String = sonic_rs::from_str(value.as_raw_str())
        .map_err(|_| malformed("a text holds an escape that is no character"))?;
    Ok(Some(Cow::Owned(owned)))
}

/// What a value is, for people.
pub fn kind(value: &Value<'_>) -> &'static str {
    if value.is_null() {
        "null"
    } else if value.is_str() {
        "text"
    } else if value.is_boolean() {
        "a truth value"
    } else if value.is_number() {
        "a number"
    } else if value.is_array() {
        "a list"
    } else {
        "an object"
    }
}

/// An integer without a fraction, however it is written (`3`, `3.0`, `3e2`); `None` for others.
pub fn integer(value: &Value<'_>) -> Option<i64> {
    if !value.is_number() {
        return None;
    }
    if let Some(integer) = value.as_i64() {
        return Some(integer);
    }
    // 2^63 is the first float past the range; below 2^53 every whole float is exact.
    let float = number(value)?;
    (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
}

/// A finite number; `None` for others.
pub fn number(value: &Value<'_>) -> Option<f64> {
    value.is_number().then(|| value.as_raw_str().parse().ok()).flatten().filter(|n: &f64| n.is_finite())
}
