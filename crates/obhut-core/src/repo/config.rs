//! The config file: version, id, chunker polynomial (formats: restic 2, 24).

use serde::Deserialize;

use crate::error::{Code, Error, Result};
use crate::id::Id;
use crate::polynomial::Polynomial;
use crate::world::Random;

/// A config is a few hundred bytes; anything over this is not one.
const MAX_SIZE: usize = 1 << 20;

/// What the config says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// 1 or 2.
    pub version: u32,
    /// 64 hex digits; names the local cache.
    pub id: String,
    /// The secret of the chunker.
    pub polynomial: Polynomial,
    /// rustic's flag: refuse to forget and prune.
    pub append_only: bool,
    /// rustic wrote this config (it has keys that only rustic knows): another writer may work without locks.
    pub rustic: bool,
}

#[derive(Deserialize)]
struct Json {
    version: u32,
    id: String,
    chunker_polynomial: String,
    #[serde(default)]
    append_only: Option<bool>,
    #[serde(default)]
    is_hot: Option<bool>,
    #[serde(default)]
    chunker: Option<String>,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Config {
    /// A config for a new repository; `polynomial` comes from another repository or is random.
    pub fn create(
        version: u32,
        polynomial: Option<Polynomial>,
        random: &dyn Random,
    ) -> Result<Self> {
        if !(1..=2).contains(&version) {
            let text = format!("repository version {version}: only 1 and 2 exist");
            return Err(Error::new(Code::InvalidArgument, "version", text));
        }
        let mut id = [0; 32];
        random.fill(&mut id)?;
        let polynomial = match polynomial {
            Some(given) => given,
            None => Polynomial::random(random)?,
        };
        Ok(Self {
            version,
            id: Id(id).hex(),
            polynomial,
            append_only: false,
            rustic: false,
        })
    }

    /// Parses and judges a config's plaintext.
    pub fn parse(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_SIZE || json.first() != Some(&b'{') {
            return Err(Error::damaged("config", "not a config"));
        }
        let json: Json =
            serde_json::from_slice(json).map_err(|e| Error::damaged("config", e.to_string()))?;
        let unsupported = |text: String| Error::new(Code::RepositoryUnsupported, "config", text);
        if !(1..=2).contains(&json.version) {
            return Err(unsupported(format!("repository version {}", json.version)));
        }
        if json.is_hot == Some(true) {
            return Err(unsupported(
                "the hot half of a hot/cold repository".to_owned(),
            ));
        }
        if json
            .chunker
            .as_deref()
            .is_some_and(|name| !name.eq_ignore_ascii_case("rabin"))
        {
            return Err(unsupported("a chunker other than Rabin".to_owned()));
        }
        if Id::parse(json.id.as_bytes()).is_none() {
            return Err(Error::damaged("config", "the id is not 64 hex digits"));
        }
        let polynomial = Polynomial::parse(&json.chunker_polynomial)
            .ok_or_else(|| Error::damaged("config", "the chunker polynomial is no hex number"))?;
        // Degree 53 is what the chunker's tables are for; a reducible polynomial cuts badly.
        if polynomial.0 >> 53 != 1 || !polynomial.is_irreducible() {
            return Err(Error::damaged("config", "the chunker polynomial is unfit"));
        }
        Ok(Self {
            version: json.version,
            id: json.id,
            polynomial,
            append_only: json.append_only == Some(true),
            rustic: json.append_only.is_some()
                || json.is_hot.is_some()
                || json.chunker.is_some()
                || !json.rest.is_empty(),
        })
    }

    /// The plaintext, in restic's key order.
    pub fn encode(&self) -> Vec<u8> {
        format!(
            "{{\"version\":{},\"id\":\"{}\",\"chunker_polynomial\":\"{:x}\"}}",
            self.version, self.id, self.polynomial.0
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// formats: restic 25.1
    const MINI: &str = r#"{"version":2,"id":"0000000000000000000000000000000000000000000000000000000000000001","chunker_polynomial":"3da3358b4dc173"}"#;

    #[test]
    fn the_mini_config_goes_both_ways() {
        let config = Config::parse(MINI.as_bytes()).unwrap();
        assert_eq!(
            (config.version, config.polynomial),
            (2, Polynomial(0x3d_a335_8b4d_c173))
        );
        assert!(!config.rustic && !config.append_only);
        assert_eq!(config.encode(), MINI.as_bytes());
    }

    #[test]
    fn rustic_keys_are_tolerated_and_honoured() {
        let json = MINI.replace('}', r#","append_only":true,"treepack_size":4096}"#);
        let config = Config::parse(json.as_bytes()).unwrap();
        assert!(config.append_only && config.rustic);
    }

    #[test]
    fn what_we_cannot_serve_is_refused() {
        for (from, to, code) in [
            (
                "\"version\":2",
                "\"version\":3",
                Code::RepositoryUnsupported,
            ),
            (
                "\"version\":2",
                "\"version\":0",
                Code::RepositoryUnsupported,
            ),
            (
                "73\"}",
                "73\",\"is_hot\":true}",
                Code::RepositoryUnsupported,
            ),
            (
                "73\"}",
                "73\",\"chunker\":\"fixed_size\"}",
                Code::RepositoryUnsupported,
            ),
            ("3da3358b4dc173", "3da3358b4dc172", Code::Damaged),
            ("3da3358b4dc173", "3", Code::Damaged),
            ("3da3358b4dc173", "zz", Code::Damaged),
            ("3da3358b4dc173", "+3da3358b4dc173", Code::Damaged),
            ("0001\"", "001\"", Code::Damaged),
            ("{", "[", Code::Damaged),
            ("}", "", Code::Damaged),
        ] {
            let json = MINI.replacen(from, to, 1);
            assert_eq!(
                Config::parse(json.as_bytes()).unwrap_err().code(),
                code,
                "{json}"
            );
        }
    }
}
