//! Notification coalescing of one queue (virtio 5.1.6.5.9).

use crate::Ps;

/// Picoseconds in a microsecond.
const MICROSECOND: Ps = 1_000_000;

/// struct virtio_net_ctrl_coal. With a 0 in either, every packet is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most packets before a notification.
    pub max_packets: u32,
    /// Most microseconds from the first of them.
    pub max_usecs: u32,
}

/// Packets since the last notification's conditions were met.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    limits: Limits,
    packets: u32,
    first: Ps,
}

impl Moderation {
    /// A queue with these limits that has seen nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// New limits; true when packets that were counted meet them at once.
    pub fn set(&mut self, limits: Limits, now: Ps) -> bool {
        self.limits = limits;
        self.packets > 0 && self.check(now)
    }

    /// `packets` were used; true when the driver is to be asked whether it wants to know.
    pub fn used(&mut self, packets: u32, now: Ps) -> bool {
        if self.packets == 0 {
            self.first = now;
        }
        self.packets = self.packets.saturating_add(packets);
        self.check(now)
    }

    /// When the conditions are met for want of packets.
    pub fn deadline(&self) -> Option<Ps> {
        let wait = Ps::from(self.limits.max_usecs) * MICROSECOND;
        (self.packets > 0).then(|| self.first + wait)
    }

    /// Whether the time is over.
    pub fn expired(&mut self, now: Ps) -> bool {
        self.packets > 0 && self.check(now)
    }

    fn check(&mut self, now: Ps) -> bool {
        let Limits {
            max_packets,
            max_usecs,
        } = self.limits;
        let met = max_packets == 0
            || max_usecs == 0
            || self.packets >= max_packets
            || self.deadline().is_some_and(|at| at <= now);
        if met {
            self.packets = 0;
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_packets: 15,
        max_usecs: 10,
    };

    /// 5.1.6.5.9.2: the specification's example.
    // shows (model): 5.1.6.5.9.1-1
    #[test]
    fn fifteen_packets_or_ten_microseconds() {
        let mut queue = Moderation::new(LIMITS);
        let told: Vec<bool> = (0..30).map(|i| queue.used(1, i)).collect();
        let expected: Vec<bool> = (1..=30).map(|i| i % 15 == 0).collect();
        assert_eq!(told, expected);
        assert_eq!(queue.deadline(), None);
        assert!(!queue.used(1, 5_000_000) && !queue.used(1, 6_000_000));
        assert_eq!(queue.deadline(), Some(15_000_000), "from the first");
        assert!(!queue.expired(14_999_999) && queue.expired(15_000_000));
        assert!(!queue.expired(20_000_000), "once");
    }

    // shows (model): 5.1.6.5.9.1-2
    #[test]
    fn a_zero_tells_every_packet() {
        for (max_packets, max_usecs) in [(0, 10), (15, 0), (0, 0)] {
            let mut queue = Moderation::new(Limits {
                max_packets,
                max_usecs,
            });
            assert!((0..5).all(|now| queue.used(1, now)));
        }
    }

    /// 5.1.6.5.9.4: ten packets are waiting when the limit becomes eight.
    // shows (model): 5.1.6.5.9.4-1
    #[test]
    fn new_limits_count_at_once() {
        let mut queue = Moderation::new(LIMITS);
        assert!((0..10).all(|_| !queue.used(1, 0)));
        let eight = Limits {
            max_packets: 8,
            ..LIMITS
        };
        assert!(queue.set(eight, 1));
        assert!(!queue.set(Limits::default(), 1), "nothing waits");
    }
}
