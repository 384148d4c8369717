//! Results to stdout, everything else to stderr.

mod progress;
pub mod report;
mod sheet;

use std::io::{self, Write};

pub use progress::Progress;
pub use sheet::Sheet;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// A Markdown table.
    Markdown,
}

/// Writes a result.
///
/// # Errors
/// Standard output is closed or full.
pub fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes one JSON document.
///
/// # Errors
/// As [`write`].
pub fn document(value: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write(&text)
}

/// Writes a table in the asked-for form, or `document` for JSON.
///
/// # Errors
/// As [`write`].
pub fn table(format: Format, sheet: &Sheet, document: &impl serde::Serialize) -> io::Result<()> {
    match format {
        Format::Json => self::document(document),
        Format::Table => write(&sheet.table()),
        Format::Csv => write(&sheet.csv()),
        Format::Markdown => write(&sheet.markdown()),
    }
}

/// Whether whoever read the results has gone, which is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Says what went wrong, down to the cause. Messages name the next step themselves.
pub fn error(error: &anyhow::Error) {
    let mut said = error.to_string();
    eprintln!("error: {said}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // A transparent error repeats its cause; people need it once.
        if !said.contains(&cause) {
            eprintln!("  because: {cause}");
        }
        said = cause;
    }
}

/// `1234567` as `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
