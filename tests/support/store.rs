//! A real S3 service, started once for all tests that need one.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::{checkout, eventually, free_ports};

pub struct Store {
    folder: TempDir,
    port: u16,
    /// The store ends with this process: when nobody holds its input any more.
    _process: Child,
}

/// The store, or `None` with a word on how to get one where Go is missing.
pub fn store(test: &str) -> Option<&'static Store> {
    static STORE: OnceLock<Option<Store>> = OnceLock::new();
    let store = STORE.get_or_init(|| built().then(Store::start)).as_ref();
    if store.is_none() {
        let needs = "a real S3 store, which is built with Go";
        assert!(std::env::var_os("CI").is_none(), "{test} needs {needs}");
        super::left_out(test, needs);
    }
    store
}

fn built() -> bool {
    let built = Command::new(checkout("tests/s3/store.sh")).arg("build").output();
    built.is_ok_and(|built| built.status.success())
}

impl Store {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_ports();
        let log = File::create(folder.path().join("store.log")).expect("a log file");
        let process = Command::new(checkout("tests/s3/store.sh"))
            .arg("run")
            .arg(folder.path().join("buckets"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the store's script runs");
        eventually("the store listens", 60, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { folder, port, _process: process }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of a lake that nobody else uses.
    pub fn lake(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        format!("s3://lake/test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The folder in which the store keeps a lake's objects.
    pub fn folder(&self, lake: &str) -> PathBuf {
        self.folder.path().join("buckets").join(lake.trim_start_matches("s3://"))
    }
}

/// The variables with which a process reaches the store at `endpoint`.
pub fn variables(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "onramp"),
        ("AWS_SECRET_ACCESS_KEY", "onramp-secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
