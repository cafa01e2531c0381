//! From a TCP connection to a device that has greeted (formats: bep 1, 3, 6), and what becomes of it.

use std::net::SocketAddr;
use std::sync::Arc;

use obhut_bep::{Compression, DeviceId, Hello, LARGEST_HELLO, Message, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::NetEvent;
use super::connection::{self, LINGER, Line};
use super::shared::{Admission, Shared};
use super::tls;

/// A stream of TLS, whoever dialled.
pub(super) type Stream = TlsStream<TcpStream>;

/// A device that has greeted and was greeted.
struct Greeted {
    stream: Stream,
    device: DeviceId,
    hello: Hello,
    /// What came after its greeting.
    rest: Vec<u8>,
}

/// Greets whoever is there; the connection that came of it, or why none did. `wanted` is who was dialled.
pub(super) async fn meet(
    shared: &Arc<Shared>,
    socket: TcpStream,
    address: SocketAddr,
    wanted: Option<DeviceId>,
) -> Result<Arc<Line>, String> {
    let greeted = greet(shared, socket, wanted).await?;
    let Greeted {
        stream,
        device,
        hello,
        rest,
    } = greeted;
    let address = format!("tcp://{address}");
    match shared.admit(device, &address, wanted.is_some(), &hello) {
        Admission::Up(session) => {
            let line = session.line.clone();
            shared.spawn(connection::run(
                shared.clone(),
                stream,
                session,
                hello,
                rest,
            ));
            Ok(line)
        }
        Admission::Stranger => {
            let name = hello.device_name;
            // Lost, if the engine has enough to do: strangers do not make it wait.
            let _ = shared.events.try_send(NetEvent::Stranger {
                device,
                name,
                address,
            });
            Err(refuse(stream, "this device is not known here").await)
        }
        Admission::Refused(reason) => Err(refuse(stream, reason).await),
    }
}

/// TLS, who it is, both greetings.
async fn greet(
    shared: &Shared,
    socket: TcpStream,
    wanted: Option<DeviceId>,
) -> Result<Greeted, String> {
    let limits = &shared.settings.limits;
    // Messages are put together before they are written; none waits for another. That it stays slow is no reason to fail.
    let _ = socket.set_nodelay(true);
    let mut stream = timeout(limits.tls, secure(shared, socket, wanted.is_some()))
        .await
        .map_err(|_| "TLS took too long".to_owned())?
        .map_err(|e| format!("TLS: {e}"))?;
    let device = tls::who(stream.get_ref().1.peer_certificates())?;
    if device == shared.own {
        return Err("it is this device itself".to_owned());
    }
    if wanted.is_some_and(|wanted| wanted != device) {
        return Err(format!("another device answers there: {device}"));
    }
    let ours = shared.hello(device).encode();
    let exchange = async {
        stream.write_all(&ours).await?;
        stream.flush().await?;
        hear(&mut stream).await
    };
    let (hello, rest) = timeout(limits.hello, exchange)
        .await
        .map_err(|_| "its greeting took too long".to_owned())?
        .map_err(|e| format!("its greeting: {e}"))?;
    Ok(Greeted {
        stream,
        device,
        hello,
        rest,
    })
}

/// The handshake of TLS, on the side that we are on.
async fn secure(shared: &Shared, socket: TcpStream, dialled: bool) -> std::io::Result<Stream> {
    if dialled {
        let connector = TlsConnector::from(shared.tls.client.clone());
        Ok(connector.connect(tls::no_name(), socket).await?.into())
    } else {
        let acceptor = TlsAcceptor::from(shared.tls.server.clone());
        Ok(acceptor.accept(socket).await?.into())
    }
}

/// The other side's greeting, and what came with it.
async fn hear(stream: &mut Stream) -> std::io::Result<(Hello, Vec<u8>)> {
    let mut came = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        came.extend_from_slice(&buffer[..count]);
        // Whole, or wrong, before it is longer than the longest one: so this ends.
        if let Some((hello, length)) = Hello::decode(&came).map_err(std::io::Error::other)? {
            return Ok((hello, came.split_off(length)));
        }
        debug_assert!(came.len() <= LARGEST_HELLO + 6);
    }
}

/// Says why it is not wanted, and ends; gives the reason back.
async fn refuse(mut stream: Stream, reason: &str) -> String {
    let words = encode_frame(&Message::Close(reason.to_owned()), Compression::Never);
    let _ = timeout(LINGER, async {
        stream.write_all(&words).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await? > 0 {}
        std::io::Result::Ok(())
    })
    .await;
    reason.to_owned()
}
