//! A driver without rules: random descriptors, rings, registers and frames must neither hang nor panic,
//! and a reset always brings the card back.

use crate::{
    driver::{BUS, Bench, Ring, US},
    frames::{Spec, padded},
};
use hwmodel::{
    Device, ModelConfig, WireFrame,
    model::{SUPPORTED, feature},
};
use proptest::prelude::*;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// Anything in the ring of a queue: place, address, length, flags.
    Descriptor(u16, u16, u64, u32, u16),
    /// Anything in memory, where rings, tables, headers and commands are.
    Memory(u64, Vec<u8>),
    /// A legal chain of these parts (length, written by the device).
    Post(u16, Vec<(u32, bool)>),
    /// A frame to be sent: which packet, its header's bytes that differ, bytes of the frame that do.
    Send(Packet, Vec<(u8, u8)>, Vec<(u16, u8)>),
    /// A command.
    Command(Vec<u8>),
    /// Buffers for frames: queue, how many, of how many bytes.
    Fill(u16, u16, u32),
    /// A frame that comes: which packet, and its bytes that differ.
    Packet(Packet, Vec<(u16, u8)>),
    /// So many segments of a stream that come one behind the other.
    Stream(Packet, u8),
    Kick(u16),
    Register(u32, u8, u32),
    Wire(Vec<u8>),
    Run(u64),
}

/// A packet that is right.
#[derive(Debug, Clone)]
struct Packet {
    ipv6: bool,
    protocol: u8,
    seq: u32,
    flags: u8,
    payload: u16,
    size: u16,
}

impl Packet {
    fn spec(&self) -> Spec {
        Spec {
            ipv6: self.ipv6,
            protocol: self.protocol,
            seq: self.seq,
            flags: self.flags,
            payload: vec![0x77; self.payload.into()],
            ..Spec::default()
        }
    }
}

fn packet(longest: u16) -> impl Strategy<Value = Packet> {
    let flags = prop_oneof![4 => Just(0x10u8), 1 => Just(0x18), 1 => any::<u8>()];
    let protocol = prop_oneof![Just(6u8), Just(17)];
    let payload = prop_oneof![Just(1000u16), 0..longest];
    let size = prop_oneof![Just(0u16), 1..1500u16];
    (any::<bool>(), protocol, 0u32..6, flags, payload, size).prop_map(
        |(ipv6, protocol, turn, flags, payload, size)| Packet {
            ipv6,
            protocol,
            seq: turn * 1000,
            flags,
            payload,
            size,
        },
    )
}

/// A command that is right as a rule.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let right: Vec<Vec<u8>> = vec![
        vec![0, 0, 1],
        vec![0, 1, 1],
        vec![1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6],
        vec![1, 1, 2, 0, 0, 0, 0, 1],
        vec![2, 0, 5, 0],
        vec![4, 0, 2, 0],
        vec![4, 1, 0x3f, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 9, 9],
        vec![4, 2, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9],
        vec![6, 0, 4, 0, 0, 0, 9, 0, 0, 0],
        vec![6, 1, 4, 0, 0, 0, 9, 0, 0, 0],
    ];
    let changes = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((0u16..16, prop_oneof![0u8..4, any::<u8>()]), 1..3),
    ];
    (prop::sample::select(right), changes).prop_map(|(mut bytes, changes)| {
        change(&mut bytes, &changes);
        bytes
    })
}

/// A few bytes changed, if they are there.
fn change(bytes: &mut [u8], changes: &[(u16, u8)]) {
    for (at, value) in changes {
        if let Some(byte) = bytes.get_mut(usize::from(*at)) {
            *byte = *value;
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let address = prop_oneof![
        4 => (0u64..0x10_0000).prop_map(|at| BUS + at),
        1 => any::<u64>(),
    ];
    let len =
        prop_oneof![4 => 0u32..3000, 2 => (0u32..200).prop_map(|n| 16 * n), 1 => any::<u32>()];
    let flags = prop_oneof![
        any::<u16>(),
        (0u16..8).prop_map(|f| f | 1 << 7),
        (0u16..8).prop_map(|f| f | 1 << 15)
    ];
    let register = prop_oneof![
        3 => 0u32..0x40, 1 => 0x3000u32..0x3040, 1 => 0x4000u32..0x4100, 1 => 0u32..0x1_0000
    ];
    prop_oneof![
        1 => (0u16..5, 0u16..16, address.clone(), len.clone(), flags)
            .prop_map(|(q, at, addr, len, flags)| Act::Descriptor(q, at, addr, len, flags)),
        1 => (0u64..0x8_0000, prop::collection::vec(any::<u8>(), 1..64)).prop_map(|(at, b)| Act::Memory(at, b)),
        1 => (0u16..5, prop::collection::vec((len, any::<bool>()), 1..4)).prop_map(|(q, parts)| Act::Post(q, parts)),
        3 => (packet(20_000), prop::collection::vec((0u8..12, any::<u8>()), 0..3), prop::collection::vec((12u16..80, any::<u8>()), 0..3))
            .prop_map(|(packet, hdr, frame)| Act::Send(packet, hdr, frame)),
        3 => (packet(1400), prop::collection::vec((12u16..80, any::<u8>()), 0..2))
            .prop_map(|(packet, frame)| Act::Packet(packet, frame)),
        1 => (packet(1400), 2u8..70).prop_map(|(packet, count)| Act::Stream(packet, count)),
        3 => command().prop_map(Act::Command),
        2 => (0u16..2, 0u16..40, prop_oneof![Just(2048u32), 60u32..2000])
            .prop_map(|(pair, count, len)| Act::Fill(2 * pair, count, len)),
        4 => (0u16..6).prop_map(Act::Kick),
        1 => (register, prop_oneof![Just(1u8), Just(2), Just(4)], any::<u32>())
            .prop_map(|(at, width, value)| Act::Register(at / u32::from(width) * u32::from(width), width, value)),
        2 => prop::collection::vec(any::<u8>(), 0..1600).prop_map(Act::Wire),
        4 => (0u64..20).prop_map(Act::Run),
    ]
}

fn perform(bench: &mut Bench, act: Act) {
    match act {
        Act::Descriptor(queue, place, addr, len, flags) => {
            if let Some(ring) = bench.rings.get(&queue) {
                let at = ring.desc + 16 * u64::from(place % ring.size);
                let mut bytes = addr.to_le_bytes().to_vec();
                bytes.extend(len.to_le_bytes());
                bytes.extend([place as u8, 0]);
                bytes.extend(flags.to_le_bytes());
                bench.poke(at, &bytes);
            }
        }
        Act::Memory(at, bytes) => bench.poke(BUS + at, &bytes),
        Act::Post(queue, parts) => {
            if bench.rings.contains_key(&queue) && bench.rings[&queue].size >= parts.len() as u16 {
                let parts: Vec<_> = parts
                    .into_iter()
                    .map(|(len, write)| (bench.alloc(len.min(9000) as usize), len, write))
                    .collect();
                if bench.rings[&queue].has_id() {
                    bench.post(queue, &parts);
                }
            }
        }
        Act::Send(packet, hdr, frame) => {
            if bench.rings.get(&1).is_some_and(Ring::has_id) {
                let spec = packet.spec();
                let (mut header, mut bytes) = (spec.hdr(packet.size), spec.partial());
                for (at, value) in hdr {
                    header[usize::from(at)] = value;
                }
                change(&mut bytes, &frame);
                bench.send(1, header, &bytes);
            }
        }
        Act::Packet(packet, changes) => {
            let mut bytes = padded(packet.spec().frame());
            change(&mut bytes, &changes);
            bench.wire(&bytes);
        }
        Act::Stream(packet, count) => {
            for index in 0..u32::from(count) {
                let spec = Spec {
                    protocol: 6,
                    seq: packet.seq + index * u32::from(packet.payload),
                    ..packet.spec()
                };
                bench.wire(&padded(spec.frame()));
            }
        }
        Act::Command(command) => {
            let queue = bench.queues() - 1;
            let fits = |ring: &Ring| ring.has_id() && ring.size >= 2;
            if bench.features & feature::CTRL_VQ != 0 && bench.rings.get(&queue).is_some_and(fits) {
                let at = bench.alloc(command.len() + 1);
                bench.poke(at, &command);
                let len = command.len() as u32;
                bench.post(queue, &[(at, len, false), (at + u64::from(len), 1, true)]);
                bench.kick(queue);
            }
        }
        Act::Fill(queue, count, len) => {
            for _ in 0..count {
                if bench.rings.get(&queue).is_some_and(Ring::has_id) {
                    bench.fill(queue, 1, len);
                }
            }
        }
        Act::Kick(queue) => bench.kick(queue),
        Act::Register(at, width, value) => bench.nic.bar_write(at, width, value).unwrap(),
        Act::Wire(bytes) => {
            let now = bench.nic.now();
            bench.nic.wire_send(WireFrame::new(now, bytes));
        }
        Act::Run(time) => {
            let until = bench.nic.now() + time * US;
            while bench.nic.run_until(until).unwrap() != hwmodel::Stop::Time {
                while bench.nic.take_msix().is_some() || bench.nic.take_wire().is_some() {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_hangs_or_panics(
        off in any::<u64>(),
        size in prop_oneof![1u16..17, Just(128)],
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let config = ModelConfig { queue_pairs: 2, features: SUPPORTED & !(off & off >> 1) | feature::REQUIRED
            | feature::ACCESS_PLATFORM | feature::MAC, ..ModelConfig::default() };
        let offered = config.offered();
        let mut bench = Bench::new(config);
        bench.bring_up(offered, size);
        perform(&mut bench, Act::Fill(0, 40, 2048));
        for act in acts {
            perform(&mut bench, act);
        }
        // As good as new: a whole restart, as a driver that has lost its mind would do.
        bench.nic.config_write(0x48, 2, 0x8000);
        let mut fresh = bench;
        fresh.rings.clear();
        fresh.nic.config_write(0x04, 2, 6);
        fresh.bring_up(offered & feature::RING_EVENT_IDX, 8);
        fresh.run(4000 * US);
        while fresh.nic.take_wire().is_some() {}
        fresh.send(1, [0; 12], &[7; 77]);
        fresh.run(20 * US);
        prop_assert_eq!(fresh.sent(), [[7; 77]]);
    }
}
