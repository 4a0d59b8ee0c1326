//! Speed of the whole co-simulation (NIC in RTL, driver, kernel path, application), and of the same RTL
//! alone under a bare C++ loop with the same pin stimulus.
//!
//! `cargo bench -p cosim` prints criterion's figures, then the ratio of the two and what the model was
//! compiled with.

use std::hint::black_box;
use std::time::Duration;

use cosim::host::{Host, HostConfig};
use criterion::{Criterion, Throughput};
use hwmodel::BareModel;

/// Frames of one run.
const FRAMES: u64 = 4096;
/// Rounds of the comparison with the bare loop. In each both run once; the median of the rounds' ratios counts, as the two halves of a
/// round meet the same machine.
const ROUNDS: usize = 15;

/// Picoseconds from one frame to the next: the longest, back to back on the wire. The kernel path keeps
/// up, nothing is lost.
const INTERVAL: u64 = 1_300_000;
/// Picoseconds of traffic that the wire's peer has ready.
const AHEAD: u64 = 32 * INTERVAL;

/// UDP ports: of one the datagrams are read from the socket, of the other they are sent back as well.
const DISCARD: u16 = 9;
const ECHO: u16 = 7;

struct Case {
    name: &'static str,
    /// Bytes of a frame, FCS not included.
    len: usize,
    port: u16,
}

const CASES: [Case; 4] = [
    Case {
        name: "receive 64 B",
        len: 60,
        port: DISCARD,
    },
    Case {
        name: "receive 1514 B",
        len: 1514,
        port: DISCARD,
    },
    Case {
        name: "echo 64 B",
        len: 60,
        port: ECHO,
    },
    Case {
        name: "echo 1514 B",
        len: 1514,
        port: ECHO,
    },
];

fn config(record_pins: bool) -> HostConfig {
    HostConfig {
        addrs: vec!["192.0.2.20/24".parse().unwrap()],
        udp_echo: vec![ECHO],
        udp_discard: vec![DISCARD],
        record_pins,
        ..HostConfig::default()
    }
}

/// An ARP request tells the host its peer's address, so that answers need not wait for one.
fn arp_request() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 0x0a, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend([
        2, 0, 0, 0, 0, 0x0a, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 192, 0, 2, 20,
    ]);
    frame
}

fn internet_sum(parts: &[&[u8]]) -> u16 {
    let sum: u32 = parts
        .iter()
        .flat_map(|p| p.chunks(2))
        .map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// A UDP datagram from 192.0.2.10 in a frame of `len` bytes.
fn datagram(len: usize, port: u16) -> Vec<u8> {
    let udp_len = (len - 34) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((len as u16 - 14).to_be_bytes());
    ip.extend([0, 1, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 10, 192, 0, 2, 20]);
    let sum = internet_sum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut udp = Vec::new();
    for word in [40000, port, udp_len, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend((8..udp_len).map(|i| i as u8));
    let pseudo = [&ip[12..20], &[0, 17], &udp_len.to_be_bytes()].concat();
    let sum = internet_sum(&[&pseudo, &udp]);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());

    let mut frame = vec![2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x08, 0x00];
    frame.extend(ip);
    frame.extend(udp);
    assert_eq!(frame.len(), len);
    frame
}

/// A host that knows its peer and has been at `case` for a while.
fn host(case: &Case, record_pins: bool) -> Host {
    let mut host = Host::new(&config(record_pins)).unwrap();
    let now = host.now();
    host.wire_in(0, now, arp_request());
    host.run_until_quiet().unwrap();
    while host.take_wire().is_some() {}
    run(&mut host, case, FRAMES / 4);
    host
}

/// Feeds `frames` frames of the case, back to back; returns how many came back.
fn run(host: &mut Host, case: &Case, frames: u64) -> u64 {
    let frame = datagram(case.len, case.port);
    let mut back = 0;
    let start = host.now();
    for number in 1..=frames {
        let begins = start + number * INTERVAL;
        host.wire_in(number, begins, frame.clone());
        host.run_until(begins.saturating_sub(AHEAD)).unwrap();
        while host.take_wire().is_some() {
            back += 1;
        }
    }
    host.run_until_quiet().unwrap();
    while host.take_wire().is_some() {
        back += 1;
    }
    back
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("cosim");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1));
    for case in &CASES {
        group.throughput(Throughput::Elements(FRAMES));
        let mut host = host(case, false);
        group.bench_function(case.name, |b| {
            b.iter(|| black_box(run(&mut host, case, FRAMES)))
        });
        let summary = host.summary(0).unwrap();
        assert_eq!(summary.unaccounted(), 0);
        let nothing = std::collections::BTreeMap::new();
        assert_eq!((&summary.drops, &summary.tx_drops), (&nothing, &nothing));
        // All but the ARP request went all the way.
        let read = summary.delivered.get("read from a socket").copied();
        assert_eq!(read, Some(summary.wire.frames_in - 1), "{summary}");
        let back = if case.port == ECHO { read } else { Some(0) };
        assert_eq!(Some(summary.wire.frames_out - 1), back, "{summary}");
    }
    group.finish();
}

/// CPU time of this thread: what other processes do on the machine does not count.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The whole machine against the RTL alone: same stimulus, same process, turn by turn. Only cycles that
/// carry the case's frames count, not those of bring-up.
fn ratio(case: &Case) {
    let mut recorded = host(case, true);
    let bring_up = recorded.cycles() as usize;
    run(&mut recorded, case, FRAMES);
    let (config, pins) = recorded.pins().expect("pins were recorded");
    drop(recorded);
    let (bring_up, stimulus) = pins.split_at(bring_up);

    let (mut bare, mut whole, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut full = Vec::new();
    let (mut cycles, mut answers) = (0, 0);
    for _ in 0..ROUNDS {
        let mut model = BareModel::new(&config);
        model.replay(bring_up, false).unwrap();
        let started = cpu_seconds();
        black_box(model.replay(stimulus, false)).unwrap();
        let bare_took = cpu_seconds() - started;

        let mut model = BareModel::full(&config);
        model.replay(bring_up, false).unwrap();
        let started = cpu_seconds();
        black_box(model.replay(stimulus, false)).unwrap();
        let full_took = cpu_seconds() - started;

        let mut host = host(case, false);
        let before = host.cycles();
        let started = cpu_seconds();
        answers = run(&mut host, case, FRAMES);
        let whole_took = cpu_seconds() - started;
        cycles = host.cycles() - before;
        assert_eq!(cycles, stimulus.len() as u64, "the same work was done");
        bare.push(cycles as f64 / bare_took);
        full.push(cycles as f64 / full_took);
        whole.push(cycles as f64 / whole_took);
        ratios.push(bare_took / whole_took);
    }
    let (bare, full, whole) = (median(bare), median(full), median(whole));
    let frames = |count: u64| whole * count as f64 / cycles as f64;
    println!(
        "{:<15} {whole:>9.0} cycles/s, {:>7.0} frames/s in, {:>7.0} out, {:>7.0} in all; bare loop {bare:>9.0} cycles/s; ratio {:.2}; \
         bare loop of the full NIC {full:>9.0} cycles/s",
        case.name,
        frames(FRAMES),
        frames(answers),
        frames(FRAMES + answers),
        median(ratios)
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion);
    println!("\nper second of CPU time; {}", hwmodel::TOOLCHAIN);
    for case in &CASES {
        ratio(case);
    }
    criterion.final_summary();
}
