//! [`StandaloneQdisc`]: a queue without a device.

use super::ifb::Ifb;
use crate::Ps;
use crate::command::CommandError;
use crate::netdev::DeviceKind;
use crate::skb::{IfIndex, SkBuff};
use crate::stack::{Stack, StackConfig};

/// The queue of a device that is not there: packets go in and come out, and everything in between is as [`Stack::tc`] configured it. For
/// measuring and testing qdiscs, and for putting one where no host is, e.g. in front of a simulated link.
///
/// ```
/// use stack::{SkBuff, StandaloneQdisc};
///
/// const MS: u64 = 1_000_000_000;
/// let mut queue = StandaloneQdisc::new(1);
/// queue.tc("qdisc add dev q root tbf rate 1mbit burst 1000 limit 10000").unwrap();
/// for _ in 0..3 {
///     queue.enqueue(SkBuff::from_vec(vec![0; 1000]), 0);
/// }
/// assert!(queue.dequeue(0).is_some() && queue.dequeue(0).is_none());
/// assert_eq!(queue.next_event(), Some(8 * MS)); // 1000 bytes at 1 Mbit/s
/// assert!(queue.dequeue(8 * MS).is_some());
/// ```
pub struct StandaloneQdisc {
    stack: Stack,
    dev: IfIndex,
}

impl StandaloneQdisc {
    /// `fq_codel` with its default options. The device's name in [`tc`](Self::tc) lines is `q`; its MTU is 1500 bytes. `seed`: of everything
    /// random.
    pub fn new(seed: u64) -> Self {
        let mut stack = Stack::new(StackConfig {
            seed,
            ..StackConfig::default()
        });
        let dev = stack.register_device(
            "q",
            DeviceKind::Driver,
            Box::new(Ifb::new([2, 0, 0, 0, 0, 1])),
        );
        if let Some(device) = stack.device_mut(dev) {
            // Nobody but the owner takes packets out.
            device.tx_stopped = true;
        }
        Self { stack, dev }
    }

    /// [`Stack::tc`]. What the line has dropped is counted as dropped.
    pub fn tc(&mut self, line: &str) -> Result<String, CommandError> {
        self.stack.tc(line)
    }

    /// Puts a packet in, which starts at its Ethernet header. `now` must not go backwards.
    pub fn enqueue(&mut self, mut skb: SkBuff, now: Ps) {
        skb.dev = self.dev;
        self.stack.now = self.stack.now.max(now);
        self.stack.dev_enqueue(skb);
    }

    /// The packet that is sent next; `None` when none may be sent at `now`.
    pub fn dequeue(&mut self, now: Ps) -> Option<SkBuff> {
        self.stack.now = self.stack.now.max(now);
        self.stack.dev_dequeue(self.dev)
    }

    /// When [`dequeue`](Self::dequeue) is worth another try, after it said `None`; `None`: when there is another packet.
    pub fn next_event(&self) -> Option<Ps> {
        self.stack.device(self.dev)?.qdisc.next_wake()
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.stack.device(self.dev).map_or(0, |d| d.qdisc.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets dropped so far.
    pub fn dropped(&self) -> u64 {
        self.stack.stats().dropped
    }
}
