//! Whoever we dial: all addresses of a device in turn, again and again, until it is connected.

use std::net::SocketAddr;
use std::sync::Arc;

use obhut_bep::DeviceId;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::address::{Address, Family, resolve};
use super::connection::Line;
use super::peer;
use super::shared::{Shared, Wake};

/// Addresses of a device that are tried in one round.
const ADDRESSES: usize = 64;

/// Dials a device whenever it is not connected; ends by being aborted.
pub(super) async fn run(shared: Arc<Shared>, device: DeviceId, wake: Arc<Wake>) {
    let limits = shared.settings.limits;
    let mut wait = limits.first_wait;
    loop {
        let mut line = shared.line(device);
        if line.is_none() {
            line = round(&shared, device).await;
        }
        if let Some(line) = line {
            line.ended().await;
            if line.since.elapsed() >= limits.good {
                wait = limits.first_wait;
                continue;
            }
        }
        // Also after a connection that did not last: two that refuse each other must not do so without pause.
        let is_afresh = tokio::select! {
            () = sleep(wait) => false,
            is_afresh = woken(&shared, device, &wake) => is_afresh,
        };
        wait = if is_afresh {
            limits.first_wait
        } else {
            (wait * 2).min(limits.longest_wait)
        };
    }
}

/// Until it is to dial at once (true), or the device has dialled us.
async fn woken(shared: &Shared, device: DeviceId, wake: &Wake) -> bool {
    loop {
        if wake.is_afresh() {
            return true;
        }
        if shared.line(device).is_some() {
            return false;
        }
        wake.woken().await;
    }
}

/// Tries each address once, until one leads to a connection.
async fn round(shared: &Arc<Shared>, device: DeviceId) -> Option<Arc<Line>> {
    let mut tried = Vec::new();
    let mut found = None;
    for (text, address) in places(shared, device, &mut tried) {
        match reach(shared, device, address).await {
            Ok(line) => {
                found = Some(line);
                tried.push((text, "connected".to_owned()));
                break;
            }
            Err(why) => tried.push((text, why)),
        }
        // It may have dialled us meanwhile.
        found = shared.line(device);
        if found.is_some() {
            break;
        }
    }
    shared.tried(device, tried, found.is_none());
    found
}

/// Addresses that can be dialled; of the others `tried` says why not.
fn places(
    shared: &Shared,
    device: DeviceId,
    tried: &mut Vec<(String, String)>,
) -> Vec<(String, (Family, String, u16))> {
    let mut texts = Vec::new();
    for text in shared.addresses(device) {
        if text != "dynamic" {
            texts.push(text);
            continue;
        }
        let announced = shared.announced(device);
        if announced.is_empty() {
            let why = if shared.settings.discovery.is_some() {
                "it does not announce itself in this net"
            } else {
                "devices in this net are not looked for"
            };
            tried.push((text, why.to_owned()));
        }
        texts.extend(announced);
    }
    let mut found = Vec::new();
    for text in texts.into_iter().take(ADDRESSES) {
        match Address::parse(&text) {
            Ok(Address::Tcp { family, host, port }) => found.push((text, (family, host, port))),
            Ok(Address::Dynamic) => {}
            Err(why) => tried.push((text, why)),
        }
    }
    found
}

/// A connection to the device at that place, or why there is none.
async fn reach(
    shared: &Arc<Shared>,
    device: DeviceId,
    (family, host, port): (Family, String, u16),
) -> Result<Arc<Line>, String> {
    let limit = shared.settings.limits.connect;
    let places = timeout(limit, resolve(family, &host, port))
        .await
        .map_err(|_| format!("no address of {host} in time"))??;
    let mut why = String::new();
    for place in places {
        match connect(shared, place).await {
            Ok(socket) => match peer::meet(shared, socket, place, Some(device)).await {
                Ok(line) => return Ok(line),
                Err(other) => why = other,
            },
            Err(other) => why = other,
        }
    }
    Err(why)
}

async fn connect(shared: &Shared, place: SocketAddr) -> Result<TcpStream, String> {
    timeout(shared.settings.limits.connect, TcpStream::connect(place))
        .await
        .map_err(|_| "no answer".to_owned())?
        .map_err(|e| e.to_string())
}
