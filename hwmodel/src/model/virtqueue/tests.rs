use super::*;
use crate::{iommu::Permission, memory::HostMemory};

const SIZE: u16 = 4;
const RING: RingConfig = RingConfig {
    size: SIZE,
    desc: 0x1000,
    driver: 0x2000,
    device: 0x2010,
};
const NOW: Times = Times { start: 0, end: 0 };
const ALL: u64 = feature::RING_EVENT_IDX | feature::RING_INDIRECT_DESC;

struct Bench {
    dma: Dma,
    vq: Virtqueue,
    chain: Chain,
}

impl Bench {
    fn new(direction: Direction, features: u64) -> Self {
        let mut dma = Dma::new(HostMemory::new(1 << 16).unwrap());
        dma.bus_master = true;
        dma.iommu.map(0, 1 << 16, 0, Permission::ReadWrite).unwrap();
        Self {
            dma,
            vq: Virtqueue::new(RING, direction, features),
            chain: Chain::default(),
        }
    }

    fn put(&self, at: u64, addr: u64, len: u32, id: u16, flags: u16) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&id.to_le_bytes());
        bytes[14..].copy_from_slice(&flags.to_le_bytes());
        self.dma.memory.write(at, &bytes).unwrap();
    }

    /// A descriptor of the ring, available in turns in which the wrap counter is `wrap`.
    fn ring(&self, place: u16, id: u16, flags: u16, wrap: bool) {
        let flags = flags | if wrap { desc::AVAIL } else { desc::USED };
        let at = RING.desc + 16 * u64::from(place);
        self.put(at, 0x4000 + u64::from(place), 100, id, flags);
    }

    fn take(&mut self) -> Result<Option<(u16, u16, usize)>, QueueError> {
        let taken = self.vq.take(&mut self.dma, NOW, &mut self.chain)?;
        let Chain {
            id,
            ndesc,
            segments,
        } = &self.chain;
        Ok(taken.then_some((*id, *ndesc, segments.len())))
    }

    fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.dma.memory.read(at, &mut bytes).unwrap();
        bytes
    }

    fn used(&mut self, id: u16, len: u32, ndesc: u16) {
        let used = [Used { id, len, ndesc }];
        self.vq.put_used(&mut self.dma, NOW, &used).unwrap();
    }
}

// shows (model): 2.8.6-1, 2.8.15-2, 2.8.18-1
#[test]
fn chains_are_taken_across_the_end_of_the_ring() {
    let mut bench = Bench::new(Direction::Transmit, ALL);
    assert_eq!(bench.take(), Ok(None));
    bench.ring(0, 7, desc::NEXT, true);
    bench.ring(1, 8, desc::NEXT, true);
    bench.ring(2, 9, 0, true);
    assert_eq!(bench.take(), Ok(Some((9, 3, 3))), "the last one's id");
    assert_eq!(bench.take(), Ok(None));
    bench.used(9, 0, 3);
    // Places 3 of this turn and 0 of the next.
    bench.ring(0, 5, 0, false);
    bench.ring(3, 4, desc::NEXT, true);
    assert_eq!(bench.take(), Ok(Some((5, 2, 2))));
    assert_eq!(bench.take(), Ok(None), "place 1 is not of this turn");
    bench.used(5, 0, 2);
    bench.ring(1, 6, 0, false);
    assert_eq!(bench.take(), Ok(Some((6, 1, 1))));
}

// shows (model): 2.8.1-1, 2.8.4-1
#[test]
fn used_descriptors_say_what_the_specification_says() {
    let mut bench = Bench::new(Direction::Receive, 0);
    bench.used(0x1234, 99, 3);
    let flags = desc::AVAIL | desc::USED | desc::WRITE;
    let at = RING.desc + 8;
    let mut expected = vec![99, 0, 0, 0, 0x34, 0x12];
    expected.extend(flags.to_le_bytes());
    assert_eq!(bench.read(at, 8), expected);
    assert_eq!(bench.read(at + 16, 8), [0; 8], "places in between stay");
    bench.used(1, 0, 1);
    let flags = desc::AVAIL | desc::USED;
    assert_eq!(bench.read(at + 48, 8)[6..], flags.to_le_bytes());
    bench.used(2, 0, 1);
    assert_eq!(bench.read(at, 8), [0, 0, 0, 0, 2, 0, 0, 0], "the next turn");
}

/// The first of several is written last: it is what a driver looks at.
// shows (model): 2.8.9-1, 5.1.6.4.1-4
#[test]
fn buffers_that_belong_together_are_seen_together() {
    let mut bench = Bench::new(Direction::Receive, 0);
    bench.dma.log = Some(Vec::new());
    let used: Vec<Used> = (0..3)
        .map(|id| Used {
            id,
            len: 5,
            ndesc: 1,
        })
        .collect();
    bench.vq.put_used(&mut bench.dma, NOW, &used).unwrap();
    let order: Vec<u64> = bench
        .dma
        .log
        .take()
        .unwrap()
        .iter()
        .map(|r| r.iova)
        .collect();
    assert_eq!(order, [0x1028, 0x1018, 0x1008]);
}

#[test]
fn illegal_chains_are_told() {
    type Write = fn(&Bench);
    let cases: [(Direction, u64, Write, QueueError); 9] = [
        (
            Direction::Transmit,
            ALL,
            |b| b.ring(0, 0, desc::WRITE, true),
            QueueError::Direction,
        ),
        (
            Direction::Receive,
            ALL,
            |b| b.ring(0, 0, 0, true),
            QueueError::Direction,
        ),
        (
            Direction::Control,
            ALL,
            |b| {
                b.ring(0, 0, desc::WRITE | desc::NEXT, true);
                b.ring(1, 0, 0, true);
            },
            QueueError::Direction,
        ),
        (
            Direction::Transmit,
            ALL,
            |b| (0..SIZE).for_each(|place| b.ring(place, 0, desc::NEXT, true)),
            QueueError::TooLong,
        ),
        (
            Direction::Transmit,
            0,
            |b| b.ring(0, 0, desc::INDIRECT, true),
            QueueError::Indirect,
        ),
        (
            Direction::Transmit,
            ALL,
            // 100 bytes are no whole number of descriptors.
            |b| b.ring(0, 0, desc::INDIRECT, true),
            QueueError::Indirect,
        ),
        (
            Direction::Transmit,
            ALL,
            |b| b.ring(0, 0, desc::INDIRECT | desc::NEXT, true),
            QueueError::Indirect,
        ),
        (
            Direction::Transmit,
            ALL,
            |b| b.put(RING.desc, 0, 16 * 2000, 0, desc::INDIRECT | desc::AVAIL),
            QueueError::TooLong,
        ),
        (
            Direction::Transmit,
            ALL,
            |b| b.put(RING.desc, 1 << 40, 16, 0, desc::INDIRECT | desc::AVAIL),
            QueueError::Dma(Refusal::NotMapped),
        ),
    ];
    for (number, (direction, features, write, error)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new(direction, features);
        write(&bench);
        assert_eq!(bench.take(), Err(error), "case {number}");
    }
}

// shows (model): 2.8.7-1
#[test]
fn a_table_is_one_entry_of_the_ring() {
    let mut bench = Bench::new(Direction::Control, ALL);
    bench.put(
        RING.desc,
        0x3000,
        48,
        7,
        desc::INDIRECT | desc::AVAIL | desc::WRITE,
    );
    bench.put(0x3000, 0x5000, 2, 1, 0);
    // Only WRITE counts in a table (2.8.8).
    bench.put(
        0x3010,
        0x5002,
        3,
        2,
        desc::USED | desc::NEXT | desc::INDIRECT,
    );
    bench.put(0x3020, 0x6000, 1, 3, desc::WRITE);
    assert_eq!(bench.take(), Ok(Some((7, 1, 3))));
    assert_eq!((bench.chain.len(false), bench.chain.len(true)), (5, 1));
    assert_eq!(bench.take(), Ok(None));
}

/// Against `vring_need_event()` as split rings have it, on places counted without end.
// shows (model): 2.8.10-1, 2.8.10-2
#[test]
fn notifications_come_at_the_place_that_was_asked_for() {
    for first in 0..3 * SIZE {
        for count in 0..=SIZE {
            for wanted in 0..4 * SIZE {
                let mut bench = Bench::new(Direction::Receive, ALL);
                for _ in 0..first {
                    bench.used(0, 1, 1);
                }
                let wrap = u16::from((wanted / SIZE).is_multiple_of(2));
                let off_wrap = (wanted % SIZE) | wrap << 15;
                let [a, b] = off_wrap.to_le_bytes();
                bench.dma.memory.write(RING.driver, &[0, 0, 1, 0]).unwrap();
                assert_eq!(bench.vq.notification_due(&mut bench.dma, NOW), Ok(false));
                for _ in 0..count {
                    bench.used(0, 1, 1);
                }
                bench.dma.memory.write(RING.driver, &[a, b, 2, 0]).unwrap();
                let due = bench.vq.notification_due(&mut bench.dma, NOW).unwrap();
                // A place of the ring comes again every two turns with the same wrap counter.
                let passed = |place: u16| {
                    let turns = 2 * SIZE;
                    place % turns == wanted % turns
                };
                let expected = (first..first + count).any(passed);
                assert_eq!(due, expected, "{first} {count} {wanted}");
            }
        }
    }
}

// shows (model): 2.8.10-3
#[test]
fn the_device_says_where_it_wants_to_be_told() {
    for (features, asleep, at_work) in [
        (ALL, [1, 0x80, 2, 0], [1, 0x80, 2, 0]),
        (0, [1, 0x80, 0, 0], [1, 0x80, 1, 0]),
    ] {
        let mut bench = Bench::new(Direction::Transmit, features);
        bench.ring(0, 0, 0, true);
        assert!(bench.take().unwrap().is_some());
        bench.vq.arm(&mut bench.dma, NOW).unwrap();
        assert_eq!(bench.read(RING.device, 4), asleep);
        bench.vq.disarm(&mut bench.dma, NOW).unwrap();
        assert_eq!(bench.read(RING.device, 4), at_work);
    }
}
