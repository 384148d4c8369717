//! The walk over a text that checks it: no recursion, no copy, a bit for each level.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{Value, malformed};
use crate::rejection::Rejection;

/// Levels of nesting that are read: whoever reads `data` later may recurse.
const MAX_DEPTH: u32 = u128::BITS;

/// Why a text is no JSON.
pub(super) enum Fault {
    /// It stops being any at this byte.
    Syntax(usize),
    /// An escape that is no character: half of a surrogate pair, which later readers stumble on.
    Escape(usize),
    /// More than [`MAX_DEPTH`] levels.
    Depth,
}

impl Fault {
    /// What is told of it: never a piece of the record, which may hold personal values.
    pub(super) fn of(&self, text: &str) -> Rejection {
        match self {
            _ if text.trim_ascii().is_empty() => malformed("the record is empty"),
            _ if text.starts_with('\u{feff}') => {
                malformed("the record begins with a byte order mark; leave it out")
            }
            Self::Syntax(at) => malformed(format!("no JSON at byte {at}")),
            Self::Escape(at) => malformed(format!("the escape at byte {at} is no character")),
            Self::Depth => malformed(format!("nested deeper than {MAX_DEPTH} levels")),
        }
    }
}

/// The walk over a text: places are bytes of it.
impl<'a> Value<'a> {
    /// Checks the whole text and visits the members if it is an object; the value without the space
    /// around it.
    pub(super) fn walk(self, mut visit: impl FnMut(Cow<'a, str>, Self)) -> Result<Self, Fault> {
        let start = self.past_space(0);
        let end = match self.byte(start) {
            b'{' => self.walk_object(start, &mut visit)?,
            _ => self.value_end(start, 0)?,
        };
        match self.past_space(end) {
            rest if rest == self.text.len() => Ok(self.part(start, end)),
            rest => Err(Fault::Syntax(rest)),
        }
    }

    /// One past the object that begins at `start`.
    fn walk_object(
        self,
        start: usize,
        visit: &mut impl FnMut(Cow<'a, str>, Self),
    ) -> Result<usize, Fault> {
        let mut at = self.past_space(start + 1);
        if self.byte(at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            let name_end = self.string_end(at)?;
            let name = self.part(at, name_end);
            at = self.past_colon(name_end)?;
            let end = self.value_end(at, 1)?;
            visit(name.unescape(), self.part(at, end));
            at = self.past_space(end);
            match self.byte(at) {
                b',' => at = self.past_space(at + 1),
                b'}' => return Ok(at + 1),
                _ => return Err(Fault::Syntax(at)),
            }
        }
    }

    /// One past the value that begins at `at`, which `outside` containers are around.
    pub(super) fn value_end(self, mut at: usize, outside: u32) -> Result<usize, Fault> {
        // A bit a level that is open: whether it is an object.
        let (mut objects, mut depth) = (0_u128, 0);
        loop {
            let open = self.byte(at);
            at = match open {
                b'"' => self.string_end(at)?,
                b'{' | b'[' => {
                    depth += 1;
                    if outside + depth > MAX_DEPTH {
                        return Err(Fault::Depth);
                    }
                    objects = objects << 1 | u128::from(open == b'{');
                    let inside = self.past_space(at + 1);
                    // What closes lies two past what opens.
                    if self.byte(inside) != open + 2 {
                        at = self.past_name(inside, open == b'{')?;
                        continue;
                    }
                    depth -= 1;
                    objects >>= 1;
                    inside + 1
                }
                _ => self.scalar_end(at)?,
            };
            // Behind a value: close what ends here, until another value follows.
            while depth > 0 {
                let in_object = objects & 1 == 1;
                at = self.past_space(at);
                match self.byte(at) {
                    b',' => {
                        at = self.past_name(self.past_space(at + 1), in_object)?;
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return Err(Fault::Syntax(at)),
                }
                at += 1;
                depth -= 1;
                objects >>= 1;
            }
            if depth == 0 {
                return Ok(at);
            }
        }
    }

    /// Where the value begins: in an object behind the name at `at`.
    fn past_name(self, at: usize, in_object: bool) -> Result<usize, Fault> {
        if in_object { self.past_colon(self.string_end(at)?) } else { Ok(at) }
    }

    fn past_colon(self, at: usize) -> Result<usize, Fault> {
        match self.past_space(at) {
            at if self.byte(at) == b':' => Ok(self.past_space(at + 1)),
            at => Err(Fault::Syntax(at)),
        }
    }

    /// One past the closing quote of the string that begins at `at`.
    fn string_end(self, at: usize) -> Result<usize, Fault> {
        if self.byte(at) != b'"' {
            return Err(Fault::Syntax(at));
        }
        let bytes = self.text.as_bytes();
        let mut at = at + 1;
        if self.plain {
            let found = quote(bytes.get(at..).unwrap_or_default());
            return found.map(|found| at + found + 1).ok_or(Fault::Syntax(bytes.len()));
        }
        while let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) {
            let passed = &bytes[at..at + found];
            if let Some(control) = passed.iter().position(|byte| *byte < b' ') {
                return Err(Fault::Syntax(at + control));
            }
            at += found;
            if bytes[at] == b'"' {
                return Ok(at + 1);
            }
            at = self.escape_end(at)?;
        }
        Err(Fault::Syntax(bytes.len()))
    }

    /// One past the escape that begins at `at`, past both halves of a surrogate pair.
    fn escape_end(self, at: usize) -> Result<usize, Fault> {
        let escape = &self.text.as_bytes()[at..];
        match self.byte(at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
            b'u' => match (unit(escape), escape.get(6..).and_then(unit)) {
                (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => Ok(at + 12),
                (Some(0xD800..0xE000) | None, _) => Err(Fault::Escape(at)),
                (Some(_), _) => Ok(at + 6),
            },
            _ => Err(Fault::Syntax(at)),
        }
    }

    /// One past the number, truth value or null that begins at `at`.
    fn scalar_end(self, at: usize) -> Result<usize, Fault> {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let word =
            [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word));
        match word {
            Some(word) => Ok(at + word.len()),
            None => self.number_end(at),
        }
    }

    fn number_end(self, at: usize) -> Result<usize, Fault> {
        let whole = at + usize::from(self.byte(at) == b'-');
        let mut at = self.digits_end(whole)?;
        if self.byte(whole) == b'0' && at > whole + 1 {
            return Err(Fault::Syntax(whole + 1));
        }
        if self.byte(at) == b'.' {
            at = self.digits_end(at + 1)?;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(at + 1), b'+' | b'-'));
            at = self.digits_end(at + 1 + sign)?;
        }
        Ok(at)
    }

    /// One past the digits that begin at `at`, of which there must be one.
    fn digits_end(self, at: usize) -> Result<usize, Fault> {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        match rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len()) {
            0 => Err(Fault::Syntax(at)),
            digits => Ok(at + digits),
        }
    }

    /// The first place from `at` on that is no space.
    pub(super) fn past_space(self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
        }
        at
    }

    /// The byte at a place; past the end a 0, which is nothing in JSON.
    fn byte(self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or_default()
    }

    pub(super) fn part(self, start: usize, end: usize) -> Self {
        Self { text: self.text.get(start..end).unwrap_or_default(), plain: self.plain }
    }
}

/// The place of the next quote. Names and most values are a few bytes long: these are looked through here, eight
/// at a time, which takes less than a call.
fn quote(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 4;
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (near, _) = bytes.as_chunks::<8>();
    for (word, chunk) in near.iter().take(NEAR).enumerate() {
        // A byte that is a quote becomes 0; the lowest that is has its highest bit set by this, and none below it.
        let odd = u64::from_le_bytes(*chunk) ^ (ONES * u64::from(b'"'));
        let zero = odd.wrapping_sub(ONES) & !odd & (ONES << 7);
        if zero != 0 {
            return Some(word * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    let passed = 8 * near.len().min(NEAR);
    memchr(b'"', &bytes[passed..]).map(|found| passed + found)
}

/// The UTF-16 unit that `\uXXXX` stands for.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}
