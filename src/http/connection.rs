//! One connection, and how long its client may take.
//!
//! actix has deadlines for the head of the first request, for a connection that is idle, and for
//! closing. Two are missing: for the head of a further request, and for a client that does not take
//! its answer. Both stand here, below actix, at the socket: it alone sees single bytes come and go.
//! A connection whose client is too late ends as if the client had ended it.

use super::flight::Flight;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a kept-alive connection may stay idle.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The same where more than half of the connections allowed are open.
const KEEP_ALIVE_CROWDED: Duration = Duration::from_secs(5);
/// How long a request's head may take.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Within this time a client takes [`ANSWER_BYTES`] of its answer, or all that is left of it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_BYTES: usize = 32 << 10;
/// The same where other answers wait for room.
const ANSWER_DEADLINE_SHORT: Duration = Duration::from_secs(5);
/// Bytes that wait in the kernel before the network takes them. With more, a client that reads
/// slowly would look like one that does not read.
const UNSENT_BYTES: u32 = 128 << 10;
/// How often a connection looks around on which nothing moves.
const LOOK: Duration = Duration::from_secs(5);
/// What a client hears whose further head did not come: as actix says of a first one.
const LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The connections of one worker.
#[derive(Debug)]
pub struct Crowd {
    open: Cell<usize>,
    allowed: usize,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(allowed: usize) -> Rc<Self> {
        Rc::new(Self { open: Cell::new(0), allowed })
    }

    fn is_dense(&self) -> bool {
        self.open.get() > self.allowed / 2
    }
}

/// The requests of one connection, as far as its socket must know.
#[derive(Debug)]
pub struct Requests {
    begun: Cell<u64>,
    in_hand: Cell<u32>,
    /// When the newest answer was complete, or the connection was made.
    free_since: Cell<Instant>,
}

/// A request that is being answered: from its head to the last byte of its answer.
#[derive(Debug)]
pub struct InHand(Rc<Requests>);

impl InHand {
    /// Begins a request.
    pub fn new(requests: &Rc<Requests>) -> Self {
        requests.begun.set(requests.begun.get() + 1);
        requests.in_hand.set(requests.in_hand.get() + 1);
        Self(Rc::clone(requests))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.in_hand.set(self.0.in_hand.get() - 1);
        self.0.free_since.set(Instant::now());
    }
}

/// A connection.
pub struct Connection {
    socket: TcpStream,
    crowd: Rc<Crowd>,
    requests: Rc<Requests>,
    /// When the head that is coming began, and how many requests there were before it.
    head: Option<(u64, Instant)>,
    /// Since when [`ANSWER_BYTES`] have not been taken, while the client does not take what there is.
    answer: Option<Instant>,
    flight: Flight,
    taken: usize,
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    /// Takes a socket over.
    pub fn new(socket: TcpStream, crowd: Rc<Crowd>, flight: Flight) -> Self {
        // Without these options answers are slower, and nothing else.
        let _ = socket.set_nodelay(true);
        let _ = SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES);
        crowd.open.set(crowd.open.get() + 1);
        let now = Instant::now();
        let (begun, in_hand, free_since) = (Cell::new(0), Cell::new(0), Cell::new(now));
        let requests = Rc::new(Requests { begun, in_hand, free_since });
        let alarm = Box::pin(sleep_until(now + LOOK));
        Self { socket, crowd, requests, head: None, answer: None, flight, taken: 0, alarm }
    }

    /// Lets requests find their connection.
    pub fn introduce(&self, data: &mut Extensions) {
        data.insert(Rc::clone(&self.requests));
    }

    /// Notes that bytes came: between requests they are a head.
    fn came(&mut self) {
        if self.requests.in_hand.get() == 0 && self.head_since().is_none() {
            self.head = Some((self.requests.begun.get(), Instant::now()));
        }
    }

    /// When the head that is coming began.
    fn head_since(&self) -> Option<Instant> {
        let begun = self.requests.begun.get();
        self.head.and_then(|(before, since)| (before == begun).then_some(since))
    }

    /// Everything that was answered has been taken.
    fn went(&mut self) {
        if self.answer.take().is_some() {
            self.requests.free_since.set(Instant::now());
        }
        self.taken = 0;
    }

    /// Whether the next request is overdue; if not, the task will be woken when it may be.
    fn is_overdue(&mut self, context: &mut Context<'_>) -> bool {
        let now = Instant::now();
        if self.requests.in_hand.get() > 0 || self.answer.is_some() {
            self.wake_by(now + LOOK, context);
            return false;
        }
        let free_since = self.requests.free_since.get();
        let deadline = match self.head_since() {
            Some(since) => since + HEAD_DEADLINE,
            None if self.crowd.is_dense() => free_since + KEEP_ALIVE_CROWDED,
            // Longer than actix waits, whose own deadline forgets a connection on which a head
            // began to come before the last answer was out.
            None => free_since + KEEP_ALIVE + LOOK,
        };
        self.wake_by(deadline.min(now + LOOK), context);
        deadline <= now
    }

    /// Whether the client has not taken enough of its answer in time.
    fn is_stuck(&mut self, context: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let since = *self.answer.get_or_insert(now);
        let is_short = self.flight.is_short();
        let deadline = since + if is_short { ANSWER_DEADLINE_SHORT } else { ANSWER_DEADLINE };
        self.wake_by(deadline.min(now + LOOK), context);
        deadline <= now
    }

    fn wake_by(&mut self, time: Instant, context: &mut Context<'_>) {
        if self.alarm.is_elapsed() || time < self.alarm.deadline() {
            self.alarm.as_mut().reset(time);
        }
        if self.alarm.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.crowd.open.set(self.crowd.open.get() - 1);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before {
                self.came();
            }
            return read;
        }
        if !self.is_overdue(context) {
            return Poll::Pending;
        }
        if self.head_since().is_some() {
            let _ = self.socket.try_write(LATE);
        }
        // No bytes: what actix sees when a client closes.
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.socket).poll_write(context, bytes) {
            Poll::Ready(Ok(count)) => {
                self.taken += count;
                if self.taken >= ANSWER_BYTES {
                    (self.answer, self.taken) = (None, 0);
                }
                Poll::Ready(Ok(count))
            }
            Poll::Pending if self.is_stuck(context) => {
                // What the kernel still has of the answer goes too, and the client learns of it.
                let _ = self.socket.set_zero_linger();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // actix asks for this when everything was written.
        self.went();
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
