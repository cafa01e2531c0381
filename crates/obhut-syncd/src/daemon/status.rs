//! How everything stands, as one JSON object.

use obhut_sync::io::{Doubt, Failure};
use obhut_sync::status::{Counts, FolderStatus, Lack};
use serde_json::{Value, json};

use super::Loop;

/// Troubles of one folder that are listed.
const LISTED: usize = 1_000;

/// The object.
pub(super) fn json(all: &mut Loop) -> String {
    let net = all.net.status();
    let folders: Vec<Value> = all
        .engine
        .status()
        .iter()
        .map(|status| folder(status, all))
        .collect();
    let devices: Vec<Value> = net
        .peers
        .iter()
        .map(|peer| {
            json!({
                "id": peer.device.to_string(),
                "name": all.names.get(&peer.device),
                "connected": peer.connected.is_some(),
                "address": peer.connected,
                "error": peer.error,
                "client": all.clients.get(&peer.device),
            })
        })
        .collect();
    json!({
        "id": all.own.to_string(),
        "folders": folders,
        "devices": devices,
    })
    .to_string()
}

fn folder(status: &FolderStatus, all: &Loop) -> Value {
    let troubles: Vec<Value> = status
        .troubles
        .iter()
        .take(LISTED)
        .map(|(name, why)| json!({"name": name, "why": words(why)}))
        .collect();
    let members: Vec<Value> = status
        .members
        .iter()
        .map(|member| {
            json!({
                "device": member.device.to_string(),
                "completion": lack(member.lack),
                "shares": member.shares,
                "writes": member.writes,
            })
        })
        .collect();
    json!({
        "id": status.id,
        "label": status.label,
        "path": all.folders.path(&status.id).map(|path| path.to_string_lossy()),
        "state": status.state,
        "doubt": status.doubt.as_ref().map(doubt),
        "local": counts(&status.local),
        "global": counts(&status.global),
        "need": lack(status.need),
        "troubles": troubles,
        "unnamed": status.unnamed,
        "members": members,
    })
}

fn counts(counts: &Counts) -> Value {
    json!({
        "files": counts.files,
        "directories": counts.directories,
        "links": counts.links,
        "bytes": counts.bytes,
        "deleted": counts.deleted,
    })
}

fn lack(lack: Lack) -> Value {
    json!({"items": lack.items, "bytes": lack.bytes})
}

/// A doubt: a word for programs, and what the system said.
pub(super) fn doubt(doubt: &Doubt) -> Value {
    let (kind, text) = match doubt {
        Doubt::MarkerMissing => ("marker-missing", ""),
        Doubt::RootMissing => ("root-missing", ""),
        Doubt::OtherFileSystem => ("other-file-system", ""),
        Doubt::Emptied => ("emptied", ""),
        Doubt::Ignores(text) => ("ignores", text.as_str()),
        Doubt::Other(text) => ("other", text.as_str()),
    };
    json!({"kind": kind, "text": text})
}

/// A failure, in words.
pub(super) fn words(failure: &Failure) -> String {
    match failure {
        Failure::Gone => "nobody who is connected has it, or its directory is not there".to_owned(),
        Failure::Denied => "permission denied".to_owned(),
        Failure::Full => "no room on the disk".to_owned(),
        Failure::Unsteady => "it changes while it is read".to_owned(),
        Failure::WrongHash => "its bytes are others than they should be".to_owned(),
        Failure::Other(text) => text.clone(),
    }
}
