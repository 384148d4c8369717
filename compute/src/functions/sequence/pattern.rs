//! The text of a pattern, step by step.

use datafusion::common::{Result, plan_err};

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An event that meets the condition, from 0.
    Event(usize),
    /// Any event.
    Any,
    /// Any number of events.
    Many,
    /// The time since the last event that was taken, in ticks.
    Time(Comparison, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    AtMost,
    Less,
    AtLeast,
    More,
    Equal,
}

/// A pattern; it may begin at any event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Pattern {
    pub(super) function: String,
    pub(super) steps: Vec<Step>,
    /// Bit k: condition k + 1 is named.
    pub(super) named: u64,
}

impl Pattern {
    /// Reads a pattern over so many conditions.
    ///
    /// # Errors
    /// With the position, in bytes from 0, where it cannot be read on.
    pub fn parse(function: &str, text: &str, conditions: usize) -> Result<Pattern> {
        let mut reader = Reader { function, text, at: 0 };
        let mut pattern =
            Pattern { function: function.to_owned(), steps: vec![Step::Many], named: 0 };
        while !reader.rest().is_empty() {
            let start = reader.at;
            if reader.take("(?t") {
                let (comparison, count) = reader.time()?;
                if matches!(pattern.steps.last(), Some(Step::Time(..))) {
                    return reader.fail(start, "a time stands after a time; put an event between");
                }
                pattern.steps.push(Step::Time(comparison, count));
            } else if reader.take("(?") {
                let number = reader.number()?;
                let condition = usize::try_from(number).unwrap_or(usize::MAX);
                if !(1..=conditions).contains(&condition) {
                    let why = format!("there is no condition {number}, only 1 to {conditions}");
                    return reader.fail(start, &why);
                }
                reader.close()?;
                pattern.named |= 1 << (condition - 1);
                pattern.steps.push(Step::Event(condition - 1));
            } else if reader.take(".*") {
                pattern.steps.push(Step::Many);
            } else if reader.take(".") {
                pattern.steps.push(Step::Any);
            } else {
                return reader.fail(start, "a step is (?1), (?t<=10), . or .*");
            }
        }
        Ok(pattern)
    }

    /// Converts times.
    pub fn scale(&mut self, ticks: impl Fn(u64) -> u64) {
        for step in &mut self.steps {
            if let Step::Time(_, count) = step {
                *count = ticks(*count);
            }
        }
    }
}

struct Reader<'a> {
    function: &'a str,
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn take(&mut self, part: &str) -> bool {
        let found = self.rest().starts_with(part);
        self.at += if found { part.len() } else { 0 };
        found
    }

    fn time(&mut self) -> Result<(Comparison, u64)> {
        let comparisons = [
            ("<=", Comparison::AtMost),
            ("<", Comparison::Less),
            (">=", Comparison::AtLeast),
            (">", Comparison::More),
            ("==", Comparison::Equal),
        ];
        let Some(&(_, comparison)) = comparisons.iter().find(|(sign, _)| self.take(sign)) else {
            return self.fail(self.at, "a time is compared by <=, <, >=, > or ==");
        };
        let count = self.number()?;
        self.close()?;
        Ok((comparison, count))
    }

    fn number(&mut self) -> Result<u64> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest()[..digits].parse();
        let start = self.at;
        self.at += digits;
        match number {
            Ok(number) => Ok(number),
            Err(_) => self.fail(start, "here must be a whole number below 2^64"),
        }
    }

    fn close(&mut self) -> Result<()> {
        match self.take(")") {
            true => Ok(()),
            false => self.fail(self.at, "here must be a closing parenthesis"),
        }
    }

    fn fail<T>(&self, at: usize, why: &str) -> Result<T> {
        plan_err!("{}: at position {at} of the pattern '{}': {why}", self.function, self.text)
    }
}
