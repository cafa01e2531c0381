//! How the net stands, for people.

use obhut_bep::DeviceId;

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
