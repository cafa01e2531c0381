//! What policy hands over: one JSON object, whole, whenever it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use obhut_bep::{Compression, DeviceId};
use obhut_core::error::{Code, Error, Result};
use obhut_sync::config::{Config, Device, Direction, Folder, Member, Versions};
use obhut_sync::io::FolderId;
use obhut_sync::versions::Keep;
use serde::Deserialize;

use crate::net::PeerConfig;

/// The object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    /// Whose configuration it is; refused if it is another device's.
    #[serde(default)]
    id: Option<String>,
    name: String,
    /// Whether devices in the same net are looked for, and find us.
    #[serde(default = "yes")]
    discovery: bool,
    #[serde(default)]
    devices: Vec<GivenDevice>,
    #[serde(default)]
    folders: Vec<GivenFolder>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenDevice {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    compression: GivenCompression,
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GivenCompression {
    #[default]
    Metadata,
    Never,
    Always,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenFolder {
    id: String,
    #[serde(default)]
    label: String,
    path: PathBuf,
    #[serde(default)]
    direction: GivenDirection,
    #[serde(default)]
    members: Vec<GivenMember>,
    #[serde(default)]
    versions: GivenVersions,
    #[serde(default = "ten")]
    max_conflicts: Option<usize>,
    #[serde(default)]
    ignore_modes: bool,
    /// Milliseconds; 0 for never.
    #[serde(default = "an_hour")]
    rescan: u64,
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum GivenDirection {
    #[default]
    Both,
    SendOnly,
    ReceiveOnly,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenMember {
    device: String,
    #[serde(default = "yes")]
    writes: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenVersions {
    kind: GivenKind,
    #[serde(default)]
    count: usize,
    /// Seconds; 0 for any age.
    #[serde(default)]
    max_age: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GivenKind {
    None,
    Trash,
    Simple,
    Staggered,
}

impl Default for GivenVersions {
    fn default() -> Self {
        Self {
            kind: GivenKind::Staggered,
            count: 0,
            max_age: 365 * 24 * 3600,
        }
    }
}

#[allow(clippy::unnecessary_wraps)] // serde wants the field's type
fn ten() -> Option<usize> {
    Some(10)
}

fn an_hour() -> u64 {
    3_600_000
}

fn yes() -> bool {
    true
}

/// What each part of the driver needs of it.
#[derive(Debug)]
pub struct Parts {
    /// For the engine.
    pub engine: Config,
    /// For the net.
    pub peers: Vec<PeerConfig>,
    /// Where folders lie, and what is kept in them.
    pub paths: BTreeMap<FolderId, (PathBuf, Versions)>,
    /// Whether devices in the same net are looked for.
    pub discovery: bool,
}

/// Takes the object apart. What cannot be used is refused whole.
pub fn parse(json: &str, own: DeviceId) -> Result<Parts> {
    let given: Given = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
    if given.id.as_ref().is_some_and(|id| *id != own.to_string()) {
        return Err(invalid("it is of another device".to_owned()));
    }
    let mut parts = Parts {
        engine: Config {
            own,
            name: given.name,
            ..Config::default()
        },
        peers: Vec::new(),
        paths: BTreeMap::new(),
        discovery: given.discovery,
    };
    for device in given.devices {
        let compression = match device.compression {
            GivenCompression::Metadata => Compression::Metadata,
            GivenCompression::Never => Compression::Never,
            GivenCompression::Always => Compression::Always,
        };
        let id = parse_id(&device.id)?;
        parts.engine.devices.push(Device {
            id,
            name: device.name.clone(),
            compression,
            paused: device.paused,
        });
        parts.peers.push(PeerConfig {
            device: id,
            name: device.name,
            addresses: device.addresses,
            compression,
            paused: device.paused,
        });
    }
    for folder in given.folders {
        let id: FolderId = Arc::from(folder.id.as_str());
        let path = folder.path.clone();
        let folder = of_folder(folder, Arc::clone(&id))?;
        parts.paths.insert(id, (path, folder.versions));
        parts.engine.folders.push(folder);
    }
    Ok(parts)
}

fn of_folder(folder: GivenFolder, id: FolderId) -> Result<Folder> {
    let members = folder
        .members
        .iter()
        .map(|member| {
            Ok(Member {
                device: parse_id(&member.device)?,
                writes: member.writes,
            })
        })
        .collect::<Result<_>>()?;
    let direction = match folder.direction {
        GivenDirection::Both => Direction::Both,
        GivenDirection::SendOnly => Direction::SendOnly,
        GivenDirection::ReceiveOnly => Direction::ReceiveOnly,
    };
    Ok(Folder {
        id,
        label: folder.label,
        direction,
        members,
        versions: of_versions(&folder.versions),
        max_conflicts: folder.max_conflicts,
        ignore_modes: folder.ignore_modes,
        rescan: folder.rescan,
        paused: folder.paused,
    })
}

fn of_versions(given: &GivenVersions) -> Versions {
    let max_age = given.max_age;
    match given.kind {
        GivenKind::None => Versions::None,
        GivenKind::Trash => Versions::Trash { max_age },
        GivenKind::Simple => Versions::Tagged(Keep::Simple {
            count: given.count,
            max_age,
        }),
        GivenKind::Staggered => Versions::Tagged(Keep::Staggered { max_age }),
    }
}

/// What is kept, as it stands in the object.
pub fn parse_versions(json: &str) -> Result<Versions> {
    let given: GivenVersions = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
    Ok(of_versions(&given))
}

fn parse_id(text: &str) -> Result<DeviceId> {
    DeviceId::parse(text).map_err(|e| invalid(format!("{text}: {e}")))
}

fn invalid(why: String) -> Error {
    Error::new(Code::InvalidArgument, "configuration of sync", why)
}
