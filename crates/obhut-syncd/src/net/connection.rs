//! A connection after the greetings: bytes to messages, messages to bytes, and one end (formats: bep 4, 6, 17).

use std::sync::Arc;
use std::time::Duration;

use obhut_bep::{DeviceId, Frames, Hello, Message, encode_frame};
use obhut_sync::io::Connection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::NetEvent;
use super::budget::Budget;
use super::peer::Stream;
use super::shared::Shared;

/// How long the other side may take to end, too. Who closes with bytes unread resets the connection, and the last words with
/// it.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Bytes from which on no more messages are put into one write.
const BATCH: usize = 256 << 10;
const READ: usize = 64 << 10;

/// A connection, as the rest of the net knows it.
#[derive(Debug)]
pub(super) struct Line {
    pub connection: Connection,
    pub device: DeviceId,
    pub address: String,
    /// Whether we dialled.
    pub dialled: bool,
    pub since: Instant,
    queue: mpsc::UnboundedSender<Out>,
    closing: watch::Sender<Option<Closing>>,
    ended: watch::Sender<bool>,
}

/// What is to be written.
#[derive(Debug)]
enum Out {
    Message(Message),
    Close(String),
}

#[derive(Debug, Clone)]
struct Closing {
    reason: String,
    limit: Duration,
}

/// What a connection's task has of it.
pub(super) struct Session {
    pub line: Arc<Line>,
    queue: mpsc::UnboundedReceiver<Out>,
    closing: watch::Receiver<Option<Closing>>,
    /// The connection that this one takes the place of.
    pub before: Option<Arc<Line>>,
}

impl Session {
    pub fn new(connection: Connection, device: DeviceId, address: &str, dialled: bool) -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let (closes, closing) = watch::channel(None);
        let line = Arc::new(Line {
            connection,
            device,
            address: address.to_owned(),
            dialled,
            since: Instant::now(),
            queue: sender,
            closing: closes,
            ended: watch::channel(false).0,
        });
        Self {
            line,
            queue,
            closing,
            before: None,
        }
    }
}

impl Line {
    pub fn send(&self, message: Message) {
        // Whoever sends may not know yet that it has ended.
        let _ = self.queue.send(Out::Message(message));
    }

    /// Ends it, within a time. The first reason counts.
    pub fn close(&self, reason: &str, limit: Duration) {
        let is_first = self.closing.send_if_modified(|closing| {
            let is_first = closing.is_none();
            if is_first {
                *closing = Some(Closing {
                    reason: reason.to_owned(),
                    limit,
                });
            }
            is_first
        });
        if is_first {
            let _ = self.queue.send(Out::Close(reason.to_owned()));
        }
    }

    /// Until its `Down` was said.
    pub async fn ended(&self) {
        // Fails only without a sender, which is here.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// How the reading ended.
enum End {
    /// The other side is gone, or has said why it goes.
    Gone(String),
    /// It broke a rule; it is told.
    Broken(String),
}

/// Carries a connection from its `Up` to its `Down`.
pub(super) async fn run(
    shared: Arc<Shared>,
    stream: Stream,
    session: Session,
    hello: Hello,
    rest: Vec<u8>,
) {
    let line = session.line.clone();
    if let Some(before) = &session.before {
        before.ended().await;
    }
    // One that was closed while it waited was never there.
    let is_up = session.closing.borrow().is_none();
    if is_up {
        let up = NetEvent::Up {
            connection: line.connection,
            device: line.device,
            hello,
            address: line.address.clone(),
        };
        let _ = shared.events.send(up).await;
    }
    // A task of its own: should it panic, that is an end like others.
    let talk = talk(shared.clone(), stream, session, rest);
    let reason = match tokio::spawn(talk).await {
        Ok(reason) => reason,
        Err(defect) => format!("a defect of this program: {defect}"),
    };
    shared.forget(&line, &reason);
    if is_up {
        let connection = line.connection;
        let _ = shared
            .events
            .send(NetEvent::Down { connection, reason })
            .await;
    }
    line.ended.send_replace(true);
    shared.wake(line.device);
}

/// Reads and writes until either ends or somebody asks for the end; says why.
async fn talk(shared: Arc<Shared>, stream: Stream, session: Session, rest: Vec<u8>) -> String {
    let Session {
        line,
        queue,
        mut closing,
        ..
    } = session;
    let (mut input, mut output) = tokio::io::split(stream);
    let reason = {
        let write = write(&shared, &line, &mut output, queue);
        tokio::pin!(write);
        let asked = closing.wait_for(Option::is_some);
        let end = tokio::select! {
            end = read(&shared, &line, &mut input, rest) => end,
            reason = &mut write => End::Gone(reason),
            _ = asked => End::Broken(String::new()),
        };
        match end {
            End::Gone(reason) => reason,
            End::Broken(reason) => {
                line.close(&reason, shared.settings.limits.close);
                let closing = closing.borrow().clone();
                let limit = closing.as_ref().map_or(LINGER, |one| one.limit);
                let _ = timeout(limit, write).await;
                closing.map_or(reason, |one| one.reason)
            }
        }
    };
    let _ = timeout(LINGER, async {
        let _ = output.shutdown().await;
        let mut buffer = vec![0; READ];
        while input.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    reason
}

/// Takes messages in until there are no more.
async fn read(
    shared: &Shared,
    line: &Line,
    input: &mut (impl AsyncRead + Unpin),
    rest: Vec<u8>,
) -> End {
    let limits = &shared.settings.limits;
    let budget = Budget::new(shared.settings.backlog);
    let mut frames = Frames::new(shared.settings.frame_limit);
    frames.feed(&rest);
    let mut buffer = vec![0; READ];
    loop {
        loop {
            let message = match frames.next() {
                Ok(Some(Message::Close(reason))) => {
                    return End::Gone(format!("it closed the connection: {reason}"));
                }
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => return End::Broken(format!("protocol: {error}")),
            };
            let event = NetEvent::Received {
                connection: line.connection,
                held: budget.take(&message).await,
                message,
            };
            if shared.events.send(event).await.is_err() {
                return End::Broken("this program ends".to_owned());
            }
        }
        // Only while we listen: whoever is not heard because we do not read is not silent.
        match timeout(limits.silence, input.read(&mut buffer)).await {
            Ok(Ok(0)) => return End::Gone("it ended the connection".to_owned()),
            Ok(Ok(count)) => frames.feed(&buffer[..count]),
            Ok(Err(error)) => return End::Gone(format!("the connection broke: {error}")),
            Err(_) => {
                let seconds = limits.silence.as_secs();
                return End::Broken(format!("nothing was heard for {seconds} s"));
            }
        }
    }
}

/// Writes what is sent, several messages at once; ends with the last words or an error.
async fn write(
    shared: &Shared,
    line: &Line,
    output: &mut (impl AsyncWrite + Unpin),
    mut queue: mpsc::UnboundedReceiver<Out>,
) -> String {
    let mut last = Instant::now();
    let (mut bytes, mut messages) = (0, 0);
    loop {
        let first = tokio::select! {
            permit = shared.events.reserve(), if messages > 0 => {
                if let Ok(permit) = permit {
                    let connection = line.connection;
                    permit.send(NetEvent::Drained { connection, bytes, messages });
                }
                (bytes, messages) = (0, 0);
                continue;
            }
            out = queue.recv() => out,
            () = sleep_until(last + shared.settings.limits.ping) => None,
        };
        let batch = Batch::of(first, &mut queue, shared, line);
        let written = async {
            output.write_all(&batch.bytes).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            return format!("the connection broke: {error}");
        }
        if let Some(reason) = batch.end {
            return reason;
        }
        last = Instant::now();
        if batch.messages > 0 {
            bytes += batch.bytes.len() as u64;
            messages += batch.messages;
        }
    }
}

/// What goes in one write.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    messages: u64,
    /// Why it is the last one.
    end: Option<String>,
}

impl Batch {
    /// What came first, and what else waits; without any of it, a ping.
    fn of(
        first: Option<Out>,
        queue: &mut mpsc::UnboundedReceiver<Out>,
        shared: &Shared,
        line: &Line,
    ) -> Self {
        let compression = shared.compression(line.device);
        let mut batch = Self::default();
        let mut next = first;
        if next.is_none() {
            batch.bytes = encode_frame(&Message::Ping, compression);
        }
        while let Some(out) = next {
            let (message, end) = match out {
                Out::Message(message) => (message, None),
                Out::Close(reason) => (Message::Close(reason.clone()), Some(reason)),
            };
            let frame = encode_frame(&message, compression);
            if batch.bytes.is_empty() {
                batch.bytes = frame;
            } else {
                batch.bytes.extend_from_slice(&frame);
            }
            batch.messages += 1;
            if end.is_some() {
                batch.end = end;
                break;
            }
            next = (batch.bytes.len() < BATCH)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        batch
    }
}
