//! The prompt of `onramp sql`, at a terminal that `script` lends it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Scene, checkout, eventually};

/// What stands before the cursor when a statement may begin.
const ASKS: &str = "onramp> ";

struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    /// How much of what was shown has been read.
    seen: usize,
}

impl Terminal {
    fn open(scene: &Scene) -> Self {
        let program = scene.onramp();
        let mut words = vec![program.get_program().to_string_lossy().into_owned()];
        words.extend(program.get_args().map(|word| word.to_string_lossy().into_owned()));
        // The shell tells how the program ended. A Ctrl-C is the program's alone: without the trap some
        // shells end by it, and before they have told.
        let call = format!("trap : INT; {} sql; echo \"ended with $?\"", words.join(" "));
        let mut command = Command::new("script");
        command.args(["-qc", &call, "/dev/null"]).current_dir(scene.path(""));
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("script runs");
        let shown = Arc::new(Mutex::new(String::new()));
        let (screen, mut output) = (Arc::clone(&shown), child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                screen.lock().expect("no test panics with it").push_str(&text);
            }
        });
        let keys = child.stdin.take().expect("piped");
        let mut terminal = Self { child, keys, shown, seen: 0 };
        terminal.until(ASKS);
        terminal
    }

    /// What is shown from where was read last, up to these words.
    fn until(&mut self, words: &str) -> String {
        let (shown, seen) = (Arc::clone(&self.shown), self.seen);
        let found = eventually(words, 60, || {
            let shown = shown.lock().expect("no test panics with it");
            let end = seen + shown[seen..].find(words)? + words.len();
            Some(shown[seen..end].to_owned())
        });
        self.seen += found.len();
        found
    }

    /// Types a line, and reads what is said until the next may be typed.
    fn say(&mut self, line: &str) -> String {
        writeln!(self.keys, "{line}").expect("the terminal is there");
        self.until(ASKS)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already ended where the test went well; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_prompt_answers_statements_and_commands() {
    let scene = Scene::new();
    scene.run(["import".as_ref(), checkout("tests/sql/world.ndjson").as_os_str()]).succeeded();
    let mut terminal = Terminal::open(&scene);
    let tables = terminal.say("\\d");
    assert!(tables.contains("sessions_onboarding") && tables.contains("funnel_daily"), "{tables}");
    let columns = terminal.say("\\d+ sessions_onboarding");
    assert!(
        columns.contains("dwell_seconds") && columns.contains("How long it stayed"),
        "{columns}"
    );
    let mode = terminal.say(".mode csv");
    assert!(!mode.contains("error"), "{mode}");
    writeln!(terminal.keys, "SELECT outcome, count(*) AS n").expect("the terminal is there");
    terminal.until("-> ");
    let rows = terminal.say("FROM sessions_onboarding GROUP BY outcome ORDER BY n DESC;");
    assert!(rows.contains("abandoned,3") && rows.contains("completed,2"), "{rows}");
    let wrong = terminal.say("SELECT outcom FROM sessions_onboarding;");
    assert!(wrong.contains("Did you mean"), "{wrong}");
    let refused = terminal.say("DROP TABLE events;");
    assert!(refused.contains("is not answered"), "{refused}");
    // Ctrl-C ends a statement that would not end, and not the program.
    let series = "generate_series(1, 1000000)";
    writeln!(
        terminal.keys,
        "SELECT count(*) FROM {series} a JOIN {series} b ON a.value + b.value < 0;"
    )
    .expect("the terminal is there");
    let (shown, seen) = (Arc::clone(&terminal.shown), terminal.seen);
    let mut pressed = Instant::now();
    eventually("the statement was ended", 60, || {
        // Pressed before the statement runs it is the editor's, and pressed twice it takes along what is
        // typed after.
        if pressed.elapsed() > Duration::from_secs(1) {
            terminal.keys.write_all(b"\x03").expect("the terminal is there");
            pressed = Instant::now();
        }
        let shown = shown.lock().expect("no test panics with it");
        shown[seen..].contains("the statement was ended").then_some(())
    });
    terminal.until("the statement was ended");
    terminal.until(ASKS);
    writeln!(terminal.keys, "SELECT sum(sessions) AS started FROM funnel_dai\t;")
        .expect("the terminal is there");
    terminal.until("started\r\n6\r\n");
    terminal.until(ASKS);
    writeln!(terminal.keys, "\\q").expect("the terminal is there");
    terminal.until("ended with ");
    assert_eq!(terminal.until("\r\n").trim(), "0");
    let history = std::fs::read_to_string(scene.path("data/onramp/history")).expect("it is kept");
    assert!(history.contains("DROP TABLE events"), "{history}");
}
