//! `onramp forget`.

use onramp_compute::maintenance::{self, Person};

use super::{Context, Ending, pseudonyms};
use crate::output::{self, Sheet, count};

/// Remove a person's events, sessions and dead letters from every file
#[derive(clap::Args)]
#[command(
    after_help = "Theirs are the events that name them as userid, events without a userid in sessions \
that name nobody else, the sessions of both, and dead letters whose record names them. Other people's \
numbers stay; a report that counted the person says something else from now on.

The replaced files go with the next `onramp vacuum`, six hours from now at the earliest. What the apps \
send again, and what Kafka still keeps, is not forgotten: stop the one and let the other expire.

Examples:
  onramp forget --client-id acme --user u-4711 --dry-run
  onramp forget --client-id acme --user u-4711 && onramp vacuum"
)]
pub struct Forget {
    /// The client that the person belongs to
    #[arg(long, value_name = "CLIENT")]
    client_id: String,
    /// The person, as the `userid` that their apps send names them
    #[arg(long, value_name = "USER")]
    user: String,
    /// Say what would go, change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Forget {
    /// Forgets.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        if self.user.is_empty() {
            anyhow::bail!("--user is empty; name the person as the userid of their events does");
        }
        let (lake, engine) = (context.lake()?, context.engine()?);
        let pseudonym = pseudonyms(context.config())?.map(|it| it.of(&self.client_id, &self.user));
        let person = Person { client_id: self.client_id, user: self.user, pseudonym };
        if !self.dry_run {
            context
                .audit(&lake, "forget", format!("a person of {}", person.client_id), None)
                .await?;
        }
        let progress = context.progress();
        progress.steps(0, "writing files again");
        let told = |at: maintenance::Progress| progress.of(at.rows, at.rows_total);
        let forgotten = maintenance::forget(&lake, &engine, &person, self.dry_run, &told).await?;
        progress.done();
        let mut sheet = Sheet::new(["table", "rows", "files"]).right(1..3);
        for table in &forgotten {
            sheet.row([table.table.to_owned(), count(table.rows), count(table.files)]);
        }
        output::table(context.format, &sheet, &forgotten)?;
        let rows: u64 = forgotten.iter().map(|table| table.rows).sum();
        if rows == 0 {
            context
                .say("nothing names this person; check --client-id and --user for their spelling");
        } else if !self.dry_run {
            context.say("the files that held them go with `onramp vacuum`, six hours from now");
        }
        Ok(Ending::Done)
    }
}
