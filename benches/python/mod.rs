//! A Python with the packages that a bench needs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python that `ONRAMP_PEERS` names, or one in an environment beside the build, into which the
/// `requirements.txt` of `sources` is installed.
pub fn python(sources: &Path, name: &str) -> anyhow::Result<PathBuf> {
    if let Some(python) = std::env::var_os("ONRAMP_PEERS") {
        return Ok(PathBuf::from(python));
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = folder.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let wanted = sources.join("requirements.txt");
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(wanted))?;
    Ok(python)
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started, or fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    anyhow::ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
