//! What a reset meets besides single frames: super-frames that are cut, segments that are joined, and long
//! commands, each without end.

use super::super::{
    host::{BUS_OFFSET, COMMANDS, Fail, Host, RX, RX_BUFFERS, TX, TX_BUFFERS, common, feature},
    stale,
};
use crate::{
    frames::Shape,
    ring::{DriverRing, Element, Memory},
    seg::stimulus,
    testbench::Report,
};
use hwmodel::{CYCLE_PS, Device, Ps, Stop, WireFrame, model::feature as net, xgmii::OCTET_PS};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The control queue of a card with one pair.
pub const CTRL: usize = 2;
/// Entries of each ring, receive buffers of `SLOT` bytes, super-frames and commands.
const SIZE: u16 = 256;
const SLOT: u64 = 0x800;
const SUPER_FRAMES: usize = 20;
const COMMAND_COUNT: usize = 80;
/// Unicast and multicast addresses of a command that takes long: VIRTIO_NET_CTRL_MAC_TABLE_SET, 5.1.6.5.2.
const ADDRESSES: [u32; 2] = [32, 32];
/// Segments on the wire, and preamble, FCS and gap of each, octets.
const SEGMENTS: usize = 60;
const AROUND: usize = 8 + 4 + 12;

/// All three queues at work, without a driver who takes what is used.
pub struct Offloads {
    /// By queue number.
    rings: [DriverRing<u32>; 3],
}

impl Offloads {
    /// Everything is posted and under way.
    pub fn start(host: &mut Host, seed: u64, report: &mut Report) -> Result<Self, Fail> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let joins = net::GUEST_CSUM | net::GUEST_TSO4 | net::GUEST_TSO6 | net::MRG_RXBUF;
        let control = net::CTRL_VQ | net::CTRL_RX;
        let features = feature::BASE | feature::SEGMENTATION | joins | control;
        if !host.negotiate(features)? {
            return Err(format!("features {features:#x} refused").into());
        }
        host.enable_msix()?;
        let mut rings = [
            host.enable_queue(RX, SIZE, 0, features, 0)?,
            host.enable_queue(TX, SIZE, 0, features, 0)?,
            host.enable_queue(CTRL, SIZE, 0, features, 0)?,
        ];
        host.driver_ok()?;
        receive_buffers(host, &mut rings[RX]);
        super_frames(host, &mut rings[TX], rng);
        commands(host, &mut rings[CTRL]);
        for queue in [RX, TX, CTRL] {
            host.kick(queue)?;
        }
        let mut begin = host.nic.now();
        let mut segments = 0;
        while segments < SEGMENTS {
            for bytes in stale::segments(rng) {
                let octets = bytes.len() + AROUND;
                host.nic.wire_send(WireFrame::new(begin, bytes));
                begin += octets as Ps * OCTET_PS;
                segments += 1;
            }
        }
        report.add("resets amid offloads", 1);
        Ok(Self { rings })
    }

    /// Runs until `until`; what comes is thrown away.
    pub fn run(&self, host: &mut Host, until: Ps) -> Result<(), Fail> {
        loop {
            match host.nic.run_until(until)? {
                Stop::Time => return Ok(()),
                Stop::Msix => drop(host.nic.take_msix()),
                Stop::WireTx => drop(host.nic.take_wire()),
            }
        }
    }

    /// Positions behind what each queue has used.
    pub fn used(&self, host: &Host) -> [u64; 3] {
        [RX, TX, CTRL].map(|queue| self.rings[queue].visible(&host.bus))
    }

    /// queue_reset (2.6.1) of `queue`: ends within `bound` cycles, and the queue uses nothing more while the
    /// others go on.
    pub fn reset_queue(&self, host: &mut Host, queue: usize, bound: u64) -> Result<(), Fail> {
        let begin = host.nic.now();
        host.write(common::QUEUE_SELECT, 2, queue as u32)?;
        host.write(common::QUEUE_RESET, 2, 1)?;
        while host.read(common::QUEUE_RESET, 2)? != 0 {
            let cycles = (host.nic.now() - begin) / CYCLE_PS;
            if cycles > bound {
                return Err(format!("the queue is in reset for {cycles} cycles").into());
            }
        }
        let before = self.used(host);
        let refused = host.nic.counters().dma_refused;
        // A super-frame of 65,000 bytes takes 52 us on the wire.
        self.run(host, host.nic.now() + 120_000_000)?;
        let after = self.used(host);
        let goes_on = |other: usize| other == queue || after[other] > before[other];
        if after[queue] != before[queue] || !goes_on(TX) || !goes_on(CTRL) {
            return Err(format!("used {before:?}, then {after:?}").into());
        }
        if host.nic.counters().dma_refused != refused {
            return Err("refused accesses".into());
        }
        Ok(())
    }
}

/// Makes one buffer of these elements available.
fn post(host: &mut Host, ring: &mut DriverRing<u32>, elements: &[(u64, usize)], readable: usize) {
    let elements: Vec<Element> = elements
        .iter()
        .map(|&(addr, len)| Element {
            addr: addr + BUS_OFFSET,
            len: len as u32,
        })
        .collect();
    let (chain, _) = ring.prepare_mixed(&mut host.bus, &elements, readable, 0, 0);
    ring.publish(&mut host.bus, chain);
}

fn receive_buffers(host: &mut Host, ring: &mut DriverRing<u32>) {
    for slot in 0..SIZE.into() {
        post(
            host,
            ring,
            &[(RX_BUFFERS.0 + slot * SLOT, SLOT as usize)],
            0,
        );
    }
}

/// The same one again and again.
fn super_frames(host: &mut Host, ring: &mut DriverRing<u32>, rng: &mut ChaCha8Rng) {
    let shape = Shape {
        ipv6: rng.random(),
        tcp: rng.random(),
        payload: 65_000,
        ..Shape::default()
    };
    let frame = stimulus::legal(&shape, 1400, rng);
    let stream = [&frame.hdr.bytes()[..], &frame.bytes].concat();
    host.bus.write(TX_BUFFERS.0 + BUS_OFFSET, &stream);
    let (first, rest) = (1000, stream.len() - 1000);
    for _ in 0..SUPER_FRAMES {
        let elements = [(TX_BUFFERS.0, first), (TX_BUFFERS.0 + 1000, rest)];
        post(host, ring, &elements, 2);
    }
}

/// Address tables as large as they may be.
fn commands(host: &mut Host, ring: &mut DriverRing<u32>) {
    let mut command = vec![1, 0];
    for (kind, count) in ADDRESSES.into_iter().enumerate() {
        command.extend(count.to_le_bytes());
        for number in 0..count {
            command.extend([if kind == 0 { 2 } else { 3 }, 0, 0, 0, 1, number as u8]);
        }
    }
    host.bus.write(COMMANDS.0 + BUS_OFFSET, &command);
    let answer = COMMANDS.0 + 0x8000;
    for _ in 0..COMMAND_COUNT {
        post(host, ring, &[(COMMANDS.0, command.len()), (answer, 1)], 1);
    }
}
