//! The MAC as its register in the vendor region sets it: local loopback, flow control (IEEE 802.3 Annex
//! 31B) in both directions, and statistics of one instant.

use super::{
    control::{constant, equal},
    frame::HDR,
    host::{BUS_OFFSET, Fail, Host, RX, RX_BUFFERS, Stat, Stats, TX, TX_BUFFERS, feature},
};
use crate::ring::{DriverRing, Element, Memory, Used};
use hwmodel::{CYCLE_PS, Device, Ps, Stop, WireFrame, xgmii::OCTET_PS};

/// Bits of `mac_ctrl_t`.
const LOOPBACK: u32 = 1;
const RX_PAUSE: u32 = 2;
const TX_PAUSE: u32 = 4;

/// 31B.1
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x01];
/// Duration of 512 bit times.
const QUANTUM: Ps = 64 * OCTET_PS;
const SIZE: u16 = 128;
const SLOT: u64 = 0x1000;
/// Words of 8 bytes of the receive store of a card that is built for one pair.
const STORE: u64 = 4096;

fn mac_control(to: [u8; 6], opcode: u16, quanta: u16) -> Vec<u8> {
    let mut frame = [&to[..], &[2, 0, 0, 0, 0, 9, 0x88, 0x08]].concat();
    frame.extend(opcode.to_be_bytes());
    frame.extend(quanta.to_be_bytes());
    frame.resize(60, 0);
    frame
}

struct Bench<'a> {
    host: &'a mut Host,
    rings: [DriverRing<u16>; 2],
    sent: u64,
    posted: u64,
    stats: Stats,
}

/// All of it, one after the other, on one card for one pair, without checkers (they come with the larger one).
pub fn run(host: &mut Host) -> Result<(), Fail> {
    let features = feature::BASE;
    host.negotiate(features)?;
    let rings = [
        host.enable_queue(RX, SIZE, 0, features, 0)?,
        host.enable_queue(TX, SIZE, 0, features, 0)?,
    ];
    host.driver_ok()?;
    let stats = host.stats()?;
    let mut bench = Bench {
        host,
        rings,
        sent: 0,
        posted: 0,
        stats,
    };
    bench.honours_pause()?;
    bench.reacts_in_time()?;
    bench.keeps_control_frames()?;
    bench.loops_back()?;
    bench.sends_pause()?;
    bench.pauses_in_time()?;
    bench.forgets_bad_frames()?;
    bench.takes_snapshots()
}

impl Bench<'_> {
    fn mac(&mut self, bits: u32) -> Result<(), Fail> {
        let at = constant("BAR_VENDOR")? + constant("VENDOR_MAC_CTRL")?;
        self.host.nic.bar_write(at, 4, bits)?;
        equal("MAC control", self.host.nic.bar_read(at, 4)?, bits)
    }

    /// By how much a counter has gone up since the last time that all were looked at.
    fn counted(&mut self, wanted: &[(Stat, u64)]) -> Result<(), Fail> {
        let now = self.host.stats()?;
        for (stat, count) in wanted {
            let place = *stat as usize;
            equal(&format!("{stat:?}"), now[place] - self.stats[place], *count)?;
        }
        self.stats = now;
        Ok(())
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), Fail> {
        let addr = TX_BUFFERS.0 + BUS_OFFSET + SLOT * (self.sent % u64::from(SIZE));
        let stream = [&[0; HDR], frame].concat();
        self.host.bus.write(addr, &stream);
        let len = stream.len() as u32;
        let ring = &mut self.rings[TX];
        let (chain, _) = ring.prepare(&mut self.host.bus, &[Element { addr, len }], 0, 0);
        ring.publish(&mut self.host.bus, chain);
        self.sent += 1;
        self.host.kick(TX)
    }

    fn post(&mut self, count: u64) -> Result<(), Fail> {
        for _ in 0..count {
            let slot = self.posted % u64::from(SIZE);
            let element = Element {
                addr: RX_BUFFERS.0 + BUS_OFFSET + SLOT * slot,
                len: 2048,
            };
            let ring = &mut self.rings[RX];
            let (chain, _) = ring.prepare(&mut self.host.bus, &[element], slot as u16, 0);
            ring.publish(&mut self.host.bus, chain);
            self.posted += 1;
        }
        self.host.kick(RX)
    }

    /// Frames that left the card within `time`.
    fn wire(&mut self, time: Ps) -> Result<Vec<WireFrame>, Fail> {
        let mut frames = vec![];
        let until = self.host.nic.now() + time;
        while self.host.nic.run_until(until)? != Stop::Time {
            while self.host.nic.take_msix().is_some() {}
            while let Some(frame) = self.host.nic.take_wire() {
                frames.push(frame);
            }
        }
        self.take(TX)?;
        Ok(frames)
    }

    fn take(&mut self, queue: usize) -> Result<Vec<Used<u16>>, Fail> {
        let mut used = vec![];
        loop {
            let before = used.len();
            self.rings[queue].take_used(&self.host.bus, &mut used)?;
            if used.len() == before {
                return Ok(used);
            }
        }
    }

    /// Frames that came into buffers.
    fn received(&mut self) -> Result<Vec<Vec<u8>>, Fail> {
        let used = self.take(RX)?;
        let read = |u: &Used<u16>| {
            let mut bytes = vec![0; u.len.unwrap_or_default() as usize];
            let at = RX_BUFFERS.0 + BUS_OFFSET + SLOT * u64::from(u.token);
            self.host.bus.read(at, &mut bytes);
            bytes.split_off(HDR)
        };
        Ok(used.iter().map(read).collect())
    }

    fn arrive(&mut self, frame: Vec<u8>) {
        let now = self.host.nic.now();
        self.host.nic.wire_send(WireFrame::new(now, frame));
    }

    /// No frame begins in a pause; XON ends it at once; honouring can be switched off.
    fn honours_pause(&mut self) -> Result<(), Fail> {
        let station = self.host.nic.config().mac;
        for (to, quanta) in [(PAUSE_ADDRESS, 300), (station, 40), (PAUSE_ADDRESS, 2000)] {
            self.arrive(mac_control(to, 1, quanta));
            self.host.run(60)?;
            let from = self.host.nic.now();
            self.send(&[0x5a; 100])?;
            let pause = QUANTUM * Ps::from(quanta);
            let frames = self.wire(pause + 20_000_000)?;
            equal("frames", frames.len(), 1)?;
            // The PAUSE was on the wire before `from`, and some of it is over.
            let at = frames[0].at - from;
            let least = pause.saturating_sub(400 * CYCLE_PS);
            if at < least || at > pause + 15_000_000 {
                return Err(format!("a frame {at} ps after a PAUSE of {pause} ps").into());
            }
        }
        self.arrive(mac_control(PAUSE_ADDRESS, 1, 0xffff));
        self.host.run(60)?;
        self.send(&[0x5b; 64])?;
        equal("frames in a pause", self.wire(20_000_000)?.len(), 0)?;
        self.arrive(mac_control(PAUSE_ADDRESS, 1, 0));
        equal("frames after XON", self.wire(5_000_000)?.len(), 1)?;
        self.counted(&[
            (Stat::RxPause, 5),
            (Stat::RxMacCtrl, 0),
            (Stat::TxFrames, 4),
        ])?;

        self.mac(0)?;
        self.arrive(mac_control(PAUSE_ADDRESS, 1, 0xffff));
        self.host.run(60)?;
        self.send(&[0x5c; 64])?;
        equal("frames", self.wire(5_000_000)?.len(), 1)?;
        self.mac(RX_PAUSE)?;
        self.counted(&[(Stat::RxPause, 0)])?;
        // It came in as data.
        self.post(1)?;
        self.wire(5_000_000)?;
        equal("frames received", self.received()?.len(), 1)
    }

    /// 31B.3.7: behind the end of a PAUSE no frame begins any more after 60 quanta, whatever stands in line to
    /// be sent, and none before the pause is over.
    fn reacts_in_time(&mut self) -> Result<(), Fail> {
        const LIMIT: Ps = 60 * QUANTUM;
        const QUANTA: u16 = 1000;
        let pause = QUANTUM * Ps::from(QUANTA);
        let (mut slowest, mut sent, mut heard) = (0, 0, 0);
        for length in [60, 61, 1514, 9216] {
            let addr = TX_BUFFERS.0 + BUS_OFFSET + SLOT * u64::from(SIZE);
            self.host.bus.write(addr, &vec![0; HDR + length]);
            let len = (HDR + length) as u32;
            for phase in 0..8 {
                // Enough to be sent until the pause begins, and some behind it.
                let count = 30_000_000 / ((length as Ps + 24) * OCTET_PS) + 8;
                for _ in 0..count.min(u64::from(SIZE)) {
                    let ring = &mut self.rings[TX];
                    let elements = [Element { addr, len }];
                    let (chain, _) = ring.prepare(&mut self.host.bus, &elements, 0, 0);
                    ring.publish(&mut self.host.bus, chain);
                    sent += 1;
                }
                self.host.kick(TX)?;
                let mut frames = vec![];
                while frames.is_empty() {
                    frames = self.wire(500_000)?;
                }
                // All phases of our frame, and of a word.
                let at = self.host.nic.now() + 500_000 + phase * 411_200;
                let frame = mac_control(PAUSE_ADDRESS, 1, QUANTA);
                let end = at + (8 + frame.len() as Ps + 4) * OCTET_PS;
                self.host.nic.wire_send(WireFrame::new(at, frame));
                heard += 1;
                frames.extend(self.wire(pause + 200_000_000)?);
                let before = frames.iter().rfind(|f| f.at < end + pause / 2);
                let before = before.ok_or("nothing was sent before the pause")?.at;
                // The wire takes what comes up to 4 octets late: a frame begins in lane 0 or 4.
                slowest = slowest.max(before.saturating_sub(end));
                if before > end + LIMIT {
                    let late = before - end;
                    return Err(format!("a frame begins {late} ps behind a PAUSE").into());
                }
                let after = frames.iter().find(|f| f.at > before);
                let after = after.ok_or("nothing was left for after the pause")?.at;
                if after < end + pause {
                    let early = end + pause - after;
                    return Err(format!("a frame begins {early} ps before a pause is over").into());
                }
            }
        }
        println!("  the last frame begins {slowest} ps behind a PAUSE, 31B.3.7 allows {LIMIT}");
        self.counted(&[(Stat::RxPause, heard), (Stat::TxFrames, sent)])
    }

    /// Other control frames go no further, and hold nobody back.
    fn keeps_control_frames(&mut self) -> Result<(), Fail> {
        self.arrive(mac_control(PAUSE_ADDRESS, 0x0101, 0xffff));
        self.arrive(mac_control([2, 9, 9, 9, 9, 9], 1, 0xffff));
        let damaged = WireFrame::new(self.host.nic.now(), mac_control(PAUSE_ADDRESS, 1, 0xffff));
        self.host.nic.wire_send(damaged.bad_fcs());
        self.wire(1_000_000)?;
        self.send(&[0x5d; 64])?;
        equal("frames", self.wire(5_000_000)?.len(), 1)?;
        let wanted = [
            (Stat::RxMacCtrl, 2),
            (Stat::RxPause, 0),
            (Stat::RxBadFcs, 1),
        ];
        self.counted(&wanted)?;
        equal("frames received", self.received()?.len(), 0)
    }

    /// What is sent comes back, and the wire is cut off on both sides.
    fn loops_back(&mut self) -> Result<(), Fail> {
        self.mac(RX_PAUSE | LOOPBACK)?;
        self.post(20)?;
        let mut sent = vec![];
        for length in (60..1500).step_by(97) {
            let frame: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
            self.send(&frame)?;
            self.arrive(vec![0xee; 80]);
            sent.push(frame);
        }
        equal("frames on the wire", self.wire(400_000_000)?.len(), 0)?;
        let received = self.received()?;
        let lengths = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect::<Vec<_>>();
        equal("lengths that came back", lengths(&received), lengths(&sent))?;
        if received != sent {
            return Err("what came back is not what was sent".into());
        }
        self.mac(RX_PAUSE)?;
        let count = sent.len() as u64;
        self.counted(&[(Stat::TxFrames, count), (Stat::RxFrames, count)])?;
        self.send(&sent[0])?;
        self.arrive(vec![0xef; 80]);
        equal("frames on the wire", self.wire(5_000_000)?.len(), 1)?;
        equal("frames received", self.received()?, vec![vec![0xef; 80]])
    }

    /// XOFF when the store fills up, again as long as it is full, XON when there is room.
    fn sends_pause(&mut self) -> Result<(), Fail> {
        self.mac(RX_PAUSE | TX_PAUSE)?;
        // Buffers that are left from before.
        for _ in 0..4 {
            self.arrive(vec![0x11; 1000]);
        }
        self.wire(20_000_000)?;
        // Seven eighths of the store.
        let flood = STORE * 7 / 8 / 125;
        for _ in 0..flood {
            self.arrive(vec![0x22; 1000]);
        }
        let frames = self.wire(4_900_000_000)?;
        let xoff = [&PAUSE_ADDRESS[..], &self.host.nic.config().mac].concat();
        let times: Vec<[u8; 2]> = frames
            .iter()
            .map(|frame| {
                let right = frame.bytes.len() == 60
                    && frame.fcs_ok
                    && frame.bytes[..12] == xoff
                    && frame.bytes[12..16] == [0x88, 0x08, 0, 1];
                if right {
                    Ok([frame.bytes[16], frame.bytes[17]])
                } else {
                    Err(Fail(format!("not a PAUSE: {:x?}", &frame.bytes[..18])))
                }
            })
            .collect::<Result<_, Fail>>()?;
        // 3.36 ms is the longest time, half of it lies between two; the store fills within 25 us.
        equal("XOFF in 4.9 ms", times, vec![[0xff; 2]; 3])?;
        self.post(flood)?;
        let frames = self.wire(50_000_000)?;
        equal("XON", frames.len(), 1)?;
        equal("its time", &frames[0].bytes[16..18], &[0, 0][..])?;
        self.mac(RX_PAUSE)?;
        self.counted(&[(Stat::TxPause, 4), (Stat::RxNoSpace, 0)])?;
        let received = self.received()?.len();
        equal("frames received", received as u64, 4 + flood)
    }

    /// Frames of the longest kind at line rate from a peer that reacts as late as 31B.3.7 lets it, at the
    /// end of 100 m, while our own frames are in the way of each PAUSE: none is lost.
    fn pauses_in_time(&mut self) -> Result<(), Fail> {
        const LENGTH: usize = 9216;
        const STEP: Ps = 16 * CYCLE_PS;
        let octets = |length: usize| (8 + length + 4 + 12) as Ps * OCTET_PS;
        let mut long = vec![0x44; LENGTH];
        long[12..14].copy_from_slice(&[0x81, 0]); // only with a tag it may be that long
        let delay = 1_000_000 + 60 * QUANTUM;
        // The store fills and empties several times.
        let count = 64;
        self.mac(RX_PAUSE | TX_PAUSE)?;
        let (mut sent, mut came, mut asked, mut posted) = (0, 0, 0, 0);
        let begun = self.host.nic.now();
        let mut free = begun;
        // From when on the peer begins no frame.
        let mut quiet: Option<Ps> = None;
        while came < count {
            for frame in self.wire(STEP)? {
                if frame.bytes[12..14] != [0x88, 0x08] {
                    continue;
                }
                if frame.bytes[16..18] == [0, 0] {
                    quiet = None;
                    free = free.max(self.host.nic.now());
                } else {
                    asked += 1;
                    quiet.get_or_insert(frame.end + delay);
                }
            }
            let now = self.host.nic.now();
            let may = free <= now + STEP && quiet.is_none_or(|from| free < from);
            if may && sent < count {
                let at = free.max(now);
                self.host.nic.wire_send(WireFrame::new(at, long.clone()));
                free = at + octets(LENGTH);
                sent += 1;
            }
            // Frames of zeros: where they are in memory does not matter.
            if self.rings[TX].outstanding() < 4 {
                let addr = TX_BUFFERS.0 + BUS_OFFSET + SLOT * u64::from(SIZE);
                self.host.bus.write(addr, &[0; HDR + LENGTH]);
                let len = (HDR + LENGTH) as u32;
                let ring = &mut self.rings[TX];
                let (chain, _) = ring.prepare(&mut self.host.bus, &[Element { addr, len }], 0, 0);
                ring.publish(&mut self.host.bus, chain);
                self.host.kick(TX)?;
            }
            // Two thirds of what the wire carries.
            if (now - begun) / (octets(LENGTH) * 3 / 2) > posted {
                posted += 1;
                let addr = RX_BUFFERS.0 + BUS_OFFSET + SLOT * u64::from(SIZE);
                let len = (HDR + LENGTH) as u32;
                let ring = &mut self.rings[RX];
                let (chain, _) = ring.prepare(&mut self.host.bus, &[Element { addr, len }], 0, 0);
                ring.publish(&mut self.host.bus, chain);
                self.host.kick(RX)?;
            }
            came += self.take(RX)?.len();
            if now > begun + 10_000_000_000 {
                let stats = self.host.stats()?;
                return Err(format!("{came} of {sent} frames within 10 ms: {stats:?}").into());
            }
        }
        if asked < 3 {
            return Err(format!("asked to pause {asked} times: nothing was shown").into());
        }
        self.mac(RX_PAUSE)?;
        self.wire(200_000_000)?;
        let none = [Stat::RxNoSpace, Stat::RxTruncated, Stat::RxNoBuffer].map(|stat| (stat, 0));
        self.counted(&none)
    }

    /// A frame so long that the peer is asked to pause, and that is bad: the room that it gives back is
    /// told, though nothing else happens any more.
    fn forgets_bad_frames(&mut self) -> Result<(), Fail> {
        self.mac(RX_PAUSE | TX_PAUSE)?;
        let now = self.host.nic.now();
        let long = WireFrame::new(now, vec![0x55; 9200]);
        self.host.nic.wire_send(long.bad_fcs());
        let frames = self.wire(100_000_000)?;
        let times: Vec<_> = frames.iter().map(|f| [f.bytes[16], f.bytes[17]]).collect();
        equal("XOFF and XON", times, vec![[0xff; 2], [0; 2]])?;
        self.mac(RX_PAUSE)?;
        self.counted(&[(Stat::RxBadFcs, 1), (Stat::TxPause, 2)])
    }

    /// Counters of one instant fit together while frames come in.
    fn takes_snapshots(&mut self) -> Result<(), Fail> {
        const LENGTH: u64 = 100;
        let region = constant("BAR_VENDOR")?;
        let snapshot = region + constant("VENDOR_SNAPSHOT")?;
        let frozen = region + constant("VENDOR_FROZEN")?;
        let read = |host: &mut Host, base: u32, stat: Stat| -> Result<u64, Fail> {
            let at = base + 8 * stat as u32;
            let low = host.nic.bar_read(at, 4)?;
            Ok(u64::from(low) | u64::from(host.nic.bar_read(at + 4, 4)?) << 32)
        };
        let (frames, bytes) = (Stat::RxFrames as usize, Stat::RxBytes as usize);
        let before = self.host.stats()?;
        let counters = region + constant("VENDOR_COUNTERS")?;
        for _ in 0..400 {
            self.arrive(vec![0x33; LENGTH as usize]);
        }
        let mut torn = 0;
        for number in 1..=8 {
            self.host.nic.bar_write(snapshot, 4, 0)?;
            equal("snapshots", self.host.nic.bar_read(snapshot, 4)?, number)?;
            let came = read(self.host, frozen, Stat::RxFrames)? - before[frames];
            let octets = read(self.host, frozen, Stat::RxBytes)? - before[bytes];
            equal("bytes of frames", octets, came * LENGTH)?;
            let came = read(self.host, counters, Stat::RxFrames)? - before[frames];
            let octets = read(self.host, counters, Stat::RxBytes)? - before[bytes];
            torn += u64::from(octets != came * LENGTH);
        }
        if torn == 0 {
            return Err("frames were not coming in: nothing was shown".into());
        }
        self.wire(200_000_000)?;
        let stats = self.host.stats()?;
        self.host.nic.bar_write(snapshot, 4, 1)?;
        for (index, value) in (0..).zip(stats) {
            let at = frozen + 8 * index;
            let low = self.host.nic.bar_read(at, 4)?;
            let copy = u64::from(low) | u64::from(self.host.nic.bar_read(at + 4, 4)?) << 32;
            equal("copy", copy, value)?;
        }
        Ok(())
    }
}
