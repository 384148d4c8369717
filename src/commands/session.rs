//! `onramp session`.

use chrono_tz::Tz;
use onramp_compute::metrics::Instant;
use onramp_compute::session_list::{Filter, ListRequest, ListedSession, Outcome, SessionList};
use onramp_compute::sessions::{self, Settings};
use onramp_compute::timeline::{State, Timeline, TimelineEvent, TimelineRequest};
use onramp_compute::{Moment, ReportRequest};
use onramp_schemas::funnel::Funnel;

use super::{Attribute, Context, Ending, selection};
use crate::instant;
use crate::output::{self, Format, Sheet};

/// The sessions behind a number, and what happened in one of them
#[derive(clap::Args)]
pub struct Session {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    List(List),
    Show(Show),
}

/// The sessions of a report, the last to start first
#[derive(clap::Args)]
#[command(after_help = "A STAGE is its number, from 1, or its name. Conditions are combined: a \
session is listed if it meets all of them.

Examples:
  onramp session list --outcome abandoned --limit 20
  onramp session list --dropped-at Engaged --attribute device=mobile --from 2026-03-01
  onramp session list --stage 3 --format csv > reached.csv")]
struct List {
    /// The funnel [default: onboarding]
    #[arg(long, value_name = "NAME")]
    funnel: Option<String>,
    /// Only sessions of this client
    #[arg(long, value_name = "CLIENT")]
    client_id: Option<String>,
    /// Only sessions that reached this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Only sessions that were lost at this stage
    #[arg(long, value_name = "STAGE")]
    dropped_at: Option<String>,
    /// Only sessions that ended like this
    #[arg(long, value_name = "OUTCOME", value_parser = ["completed", "abandoned", "in_flight"])]
    outcome: Option<String>,
    /// Only sessions with this value of an attribute; NAME alone: without it
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<Attribute>,
    /// Sessions that start at T or later [default: 30 days before the end]
    #[arg(long, value_name = "T")]
    from: Option<Moment>,
    /// Sessions that start before T [default: the as-of instant]
    #[arg(long, value_name = "T")]
    to: Option<Moment>,
    /// IANA time zone of dates [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Tz>,
    /// What was known at T [default: the newest event]
    #[arg(long, value_name = "T")]
    as_of: Option<Moment>,
    /// At most so many, up to 1000
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Leave out the first so many
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
}

/// One session's events in order, with what the funnel makes of it after each
#[derive(clap::Args)]
#[command(after_help = "Examples:
  onramp session show s-1001
  onramp session show s-1001 --client-id acme --format json")]
struct Show {
    /// The session
    #[arg(value_name = "ID")]
    session_id: String,
    /// Its client, where several have a session of that id
    #[arg(long, value_name = "CLIENT")]
    client_id: Option<String>,
    /// The funnel [default: onboarding]
    #[arg(long, value_name = "NAME")]
    funnel: Option<String>,
    /// What was known at T [default: the newest event]
    #[arg(long, value_name = "T")]
    as_of: Option<Moment>,
    /// At most so many events, up to 1000
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Leave out the first so many
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
}

impl Session {
    /// Lists or shows.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        match self.action {
            Action::List(list) => list.run(context).await,
            Action::Show(show) => show.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let lake = context.lake()?;
        let funnels = context.funnels(&lake).await?;
        let configured = &context.config().report;
        let funnel = funnels.get(self.funnel.as_deref().unwrap_or(&configured.funnel))?;
        let stage = |text: &Option<String>| {
            text.as_deref().map(|text| stage_number(funnel, text)).transpose()
        };
        let outcome = self.outcome.as_deref().map(|text| match text {
            "completed" => Outcome::Completed,
            "abandoned" => Outcome::Abandoned,
            _ => Outcome::InFlight,
        });
        let filter =
            Filter { stage: stage(&self.stage)?, outcome, dropped_at: stage(&self.dropped_at)? };
        let report = ReportRequest {
            as_of: self.as_of,
            from: self.from,
            to: self.to,
            timezone: context.timezone(self.timezone)?,
            client_id: self.client_id,
            selection: selection(self.attribute),
            ..ReportRequest::new(context.clock.now())
        };
        let request = ListRequest { report, filter, limit: self.limit, offset: self.offset };
        let engine = context.engine()?;
        let progress = context.progress();
        let told = |at: sessions::Progress| progress.of(at.events_read, at.events_total);
        let settings = Settings::default();
        let list = onramp_compute::session_list(&lake, funnel, &request, &engine, &settings, &told);
        let list = list.await?;
        progress.done();
        output::table(context.format, &list_sheet(&list), &list)?;
        let shown = list.offset + list.sessions.len();
        if context.format == Format::Table && (shown as u64) < list.total {
            context.say(&format!("{shown} of {}; --offset {shown} shows more", list.total));
        }
        Ok(Ending::Done)
    }
}

impl Show {
    async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let lake = context.lake()?;
        let funnels = context.funnels(&lake).await?;
        let configured = &context.config().report;
        let funnel = funnels.get(self.funnel.as_deref().unwrap_or(&configured.funnel))?;
        let request = TimelineRequest {
            session_id: self.session_id,
            client_id: self.client_id,
            clients: None,
            now: context.clock.now(),
            as_of: self.as_of,
            limit: self.limit,
            offset: self.offset,
        };
        let engine = context.engine()?;
        let progress = context.progress();
        let told = |at: sessions::Progress| progress.of(at.events_read, at.events_total);
        let settings = Settings::default();
        let timeline = onramp_compute::timeline(&lake, funnel, &request, &engine, &settings, &told);
        let timeline = timeline.await?;
        progress.done();
        if context.format == Format::Table {
            output::write(&headline(&timeline))?;
        }
        output::table(context.format, &events_sheet(&timeline, funnel), &timeline)?;
        Ok(Ending::Done)
    }
}

/// A stage by number or name.
fn stage_number(funnel: &Funnel, text: &str) -> anyhow::Result<usize> {
    funnel.stage_number(text).ok_or_else(|| {
        let names: Vec<_> = funnel.stages.iter().map(|stage| stage.name.as_str()).collect();
        anyhow::anyhow!(
            "the funnel {} has no stage {text:?}; its stages are {}",
            funnel.name,
            names.join(", ")
        )
    })
}

fn list_sheet(list: &SessionList) -> Sheet {
    let mut sheet = Sheet::new([
        "started_at",
        "client_id",
        "session_id",
        "outcome",
        "stage",
        "stage_name",
        "dwell_seconds",
        "reason",
        "errors",
        "attributes",
    ])
    .right([4, 6, 8]);
    for session in &list.sessions {
        sheet.row(list_cells(session));
    }
    sheet
}

fn list_cells(session: &ListedSession) -> [String; 10] {
    let given = |(name, value): (&String, &Option<String>)| {
        value.as_ref().map(|value| format!("{name}={value}"))
    };
    let attributes: Vec<String> = session.attributes.iter().filter_map(given).collect();
    [
        instant::format(session.started_at.0),
        session.client_id.clone(),
        session.session_id.clone(),
        outcome(session.outcome).to_owned(),
        session.stage.to_string(),
        session.stage_name.clone(),
        session.dwell_seconds.map_or_else(String::new, |seconds| seconds.to_string()),
        session.reason.clone().unwrap_or_default(),
        session.errors.to_string(),
        attributes.join(" "),
    ]
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Abandoned => "abandoned",
        Outcome::InFlight => "in_flight",
    }
}

fn headline(timeline: &Timeline) -> String {
    let Timeline { session_id, client_id, as_of, funnel, .. } = timeline;
    format!(
        "Session {session_id} of {client_id} in funnel {funnel}, as of {}: {}\n",
        instant::format(as_of.0),
        told(&timeline.state)
    )
}

/// `abandoned at 2 Engaged (idle: idle)`.
fn told(state: &State) -> String {
    let mut text = state.outcome.to_owned();
    if let Some(name) = &state.stage_name {
        text += &format!(" at {} {name}", state.stage);
    }
    if let (Some(how), Some(reason)) = (state.lost_how, &state.reason) {
        text += &format!(" ({how}: {reason})");
    }
    if state.excluded {
        text += ", excluded";
    }
    text
}

fn events_sheet(timeline: &Timeline, funnel: &Funnel) -> Sheet {
    let mut sheet = Sheet::new(["occurred_at", "event_type", "meets", "says", "after_it"]);
    for event in &timeline.events {
        let Instant(at) = event.occurred_at;
        let meets: Vec<&str> =
            event.meets.iter().map(|&stage| funnel.stages[stage - 1].name.as_str()).collect();
        let type_name = event.event_type.clone();
        let cells =
            [instant::format(at), type_name, meets.join(", "), says(event), told(&event.state)];
        sheet.row(cells);
    }
    sheet
}

fn says(event: &TimelineEvent) -> String {
    let word = |is: bool, what: &str, more: &Option<String>| {
        is.then(|| more.as_ref().map_or_else(|| what.to_owned(), |more| format!("{what}: {more}")))
    };
    let abandonment = word(event.abandonment, "abandonment", &event.reason);
    let error = word(event.error, "error", &event.code);
    abandonment.into_iter().chain(error).collect::<Vec<_>>().join(", ")
}
