//! Whoever dials us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use obhut_core::error::{Error, Result};
use tokio::net::{TcpListener, TcpStream};

use super::address::{Address, Family, resolve};
use super::shared::Shared;
use super::{invalid, peer};

/// After the system could not give a connection: it has no room for one.
const REST: Duration = Duration::from_secs(1);

/// A place that is listened on.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on all of them, or on none.
pub(super) async fn bind(addresses: &[String]) -> Result<Vec<Listener>> {
    let mut found = Vec::new();
    for text in addresses {
        let (family, host, port) = match Address::parse(text).map_err(|why| invalid(text, why))? {
            Address::Dynamic => return Err(invalid(text, "nobody can listen there")),
            Address::Tcp { family, host, port } => (family, host, port),
        };
        let socket = if host.is_empty() {
            everywhere(family, port).await
        } else {
            let places = resolve(family, &host, port)
                .await
                .map_err(|why| invalid(text, why))?;
            TcpListener::bind(&places[..]).await
        }
        .map_err(|e| Error::io(text.as_str(), &e))?;
        let address = socket
            .local_addr()
            .map_err(|e| Error::io(text.as_str(), &e))?;
        found.push(Listener { socket, address });
    }
    Ok(found)
}

/// On all addresses of the host: both families, or IPv4 where there is no other.
async fn everywhere(family: Family, port: u16) -> std::io::Result<TcpListener> {
    let four = SocketAddr::from(([0, 0, 0, 0], port));
    let six = SocketAddr::from(([0_u16; 8], port));
    match family {
        Family::Four => TcpListener::bind(four).await,
        Family::Six => TcpListener::bind(six).await,
        Family::Any => TcpListener::bind(&[six, four][..]).await,
    }
}

/// Takes connections until the end, as many at once as may greet at once; the rest wait in the system.
pub(super) async fn run(shared: Arc<Shared>, listener: Listener) {
    loop {
        let Ok(permit) = shared.handshakes.clone().acquire_owned().await else {
            return;
        };
        let taken = tokio::select! {
            () = shared.stopped() => return,
            taken = listener.socket.accept() => taken,
        };
        let Ok((socket, address)) = taken else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let task = greet(shared.clone(), socket, address);
        shared.spawn(async move {
            task.await;
            drop(permit);
        });
    }
}

/// Nobody hears of those that do not get as far as a greeting: anybody can make as many of them as they like.
async fn greet(shared: Arc<Shared>, socket: TcpStream, address: SocketAddr) {
    tokio::select! {
        () = shared.stopped() => {}
        _ = peer::meet(&shared, socket, address, None) => {}
    }
}
