//! Files as records: one JSON line each, or one CSV row each.

use std::io::{self, BufRead};
use std::sync::Arc;

use onramp_schemas::rejection::{Rejection, RejectionCode};

use crate::csv::mapping::Mapping;
use crate::csv::rows::{CsvRows, Row};
use crate::lines::BoundedLines;
use crate::pipeline::too_large;

/// One record of a file.
pub struct Found<'a> {
    /// The line at which it begins, from 1.
    pub sequence: i64,
    /// The event's bytes, or of an unreadable record its beginning.
    pub payload: &'a [u8],
    /// Why it cannot even be tried.
    pub rejection: Option<Rejection>,
    /// Its true size in bytes.
    pub bytes: u64,
    /// SHA-256 of all of it, when `payload` is only its beginning.
    pub sha256: Option<[u8; 32]>,
}

/// A file that is read record by record.
pub trait Records {
    /// The next record at or after the line `from`.
    fn read(&mut self, from: i64) -> io::Result<Option<Found<'_>>>;
    /// One past the last line, once the end is reached.
    fn end(&self) -> i64;
    /// Bytes read so far.
    fn bytes(&self) -> u64;
}

/// NDJSON: a line is a record, a blank line is none.
pub struct JsonLines<R> {
    lines: BoundedLines<R>,
    line: Vec<u8>,
    limit: usize,
}

impl<R: BufRead> JsonLines<R> {
    /// Records of at most `limit` bytes.
    pub fn new(reader: R, limit: usize) -> Self {
        Self { lines: BoundedLines::new(reader, limit), line: Vec::new(), limit }
    }
}

impl<R: BufRead> Records for JsonLines<R> {
    fn read(&mut self, from: i64) -> io::Result<Option<Found<'_>>> {
        loop {
            let Some(line) = self.lines.read(&mut self.line)? else { return Ok(None) };
            if line.number == 1 && self.line.starts_with(b"\xEF\xBB\xBF") {
                self.line.drain(..3);
            }
            if line.number < from || self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let bytes = line.overlong.as_ref().map_or(self.line.len() as u64, |o| o.bytes);
            return Ok(Some(Found {
                sequence: line.number,
                rejection: line.overlong.as_ref().map(|o| too_large(o.bytes, self.limit)),
                sha256: line.overlong.map(|o| o.sha256),
                payload: &self.line,
                bytes,
            }));
        }
    }

    fn end(&self) -> i64 {
        self.lines.number() + 1
    }

    fn bytes(&self) -> u64 {
        self.lines.bytes()
    }
}

/// CSV: a row, mapped to a CloudEvent, is a record; the first row is the header.
pub struct CsvRecords<R> {
    rows: CsvRows<R>,
    mapping: Arc<Mapping>,
    source: Option<String>,
    headers: Option<csv::StringRecord>,
    payload: Vec<u8>,
}

impl<R: BufRead> CsvRecords<R> {
    /// Records of at most `limit` bytes; `source` is for events that the mapping gives none.
    pub fn new(reader: R, mapping: Arc<Mapping>, source: Option<String>, limit: usize) -> Self {
        let rows = CsvRows::new(reader, mapping.delimiter(), limit);
        Self { rows, mapping, source, headers: None, payload: Vec::new() }
    }

    fn header(&mut self) -> io::Result<bool> {
        if self.headers.is_some() {
            return Ok(true);
        }
        let unfit = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
        let Some(row) = self.rows.read()? else { return Ok(false) };
        let headers = row.fields.map_err(|reason| unfit(format!("header row: {reason}")))?;
        self.mapping.check(&headers).map_err(unfit)?;
        self.headers = Some(headers);
        Ok(true)
    }
}

impl<R: BufRead> Records for CsvRecords<R> {
    fn read(&mut self, from: i64) -> io::Result<Option<Found<'_>>> {
        if !self.header()? {
            return Ok(None);
        }
        loop {
            let Some(Row { line, fields, overlong }) = self.rows.read()? else { return Ok(None) };
            if line < from {
                continue;
            }
            let headers = self.headers.as_ref().expect("read above");
            let event = fields.and_then(|fields| {
                if fields.len() != headers.len() {
                    let (found, expected) = (fields.len(), headers.len());
                    return Err(format!("the row has {found} fields, the header has {expected}"));
                }
                self.mapping.event_json(headers, &fields, line, self.source.as_deref())
            });
            let broken = |message| Rejection { code: RejectionCode::SchemaViolation, message };
            let rejection = match event {
                Ok(json) => {
                    self.payload = json;
                    None
                }
                Err(message) => {
                    self.payload.clear();
                    self.payload.extend_from_slice(self.rows.raw());
                    Some(broken(message))
                }
            };
            let bytes = overlong.as_ref().map_or(self.payload.len() as u64, |o| o.bytes);
            return Ok(Some(Found {
                sequence: line,
                payload: &self.payload,
                rejection: match &overlong {
                    Some(o) => Some(too_large(o.bytes, self.rows.limit())),
                    None => rejection,
                },
                bytes,
                sha256: overlong.map(|o| o.sha256),
            }));
        }
    }

    fn end(&self) -> i64 {
        self.rows.number() + 1
    }

    fn bytes(&self) -> u64 {
        self.rows.bytes()
    }
}
