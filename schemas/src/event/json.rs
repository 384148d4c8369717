//! Reading JSON strictly without building a tree: one pass checks the whole text, later ones only
//! find the members of an object.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::{memchr, memchr2};
use sonic_rs::LazyValue;

use crate::rejection::{Rejection, RejectionCode};

/// Levels of nesting that are read: the parser recurses, and its stack must not be the sender's.
const MAX_DEPTH: usize = 128;

/// Levels that any thread's stack is good for.
const SHALLOW: usize = 16;

/// Bytes of stack that [`MAX_DEPTH`] levels need: 20 KiB a level were seen in an unoptimised build.
const NEEDED_STACK: usize = 3 << 20;

/// Bytes of stack that are made where there are fewer.
const NESTED_STACK: usize = 4 << 20;

/// Names that are compared one by one before they are hashed.
const FEW_NAMES: usize = 16;

fn malformed(message: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::MalformedJson, message)
}

/// A JSON value whose text was checked, without the space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    text: &'a str,
    /// Nothing in the whole record is escaped: most records are so, and need fewer looks.
    plain: bool,
}

impl<'a> Value<'a> {
    /// The text as it was sent.
    pub fn raw(self) -> &'a str {
        self.text
    }

    fn first(self) -> u8 {
        self.text.as_bytes().first().copied().unwrap_or_default()
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.first() == b'n'
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.first() == b'{'
    }

    /// Whether it is text.
    pub fn is_text(self) -> bool {
        self.first() == b'"'
    }

    /// A truth value; `None` for others.
    pub fn boolean(self) -> Option<bool> {
        match self.first() {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// The text of a string, borrowed where nothing in it is escaped; `None` for others.
    pub fn text(self) -> Option<Cow<'a, str>> {
        self.is_text().then(|| self.unescape())
    }

    /// The text between the quotes of a checked string.
    fn unescape(self) -> Cow<'a, str> {
        let inner = self.text.get(1..self.text.len() - 1).unwrap_or_default();
        if self.plain || memchr(b'\\', inner.as_bytes()).is_none() {
            return Cow::Borrowed(inner);
        }
        let unescaped = sonic_rs::from_str(self.text);
        Cow::Owned(unescaped.expect("its escapes were checked with the whole text"))
    }

    fn digits(self) -> Option<&'a str> {
        matches!(self.first(), b'-' | b'0'..=b'9').then_some(self.text)
    }

    /// An integer without a fraction, however it is written (`3`, `3.0`, `3e2`); `None` for others
    /// and beyond 64 bits.
    pub fn integer(self) -> Option<i64> {
        let digits = self.digits()?;
        digits.parse().ok().or_else(|| whole(digits))
    }

    /// A finite number; `None` for others.
    pub fn number(self) -> Option<f64> {
        self.digits()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// What it is, for people.
    pub fn kind(self) -> &'static str {
        match self.first() {
            b'n' => "null",
            b'"' => "text",
            b't' | b'f' => "a truth value",
            b'[' => "a list",
            b'{' => "an object",
            _ => "a number",
        }
    }
}

/// An integer that is written with a fraction or an exponent, without a detour by way of floats.
fn whole(number: &str) -> Option<i64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (before, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [before.trim_start_matches('-'), fraction].concat();
    let significant = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    if significant.is_empty() {
        return Some(0);
    }
    let places = i64::try_from(fraction.len()).ok()?;
    let scale = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(places)?;
    let factor = 10_i128.checked_pow(u32::try_from(scale).ok()?)?;
    let size = significant.parse::<i128>().ok()?.checked_mul(factor)?;
    i64::try_from(if mantissa.starts_with('-') { -size } else { size }).ok()
}

/// Checks `bytes` to be one JSON value in UTF-8 with nothing behind it.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, Rejection> {
    let text = simdutf8::compat::from_utf8(bytes)
        .map_err(|error| malformed(format!("byte {} is not UTF-8", error.valid_up_to())))?;
    let value = text.trim_ascii();
    if value.is_empty() {
        return Err(malformed("the record is empty"));
    }
    let plain = check_escapes(bytes)?;
    let depth = check_depth(bytes)?;
    let check = || sonic_rs::from_str::<LazyValue<'_>>(text).map(drop);
    let checked = if depth > SHALLOW {
        stacker::maybe_grow(NEEDED_STACK, NESTED_STACK, check)
    } else {
        check()
    };
    checked.map_err(|error| {
        if text.starts_with('\u{feff}') {
            return malformed("the record begins with a byte order mark; leave it out");
        }
        // The parser's own message quotes the record, which may hold personal values.
        malformed(format!("no JSON at byte {}", error.offset()))
    })?;
    Ok(Value { text: value, plain })
}

/// Refuses escapes that are no character: the parser takes any four bytes after `\u` in texts that
/// it only skips, be they a quote, and halves of surrogate pairs, which later readers stumble on.
/// Tells whether there are none at all.
fn check_escapes(bytes: &[u8]) -> Result<bool, Rejection> {
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &bytes[at..]) {
        let escape = &bytes[at + found..];
        at += found
            + match escape.get(1) {
                Some(b'u') => match (unit(escape), escape.get(6..).and_then(unit)) {
                    (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
                    (Some(0xD800..0xE000) | None, _) => {
                        let place = at + found;
                        let message = format!("the escape at byte {place} is no character");
                        return Err(malformed(message));
                    }
                    (Some(_), _) => 6,
                },
                // Which others there are the parser knows.
                Some(_) => 2,
                None => return Err(malformed("the record ends in a backslash")),
            };
    }
    Ok(at == 0)
}

/// The UTF-16 unit that `\uXXXX` stands for.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

/// Refuses values nested deeper than [`MAX_DEPTH`], and tells a bound of the depth. Only the rare
/// value with many brackets is walked.
fn check_depth(bytes: &[u8]) -> Result<usize, Rejection> {
    let opens = |byte: &u8| u8::from(matches!(byte, b'[' | b'{'));
    // Sums of bytes that cannot overflow are counted many at a time.
    let brackets = bytes.chunks(255).map(|part| part.iter().map(opens).sum::<u8>());
    let brackets = brackets.map(usize::from).sum();
    if brackets <= SHALLOW {
        return Ok(brackets);
    }
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        if depth > MAX_DEPTH {
            return Err(malformed(format!("nested deeper than {MAX_DEPTH} levels")));
        }
    }
    Ok(deepest)
}

/// Visits the members of a checked object in their order; of another value, nothing.
pub fn members<'a>(
    object: Value<'a>,
    mut visit: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let mut at = 1;
    while object.is_object() {
        at = object.past_gap(at, b',');
        let Some(name) = object.token(at).filter(|name| name.is_text()) else { break };
        at = object.past_gap(at + name.text.len(), b':');
        let Some(value) = object.token(at) else { break };
        at += value.text.len();
        visit(name.unescape(), value)?;
    }
    Ok(())
}

/// The elements of a checked list in their order; of another value, none.
pub fn elements(list: Value<'_>) -> Vec<Value<'_>> {
    let (mut found, mut at) = (Vec::new(), 1);
    while list.first() == b'[' {
        at = list.past_gap(at, b',');
        let Some(element) = list.token(at) else { break };
        at += element.text.len();
        found.push(element);
    }
    found
}

impl<'a> Value<'a> {
    /// The first place from `at` on that is neither space nor `separator`.
    fn past_gap(self, at: usize, separator: u8) -> usize {
        let gap = |byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t') || byte == separator;
        past(self.text.as_bytes(), at, gap)
    }

    /// The value that begins at `at` of a checked text.
    fn token(self, at: usize) -> Option<Self> {
        let bytes = self.text.as_bytes();
        let end = match bytes.get(at)? {
            b'"' => self.string_end(at),
            b'{' | b'[' => self.container_end(at),
            _ => {
                past(bytes, at, |b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            }
        };
        let text = self.text.get(at..end).filter(|value| !value.is_empty())?;
        Some(Self { text, plain: self.plain })
    }

    /// One past the closing quote of the string that begins at `at`.
    fn string_end(self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = at + 1;
        if self.plain {
            let rest = bytes.get(at..).unwrap_or_default();
            return memchr(b'"', rest).map_or(bytes.len(), |found| at + found + 1);
        }
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found + 1;
            if bytes[at - 1] == b'"' {
                return at;
            }
            at += 1;
        }
        bytes.len()
    }

    /// One past the closing bracket of the object or list that begins at `at`.
    fn container_end(self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let (mut at, mut depth) = (at, 0_usize);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    at = self.string_end(at);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }
}

/// The first place from `at` on whose byte is no `gap`.
fn past(bytes: &[u8], at: usize, gap: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().position(|byte| !gap(*byte)).map_or(bytes.len(), |found| at + found)
}

/// The names of one object that were met, to find one that stands twice.
#[derive(Default)]
pub struct Names<'a> {
    known: u64,
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Whether a name is met for the first time; `place` (below 64) stands for a known one.
    #[expect(clippy::ptr_arg, reason = "the clone of a name that borrows borrows too")]
    pub fn meet(&mut self, place: Option<usize>, name: &Cow<'a, str>) -> bool {
        if let Some(place) = place {
            let first = self.known & (1 << place) == 0;
            self.known |= 1 << place;
            return first;
        }
        if !self.many.is_empty() {
            return self.many.insert(name.clone());
        }
        if self.few.contains(name) {
            return false;
        }
        self.few.push(name.clone());
        if self.few.len() > FEW_NAMES {
            // Thousands compared with each other would be the sender's way to stop the world.
            self.many.extend(self.few.drain(..));
        }
        true
    }
}
