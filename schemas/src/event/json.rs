//! Reading JSON strictly without building a tree: one walk checks a text and finds the members of
//! its outermost object.

mod walk;

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memchr;

use crate::rejection::{Rejection, RejectionCode};

/// Names that are compared one by one before they are hashed.
const FEW_NAMES: usize = 16;

fn malformed(message: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::MalformedJson, message)
}

/// A JSON value whose text was checked, without the space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    text: &'a str,
    /// Nothing in the whole record is escaped and it is all on one line: most records are so, and
    /// need fewer looks.
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
    read(bytes, |_, _| Ok(()))
}

/// [`parse`], which also visits the members if it is an object. Whether the text is JSON is told
/// first, whatever `visit` refuses.
pub fn read<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Rejection>,
) -> Result<Value<'a>, Rejection> {
    let text = simdutf8::compat::from_utf8(bytes)
        .map_err(|error| malformed(format!("byte {} is not UTF-8", error.valid_up_to())))?;
    // Without a branch in it, this loop looks at many bytes at a time.
    let odd = bytes.iter().fold(false, |odd, byte| odd | (*byte < b' ') | (*byte == b'\\'));
    let text = Value { text, plain: !odd };
    let mut refused = None;
    let found = text.walk(|name, value| {
        if refused.is_none() {
            refused = visit(name, value).err();
        }
    });
    match (found, refused) {
        (Err(fault), _) => Err(fault.of(text.text)),
        (_, Some(refused)) => Err(refused),
        (Ok(value), None) => Ok(value),
    }
}

/// Visits the members of a checked object in their order; of another value, nothing.
pub fn members<'a>(
    object: Value<'a>,
    mut visit: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let mut refused = None;
    // It is no fault that stops the walk: the text was checked.
    let _ = object.walk(|name, value| {
        if refused.is_none() {
            refused = visit(name, value).err();
        }
    });
    refused.map_or(Ok(()), Err)
}

/// The elements of a checked list in their order; of another value, none.
pub fn elements(list: Value<'_>) -> Vec<Value<'_>> {
    let (mut found, mut at) = (Vec::new(), list.past_space(1));
    while list.first() == b'['
        && let Ok(end) = list.value_end(at, 1)
    {
        found.push(list.part(at, end));
        // Past the comma, or the bracket that ends the list.
        at = list.past_space(list.past_space(end) + 1);
    }
    found
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
