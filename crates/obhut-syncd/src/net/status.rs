//! How the net stands, for people.

use obhut_bep::DeviceId;

use super::shared::Shared;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Where it listens.
    pub listening: Vec<String>,
    /// Each device that is configured.
    pub peers: Vec<PeerStatus>,
    /// Devices that announce themselves in the local net, known or not, and where they say they are.
    pub announced: Vec<(DeviceId, Vec<String>)>,
    /// What local discovery could not do, in words.
    pub discovery: Vec<String>,
}

/// A device that is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerStatus {
    /// Who.
    pub device: DeviceId,
    /// Where it is connected.
    pub connected: Option<String>,
    /// Why it is not, in words: the end of the last connection, or what the last try came to.
    pub error: Option<String>,
    /// Each address of the last round, and what came of it.
    pub tried: Vec<(String, String)>,
}

impl Shared {
    pub fn status(&self) -> Status {
        let state = self.lock();
        let peers = state.peers.values().map(|peer| {
            let connected = peer.line.as_ref().map(|line| line.address.clone());
            PeerStatus {
                device: peer.config.device,
                error: peer.error.clone().filter(|_| connected.is_none()),
                connected,
                tried: peer.tried.clone(),
            }
        });
        let announced = state.announced.iter();
        let announced = announced.filter(|(_, heard)| heard.counts());
        Status {
            listening: state.listening.clone(),
            peers: peers.collect(),
            announced: announced
                .map(|(device, heard)| (*device, heard.addresses.clone()))
                .collect(),
            discovery: state.discovery.clone(),
        }
    }
}
