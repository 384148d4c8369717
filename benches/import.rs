//! Importing a file of events and rebuilding their sessions: events a second and peak memory of the
//! real binary, beside a floor in the same run: one thread that reads and decodes the same file.
//!
//! `cargo bench --bench import [-- SESSIONS]`; 800,000 sessions are about 5 M events.

mod binary;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use binary::onramp;
use onramp_schemas::event::{RecordContext, decode};

fn main() -> anyhow::Result<()> {
    let sessions = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(800_000_u64);
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
