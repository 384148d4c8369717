//! Finding funnel definitions: built-in, in the lake, in the user's folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use onramp_compute::Engine;
use onramp_lake::{Lake, LakeError};
use onramp_schemas::funnel::{self, Funnel};

/// The lake's folder of funnel files.
const LAKE_FOLDER: &str = "funnels";

/// Every known funnel by its name, with where it was found.
pub struct Funnels(BTreeMap<String, (Funnel, String)>);

impl Funnels {
    /// Reads all of them; a later one replaces an earlier of the same name.
    ///
    /// # Errors
    /// A folder or file that cannot be read, a file that is no funnel.
    pub async fn load(lake: &Lake, folders: &[String]) -> anyhow::Result<Self> {
        let mut funnels = Self(BTreeMap::new());
        for funnel in funnel::builtin() {
            funnels.add(funnel, "built-in".to_owned());
        }
        let store = lake.store();
        let folder = object_store::path::Path::from(LAKE_FOLDER);
        let objects: Vec<_> = store.list(Some(&folder)).try_collect().await.map_err(|source| {
            LakeError::store("list", format!("{}{folder}/", lake.url()), source)
        })?;
        let mut locations: Vec<_> = objects.into_iter().map(|object| object.location).collect();
        locations.sort();
        for location in locations.iter().filter(|location| location.extension() == Some("toml")) {
            let origin = format!("{}/{location}", lake.root().trim_end_matches('/'));
            let read = async { store.get(location).await?.bytes().await };
            let bytes = read.await.map_err(|source| LakeError::store("read", &origin, source))?;
            let text =
                std::str::from_utf8(&bytes).with_context(|| format!("{origin} is no text"))?;
            funnels.add(funnel::parse(text, &origin)?, origin);
        }
        for path in folders
            .iter()
            .map(|folder| files(Path::new(folder)))
            .collect::<Result<Vec<_>, _>>()?
            .concat()
        {
            funnels.add(read(&path)?, path.display().to_string());
        }
        Ok(funnels)
    }

    fn add(&mut self, funnel: Funnel, origin: String) {
        self.0.insert(funnel.name.clone(), (funnel, origin));
    }

    /// The funnel of that name.
    ///
    /// # Errors
    /// There is none; the message lists those that there are.
    pub fn get(&self, name: &str) -> anyhow::Result<&Funnel> {
        self.0.get(name).map(|(funnel, _)| funnel).ok_or_else(|| {
            let known = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            anyhow!(
                "there is no funnel {name:?}; known are {known}. Add a folder with --funnels DIR"
            )
        })
    }

    /// All of them, by name, with their origins.
    pub fn iter(&self) -> impl Iterator<Item = (&Funnel, &str)> {
        self.0.values().map(|(funnel, origin)| (funnel, origin.as_str()))
    }
}

/// The funnel in a file.
///
/// # Errors
/// A file that cannot be read or is no funnel.
pub fn read(path: &Path) -> anyhow::Result<Funnel> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the funnel file {}", path.display()))?;
    Ok(funnel::parse(&text, &path.display().to_string())?)
}

/// The funnel files of a folder, in the order of their names.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| {
        format!("cannot read the funnel folder {}; check --funnels", folder.display())
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether every condition of the funnel can run on events.
///
/// # Errors
/// The first one that cannot, with its place in the funnel.
pub fn check(engine: &Engine, funnel: &Funnel) -> anyhow::Result<()> {
    Ok(onramp_compute::sessions::check(engine, funnel)?)
}
