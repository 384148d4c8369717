//! A bar while something takes its time, on a terminal only.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one command.
pub struct Progress {
    watched: bool,
    bar: Mutex<ProgressBar>,
}

impl Progress {
    /// A bar on stderr if that is a terminal and `quiet` is not asked for.
    pub fn new(quiet: bool) -> Self {
        let watched = !quiet && std::io::stderr().is_terminal();
        Self { watched, bar: Mutex::new(ProgressBar::hidden()) }
    }

    /// Work of `length` steps begins.
    pub fn steps(&self, length: u64, message: &str) {
        let template = "{msg} {bar:30} {human_pos}/{human_len} {eta}";
        self.show(ProgressBar::new(length), template, message);
    }

    fn show(&self, bar: ProgressBar, template: &str, message: &str) {
        bar.set_draw_target(if self.watched {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(message.to_owned());
        if self.watched {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let before = std::mem::replace(&mut *self.lock(), bar);
        before.finish_and_clear();
    }

    /// The work stands here.
    pub fn at(&self, position: u64) {
        self.lock().set_position(position);
    }

    /// The work stands at `position` of `length`, which may be known better by now.
    pub fn of(&self, position: u64, length: u64) {
        let bar = self.lock();
        bar.set_length(length);
        bar.set_position(position);
    }

    /// The work is done; nothing remains on the screen.
    pub fn done(&self) {
        self.lock().finish_and_clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ProgressBar> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl onramp_ingest::import::Progress for Progress {
    fn begin(&self, path: &Path, bytes: u64) {
        let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let message = format!("importing {}", path.display());
        self.show(ProgressBar::new(bytes), template, &message);
    }

    fn advance(&self, bytes: u64) {
        self.at(bytes);
    }

    fn end(&self) {
        self.done();
    }
}
