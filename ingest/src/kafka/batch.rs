//! Records on their way from the client to the decoder.

use std::ops::Range;

use crate::pipeline::Record;

/// Records after which a batch is full,
const RECORDS: usize = 256;
/// or bytes of payload.
const BYTES: usize = 128 << 10;

/// Records of any partitions, copied out of the client into one piece of memory, which is used again:
/// the client has its own back at once, and on the thread that it gave it to.
#[derive(Debug, Default)]
pub struct Batch {
    /// The payloads and the values of headers.
    bytes: Vec<u8>,
    /// The names of headers.
    names: String,
    headers: Vec<(Range<usize>, Range<usize>)>,
    records: Vec<Copied>,
}

#[derive(Debug)]
struct Copied {
    partition: i32,
    sequence: i64,
    timestamp: i64,
    payload: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Batch {
    /// Copies a record, which its source could read.
    pub fn add(&mut self, partition: i32, record: &Record<'_>) {
        let headers = self.headers.len();
        for (name, value) in record.headers {
            let start = self.names.len();
            self.names.push_str(name);
            let header = (start..self.names.len(), self.copy(value));
            self.headers.push(header);
        }
        let headers = headers..self.headers.len();
        let payload = record.payload.map(|payload| self.copy(payload));
        let (sequence, timestamp) = (record.sequence, record.timestamp);
        self.records.push(Copied { partition, sequence, timestamp, payload, headers });
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.records.len() >= RECORDS || self.bytes.len() >= BYTES
    }

    /// Empties it; what one huge record took is given back.
    pub fn clear(&mut self) {
        self.records.clear();
        self.headers.clear();
        self.names.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * BYTES);
    }

    /// All headers, of which each record has a range.
    pub fn headers(&self) -> Vec<(&str, &[u8])> {
        let one = |(name, value): &(Range<usize>, Range<usize>)| {
            (&self.names[name.clone()], &self.bytes[value.clone()])
        };
        self.headers.iter().map(one).collect()
    }

    /// The records with their partitions; `headers` are those of [`Self::headers`].
    pub fn records<'a>(
        &'a self,
        headers: &'a [(&'a str, &'a [u8])],
    ) -> impl Iterator<Item = (i32, Record<'a>)> {
        self.records.iter().map(|copied| {
            let record = Record {
                sequence: copied.sequence,
                timestamp: copied.timestamp,
                payload: copied.payload.clone().map(|payload| &self.bytes[payload]),
                headers: &headers[copied.headers.clone()],
                unreadable: None,
            };
            (copied.partition, record)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let records = [
            (3, None, vec![]),
            (1, Some(&b"payload"[..]), vec![("ce_id", &b"1"[..]), ("other", b"")]),
            (1, Some(b""), vec![("ce_id", b"2")]),
        ];
        let mut batch = Batch::default();
        // Once more into the same memory.
        for _ in 0..2 {
            batch.clear();
            for (sequence, (partition, payload, headers)) in (7..).zip(&records) {
                let (payload, timestamp) = (*payload, sequence * 2);
                let record = Record { sequence, timestamp, payload, headers, unreadable: None };
                batch.add(*partition, &record);
            }
            let headers = batch.headers();
            let found: Vec<_> = batch.records(&headers).collect();
            assert_eq!(found.len(), 3);
            for ((number, record), (sequence, expected)) in found.iter().zip((7..).zip(&records)) {
                assert_eq!((*number, record.payload), (expected.0, expected.1));
                assert_eq!(record.headers, expected.2);
                assert_eq!((record.sequence, record.timestamp), (sequence, sequence * 2));
            }
        }
    }

    #[test]
    fn a_huge_record_fills_it_and_its_memory_is_given_back() {
        let huge = vec![b' '; 8 << 20];
        let mut batch = Batch::default();
        let payload = Some(huge.as_slice());
        let record = Record { sequence: 0, timestamp: 0, payload, headers: &[], unreadable: None };
        batch.add(0, &record);
        assert!(batch.is_full());
        batch.clear();
        assert!(batch.is_empty() && batch.bytes.capacity() <= 2 * BYTES);
    }
}
