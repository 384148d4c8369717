//! Importing a file of events and rebuilding their sessions: events a second and peak memory of the
//! real binary, beside a floor in the same run: one thread that reads and decodes the same file.
//!
//! `cargo bench --bench import [-- SESSIONS]`; 800,000 sessions are about 5 M events.
//! `cargo bench --bench import -- growth [EVENTS]` tells the time per event at 1, 10 and 50 M events, or
//! at as many as given.

mod binary;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use binary::{Run, onramp};
use onramp_schemas::event::{RecordContext, decode};

/// Events of one file as lakes grow: the disk need not hold more of them at once.
const PIECE: u64 = 10_000_000;
/// Events of a generated session.
const EVENTS_A_SESSION: f64 = 6.32;

fn main() -> anyhow::Result<()> {
    let number: Option<u64> = std::env::args().find_map(|arg| arg.parse().ok());
    if std::env::args().any(|arg| arg == "growth") {
        let sizes = number.map_or_else(|| vec![1_000_000, 10_000_000, 50_000_000], |it| vec![it]);
        return sizes.into_iter().try_for_each(grown);
    }
    compared(number.unwrap_or(800_000))
}

fn compared(sessions: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, lake) = (folder.path().join("events.ndjson"), folder.path().join("lake"));
    let sessions = sessions.to_string();
    let path = file.to_str().unwrap_or_default();
    let world = ["generate", "--sessions", &sessions, "--until", "2026-03-01", "--to", path];
    onramp(&lake, &world)?;
    let (lines, floor) = decode_only(&file)?;
    let bytes = file.metadata()?.len();
    println!("{lines} lines, {:.0} MiB, on {}", mib(bytes), cores());
    println!("decode only   {:>10.0} lines/s (floor, one thread)", lines as f64 / floor);
    for (name, args) in [
        ("import", vec!["import", path]),
        ("import again", vec!["import", path]),
        ("first fold", vec!["report", "--format", "json"]),
        ("report", vec!["report", "--format", "json"]),
        ("rebuild", vec!["rebuild"]),
    ] {
        let run = onramp(&lake, &args)?;
        let rate = lines as f64 / run.seconds;
        println!(
            "{name:<13} {rate:>10.0} lines/s {:>8.2} s {:>6.0} MiB peak {:>6.2} of the floor",
            run.seconds,
            run.peak_mib,
            floor / run.seconds
        );
    }
    Ok(())
}

/// A lake of about so many events, imported file by file, then folded and reported.
fn grown(events: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let lake = folder.path().join("lake");
    let (mut lines, mut import) = (0, Run { seconds: 0.0, peak_mib: 0.0 });
    for (seed, first) in (0..events).step_by(PIECE as usize).enumerate() {
        let file = folder.path().join(format!("events-{seed}.ndjson"));
        let path = file.to_str().unwrap_or_default();
        let sessions = PIECE.min(events - first) as f64 / EVENTS_A_SESSION;
        let (sessions, seed) = (format!("{sessions:.0}"), seed.to_string());
        let world = ["generate", "--sessions", &sessions, "--seed", &seed, "--until", "2026-03-01"];
        onramp(&lake, &[&world[..], &["--to", path]].concat())?;
        lines += newlines(&file)?;
        let run = onramp(&lake, &["import", path])?;
        import.seconds += run.seconds;
        import.peak_mib = import.peak_mib.max(run.peak_mib);
        std::fs::remove_file(&file)?;
    }
    let report = || onramp(&lake, &["report", "--format", "json"]);
    for (name, run) in [("import", import), ("first fold", report()?), ("report", report()?)] {
        let each = run.seconds * 1e9 / lines as f64;
        println!(
            "{lines:>10} lines {name:<10} {:>8.2} s {each:>8.1} ns/line {:>6.0} MiB peak",
            run.seconds, run.peak_mib
        );
    }
    Ok(())
}

fn newlines(file: &Path) -> anyhow::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut lines = 0;
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(lines);
        }
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = piece.len();
        reader.consume(length);
    }
}

fn cores() -> String {
    std::thread::available_parallelism().map_or_else(|e| e.to_string(), |n| format!("{n} cores"))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Lines of the file and the seconds that reading and decoding them takes.
fn decode_only(file: &Path) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    let context = RecordContext {
        timestamp: i64::MAX,
        max_future_us: 0,
        horizon_us: None,
        max_bytes: 1 << 20,
        namespaces: &[],
    };
    let (mut line, mut lines, mut characters) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        lines += 1;
        // The sum keeps the decoding from being optimised away.
        characters += decode(&line, &context).map_or(0, |event| event.id.len());
    }
    assert!(characters > 0, "nothing was decoded");
    Ok((lines, began.elapsed().as_secs_f64()))
}
