//! `onramp config`.

use serde_json::Value;

use super::{Context, Ending};
use crate::config::settings;
use crate::output::{self, Sheet};

/// The effective configuration
#[derive(clap::Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print every setting, its value and where that came from; secrets are masked
    #[command(after_help = "Precedence: flag, environment (ONRAMP_LAKE, ONRAMP__INGEST__TOPIC), \
./onramp.toml, the user's config folder, default.

Examples:
  onramp config show
  ONRAMP__INGEST__TOPIC=trial onramp config show --format json")]
    Show,
}

impl ConfigCommand {
    /// Prints it.
    pub fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let Action::Show = self.action;
        let settings = settings(&context.loaded().figment);
        let mut sheet = Sheet::new(["setting", "value", "from"]);
        for setting in &settings {
            sheet.row([setting.key.clone(), shown(&setting.value), setting.source.clone()]);
        }
        output::table(context.format, &sheet, &settings)?;
        Ok(Ending::Done)
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
