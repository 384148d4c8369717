//! `onramp completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Ending;
use crate::cli::Cli;
use crate::output;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  onramp completions bash > ~/.local/share/bash-completion/completions/onramp
  onramp completions zsh > ~/.zfunc/_onramp
  onramp completions fish > ~/.config/fish/completions/onramp.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub fn run(self) -> anyhow::Result<Ending> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "onramp", &mut script);
        output::write(&String::from_utf8_lossy(&script))?;
        Ok(Ending::Done)
    }
}
