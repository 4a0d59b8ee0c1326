//! What a broken or hostile driver can do to the card: it stops the queue, says so, and comes back
//! with a reset.

use super::host::{
    BUS_OFFSET, Fail, Host, RINGS, RX, RX_BUFFERS, Stat, TX, TX_BUFFERS, common, feature, status,
};
use crate::{
    frames::Shape,
    inet,
    ring::{DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, DriverRing, Element, Memory, RingConfig},
    seg::stimulus,
    testbench::Report,
};
use hwmodel::{Device, Ps, Stop, WireFrame};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Bus address of nothing.
const NOWHERE: u64 = 0x7700_0000_0000;
/// Until an error must have been reported.
const LIMIT: Ps = 200_000_000;

/// One thing done wrong.
#[derive(Debug, Clone, Copy)]
enum Crime {
    /// A buffer of this queue at this bus address.
    Buffer(usize, u64),
    /// A descriptor of this queue with these flags flipped.
    Flags(usize, u16),
    /// A chain of as many descriptors as the ring has, and no end.
    Endless(usize),
    /// Descriptor ring, driver area, device area of a queue at this bus address.
    Ring(usize, u64),
    DriverArea(usize, u64),
    DeviceArea(usize, u64),
}

const WRITE_ONLY: u64 = RX_BUFFERS.0 + BUS_OFFSET;
const READ_ONLY: u64 = TX_BUFFERS.0 + BUS_OFFSET;

const CRIMES: [Crime; 19] = [
    Crime::Buffer(RX, NOWHERE),
    Crime::Buffer(RX, READ_ONLY),
    Crime::Buffer(RX, u64::MAX - 100),
    Crime::Buffer(TX, NOWHERE),
    Crime::Buffer(TX, WRITE_ONLY),
    Crime::Buffer(TX, u64::MAX - 100),
    Crime::Flags(RX, DESC_F_WRITE),
    Crime::Flags(TX, DESC_F_WRITE),
    Crime::Flags(RX, DESC_F_INDIRECT),
    Crime::Flags(TX, DESC_F_INDIRECT),
    Crime::Endless(RX),
    Crime::Endless(TX),
    Crime::Ring(RX, NOWHERE),
    Crime::Ring(TX, NOWHERE),
    Crime::Ring(TX, WRITE_ONLY),
    Crime::DriverArea(TX, NOWHERE),
    Crime::DriverArea(RX, WRITE_ONLY),
    Crime::DeviceArea(RX, NOWHERE),
    Crime::DeviceArea(TX, READ_ONLY),
];

/// Every crime, each followed by a reset.
// shows (RTL): 2.1.2-4
pub fn run(host: &mut Host, report: &mut Report) -> Result<(), Fail> {
    for crime in CRIMES {
        commit(host, crime).map_err(|fail| Fail(format!("{crime:?}: {}", fail.0)))?;
        report.add("errors reported", 1);
    }
    Ok(())
}

/// Transmit chains that are no frame, by the lengths of their descriptors: too long for any.
const NO_FRAMES: [&[u32]; 8] = [
    &[200_000],
    &[112, 131_072],
    &[131_072, 112, 60],
    &[20, u32::MAX, 92],
    &[500, 500, 9000, 200_000],
    &[131_071],
    &[60_000, 60_000, 60_000],
    &[131_071; 64],
];

/// Of those that are super-frames some segments may leave; each is returned and counted once, and the queue
/// goes on.
pub fn no_super_frames(host: &mut Host, report: &mut Report) -> Result<(), Fail> {
    let features = feature::BASE | feature::EVENT_IDX | feature::SEGMENTATION;
    host.negotiate(features)?;
    let mut ring = host.enable_queue::<u32>(TX, 128, 0, features, 1)?;
    host.driver_ok()?;
    let before = host.stats()?;
    let shape = Shape {
        tcp: true,
        payload: 65_000,
        ..Shape::default()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let frame = stimulus::legal(&shape, 1460, &mut rng);
    let stream = [&frame.hdr.bytes()[..], &frame.bytes].concat();
    host.bus.write(READ_ONLY, &stream);
    let headers = 12 + frame.parts.payload as u32;
    // The longest that is legal, and one that is small, as the queue's next.
    let legal = [stream.len() as u32, headers + 100];
    let post = |host: &mut Host, ring: &mut DriverRing<u32>, lens: &[u32]| {
        let element = |len: &u32| Element {
            addr: READ_ONLY,
            len: *len,
        };
        let elements: Vec<_> = lens.iter().map(element).collect();
        let (chain, _) = ring.prepare(&mut host.bus, &elements, 0, 0);
        ring.publish(&mut host.bus, chain);
    };
    for lens in NO_FRAMES {
        post(host, &mut ring, lens);
        for len in legal {
            post(host, &mut ring, &[len]);
        }
        host.kick(TX)?;
        let until = host.nic.now() + LIMIT;
        while host.nic.run_until(until)? != Stop::Time {
            while host.nic.take_msix().is_some() {}
            while let Some(frame) = host.nic.take_wire() {
                if !inet::transport_verified(&frame.bytes) {
                    return Err("a segment with a wrong checksum".into());
                }
            }
        }
    }
    let after = host.stats()?;
    let counted = |stat: Stat| after[stat as usize] - before[stat as usize];
    let seen = [
        counted(Stat::TxMalformed),
        counted(Stat::TxGso),
        counted(Stat::TxBuffers),
        counted(Stat::DmaError),
        u64::from(host.status()? & status::NEEDS_RESET),
    ];
    let count = NO_FRAMES.len() as u64;
    if seen != [count, 2 * count, 3 * count, 0, 0] {
        return Err(format!("malformed, sent, returned, errors, reset: {seen:?}").into());
    }
    report.add("super-frames that are too long", count);
    Ok(())
}

/// They are returned and counted, nothing is sent of them, and the queue goes on.
pub fn no_frames(host: &mut Host, report: &mut Report) -> Result<(), Fail> {
    let features = feature::BASE | feature::EVENT_IDX;
    host.negotiate(features)?;
    let mut ring = host.enable_queue::<u32>(TX, 128, 0, features, 1)?;
    host.driver_ok()?;
    let before = host.stats()?;
    // The memory is zeros: headers that ask for nothing.
    for lens in NO_FRAMES.into_iter().flat_map(|lens| [lens, &[112]]) {
        let element = |len: &u32| Element {
            addr: READ_ONLY,
            len: *len,
        };
        let elements: Vec<_> = lens.iter().map(element).collect();
        let (chain, _) = ring.prepare(&mut host.bus, &elements, 0, 0);
        ring.publish(&mut host.bus, chain);
    }
    host.kick(TX)?;
    let mut frames = 0;
    let until = host.nic.now() + 10 * LIMIT;
    while host.nic.run_until(until)? != Stop::Time {
        while host.nic.take_msix().is_some() {}
        while let Some(frame) = host.nic.take_wire() {
            if frame.bytes != [0; 100] {
                return Err(format!("a frame of {} bytes", frame.bytes.len()).into());
            }
            frames += 1;
        }
    }
    let after = host.stats()?;
    let counted = |stat: Stat| after[stat as usize] - before[stat as usize];
    let seen = [
        frames,
        counted(Stat::TxMalformed),
        counted(Stat::TxBuffers),
        counted(Stat::DmaError),
        u64::from(host.status()? & status::NEEDS_RESET),
    ];
    let count = NO_FRAMES.len() as u64;
    if seen != [count, count, 2 * count, 0, 0] {
        return Err(format!("frames, malformed, returned, errors, reset: {seen:?}").into());
    }
    report.add("chains that are no frame", count);
    Ok(())
}

fn commit(host: &mut Host, crime: Crime) -> Result<(), Fail> {
    let features = feature::BASE | feature::EVENT_IDX;
    if !host.negotiate(features)? {
        return Err("features refused".into());
    }
    host.enable_msix()?;
    while host.nic.take_msix().is_some() {}
    let before = host.stats()?[Stat::DmaError as usize];
    let size = 8;
    let mut rings = [
        host.enable_queue::<u32>(RX, size, 0, features, 1)?,
        host.enable_queue::<u32>(TX, size, 0, features, 1)?,
    ];
    // Structures in the wrong place: the queue is reset and enabled anew, as a driver might do.
    let moved = match crime {
        Crime::Ring(q, at) => Some((
            q,
            RingConfig {
                desc: at,
                ..*rings[q].config()
            },
        )),
        Crime::DriverArea(q, at) => Some((
            q,
            RingConfig {
                driver: at,
                ..*rings[q].config()
            },
        )),
        Crime::DeviceArea(q, at) => Some((
            q,
            RingConfig {
                device: at,
                ..*rings[q].config()
            },
        )),
        _ => None,
    };
    if let Some((queue, config)) = moved {
        host.write(common::QUEUE_SELECT, 2, queue as u32)?;
        host.write(common::QUEUE_RESET, 2, 1)?;
        while host.read(common::QUEUE_RESET, 2)? != 0 {}
        host.enable_ring(queue, &config)?;
    }
    host.driver_ok()?;
    host.status()?;

    let queue = match crime {
        Crime::Buffer(q, _) | Crime::Flags(q, _) | Crime::Endless(q) => q,
        Crime::Ring(q, _) | Crime::DriverArea(q, _) | Crime::DeviceArea(q, _) => q,
    };
    let home = if queue == RX { WRITE_ONLY } else { READ_ONLY };
    let addr = if let Crime::Buffer(_, at) = crime {
        at
    } else {
        home
    };
    let len = match crime {
        _ if queue == RX => 2048,
        _ => 112,
    };
    let (count, flip) = match crime {
        Crime::Flags(_, flip) => (1, flip),
        Crime::Endless(_) => (size, DESC_F_NEXT),
        _ => (1, 0),
    };
    let elements = vec![Element { addr, len }; usize::from(count)];
    let ring = &mut rings[queue];
    let (chain, _) = ring.prepare(&mut host.bus, &elements, 0, flip);
    ring.publish(&mut host.bus, chain);
    host.kick(queue)?;
    if queue == RX {
        // The write happens when there is something to write.
        host.nic
            .wire_send(WireFrame::new(host.nic.now() + 2_000_000, vec![0x11; 300]));
    }

    let until = host.nic.now() + LIMIT;
    let mut told = false;
    while host.nic.now() < until && !told {
        match host.nic.run_until(until)? {
            Stop::Msix => {
                let message = host.nic.take_msix().ok_or("no message")?;
                told = Host::vector(&message)? == 0;
            }
            Stop::WireTx => {
                host.nic.take_wire();
            }
            Stop::Time => {}
        }
    }
    if !told {
        return Err(format!("no configuration interrupt, status {:#x}", host.status()?).into());
    }
    if host.status()? & status::NEEDS_RESET == 0 {
        return Err("NEEDS_RESET is not set".into());
    }
    let errors = host.stats()?[Stat::DmaError as usize] - before;
    let refused = !matches!(crime, Crime::Flags(..) | Crime::Endless(_));
    if (errors != 0) != refused {
        return Err(format!("{errors} DMA errors counted").into());
    }
    // Quiet: frames that come are dropped, and nothing of the queue is touched any more.
    if queue == RX {
        let written = host.nic.counters().dma_write_bytes;
        host.nic
            .wire_send(WireFrame::new(host.nic.now(), vec![0x22; 1500]));
        host.run(1000)?;
        if host.nic.counters().dma_write_bytes != written {
            return Err("the card writes after NEEDS_RESET".into());
        }
    }
    debug_assert!(RINGS.1 >= 0x8_0000);
    host.reset(LIMIT)
}
