//! The content of a lock file (formats: restic 13).

use std::time::Duration;

use serde::Deserialize;

use super::STALE_SECONDS;
use crate::error::{Error, Result};
use crate::gojson;
use crate::gotime::GoTime;
use crate::id::Id;

/// What a lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LockInfo {
    /// When it was written (RFC 3339).
    pub time: String,
    /// Whether it excludes all others.
    pub exclusive: bool,
    /// By which host.
    pub hostname: String,
    /// By whom.
    pub username: String,
    /// By which process.
    pub pid: i64,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl LockInfo {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = b"{\"time\":".to_vec();
        gojson::write_string(self.time.as_bytes(), &mut out);
        out.extend_from_slice(
            format!(",\"exclusive\":{},\"hostname\":", self.exclusive).as_bytes(),
        );
        gojson::write_string(self.hostname.as_bytes(), &mut out);
        out.extend_from_slice(b",\"username\":");
        gojson::write_string(self.username.as_bytes(), &mut out);
        out.extend_from_slice(format!(",\"pid\":{}", self.pid).as_bytes());
        for (name, number) in [("uid", self.uid), ("gid", self.gid)] {
            if number != 0 {
                out.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
            }
        }
        out.push(b'}');
        out
    }

    pub(super) fn parse(object: &str, json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|e| Error::damaged(object, e.to_string()))
    }

    /// Whether it can be removed without asking: older than 30 minutes, or of a dead process on this host.
    /// `is_alive` answers for a process of this host.
    pub fn is_stale(&self, now: i64, hostname: &str, is_alive: &dyn Fn(i64) -> bool) -> bool {
        let Some(written) = GoTime::parse(&self.time) else {
            return false;
        };
        let old = now.saturating_sub(written.at.secs) > STALE_SECONDS;
        old || (self.hostname == hostname && !is_alive(self.pid))
    }

    /// A line for whoever waits for this lock to go: who holds it, since when, and whether it was left behind.
    /// `left` seconds are waited at most.
    pub(super) fn waiting_line(&self, id: Id, stale: bool, left: Duration) -> Vec<u8> {
        let line = serde_json::json!({
            "lock": id.hex(), "exclusive": self.exclusive, "hostname": self.hostname,
            "username": self.username, "pid": self.pid, "time": self.time, "stale": stale,
            "seconds": left.as_secs_f64(),
        });
        format!("{line}\n").into_bytes()
    }

    pub(super) fn describe(&self) -> String {
        let kind = if self.exclusive {
            "exclusive lock"
        } else {
            "lock"
        };
        let (user, host) = (
            gojson::display(self.username.as_bytes()),
            gojson::display(self.hostname.as_bytes()),
        );
        let time = gojson::display(self.time.as_bytes());
        format!(
            "{kind} of process {} by {user} on {host} since {time}",
            self.pid
        )
    }
}
