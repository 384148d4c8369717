//! Where each value of the configuration came from.

use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Source};

/// One setting as `config show` prints it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Setting {
    /// Dotted key.
    pub key: String,
    /// Its value; a secret is masked.
    pub value: serde_json::Value,
    /// Which layer set it.
    pub source: String,
}

/// Parts of key names behind which a secret is to be expected.
const SECRET: [&str; 6] = ["password", "secret", "token", "credential", "private", "key.pem"];
/// What stands in its place.
const MASK: &str = "********";

/// Every effective setting, in the order of the keys.
pub fn settings(figment: &Figment) -> Vec<Setting> {
    let mut found = Vec::new();
    if let Ok(values) = figment.extract::<Dict>() {
        collect(figment, String::new(), &values, &mut found);
    }
    found
}

fn collect(figment: &Figment, prefix: String, values: &Dict, found: &mut Vec<Setting>) {
    for (name, value) in values {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => collect(figment, key, inner, found),
            _ => {
                let source = figment
                    .get_metadata(value.tag())
                    .map_or_else(|| "default".to_owned(), |metadata| origin(metadata, &key));
                let value = serde_json::to_value(value).unwrap_or_default();
                found.push(Setting { value: masked(&key, value), key, source });
            }
        }
    }
}

fn masked(key: &str, value: serde_json::Value) -> serde_json::Value {
    let key = key.to_ascii_lowercase();
    match value {
        serde_json::Value::Null => serde_json::Value::Null,
        _ if SECRET.iter().any(|part| key.contains(part)) => MASK.into(),
        serde_json::Value::String(text) => without_password(&text).into(),
        other => other,
    }
}

/// Masks the password of an address such as `scheme://user:password@host`.
fn without_password(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let (login, host) = rest.split_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{host}"))
    };
    masked().unwrap_or_else(|| text.to_owned())
}

/// A layer's name for people.
pub fn origin(metadata: &Metadata, key: &str) -> String {
    match (&metadata.source, metadata.name.as_ref()) {
        (Some(Source::File(path)), _) => path.display().to_string(),
        (_, name) if name.contains("environment variable") => match key {
            "lake" if std::env::var_os("ONRAMP_LAKE").is_some() => "ONRAMP_LAKE".to_owned(),
            _ => format!("ONRAMP__{}", key.to_ascii_uppercase().replace('.', "__")),
        },
        (_, "command line") => "command line".to_owned(),
        _ => "default".to_owned(),
    }
}
