//! Reading the configuration's layers.

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Config;

/// Name of the configuration file in the working folder and in the user's config folder.
const FILE_NAME: &str = "onramp.toml";
/// Prefix of environment variables; two underscores step into a section.
const ENV_PREFIX: &str = "ONRAMP__";
/// The one variable with a short name.
const ENV_LAKE: &str = "ONRAMP_LAKE";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `--config` names a file that is not there.
    #[error("there is no configuration file {path}; check --config, or leave it out", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A layer cannot be read, or a value does not fit its key.
    #[error("{}", .problems.join("\n"))]
    Invalid {
        /// One line each: what, where, and what to write instead.
        problems: Vec<String>,
    },
}

/// What the command line sets, by dotted key.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(&'static str, Value)>);

impl Overrides {
    /// Sets `key` if a value was given.
    pub fn set(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        self.0.extend(value.map(|value| (key, value.into())));
    }
}

impl Provider for Overrides {
    fn metadata(&self) -> Metadata {
        Metadata::named("command line")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut figment = Figment::new();
        for (key, value) in &self.0 {
            figment = figment.merge(Serialized::default(key, value));
        }
        // By way of JSON: the values shall carry the mark of this layer, not of the one above.
        let nested = Value::serialize(figment.extract::<serde_json::Value>()?)?;
        Ok(Map::from([(Profile::Default, nested.into_dict().unwrap_or_default())]))
    }
}

/// The effective configuration and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The layers.
    pub figment: Figment,
}

/// Reads every layer: `flags` before the environment before `file` – or, without one,
/// `./onramp.toml` before the user's own – before the defaults.
///
/// # Errors
/// An unknown key, a value of the wrong type, a file that is no TOML or not there.
pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Loaded, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    match file {
        Some(path) if !path.is_file() => {
            return Err(ConfigError::Missing { path: path.to_owned() });
        }
        Some(path) => figment = figment.merge(Toml::file_exact(path)),
        None => {
            let files = user_file().into_iter().chain([PathBuf::from(FILE_NAME)]);
            for path in files.filter(|path| path.exists()) {
                figment = figment.merge(Toml::file_exact(path));
            }
        }
    }
    let lake = Env::raw().only(&[ENV_LAKE]).map(|_| "lake".into());
    figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__")).merge(lake).merge(flags);
    let config = figment.extract().map_err(|errors| ConfigError::Invalid {
        problems: errors.into_iter().map(|error| explain(&error)).collect(),
    })?;
    Ok(Loaded { config, figment })
}

fn user_file() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("onramp").join(FILE_NAME))
}

/// One line for people: the key, where it is set, what is wrong, what is meant.
fn explain(error: &figment::Error) -> String {
    let origin = error.metadata.as_ref().map_or_else(String::new, |metadata| {
        format!(" (set in {})", super::provenance::origin(metadata, &error.path.join(".")))
    });
    let key = |name: &str| {
        let mut path = error.path.clone();
        if path.last().is_none_or(|last| last != name) {
            path.push(name.to_owned());
        }
        path.join(".")
    };
    match &error.kind {
        Kind::UnknownField(name, known) => {
            let likely = known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, name), known))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            let mending = match likely {
                Some((_, likely)) => format!("did you mean {likely}?"),
                None => format!("there are {}", known.join(", ")),
            };
            format!("unknown setting {}{origin}; {mending}", key(name))
        }
        Kind::MissingField(name) => format!("the setting {} is missing", key(name)),
        kind => format!("setting {}{origin}: {kind}", error.path.join(".")),
    }
}
