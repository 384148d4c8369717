//! Python tools that tests run, each set in an environment of its own beside the build.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::{checkout, left_out};

/// A Python with what `tests/<name>/requirements.txt` lists, made once; `None` where there is no Python.
pub fn python(test: &str, name: &'static str) -> Option<PathBuf> {
    static MADE: Mutex<BTreeMap<&str, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let python = made.entry(name).or_insert_with(|| make(name));
    if python.is_none() {
        left_out(test, "python3 with venv and pip, and its package registry");
    }
    python.clone()
}

fn make(name: &str) -> Option<PathBuf> {
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = folder.join("bin/python");
    let wanted = checkout(&format!("tests/{name}/requirements.txt"));
    let made = python.exists() || quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let equipped =
        made && quiet(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(wanted));
    assert!(equipped || std::env::var_os("CI").is_none(), "CI has Python and its registry");
    equipped.then_some(python)
}
