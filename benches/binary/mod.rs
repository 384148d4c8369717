//! Runs of the real binary.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run of the binary took.
pub struct Run {
    pub seconds: f64,
    pub peak_mib: f64,
}

/// Runs the binary and watches the high-water mark of its memory.
pub fn onramp(lake: &Path, args: &[&str]) -> anyhow::Result<Run> {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onramp"));
    let mut child =
        command.arg("--lake").arg(lake).arg("-q").args(args).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0.0_f64;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let now = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
            peak_kib = peak_kib.max(now.unwrap_or_default());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    anyhow::ensure!(ended.success(), "onramp {args:?} failed: {ended}");
    Ok(Run { seconds: began.elapsed().as_secs_f64(), peak_mib: peak_kib / 1024.0 })
}
