//! The section `access`.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::anyhow;
use onramp_queries::access::oidc::Settings;
use onramp_queries::access::{Options, Rates};
use serde::{Deserialize, Serialize};

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Callers must show who they are even where there is no token and no provider yet.
    pub required: bool,
    /// The identity provider whose JWTs are taken, as it names itself.
    pub oidc_issuer: Option<String>,
    /// Our name at the provider.
    pub audience: Option<String>,
    /// Where its keys are; none: where its discovery document says.
    pub jwks_url: Option<String>,
    /// The claim with the role or roles; dots step into objects.
    pub role_claim: String,
    /// The claim with the list of clients that a caller is confined to; dots step into objects.
    pub clients_claim: String,
    /// How far the provider's clock and ours may differ, in seconds.
    pub clock_skew_seconds: u32,
    /// Requests of a caller in a second, twice as many at once; 0: as many as they like.
    pub requests_per_second: u32,
    /// Failed logins of a peer's address in a minute; 0: as many as they like.
    pub failed_logins_per_minute: u32,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            required: false,
            oidc_issuer: None,
            audience: None,
            jwks_url: None,
            role_claim: "roles".to_owned(),
            clients_claim: "clients".to_owned(),
            clock_skew_seconds: 60,
            requests_per_second: 200,
            failed_logins_per_minute: 30,
        }
    }
}

impl Access {
    /// How callers are told apart.
    ///
    /// # Errors
    /// A provider without an audience: JWTs that it made for others would count.
    pub fn options(&self) -> anyhow::Result<Options> {
        let settings = |issuer: &String| {
            let audience = self.audience.clone().ok_or_else(|| {
                anyhow!("access.oidc_issuer needs access.audience, our name at the provider")
            })?;
            Ok::<_, anyhow::Error>(Settings {
                issuer: issuer.clone(),
                audience,
                jwks_url: self.jwks_url.clone(),
                role_claim: self.role_claim.clone(),
                clients_claim: self.clients_claim.clone(),
                clock_skew: Duration::from_secs(self.clock_skew_seconds.into()),
            })
        };
        let oidc = self.oidc_issuer.as_ref().map(settings).transpose()?;
        Ok(Options { required: self.required, oidc, rates: self.rates() })
    }

    fn rates(&self) -> Rates {
        Rates {
            requests_per_second: NonZeroU32::new(self.requests_per_second),
            failed_logins_per_minute: NonZeroU32::new(self.failed_logins_per_minute),
        }
    }
}
