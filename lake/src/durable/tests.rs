//! Rule 10: durable means durable.

use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use tempfile::TempDir;

use super::{DurableLocal, Step};
use crate::tests::fixture;

static STEPS: Mutex<Vec<(Step, PathBuf)>> = Mutex::new(Vec::new());

pub fn note(step: Step, path: &FsPath) {
    STEPS.lock().unwrap().push((step, path.to_owned()));
}

/// The steps taken below a folder since the last call, staging files by the name of their target.
fn steps(below: &FsPath) -> Vec<(Step, String)> {
    let mut all = STEPS.lock().unwrap();
    let (taken, others) = all.drain(..).partition(|(_, path)| path.starts_with(below));
    *all = others;
    let name = |path: PathBuf| {
        let relative = path.strip_prefix(below).unwrap().to_str().unwrap().to_owned();
        relative.split('#').next().unwrap().to_owned()
    };
    Vec::into_iter(taken).map(|(step, path)| (step, name(path))).collect()
}

struct Folder {
    folder: TempDir,
    store: DurableLocal,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store: DurableLocal::new() }
    }

    fn at(&self, name: &str) -> Path {
        Path::from_absolute_path(self.folder.path().join(name)).unwrap()
    }

    fn steps(&self) -> Vec<(Step, String)> {
        steps(self.folder.path())
    }

    async fn text(&self, name: &str) -> String {
        let bytes = self.store.get(&self.at(name)).await.unwrap().bytes().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Every name in the folder, staging files included.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

fn expected(steps: &[(Step, &str)]) -> Vec<(Step, String)> {
    steps.iter().map(|(step, name)| (*step, (*name).to_owned())).collect()
}

#[tokio::test]
async fn invariant_10_a_put_syncs_the_file_before_its_name_and_the_folder_after() {
    let folder = Folder::new();
    for mode in [PutMode::Create, PutMode::Overwrite] {
        folder.store.put_opts(&folder.at("x"), "one".into(), mode.into()).await.unwrap();
        let order = [(Step::SyncFile, "x"), (Step::Name, "x"), (Step::SyncFolder, "")];
        assert_eq!(folder.steps(), expected(&order));
    }
    folder.store.put(&folder.at("a/b/x"), "two".into()).await.unwrap();
    let order = [
        (Step::SyncFolder, ""),
        (Step::SyncFolder, "a"),
        (Step::SyncFile, "a/b/x"),
        (Step::Name, "a/b/x"),
        (Step::SyncFolder, "a/b"),
    ];
    assert_eq!(folder.steps(), expected(&order));
}

#[tokio::test]
async fn invariant_10_data_is_durable_before_the_log_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let lake = crate::Lake::open(folder.path().to_str().unwrap(), &fixture::settings()).unwrap();
    let mut appender = fixture::appender(&lake).await;
    steps(folder.path());
    fixture::append(&mut appender, "a", 0, 1).await;
    let taken = steps(folder.path());
    let at = |step: Step, part: &str| {
        taken.iter().position(|(taken, path)| *taken == step && path.contains(part)).unwrap()
    };
    let data_named = at(Step::SyncFolder, "day=2026-11-23");
    assert!(at(Step::SyncFile, "day=2026-11-23") < data_named, "{taken:?}");
    assert!(data_named < at(Step::Name, "_delta_log"), "{taken:?}");
    assert_eq!(taken.last().unwrap().0, Step::SyncFolder);
}

#[tokio::test]
async fn invariant_10_parts_are_synced_as_one_file() {
    let folder = Folder::new();
    let mut upload = folder.store.put_multipart(&folder.at("x")).await.unwrap();
    // Parts may be written in any order, each lands where it was handed over.
    let parts: Vec<_> =
        ["one ", "two ", "three"].map(|part| upload.put_part(PutPayload::from(part))).into();
    for part in parts.into_iter().rev() {
        part.await.unwrap();
    }
    assert!(folder.store.head(&folder.at("x")).await.is_err(), "not before it is complete");
    assert_eq!(folder.steps(), []);
    upload.complete().await.unwrap();
    assert_eq!(folder.text("x").await, "one two three");
    let order = [(Step::SyncFile, "x"), (Step::Name, "x"), (Step::SyncFolder, "")];
    assert_eq!(folder.steps(), expected(&order));
    assert_eq!(folder.names(), ["x"]);
}

#[tokio::test]
async fn invariant_10_an_upload_given_up_leaves_nothing() {
    let folder = Folder::new();
    let mut upload = folder.store.put_multipart(&folder.at("x")).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    upload.abort().await.unwrap();
    let mut dropped = folder.store.put_multipart(&folder.at("y")).await.unwrap();
    dropped.put_part("one".into()).await.unwrap();
    drop(dropped);
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_of_racing_creators_one_wins_and_its_content_stays() {
    let folder = Arc::new(Folder::new());
    for round in 0..20 {
        let name = format!("{round}");
        let racers: Vec<_> = (0..8)
            .map(|racer| {
                let (folder, name) = (Arc::clone(&folder), name.clone());
                tokio::spawn(async move {
                    let content = format!("racer {racer}").repeat(1000);
                    let options = PutMode::Create.into();
                    folder.store.put_opts(&folder.at(&name), content.into(), options).await
                })
            })
            .collect();
        let mut winner = None;
        for (racer, result) in racers.into_iter().enumerate() {
            match result.await.unwrap() {
                Ok(_) => assert!(winner.replace(racer).is_none(), "two winners"),
                Err(Error::AlreadyExists { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let content = format!("racer {}", winner.unwrap()).repeat(1000);
        assert_eq!(folder.text(&name).await, content);
    }
    assert_eq!(folder.names().len(), 20, "no staging file stays");
}

#[tokio::test]
async fn invariant_10_what_a_crash_leaves_behind_is_never_listed() {
    let folder = Folder::new();
    folder.store.put(&folder.at("00002.json"), "x".into()).await.unwrap();
    folder.store.put(&folder.at("00001.json"), "x".into()).await.unwrap();
    std::fs::write(folder.folder.path().join("00003.json#4711000001"), "half").unwrap();
    let prefix = Path::from_absolute_path(folder.folder.path()).unwrap();
    let listed: Vec<_> = folder.store.list(Some(&prefix)).try_collect().await.unwrap();
    let names: Vec<_> = listed.iter().map(|entry| entry.location.filename().unwrap()).collect();
    assert_eq!(names, ["00001.json", "00002.json"]);
    folder.store.put(&folder.at("00003.json"), "whole".into()).await.unwrap();
    assert_eq!(folder.text("00003.json").await, "whole");
}

#[tokio::test]
async fn a_copy_is_synced_and_may_refuse_to_replace() {
    let folder = Folder::new();
    folder.store.put(&folder.at("x"), "one".into()).await.unwrap();
    folder.steps();
    let create = || CopyOptions::new().with_mode(CopyMode::Create);
    folder.store.copy_opts(&folder.at("x"), &folder.at("y"), create()).await.unwrap();
    assert_eq!(folder.steps(), expected(&[(Step::SyncFolder, "")]));
    let error = folder.store.copy_opts(&folder.at("x"), &folder.at("y"), create()).await;
    assert!(matches!(error, Err(Error::AlreadyExists { .. })));
    assert_eq!(folder.text("y").await, "one");
}
