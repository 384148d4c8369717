//! Settings that are lists: an array in a file, texts between commas in the environment.

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list, or texts separated by commas")]
enum List {
    Many(Vec<String>),
    One(String),
}

/// Reads either form.
///
/// # Errors
/// A value that is neither.
pub fn read<'de, D: Deserializer<'de>, T: From<String>>(value: D) -> Result<Vec<T>, D::Error> {
    let texts = match List::deserialize(value)? {
        List::Many(texts) => texts,
        List::One(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
    };
    Ok(texts.into_iter().filter(|text| !text.is_empty()).map(T::from).collect())
}
