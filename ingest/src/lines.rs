//! Reading lines with a bound: a line of any length costs no more memory than the limit.

use std::io::{self, BufRead};

use sha2::{Digest, Sha256};

/// One physical line, without its line break.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands, from 1.
    pub number: i64,
    /// Set when the line is longer than the limit; then only its beginning was kept.
    pub overlong: Option<Overlong>,
}

/// What is known of a line that was not kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlong {
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
}

/// Reads lines of which it keeps at most `limit` bytes each.
pub struct BoundedLines<R> {
    reader: R,
    limit: usize,
    number: i64,
    bytes: u64,
}

impl<R: BufRead> BoundedLines<R> {
    /// Lines of `reader`, counted from 1.
    pub fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, number: 0, bytes: 0 }
    }

    /// How many lines were read.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next line into `line` (cleared first); `None` at the end.
    ///
    /// # Errors
    /// Whatever the reader answers.
    pub fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
        line.clear();
        let mut bytes = 0_u64;
        let mut hasher: Option<Sha256> = None;
        let mut ended = false;
        while !ended {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            bytes += part.len() as u64;
            match &mut hasher {
                Some(hasher) => hasher.update(part),
                None if line.len() + part.len() <= self.limit => line.extend_from_slice(part),
                None => {
                    let mut whole = Sha256::new();
                    whole.update(&*line);
                    whole.update(part);
                    hasher = Some(whole);
                    line.extend_from_slice(&part[..self.limit - line.len()]);
                }
            }
            ended = end.is_some();
            let used = part.len() + usize::from(ended);
            self.reader.consume(used);
            self.bytes += used as u64;
        }
        if bytes == 0 && !ended {
            return Ok(None);
        }
        self.number += 1;
        if hasher.is_none() && line.last() == Some(&b'\r') {
            line.pop();
        }
        let overlong = hasher.map(|h| Overlong { bytes, sha256: h.finalize().into() });
        Ok(Some(Line { number: self.number, overlong }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], limit: usize, capacity: usize) -> Vec<(i64, Vec<u8>, Option<u64>)> {
        let mut lines = BoundedLines::new(io::BufReader::with_capacity(capacity, text), limit);
        let mut line = Vec::new();
        let mut found = Vec::new();
        while let Some(read) = lines.read(&mut line).unwrap() {
            found.push((read.number, line.clone(), read.overlong.map(|o| o.bytes)));
        }
        found
    }

    #[test]
    fn blank_lines_count_and_the_last_needs_no_break() {
        for capacity in [1, 3, 100] {
            assert_eq!(
                all(b"a\r\n\nbc", 10, capacity),
                [(1, b"a".to_vec(), None), (2, vec![], None), (3, b"bc".to_vec(), None)]
            );
        }
    }

    #[test]
    fn an_overlong_line_keeps_its_beginning_length_and_hash() {
        for capacity in [1, 4, 100] {
            let mut reader = BoundedLines::new(
                io::BufReader::with_capacity(capacity, &b"0123456789\nnext\n"[..]),
                4,
            );
            let mut line = Vec::new();
            let read = reader.read(&mut line).unwrap().unwrap();
            let overlong = read.overlong.unwrap();
            assert_eq!((line.as_slice(), overlong.bytes), (&b"0123"[..], 10));
            assert_eq!(overlong.sha256, <[u8; 32]>::from(Sha256::digest(b"0123456789")));
            assert_eq!(reader.read(&mut line).unwrap().unwrap().number, 2);
            assert_eq!(line, b"next");
        }
    }
}
