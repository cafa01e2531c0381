//! What a prune may tolerate and touch (formats: restic 18).

use crate::error::{Code, Error, Result};

/// How much unused data may stay, so that not everything is rewritten for a few bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxUnused {
    /// Any amount: only packs without a used blob go.
    Unlimited,
    /// At most this many bytes.
    Bytes(u64),
    /// At most this share of the repository after the prune, in percent (0 to under 100).
    Percent(f64),
}

impl Default for MaxUnused {
    fn default() -> Self {
        Self::Percent(5.0)
    }
}

impl MaxUnused {
    /// Parses `unlimited`, `x%` or a number of bytes with an optional suffix `k m g t` (powers of 1024).
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = || Error::new(Code::InvalidArgument, "max-unused", format!("{text:?}"));
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        if let Some(number) = text.strip_suffix('%') {
            let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
            return if (0.0..100.0).contains(&percent) {
                Ok(Self::Percent(percent))
            } else {
                Err(wrong())
            };
        }
        parse_bytes(text).map(Self::Bytes).ok_or_else(wrong)
    }

    /// The bytes that may stay unused beside `used` bytes in use.
    pub fn limit(self, used: u64) -> u64 {
        match self {
            Self::Unlimited => u64::MAX,
            Self::Bytes(bytes) => bytes,
            // A share of the sum of used and unused: u / (used + u) = p / 100.
            Self::Percent(percent) => (percent / (100.0 - percent) * used as f64) as u64,
        }
    }
}

/// A number of bytes with an optional suffix `k m g t`; `None` if it is none or overflows.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The options of a prune.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneOptions {
    /// Tolerated unused data.
    pub max_unused: MaxUnused,
    /// Stop repacking after this many bytes; `u64::MAX` = no limit, 0 = repack nothing.
    pub max_repack_bytes: u64,
    /// Never repack packs of data blobs.
    pub repack_cacheable_only: bool,
    /// Also join packs below 80 % of the target size, whatever the other packs' sizes.
    pub repack_small: bool,
    /// Join packs below this size; 0 = judged by the sizes found.
    pub repack_smaller_than: u64,
    /// Repack packs that hold uncompressed data blobs (version 2).
    pub repack_uncompressed: bool,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: MaxUnused::default(),
            max_repack_bytes: u64::MAX,
            repack_cacheable_only: false,
            repack_small: false,
            repack_smaller_than: 0,
            repack_uncompressed: false,
        }
    }
}

impl PruneOptions {
    /// Refuses options that contradict the repository.
    pub fn validate(&self, version: u32, pack_size: u64) -> Result<()> {
        if version < 2 && self.repack_uncompressed {
            return Err(Error::new(
                Code::InvalidArgument,
                "repack-uncompressed",
                "a repository of version 1 knows no compression",
            ));
        }
        if self.repack_smaller_than > pack_size {
            return Err(Error::new(
                Code::InvalidArgument,
                "repack-smaller-than",
                format!(
                    "{} is more than the pack size of {pack_size}",
                    self.repack_smaller_than
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_unused_is_parsed() {
        assert_eq!(MaxUnused::parse("unlimited").unwrap(), MaxUnused::Unlimited);
        assert_eq!(MaxUnused::parse(" 5% ").unwrap(), MaxUnused::Percent(5.0));
        assert_eq!(MaxUnused::parse("0").unwrap(), MaxUnused::Bytes(0));
        assert_eq!(MaxUnused::parse("2K").unwrap(), MaxUnused::Bytes(2048));
        for wrong in ["", "x", "-1%", "100%", "NaN%", "1x", "5 %%", "k", "-5"] {
            let error = MaxUnused::parse(wrong).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wrong}");
        }
    }

    #[test]
    fn percent_is_a_share_of_the_remaining_repository() {
        assert_eq!(MaxUnused::Percent(50.0).limit(1000), 1000);
        assert_eq!(MaxUnused::Percent(0.0).limit(1000), 0);
        assert_eq!(MaxUnused::Percent(20.0).limit(1000), 250);
        assert_eq!(MaxUnused::Unlimited.limit(0), u64::MAX);
    }

    #[test]
    fn contradicting_options_are_refused() {
        let mut options = PruneOptions::default();
        assert!(options.validate(1, 16 << 20).is_ok());
        options.repack_uncompressed = true;
        assert!(options.validate(1, 16 << 20).is_err());
        assert!(options.validate(2, 16 << 20).is_ok());
        options.repack_smaller_than = 17 << 20;
        assert!(options.validate(2, 16 << 20).is_err());
    }
}
