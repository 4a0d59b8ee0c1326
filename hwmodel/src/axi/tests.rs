use super::{burst::BEAT, *};
use crate::{
    counters::DmaRecord,
    iommu::{Permission, Refusal},
    memory::HostMemory,
    msix,
};
use std::collections::VecDeque;

/// A host with memory, and a device whose outputs the test sets by hand.
struct Bench {
    axi: AxiHost,
    host: Host,
    out: PinsOut,
    pins: PinsIn,
    now: Ps,
}

/// Bus address of the first mapped byte, which is byte 0 of memory.
const BASE: u64 = 0x7000_0000;
const MSI: u64 = *msix::RANGE.start();

impl Bench {
    fn new(config: AxiHostConfig) -> Self {
        let mut host = Host::new(HostMemory::new(1 << 20).unwrap());
        host.bus_master = true;
        host.log = Some(vec![]);
        host.iommu
            .map(BASE, 1 << 16, 0, Permission::ReadWrite)
            .unwrap();
        host.iommu
            .map(BASE + (1 << 16), 1 << 16, 1 << 16, Permission::Read)
            .unwrap();
        Self {
            axi: AxiHost::new(config, 5),
            host,
            out: PinsOut {
                m_axi_bready: true,
                m_axi_rready: true,
                ..PinsOut::default()
            },
            pins: PinsIn::reset(),
            now: 0,
        }
    }

    /// One cycle; the pins are those that hold in it.
    fn cycle(&mut self) -> Result<PinsIn, AxiError> {
        self.axi
            .drive(self.now, &self.out, &mut self.pins, &mut self.host)?;
        self.now += crate::CYCLE_PS;
        Ok(self.pins)
    }

    fn ask_read(&mut self, id: u8, addr: u64, beats: u16) {
        self.out.m_axi_arvalid = true;
        self.out.m_axi_arid = id;
        self.out.m_axi_araddr = addr;
        self.out.m_axi_arlen = (beats - 1) as u8;
        self.out.m_axi_arsize = 4;
        self.out.m_axi_arburst = 1;
    }

    fn read_address(&mut self, id: u8, addr: u64, beats: u16) -> Result<(), AxiError> {
        self.ask_read(id, addr, beats);
        while !self.cycle()?.m_axi_arready {}
        self.out.m_axi_arvalid = false;
        Ok(())
    }

    /// Runs until a whole burst has come: ID, code, beats, and the time of the first.
    fn read_data(&mut self) -> (u8, u8, Vec<[u64; 2]>, Ps) {
        let mut beats = vec![];
        let mut first = 0;
        for _ in 0..10_000 {
            let at = self.now;
            let pins = self.cycle().unwrap();
            if pins.m_axi_rvalid {
                if beats.is_empty() {
                    first = at;
                }
                beats.push(pins.m_axi_rdata);
                if pins.m_axi_rlast {
                    return (pins.m_axi_rid, pins.m_axi_rresp, beats, first);
                }
            }
        }
        panic!("no data");
    }

    /// Sends a whole write burst of beats with strobes.
    fn write(&mut self, id: u8, addr: u64, beats: &[([u64; 2], u16)]) -> Result<(), AxiError> {
        self.out.m_axi_awvalid = true;
        self.out.m_axi_awid = id;
        self.out.m_axi_awaddr = addr;
        self.out.m_axi_awlen = (beats.len() - 1) as u8;
        self.out.m_axi_awsize = 4;
        self.out.m_axi_awburst = 1;
        let mut left = beats.iter().peekable();
        while let Some((data, strobe)) = left.peek() {
            self.out.m_axi_wvalid = true;
            (self.out.m_axi_wdata, self.out.m_axi_wstrb) = (*data, *strobe);
            self.out.m_axi_wlast = left.len() == 1;
            let pins = self.cycle()?;
            if pins.m_axi_awready {
                self.out.m_axi_awvalid = false;
            }
            if pins.m_axi_wready {
                left.next();
            }
        }
        self.out.m_axi_wvalid = false;
        Ok(())
    }

    fn response(&mut self) -> (u8, u8, Ps) {
        for _ in 0..10_000 {
            let at = self.now;
            let pins = self.cycle().unwrap();
            if pins.m_axi_bvalid {
                return (pins.m_axi_bid, pins.m_axi_bresp, at);
            }
        }
        panic!("no response");
    }

    fn log(&self) -> &[DmaRecord] {
        self.host.log.as_deref().unwrap_or_default()
    }

    fn bytes(&self, phys: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.host.memory.read(phys, &mut bytes).unwrap();
        bytes
    }
}

/// The beat at a physical address.
fn beat(memory: &HostMemory, phys: u64) -> [u64; 2] {
    let mut beats = vec![];
    memory.read_beats(phys, 1, &mut beats).unwrap();
    beats[0].data
}

fn quick() -> AxiHostConfig {
    AxiHostConfig {
        read_latency: 64_000,
        write_latency: 64_000,
        ..AxiHostConfig::default()
    }
}

#[test]
fn reads_come_in_order_after_the_latency() {
    let mut bench = Bench::new(quick());
    for byte in 0..64 {
        bench.host.memory.write(byte, &[byte as u8]).unwrap();
    }
    bench.read_address(3, BASE, 2).unwrap();
    bench.read_address(1, BASE + 0x20, 1).unwrap();
    let (id, resp, beats, at) = bench.read_data();
    assert_eq!((id, resp, at), (3, RESP_OKAY, 64_000));
    assert_eq!(beats[0], [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
    assert_eq!(beats[1], [0x1716_1514_1312_1110, 0x1f1e_1d1c_1b1a_1918]);
    assert_eq!(bench.read_data().0, 1);
    assert_eq!(
        (
            bench.host.counters.dma_read_bursts,
            bench.host.counters.dma_read_bytes
        ),
        (2, 48)
    );
    assert_eq!(bench.log()[0].start, 0);
    assert_eq!(bench.axi.next_event(), None);
}

#[test]
fn a_beat_is_held_until_it_is_taken() {
    let mut bench = Bench::new(quick());
    bench.out.m_axi_rready = false;
    bench.read_address(0, BASE, 1).unwrap();
    while !bench.cycle().unwrap().m_axi_rvalid {}
    let before = bench.pins;
    bench.host.memory.write(0, &[0xff; 16]).unwrap();
    for _ in 0..5 {
        assert_eq!(
            bench.cycle().unwrap(),
            before,
            "valid and data must not change"
        );
    }
    bench.out.m_axi_rready = true;
    assert!(bench.cycle().unwrap().m_axi_rvalid);
    assert!(!bench.cycle().unwrap().m_axi_rvalid);
}

#[test]
fn writes_become_visible_after_the_latency_and_then_are_answered() {
    let mut bench = Bench::new(quick());
    bench
        .write(
            2,
            BASE + 0x104,
            &[([u64::MAX; 2], 0xfff0), ([u64::MAX; 2], 0x000f)],
        )
        .unwrap();
    assert_eq!(bench.bytes(0x100, 32), [0; 32], "too early");
    let (id, resp, at) = bench.response();
    assert_eq!((id, resp), (2, RESP_OKAY));
    assert!((64_000..90_000).contains(&at), "{at}");
    let mut expected = [0xff; 32];
    expected[..4].fill(0);
    expected[20..].fill(0);
    assert_eq!(bench.bytes(0x100, 32), expected);
    assert_eq!(
        (
            bench.host.counters.dma_write_bursts,
            bench.host.counters.dma_write_bytes
        ),
        (1, 16)
    );
    assert_eq!(bench.axi.next_event(), None);
}

#[test]
fn a_read_returns_the_writes_before_it() {
    let config = AxiHostConfig {
        read_latency: 0,
        write_latency: 500_000,
        ..quick()
    };
    let mut bench = Bench::new(config);
    bench.write(0, BASE, &[([7, 9], 0xffff)]).unwrap();
    bench.read_address(1, BASE, 1).unwrap();
    assert_eq!(bench.read_data().2, [[7, 9]]);
}

#[test]
fn unmapped_dma_is_refused_with_decerr() {
    let mut bench = Bench::new(quick());
    for addr in [0, BASE - BEAT, BASE + (2 << 16), u64::MAX - 15] {
        bench.read_address(0, addr, 1).unwrap();
        assert_eq!(bench.read_data().1, RESP_DECERR, "read of {addr:#x}");
        bench.write(0, addr, &[([1; 2], 0xffff)]).unwrap();
        assert_eq!(bench.response().1, RESP_DECERR, "write of {addr:#x}");
    }
    assert_eq!(bench.host.counters.dma_refused, 8);
    assert_eq!(
        (
            bench.host.counters.dma_read_bytes,
            bench.host.counters.dma_write_bytes
        ),
        (0, 0)
    );
    assert!(
        bench
            .log()
            .iter()
            .all(|record| record.refused == Some(Refusal::NotMapped))
    );
    assert_eq!(
        bench.bytes(0, 1 << 20),
        vec![0; 1 << 20],
        "nothing was written"
    );
}

#[test]
fn a_write_to_a_read_only_mapping_is_refused_with_slverr() {
    let mut bench = Bench::new(quick());
    bench
        .write(0, BASE + (1 << 16), &[([1; 2], 0xffff)])
        .unwrap();
    assert_eq!(bench.response().1, RESP_SLVERR);
    assert_eq!(bench.bytes(1 << 16, 16), [0; 16]);
    bench.read_address(0, BASE + (1 << 16), 1).unwrap();
    assert_eq!(bench.read_data().1, RESP_OKAY);
}

#[test]
fn memory_that_goes_away_refuses_what_is_in_flight() {
    const GUEST: u64 = 0x10_0000_0000;
    let guest = HostMemory::new(1 << 16).unwrap();
    let mut bench = Bench::new(quick());
    let phys = bench.host.memory.attach(guest.file(), 0, 1 << 16).unwrap();
    bench.host.iommu.set_memory(&bench.host.memory);
    bench
        .host
        .iommu
        .map(GUEST, 1 << 16, phys, Permission::ReadWrite)
        .unwrap();
    bench.write(1, GUEST + 32, &[([5, 6], 0xffff)]).unwrap();
    assert_eq!(bench.response().1, RESP_OKAY);
    assert_eq!(beat(&guest, 32), [5, 6]);
    bench.read_address(2, GUEST + 32, 1).unwrap();
    assert_eq!(bench.read_data().2, [[5, 6]]);

    bench.write(1, GUEST + 32, &[([7, 8], 0xffff)]).unwrap();
    bench.read_address(2, GUEST + 32, 1).unwrap();
    bench.host.memory.detach(phys);
    let mut codes = vec![];
    for _ in 0..10_000 {
        let pins = bench.cycle().unwrap();
        codes.extend(pins.m_axi_bvalid.then_some(pins.m_axi_bresp));
        codes.extend(pins.m_axi_rvalid.then_some(pins.m_axi_rresp));
    }
    assert_eq!(codes, [RESP_DECERR; 2]);
    assert_eq!(bench.host.counters.dma_refused, 2);
    assert_eq!(beat(&guest, 32), [5, 6], "nothing was written");
}

#[test]
fn without_bus_mastering_nothing_passes() {
    let mut bench = Bench::new(quick());
    bench.host.bus_master = false;
    bench.write(0, BASE, &[([1; 2], 0xffff)]).unwrap();
    assert_eq!(bench.response().1, RESP_DECERR);
    bench.write(0, MSI, &[([1; 2], 0x000f)]).unwrap();
    assert_eq!(bench.response().1, RESP_DECERR);
    assert!(bench.host.messages.is_empty());
    assert_eq!(bench.host.counters.dma_refused, 2);
}

#[test]
fn messages_arrive_behind_the_data() {
    for seed in 0..20 {
        let mut bench = Bench::new(AxiHostConfig {
            jitter: 900_000,
            ..quick()
        });
        bench.axi.seed = seed;
        bench
            .write(4, BASE, &[([seed + 1; 2], 0xffff); 16])
            .unwrap();
        bench
            .write(6, MSI + 0x1c, &[([0, 0x41 << 32], 0xf000)])
            .unwrap();
        bench.write(4, BASE + 0x1000, &[([9; 2], 0xffff)]).unwrap();
        while bench.host.messages.is_empty() {
            bench.cycle().unwrap();
        }
        assert_eq!(beat(&bench.host.memory, 0xf0), [seed + 1; 2], "seed {seed}");
        let message = bench.host.messages[0];
        assert_eq!((message.address, message.data), (MSI + 0x1c, 0x41));
        assert_eq!(bench.host.counters.msix_messages, 1);
        assert!(
            bench.log().iter().all(|record| record.id == 4),
            "a message is not DMA"
        );
    }
}

#[test]
fn a_message_is_four_aligned_bytes() {
    for (addr, strobe) in [(MSI, 0xff), (MSI, 0x3), (MSI + 2, 0x3c), (MSI + 4, 0xf00)] {
        let mut bench = Bench::new(quick());
        bench.write(6, addr, &[([1; 2], strobe)]).unwrap();
        assert_eq!(bench.response().1, RESP_DECERR);
        assert!(bench.host.messages.is_empty());
    }
}

#[test]
fn protocol_violations_are_errors() {
    let violation = |change: fn(&mut PinsOut)| {
        let mut bench = Bench::new(quick());
        bench.ask_read(0, BASE, 4);
        change(&mut bench.out);
        bench.cycle().unwrap_err().violation
    };
    assert_eq!(violation(|o| o.m_axi_arburst = 0), Violation::BurstType(0));
    assert_eq!(violation(|o| o.m_axi_arsize = 5), Violation::Size(32));
    assert_eq!(violation(|o| o.m_axi_arsize = 3), Violation::Size(8));
    assert_eq!(
        violation(|o| o.m_axi_araddr = BASE + 0xfd8),
        Violation::Boundary {
            addr: BASE + 0xfd8,
            len: 0x38
        }
    );

    let mut bench = Bench::new(quick());
    bench.ask_read(0, BASE + 0xfd8, 3);
    assert!(
        bench.cycle().is_ok(),
        "up to the boundary is allowed: the last beat ends there"
    );

    let mut bench = Bench::new(AxiHostConfig {
        max_reads: 0,
        ..quick()
    });
    bench.ask_read(0, BASE, 1);
    bench.cycle().unwrap();
    bench.cycle().unwrap();
    bench.out.m_axi_araddr += 16;
    assert_eq!(bench.cycle().unwrap_err().violation, Violation::Unstable);

    let mut bench = Bench::new(quick());
    let error = bench.write(0, BASE + 8, &[([0; 2], 0xffff)]).unwrap_err();
    let (strobe, allowed) = (0xffff, 0xff00);
    assert_eq!(error.violation, Violation::Strobe { strobe, allowed });

    let mut bench = Bench::new(quick());
    bench.write(0, BASE, &[([0; 2], 0xffff)]).unwrap();
    bench.out.m_axi_awvalid = true;
    bench.out.m_axi_awlen = 3;
    bench.out.m_axi_wvalid = true;
    let last = Violation::Last {
        last: true,
        beat: 1,
        beats: 4,
    };
    assert_eq!(bench.cycle().unwrap_err().violation, last);
}

/// Random traffic against the model: every burst is answered once, with the right data, per ID in
/// order, and no rule is broken whatever the configuration.
#[test]
fn random_configurations_answer_everything() {
    for seed in 0..50 {
        let config = AxiHostConfig::random(seed);
        let mut bench = Bench::new(config.clone());
        for page in 0..16u64 {
            bench
                .host
                .memory
                .write(page * 64, &[page as u8 + 1; 64])
                .unwrap();
        }
        let mut rng = Rng::new(seed);
        let mut expected: Vec<VecDeque<(u64, u16)>> = vec![VecDeque::new(); 4];
        let (mut asked, mut answered, mut beats) = (0, 0, 0u16);
        while answered < 100 {
            if !bench.out.m_axi_arvalid && asked < 100 {
                let (id, slot) = (rng.below(4) as u8, rng.below(16));
                bench.ask_read(id, BASE + slot * 64, 1 + rng.below(4) as u16);
            }
            bench.out.m_axi_rready = rng.chance(700);
            let pins = bench.cycle().unwrap();
            if bench.out.m_axi_arvalid && pins.m_axi_arready {
                bench.out.m_axi_arvalid = false;
                let slot = (bench.out.m_axi_araddr - BASE) / 64;
                let len = u16::from(bench.out.m_axi_arlen) + 1;
                expected[usize::from(bench.out.m_axi_arid)].push_back((slot, len));
                asked += 1;
            }
            if pins.m_axi_rvalid && bench.out.m_axi_rready {
                let queue = &mut expected[usize::from(pins.m_axi_rid)];
                let (slot, len) = queue
                    .front()
                    .copied()
                    .expect("an answer that was asked for");
                assert_eq!(
                    pins.m_axi_rdata,
                    [(slot + 1) * 0x0101_0101_0101_0101; 2],
                    "seed {seed}"
                );
                beats += 1;
                assert_eq!(pins.m_axi_rlast, beats == len, "seed {seed}, {config:?}");
                if beats == len {
                    queue.pop_front();
                    answered += 1;
                    beats = 0;
                }
            }
        }
        assert_eq!(bench.host.counters.dma_read_bursts, 100);
    }
}

#[test]
fn a_response_that_waits_behind_a_window_stays_as_it_is() {
    let mut bench = Bench::new(AxiHostConfig::default());
    bench.out.m_axi_bready = false;
    bench.pins.m_axi_bid = 9;
    bench.write(3, 0x10, &[([1, 2], 0xffff)]).unwrap(); // mapped nowhere
    let mut window = Window::default();
    let end = bench.axi.open_window(
        bench.now,
        &bench.out,
        &mut bench.pins,
        &mut window,
        &bench.host,
    );
    assert!(end.is_some());
    window.limit = WINDOW;
    let (_, _, responses) = bench.axi.answers(bench.now, &mut window, &bench.host);
    assert_eq!((responses.len(), responses[0].id), (1, 3));
    // What the model does: it runs until the response is on the pins, and the device does not take it.
    window.cycles = responses[0].cycle + 2;
    window.response_count = 1;
    window.response_waits = true;
    let first = bench.now;
    bench
        .axi
        .close_window(first, &window, &mut bench.pins, &mut bench.host)
        .unwrap();
    bench.now += Ps::from(window.cycles) * crate::CYCLE_PS;
    bench.out.m_axi_bready = true;
    for waits in [true, false] {
        let pins = bench.cycle().unwrap();
        assert_eq!(pins.m_axi_bvalid, waits);
        assert_eq!((pins.m_axi_bid, pins.m_axi_bresp), (3, RESP_DECERR));
    }
}
