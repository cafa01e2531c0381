//! Devices in the same net: each says now and then who it is and where (formats: bep 22).
//!
//! What is heard is believed only as far as dialling goes: who really is there, its certificate says. A device that is not
//! configured is listed and otherwise left alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use obhut_bep::{Announce, DeviceId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::address::{Address, Family};
use super::interfaces::{GROUP, broadcasts, groups};
use super::shared::Shared;

/// Where all listen.
const PORT: u16 = 21027;
/// No packet that says something is larger.
const PACKET: usize = 8 << 10;
/// Devices that are remembered; anybody in the net can make up as many as they like.
const DEVICES: usize = 256;
/// Addresses of one of them.
const ADDRESSES: usize = 16;
/// Between two answers to devices that have just come.
const ANSWER: Duration = Duration::from_secs(1);
/// Between two starts of a device that are believed.
const RESTART: Duration = Duration::from_secs(5);

/// How devices in the same net are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Where to listen for them.
    pub listen: Vec<SocketAddr>,
    /// Whom to tell; without any: everybody in each net of this host.
    pub targets: Vec<SocketAddr>,
    /// Between two announcements.
    pub every: Duration,
    /// How long what is heard counts.
    pub lasts: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        let places: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        Self {
            listen: places.iter().map(|ip| (*ip, PORT).into()).collect(),
            targets: Vec::new(),
            every: Duration::from_secs(30),
            lasts: Duration::from_secs(90),
        }
    }
}

/// What a device said.
pub(super) struct Heard {
    pub addresses: Vec<String>,
    until: Instant,
    instance: i64,
    /// When it came, or started anew.
    started: Instant,
}

impl Heard {
    pub fn counts(&self) -> bool {
        Instant::now() < self.until
    }
}

impl Shared {
    /// Where a device says that it is.
    pub fn announced(&self, device: DeviceId) -> Vec<String> {
        let state = self.lock();
        let heard = state.announced.get(&device).filter(|one| one.counts());
        heard.map_or_else(Vec::new, |one| one.addresses.clone())
    }

    /// Takes what a device said; whether it is one that was not there before.
    fn heard(&self, announce: &Announce, from: SocketAddr, lasts: Duration) -> bool {
        let addresses = announce.addresses.iter().take(ADDRESSES);
        let now = Instant::now();
        let mut heard = Heard {
            addresses: addresses.filter_map(|text| place(text, from)).collect(),
            until: now + lasts,
            instance: announce.instance,
            started: now,
        };
        let mut state = self.lock();
        state.announced.retain(|_, one| one.counts());
        let is_new = match state.announced.get(&announce.id) {
            Some(before) => {
                let is_old = before.instance == heard.instance;
                let is_new = !is_old && now >= before.started + RESTART;
                if !is_new {
                    heard.started = before.started;
                }
                is_new
            }
            None if state.announced.len() >= DEVICES => return false,
            None => true,
        };
        state.announced.insert(announce.id, heard);
        is_new
    }
}

/// Starts to listen and to announce. What cannot be done is said in the status: the net is of use without it.
pub(super) fn start(shared: &Arc<Shared>, how: Discovery) {
    let mut chance = [0; 8];
    if let Err(error) = shared.settings.random.fill(&mut chance) {
        shared.lock().discovery.push(error.to_string());
        return;
    }
    let answer = Arc::new(Notify::new());
    let how = Arc::new(how);
    for place in &how.listen {
        match open(*place, how.targets.is_empty()) {
            Ok(socket) => {
                let task = listen(shared.clone(), socket, how.clone(), answer.clone());
                shared.spawn(task);
            }
            Err(error) => {
                let said = format!("nobody is heard at {place}: {error}");
                shared.lock().discovery.push(said);
            }
        }
    }
    let instance = i64::from_be_bytes(chance);
    shared.spawn(announce(shared.clone(), how, instance, answer));
}

/// A socket that other programs of this host may share.
fn open(place: SocketAddr, everywhere: bool) -> std::io::Result<UdpSocket> {
    let family = match place {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if place.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &place)?;
    let socket = UdpSocket::from_std(socket.into())?;
    if place.is_ipv6() && everywhere {
        for group in groups(PORT) {
            // An interface may be gone by now, or know no groups.
            let _ = socket.join_multicast_v6(&GROUP, group.scope_id());
        }
    }
    Ok(socket)
}

/// Hears announcements until the end.
async fn listen(shared: Arc<Shared>, socket: UdpSocket, how: Arc<Discovery>, answer: Arc<Notify>) {
    let mut packet = vec![0; PACKET];
    loop {
        let taken = tokio::select! {
            () = shared.stopped() => return,
            taken = socket.recv_from(&mut packet) => taken,
        };
        let Ok((count, from)) = taken else {
            sleep(ANSWER).await;
            continue;
        };
        let Ok(announce) = Announce::decode(&packet[..count]) else {
            continue;
        };
        let device = announce.id;
        if device == shared.own {
            continue;
        }
        if shared.heard(&announce, from, how.lasts) {
            answer.notify_one();
            // Once for each start, not for each packet: packets cost nothing.
            if shared.is_known(device) {
                shared.wake_afresh(device);
            }
        }
    }
}

/// Says who and where we are until the end.
async fn announce(shared: Arc<Shared>, how: Arc<Discovery>, instance: i64, answer: Arc<Notify>) {
    let (four, six) = (
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok(),
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok(),
    );
    if let Some(four) = &four {
        // Without it, those in the targets that are no broadcast are still told.
        let _ = four.set_broadcast(true);
    }
    loop {
        let packet = Announce {
            id: shared.own,
            addresses: offered(&shared.listening(), !how.targets.is_empty()),
            instance,
        }
        .encode();
        for target in targets(&how) {
            let socket = if target.is_ipv4() { &four } else { &six };
            if let Some(socket) = socket {
                // A net may be down; the next round tells.
                let _ = socket.send_to(&packet, target).await;
            }
        }
        tokio::select! {
            () = shared.stopped() => return,
            () = sleep(ANSWER) => {}
        }
        tokio::select! {
            () = shared.stopped() => return,
            _ = timeout(how.every, answer.notified()) => {}
        }
    }
}

fn targets(how: &Discovery) -> Vec<SocketAddr> {
    if !how.targets.is_empty() {
        return how.targets.clone();
    }
    let mut found = broadcasts(PORT);
    found.extend(groups(PORT).into_iter().map(SocketAddr::V6));
    found
}

/// What we listen on, but for addresses that mean something to this host only, unless announcements stay in it.
fn offered(listening: &[String], stay: bool) -> Vec<String> {
    let mut found = listening.to_vec();
    found.retain(|text| match Address::parse(text) {
        Ok(Address::Tcp { host, .. }) => {
            let ip: Option<IpAddr> = host.parse().ok();
            stay || !ip.is_some_and(|ip| ip.is_loopback())
        }
        _ => false,
    });
    found
}

/// An address that can be dialled: one without a host, or with none in particular, is where the packet came from.
fn place(text: &str, from: SocketAddr) -> Option<String> {
    let Ok(Address::Tcp { family, host, port }) = Address::parse(text) else {
        return None;
    };
    let ip: Option<IpAddr> = host.parse().ok();
    if port == 0 || ip.is_some_and(|ip| ip.is_multicast()) {
        return None;
    }
    if !host.is_empty() && !ip.is_some_and(|ip| ip.is_unspecified()) {
        // Names would be asked for far away, on the word of anybody.
        return ip.map(|_| text.to_owned());
    }
    let fits = match family {
        Family::Any => true,
        Family::Four => from.is_ipv4(),
        Family::Six => from.is_ipv6(),
    };
    let host = match from {
        SocketAddr::V4(from) => from.ip().to_string(),
        SocketAddr::V6(from) if from.scope_id() != 0 => {
            format!("[{}%{}]", from.ip(), from.scope_id())
        }
        SocketAddr::V6(from) => format!("[{}]", from.ip()),
    };
    fits.then(|| format!("tcp://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_heard() {
        let four: SocketAddr = "10.0.0.7:21027".parse().unwrap();
        let six: SocketAddr = "[fe80::7%3]:21027".parse().unwrap();
        let cases = [
            ("tcp://0.0.0.0:5", four, Some("tcp://10.0.0.7:5")),
            ("tcp://:5", four, Some("tcp://10.0.0.7:5")),
            ("tcp://[::]:5", six, Some("tcp://[fe80::7%3]:5")),
            ("tcp6://:5", four, None),
            ("tcp://10.0.0.8:5", four, Some("tcp://10.0.0.8:5")),
            ("tcp://10.0.0.8:0", four, None),
            ("tcp://host:5", four, None),
            ("tcp://[ff12::8384]:5", four, None),
            ("quic://:5", four, None),
            ("dynamic", four, None),
        ];
        for (text, from, wanted) in cases {
            assert_eq!(place(text, from).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn loopback_stays_at_home() {
        let all = ["tcp://127.0.0.1:1", "tcp://[::]:2", "tcp://0.0.0.0:3"].map(str::to_owned);
        assert_eq!(offered(&all, true), all);
        assert_eq!(offered(&all, false), all[1..]);
    }
}
