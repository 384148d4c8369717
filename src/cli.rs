//! What the command line understands.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands::{
    Context, Ending, compact, completions, config, demo, doctor, forget, funnel, generate, import,
    ingest, query, rebuild, report, schema, serve, session, sql, token, up, vacuum,
};
use crate::config::Overrides;
use crate::output::Format;

/// Onboarding events into a lake, a funnel out of it.
#[derive(Parser)]
#[command(
    name = "onramp",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  onramp demo                              a generated world, through the pipeline, to a report
  onramp import events.ndjson && onramp report
  onramp up                                take events over HTTP, answer at /api/v1/docs
  onramp report --from 2026-03-01 --to 2026-04-01 --segment-by device
  onramp sql \"SELECT event_type, count(*) FROM events GROUP BY 1\"

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but something was rejected under --strict,
130 interrupted with the lake in a safe state."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The lake: a folder, file://… or s3://bucket/prefix [default: ./onramp-lake]
    #[arg(long, global = true, value_name = "URL")]
    pub lake: Option<String>,
    /// Configuration file, in place of ./onramp.toml and the user's own
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder with funnel files; may be given more than once
    #[arg(long, global = true, value_name = "DIR")]
    pub funnels: Vec<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// Say more on stderr; twice: even more
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// One command; each is described where it is done.
#[derive(Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Demo(demo::Demo),
    Up(up::Up),
    Serve(serve::Serve),
    Ingest(ingest::Ingest),
    Import(import::Import),
    Generate(generate::Generate),
    Report(report::Report),
    Session(session::Session),
    Sql(sql::Sql),
    Query(query::QueryCommand),
    Rebuild(rebuild::Rebuild),
    Compact(compact::Compact),
    Vacuum(vacuum::Vacuum),
    Forget(forget::Forget),
    Token(token::TokenCommand),
    Doctor(doctor::Doctor),
    Schema(schema::Schema),
    Funnel(funnel::Funnel),
    Config(config::ConfigCommand),
    Completions(completions::Completions),
}

impl Command {
    /// The settings that the command's own flags set.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        match self {
            Command::Up(up) => up.overrides(&mut overrides),
            Command::Serve(serve) => serve.overrides(&mut overrides),
            Command::Ingest(ingest) => ingest.overrides(&mut overrides),
            Command::Import(import) => import.overrides(&mut overrides),
            Command::Generate(generate) => generate.overrides(&mut overrides),
            _ => {}
        }
        overrides
    }

    /// Whether it runs until it is told to stop, and ends by itself then.
    pub fn is_service(&self) -> bool {
        matches!(self, Command::Up(_) | Command::Serve(_) | Command::Ingest(_))
    }

    /// Whether it asks at a terminal, where Ctrl-C ends what it does and not the program.
    pub fn is_prompt(&self) -> bool {
        matches!(self, Command::Sql(sql) if sql.is_prompt())
    }

    /// Does it.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        match self {
            Command::Demo(demo) => demo.run(context).await,
            Command::Up(up) => up.run(context).await,
            Command::Serve(serve) => serve.run(context).await,
            Command::Ingest(ingest) => ingest.run(context).await,
            Command::Import(import) => import.run(context).await,
            Command::Generate(generate) => generate.run(context).await,
            Command::Report(report) => report.run(context).await,
            Command::Session(session) => session.run(context).await,
            Command::Sql(sql) => sql.run(context).await,
            Command::Query(query) => query.run(context).await,
            Command::Rebuild(rebuild) => rebuild.run(context).await,
            Command::Compact(compact) => compact.run(context).await,
            Command::Vacuum(vacuum) => vacuum.run(context).await,
            Command::Forget(forget) => forget.run(context).await,
            Command::Token(token) => token.run(context).await,
            Command::Doctor(doctor) => doctor.run(context).await,
            Command::Schema(schema) => schema.run(context).await,
            Command::Funnel(funnel) => funnel.run(context).await,
            Command::Config(config) => config.run(context),
            Command::Completions(completions) => completions.run(),
        }
    }
}
