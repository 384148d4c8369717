//! The Dockerfile.

use std::process::{Command, Stdio};

use super::{compose, read};
use crate::support::{Scene, checkout, eventually, free_ports};

/// Its instructions: the word and the rest, lines that were continued joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').expect("an instruction has arguments"))
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

/// The arguments of the last instruction of this name; lists as JSON.
fn last(word: &str) -> String {
    instructions().into_iter().rev().find(|(name, _)| name == word).expect(word).1
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(&text[text.find('[').expect("a list")..]).expect("JSON")
}

#[test]
fn its_stages_are_pinned_and_what_it_copies_is_there() {
    let ignored = read(".dockerignore");
    let mut stages = Vec::new();
    for (word, rest) in instructions() {
        let words: Vec<&str> = rest.split_whitespace().collect();
        match (word.as_str(), words.as_slice()) {
            ("FROM", [image, "AS", stage]) => {
                assert!(compose::pinned(image), "{image}");
                stages.push((*stage).to_owned());
            }
            ("FROM", [image]) => assert!(compose::pinned(image), "{image}"),
            ("COPY", [from, _, _]) if from.starts_with("--from=") => {
                let stage = from.trim_start_matches("--from=");
                assert!(stages.iter().any(|known| known == stage), "no stage is named {stage}");
            }
            ("COPY", [sources @ .., _]) => {
                for source in sources {
                    assert!(checkout(source).exists(), "{source} is not there");
                    let top = source.split('/').next().unwrap();
                    assert!(ignored.contains(&format!("!{top}\n")), "{source} is ignored");
                }
            }
            ("FROM" | "COPY", _) => panic!("not understood: {word} {rest}"),
            _ => {}
        }
    }
    let toolchain = read("rust-toolchain.toml");
    let rust = instructions()[0].1.split([':', '-']).nth(1).unwrap().to_owned();
    assert!(toolchain.contains(&format!("\"{rust}\"")), "the image builds with Rust {rust}");
    // Every member of the workspace is copied.
    let copied: Vec<_> = instructions().into_iter().filter(|(word, _)| word == "COPY").collect();
    for member in ["schemas", "lake", "ingest", "compute", "queries", "src"] {
        assert!(copied.iter().any(|(_, rest)| rest.starts_with(&format!("{member} "))), "{member}");
    }
}

#[test]
fn it_runs_as_nobody_special_on_what_it_installs() {
    let (user, volume) = (last("USER"), last("VOLUME"));
    let id: u32 =
        user.split(':').next().unwrap().parse().expect("a number, which orchestrators can judge");
    assert!(id > 0, "root");
    assert_eq!(volume, last("WORKDIR"));
    assert!(read("deploy/onramp.toml").contains(&format!("lake = \"{volume}/lake\"")));
    assert!(last("RUN").contains(&format!("--home-dir {volume}")), "made and owned by the user");
    let libraries = Command::new("ldd").arg(env!("CARGO_BIN_EXE_onramp")).output();
    let libraries = String::from_utf8(libraries.expect("ldd runs").stdout).unwrap();
    for (library, package) in
        [("libssl.so.3", "libssl3"), ("libcrypto.so.3", "libssl3"), ("libz.so", "zlib1g")]
    {
        assert!(
            !libraries.contains(library) || last("RUN").contains(package),
            "{package} is missing"
        );
    }
    let known =
        ["linux-vdso", "libssl", "libcrypto", "libz", "libgcc_s", "libm", "libc", "ld-linux"];
    for line in libraries.lines().map(str::trim) {
        let known = known.iter().any(|name| line.contains(name));
        assert!(known, "{line} may not be in the image");
    }
}

/// The service's own command line and configuration, as they are but for the lake and the port, which
/// belong to this test, and brokers, of which there are none: it waits for them, and lives.
#[test]
fn what_it_runs_starts_lives_by_its_own_check_and_ends_when_told_to() {
    let entry = list(&last("ENTRYPOINT"));
    assert_eq!(entry, ["onramp", "--config", "/etc/onramp/onramp.toml"]);
    let check = list(&last("HEALTHCHECK"));
    let in_image = list(&last("CMD"));
    for (command, environment) in
        compose::ours().into_iter().chain([(in_image, Default::default())])
    {
        let listen = command.iter().skip_while(|word| *word != "--listen").nth(1);
        assert_eq!(listen.map(String::as_str), Some(&*format!("127.0.0.1:{}", check[1])));
        let scene = Scene::new();
        let port = free_ports();
        let mut process = Command::new(env!("CARGO_BIN_EXE_onramp"))
            .current_dir(scene.path("."))
            .env_clear()
            .envs(environment)
            .env("ONRAMP_LAKE", scene.lake())
            .env("ONRAMP__INGEST__BROKERS", "127.0.0.1:1")
            .arg("--config")
            .arg(checkout("deploy/onramp.toml"))
            .args(command.iter().map(|word| word.replace(&check[1], &port.to_string())))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lives = || {
            let script = checkout("deploy").join(&check[0]);
            let asked = Command::new(script).arg(port.to_string()).stderr(Stdio::null()).status();
            asked.expect("bash runs").success()
        };
        eventually("it lives", 60, || lives().then_some(()));
        crate::http::terminate(&process);
        assert_eq!(process.wait().unwrap().code(), Some(0));
        assert!(!lives(), "nobody is there any more");
    }
}
