//! The image and the compose file, held against the real command line and configuration: no container
//! engine is needed.

mod compose;
mod image;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::{Answer, Scene, checkout};

pub fn read(path: &str) -> String {
    std::fs::read_to_string(checkout(path)).unwrap()
}

/// The settings that hold for a service, or what is wrong with them: asked of `onramp config show` with
/// the image's configuration file and the service's own variables, and none of this machine's.
pub fn settings(environment: &BTreeMap<String, String>) -> Result<BTreeMap<String, Value>, String> {
    for name in environment.keys().filter(|name| name.starts_with("ONRAMP")) {
        if name != "ONRAMP_LAKE" && !name.starts_with("ONRAMP__") {
            return Err(format!("{name} is no variable of onramp"));
        }
    }
    let scene = Scene::new();
    let mut show = Command::new(env!("CARGO_BIN_EXE_onramp"));
    show.current_dir(scene.path(".")).env_clear().envs(environment);
    show.args(["--format", "json", "--config"]).arg(checkout("deploy/onramp.toml"));
    let shown = Answer::of(show.args(["config", "show"]));
    if shown.code != Some(0) {
        return Err(shown.stderr);
    }
    let rows = shown.json();
    let setting = |row: &Value| Some((row["key"].as_str()?.to_owned(), row["value"].clone()));
    Ok(rows.as_array().unwrap().iter().filter_map(setting).collect())
}
