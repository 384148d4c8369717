//! Where the lake of a round lies, and what can be done to that place.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::http::Method;

use super::dice::Dice;
use crate::s3::proxy::{Fault, Plan, Proxy};
use crate::support::Scene;
use crate::support::store::{Store, variables};

/// Bytes of a disk that is there to be filled: a round's lake needs a third of it.
const DISK: &str = "size=384m";
const FILLER: &str = "filler";

/// A scene and the place of its lake.
pub struct Place {
    pub scene: Scene,
    /// The folder that holds the lake's files, in a bucket too.
    pub lake: PathBuf,
    /// Before the bucket.
    pub proxy: Option<Proxy>,
    pub disk: Option<Disk>,
}

impl Place {
    /// A folder on a small disk of its own; on the disk of everything else where mounting is refused.
    pub fn folder() -> Self {
        let scene = Scene::new();
        let lake = scene.lake();
        let disk = Disk::mount(&lake);
        Self { scene, lake, proxy: None, disk }
    }

    /// A prefix of a bucket, behind a proxy.
    pub fn bucket(store: &Store) -> Self {
        let lake = store.lake();
        let proxy = Proxy::start(store.port(), None);
        let mut variables = variables(&proxy.endpoint());
        // An answer that never comes is not waited for.
        variables.push(("AWS_TIMEOUT".to_owned(), "3s".to_owned()));
        let scene = Scene::remote(&lake, variables);
        Self { scene, lake: store.folder(&lake), proxy: Some(proxy), disk: None }
    }
}

/// What the store does wrong.
#[derive(Clone, Copy, Debug)]
pub enum Upset {
    /// It does what was asked and answers 500.
    Fails,
    /// It does what was asked and never answers.
    Hangs,
    /// 503 to everything of one kind.
    Refuses,
    /// Answers break off half-way.
    Tears,
    /// Answers stand still half-way.
    Stalls,
}

impl Upset {
    pub const ALL: [Self; 5] = [Self::Fails, Self::Hangs, Self::Refuses, Self::Tears, Self::Stalls];

    /// What the proxy is told.
    pub fn plan(self, dice: &mut Dice) -> Plan {
        let (fault, method, percent, times) = match self {
            Self::Fails => (Fault::FailAfter, Method::PUT, 40, usize::MAX),
            Self::Hangs => (Fault::HangAfter, Method::PUT, 40, 4),
            Self::Refuses => {
                let method = if dice.once_in(2) { Method::GET } else { Method::PUT };
                (Fault::SlowDown, method, 100, usize::MAX)
            }
            Self::Tears => (Fault::Torn, Method::GET, 50, 20),
            Self::Stalls => (Fault::Stalled, Method::GET, 50, 3),
        };
        Plan { fault, method, part: "", percent, times, seed: dice.below(1_000_000) }
    }

    /// Whether it is the reading that suffers, which members do most when they start.
    pub fn hurts_readers(self) -> bool {
        matches!(self, Self::Tears | Self::Stalls)
    }
}

/// A small disk in memory, unmounted in the end.
pub struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder to mount on");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(at).output();
        mount.is_ok_and(|mounted| mounted.status.success()).then(|| Self(at.to_owned()))
    }

    /// Takes every byte that is left.
    pub fn fill(&self) {
        let mut filler =
            File::options().create(true).append(true).open(self.0.join(FILLER)).expect("a file");
        for size in [1 << 20, 4 << 10, 1] {
            let bytes = vec![0; size];
            // Until it refuses.
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        std::fs::remove_file(self.0.join(FILLER)).expect("the filler is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for _ in 0..50 {
            let unmounted = Command::new("umount").arg(&self.0).output();
            if unmounted.is_ok_and(|unmounted| unmounted.status.success()) {
                return;
            }
            // Somebody who was killed just now still has it open.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
