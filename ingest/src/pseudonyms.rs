//! Pseudonyms in place of people's names: a keyed hash, so that nobody without the key can tell who is who
//! or try names out.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::error::IngestError;

/// The shortest key, in bytes: as many as a hash has.
const MIN_KEY: usize = 32;

/// Makes pseudonyms. No formatter prints the key.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// Takes the bytes of a file as the key, white space at its end left out.
    ///
    /// # Errors
    /// A file that cannot be read, or that is shorter than 32 bytes.
    pub fn from_file(path: &Path) -> Result<Self, IngestError> {
        let refused = || IngestError::PseudonymKey { path: path.to_owned() };
        let bytes = std::fs::read(path)
            .map_err(|source| IngestError::Read { path: path.to_owned(), source })?;
        let key = bytes.trim_ascii_end();
        if key.len() < MIN_KEY {
            return Err(refused());
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| refused())
    }

    /// `p_` and 128 bits of HMAC-SHA256 (RFC 2104) of tenant and user in hexadecimal: a person of two
    /// tenants has two.
    pub fn of(&self, client_id: &str, user: &str) -> String {
        let mut mac = self.0.clone();
        // With its length before it a tenant's name cannot run into the user's.
        mac.update(&(client_id.len() as u64).to_be_bytes());
        mac.update(client_id.as_bytes());
        mac.update(user.as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let kept = u128::from_be_bytes(std::array::from_fn(|place| hash[place]));
        format!("p_{kept:032x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str) -> Result<Pseudonyms, IngestError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), key).unwrap();
        Pseudonyms::from_file(file.path())
    }

    #[test]
    fn a_pseudonym_depends_on_key_tenant_and_user() {
        let (one, other) = (of(&"k".repeat(32)).unwrap(), of(&"l".repeat(32)).unwrap());
        let name = one.of("acme", "ada");
        assert!(name.starts_with("p_") && name.len() == 34, "{name}");
        assert_eq!(name, of(&("k".repeat(32) + "\n")).unwrap().of("acme", "ada"));
        for different in [
            other.of("acme", "ada"),
            one.of("globex", "ada"),
            one.of("acme", "bob"),
            one.of("acmea", "da"),
        ] {
            assert_ne!(name, different);
        }
        assert!(!format!("{one:?}").contains('k'));
    }

    /// `printf '\0\0\0\0\0\0\0\4acmeada' | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk`
    #[test]
    fn it_is_what_openssl_says() {
        let found = of(&"k".repeat(32)).unwrap().of("acme", "ada");
        assert_eq!(found, "p_10bf2d760fa7bbec305f0344b220d002");
    }

    #[test]
    fn a_short_key_is_refused() {
        let error = of("too short").unwrap_err().to_string();
        assert!(error.contains("32 bytes") && !error.contains("too short"), "{error}");
    }
}
