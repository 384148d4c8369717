//! Cutting a CSV file into rows.
//!
//! A quoted field may hold line breaks, so a row may span lines. A quote that is never closed would
//! make the rest of the file one row; here a row is at most [`MAX_LINES`] lines or the byte limit,
//! and past that only its first line is given up and reading goes on with the second.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use csv::StringRecord;

use crate::lines::{BoundedLines, Line, Overlong};

/// The most lines that one row may span.
const MAX_LINES: usize = 1_000;

/// One row of the file.
pub struct Row {
    /// The line at which it begins, from 1.
    pub line: i64,
    /// Its fields, or what is wrong with it.
    pub fields: Result<StringRecord, String>,
    /// Set when the row is longer than the limit and was not kept whole.
    pub overlong: Option<Overlong>,
}

/// Rows of a CSV file.
pub struct CsvRows<R> {
    lines: BoundedLines<R>,
    delimiter: u8,
    limit: usize,
    /// Lines that were read ahead for a row that did not end.
    ahead: VecDeque<(Line, Vec<u8>)>,
    raw: Vec<u8>,
    spare: Vec<u8>,
}

impl<R: BufRead> CsvRows<R> {
    /// Rows of at most `limit` bytes, fields separated by `delimiter`.
    pub fn new(reader: R, delimiter: u8, limit: usize) -> Self {
        Self {
            lines: BoundedLines::new(reader, limit),
            delimiter,
            limit,
            ahead: VecDeque::new(),
            raw: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The next row that is not blank.
    pub fn read(&mut self) -> io::Result<Option<Row>> {
        let first = loop {
            let Some((line, text)) = self.next_line()? else { return Ok(None) };
            self.raw = text;
            if line.number == 1 && self.raw.starts_with(b"\xEF\xBB\xBF") {
                self.raw.drain(..3);
            }
            if !self.raw.iter().all(u8::is_ascii_whitespace) {
                break line;
            }
        };
        if first.overlong.is_some() {
            let fields = Err("the row is too long".to_owned());
            return Ok(Some(Row { line: first.number, fields, overlong: first.overlong }));
        }
        let own = self.raw.len();
        let mut joined = 0;
        let mut open = open_quote(&self.raw, false);
        let mut taken = Vec::new();
        while open && joined < MAX_LINES && self.raw.len() <= self.limit {
            let Some((line, text)) = self.next_line()? else { break };
            let overlong = line.overlong.is_some();
            self.raw.push(b'\n');
            self.raw.extend_from_slice(&text);
            open = open_quote(&text, true);
            joined += 1;
            taken.push((line, text));
            if overlong {
                break;
            }
        }
        let fields = if open || self.raw.len() > self.limit {
            for line in taken.into_iter().rev() {
                self.ahead.push_front(line);
            }
            self.raw.truncate(own);
            Err("a quoted field is not closed; double the quotes inside it or close it".to_owned())
        } else {
            self.parse()
        };
        Ok(Some(Row { line: first.number, fields, overlong: None }))
    }

    fn next_line(&mut self) -> io::Result<Option<(Line, Vec<u8>)>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let read = self.lines.read(&mut self.spare)?;
        Ok(read.map(|line| (line, self.spare.clone())))
    }

    fn parse(&self) -> Result<StringRecord, String> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .buffer_capacity(self.raw.len().max(64))
            .from_reader(self.raw.as_slice());
        let mut record = StringRecord::new();
        match reader.read_record(&mut record) {
            Ok(true) => Ok(record),
            Ok(false) => Err("the row is empty".to_owned()),
            Err(error) => match error.kind() {
                csv::ErrorKind::Utf8 { err, .. } => Err(format!("the row is not UTF-8: {err}")),
                _ => Err(error.to_string()),
            },
        }
    }

    /// The bytes of the last row.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The most bytes of a row.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The last line that was handed out.
    pub fn number(&self) -> i64 {
        self.lines.number() - self.ahead.len() as i64
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes()
    }
}

/// Whether a quoted field is open after `text`, given whether one was open before it.
fn open_quote(text: &[u8], open: bool) -> bool {
    open ^ (memchr::memchr_iter(b'"', text).count() % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8], limit: usize) -> Vec<(i64, Result<Vec<String>, String>)> {
        let mut rows = CsvRows::new(text, b',', limit);
        let mut found = Vec::new();
        while let Some(row) = rows.read().unwrap() {
            let fields = row.fields.map(|f| f.iter().map(str::to_owned).collect());
            found.push((row.line, fields));
        }
        found
    }

    fn fields<const N: usize>(fields: [&str; N]) -> Result<Vec<String>, String> {
        Ok(fields.map(str::to_owned).to_vec())
    }

    #[test]
    fn a_quoted_field_may_span_lines() {
        let found = rows(b"a,b\r\n\"1\n2\",\"x \"\"y\"\"\"\n\n3,4", 100);
        assert_eq!(found[0], (1, fields(["a", "b"])));
        assert_eq!(found[1], (2, fields(["1\n2", "x \"y\""])));
        assert_eq!(found[2], (5, fields(["3", "4"])));
    }

    #[test]
    fn an_open_quote_costs_its_own_line_only() {
        let found = rows(b"1,2\n\"open,3\n4,5\n6,7\n", 100);
        assert_eq!(found.len(), 4);
        assert!(found[1].1.as_ref().unwrap_err().contains("not closed"), "{found:?}");
        assert_eq!(found[3], (4, fields(["6", "7"])));
    }

    #[test]
    fn bytes_that_are_no_text_are_a_broken_row() {
        let found = rows(b"1,\xFF\n3,4\n", 100);
        assert!(found[0].1.as_ref().unwrap_err().contains("UTF-8"), "{found:?}");
        assert_eq!(found[1], (2, fields(["3", "4"])));
    }

    #[test]
    fn an_overlong_row_is_told_as_such() {
        let mut rows = CsvRows::new(&b"0123456789,1\n3,4\n"[..], b',', 5);
        let row = rows.read().unwrap().unwrap();
        assert_eq!(row.overlong.unwrap().bytes, 12);
        assert_eq!(rows.read().unwrap().unwrap().line, 2);
    }
}
