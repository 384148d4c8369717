//! `onramp token`.

use anyhow::anyhow;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use onramp_queries::access::Role;
use onramp_queries::access::tokens::{self, Listed, Request};
use serde_json::json;

use super::{Context, Ending};
use crate::output::{self, Format, Sheet};

/// Tokens: who may ask a server, and for what
#[derive(clap::Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a token and print it, this once
    #[command(
        after_help = "From the first token on every server of this lake wants one; those that \
run know it within seconds. Standard output holds the token alone.

Examples:
  onramp token create --name grafana --role viewer --expires 90d
  onramp token create --name acme-bi --role analyst --client-id acme"
    )]
    Create {
        /// What it is for; a service rather than a person
        #[arg(long)]
        name: String,
        /// What it may do: ingest, viewer, analyst or admin
        #[arg(long)]
        role: Role,
        /// See this client only; may be given more than once
        #[arg(long, value_name = "CLIENT")]
        client_id: Vec<String>,
        /// For how long it is valid, as 90d, 12h or 30m [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = span)]
        expires: Option<Duration>,
    },
    /// List the tokens, without their secrets
    List,
    /// Revoke a token; servers refuse it within seconds
    Revoke {
        /// Its id, the part between the underscores
        id: String,
        /// Why, for the audit
        #[arg(long)]
        reason: Option<String>,
    },
}

impl TokenCommand {
    /// Does it.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let lake = context.lake()?;
        let at = context.now()?;
        match self.action {
            Action::Create { name, role, client_id, expires } => {
                let clients = (!client_id.is_empty()).then(|| client_id.into_iter().collect());
                let target = format!("{name} ({role})");
                let request =
                    Request { name, role, clients, expires_at: expires.map(|span| at + span) };
                tokens::check(&request, at)?;
                context.audit(&lake, "token.create", target, None).await?;
                let (token, secret) = tokens::create(&lake, request, at).await?;
                if context.format == Format::Json {
                    output::document(&json!({
                        "id": token.id, "name": token.name, "role": token.role,
                        "clients": token.clients, "expires_at": token.expires_at,
                        "token": secret.reveal(),
                    }))?;
                } else {
                    context.say("this token is shown once; keep it where secrets are kept");
                    output::write(secret.reveal())?;
                }
            }
            Action::List => list(context, &tokens::list(&lake).await?, at)?,
            Action::Revoke { id, reason } => {
                context.audit(&lake, "token.revoke", &id, reason).await?;
                tokens::revoke(&lake, &id, at).await?;
                context.say("revoked; servers refuse it within seconds");
            }
        }
        Ok(Ending::Done)
    }
}

fn list(context: &Context, tokens: &[Listed], now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut sheet = Sheet::new(["id", "name", "role", "clients", "created", "expires", "state"]);
    let mut document = Vec::new();
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    for Listed { token, revoked } in tokens {
        let state = match (revoked, token.has_expired(now)) {
            (true, _) => "revoked",
            (false, true) => "expired",
            (false, false) => "valid",
        };
        let clients = token.clients.iter().flatten().map(String::as_str).collect::<Vec<_>>();
        sheet.row([
            token.id.clone(),
            token.name.clone(),
            token.role.to_string(),
            if token.clients.is_some() { clients.join(", ") } else { "all".to_owned() },
            instant(token.created_at),
            token.expires_at.map_or_else(|| "never".to_owned(), instant),
            state.to_owned(),
        ]);
        document.push(json!({
            "id": token.id, "name": token.name, "role": token.role, "clients": token.clients,
            "created_at": token.created_at, "expires_at": token.expires_at, "state": state,
        }));
    }
    Ok(output::table(context.format, &sheet, &document)?)
}

/// `90d`, `12h` or `30m`.
fn span(text: &str) -> Result<Duration, String> {
    let read = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number = number.parse::<u32>().ok()?.into();
        match unit {
            "d" => Duration::try_days(number),
            "h" => Duration::try_hours(number),
            "m" => Duration::try_minutes(number),
            _ => None,
        }
    };
    read()
        .filter(|span| *span < Duration::days(36_500))
        .ok_or_else(|| anyhow!("{text:?} is no time; write 90d, 12h or 30m").to_string())
}
