//! AF_XDP sockets, as far as a program's redirection reaches them: a queue of frames.

use crate::drop_reason::DropReason;
use crate::error::StackError;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::Stack;
use crate::trace::{Consume, Stage};
use std::collections::VecDeque;

/// Frames that wait to be read (the receive ring's usual size, `XSK_RING_CONS__DEFAULT_NUM_DESCS`).
const RX_RING: usize = 2048;

/// An AF_XDP socket; its number is what an xskmap holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XskId(pub u32);

/// `struct xdp_sock`
struct XskSocket {
    dev: IfIndex,
    rx: VecDeque<SkBuff>,
}

/// All AF_XDP sockets, by number.
#[derive(Default)]
pub(crate) struct XskSockets {
    sockets: Vec<Option<XskSocket>>,
}

impl XskSockets {
    /// Frames that wait.
    pub fn held(&self) -> usize {
        self.sockets
            .iter()
            .flatten()
            .map(|socket| socket.rx.len())
            .sum()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut XskSocket> {
        self.sockets.get_mut(id as usize)?.as_mut()
    }
}

impl Stack {
    /// `socket(AF_XDP)` and `bind()`: a socket for frames that `dev` received.
    pub fn xsk_bind(&mut self, dev: IfIndex) -> Result<XskId, StackError> {
        self.device(dev).ok_or(StackError::NoDevice(dev))?;
        let id = XskId(self.xsk.sockets.len() as u32);
        self.xsk.sockets.push(Some(XskSocket {
            dev,
            rx: VecDeque::new(),
        }));
        Ok(id)
    }

    /// The oldest frame that waits, from its Ethernet header on.
    pub fn xsk_recv(&mut self, id: XskId) -> Option<SkBuff> {
        let skb = self.xsk.get_mut(id.0)?.rx.pop_front()?;
        self.stats.consumed += 1;
        self.trace(&skb, Stage::Recv);
        self.trace(&skb, Stage::Consume(Consume::Recv));
        Some(skb)
    }

    /// Closes a socket; what nobody read is gone. `false`: there is none.
    pub fn xsk_close(&mut self, id: XskId) -> bool {
        let place = self.xsk.sockets.get_mut(id.0 as usize);
        let Some(socket) = place.and_then(Option::take) else {
            return false;
        };
        for skb in socket.rx {
            self.consume_skb(skb, Consume::SocketClose);
        }
        true
    }

    /// `xsk_generic_rcv()`. `false`: there is no such socket for the device, or its ring is full; the frame is lost.
    pub(super) fn xsk_generic_rcv(&mut self, mut skb: SkBuff, id: u32) -> bool {
        let socket = self.xsk.get_mut(id).filter(|socket| socket.dev == skb.iif);
        let Some(socket) = socket.filter(|socket| socket.rx.len() < RX_RING) else {
            self.kfree_skb(skb, DropReason::NotSpecified);
            return false;
        };
        skb.detach_if_scarce();
        socket.rx.push_back(skb);
        true
    }
}
