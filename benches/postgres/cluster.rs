//! A PostgreSQL of its own in a folder that goes with it.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::free_port;
use crate::python::run;

/// Where Debian's package puts the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

pub struct Cluster {
    child: Child,
    pub port: u16,
    programs: PathBuf,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Makes and starts it, as `postgres` where we are root, whom it refuses.
    pub fn start() -> anyhow::Result<Self> {
        let programs = std::env::var_os("ONRAMP_POSTGRES").map_or(PROGRAMS.into(), PathBuf::from);
        anyhow::ensure!(
            programs.join("initdb").exists(),
            "there is no initdb in {}; install PostgreSQL 15 (apt-get install postgresql-15) or name its folder \
             of programs in ONRAMP_POSTGRES",
            programs.display()
        );
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let is_root = std::fs::metadata("/proc/self").map(|of| of.uid())? == 0;
        if is_root {
            run(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        // Whatever becomes of the bench, its end is the server's.
        let program = |name: &str| {
            let mut command = Command::new("setpriv");
            if is_root {
                command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
            }
            command.args(["--pdeathsig=INT", "--"]).arg(programs.join(name)).arg("-D").arg(&data);
            command.current_dir(folder.path()).stdout(Stdio::null());
            command
        };
        run(program("initdb").args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]))?;
        let port = free_port()?;
        let sockets = format!("unix_socket_directories={}", folder.path().display());
        let mut server = program("postgres");
        // What it reads stays in its memory, as an analyst's table of this size would.
        for setting in
            ["listen_addresses=127.0.0.1", "shared_buffers=512MB", "TimeZone=UTC", &sockets]
        {
            server.args(["-c", setting]);
        }
        let child = server.args(["-p", &port.to_string()]).stderr(Stdio::null()).spawn()?;
        let cluster = Self { child, port, programs, _folder: folder };
        let until = Instant::now() + Duration::from_secs(60);
        while cluster.run(&["SELECT 1"]).is_err() {
            anyhow::ensure!(Instant::now() < until, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// Runs statements by its own psql.
    pub fn run(&self, statements: &[&str]) -> anyhow::Result<()> {
        let address = format!("host=127.0.0.1 port={} user=postgres", self.port);
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &address]).stdout(Stdio::null());
        for statement in statements {
            psql.args(["-c", statement]);
        }
        let said = psql.output().context("psql cannot be started")?;
        anyhow::ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends by SIGINT in good order; if it cannot be told, it must not stay.
        let told = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        if !told.is_ok_and(|told| told.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
