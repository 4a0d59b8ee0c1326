//! What the guest goes through.

use std::time::{Duration, Instant};

use driver::Feature;

use crate::machine::Machine;
use crate::network::{Background, GUEST, HOST, TAP};

/// What was seen, or what went wrong.
pub type Outcome = Result<String, String>;
type Case = fn(&mut Machine) -> Outcome;

/// The first case: it tells what was negotiated.
pub const BINDS: &str = "virtio_net binds, features as offered";

/// A case and its name.
pub type Named = (&'static str, Case);

/// All cases in their order; each leaves the guest reachable.
pub const ALL: &[Named] = &[
    (BINDS, binds),
    ("100 pings of 0, 56 and 1472 bytes", pings),
    ("100 IPv6 pings of 0, 56 and 1452 bytes", pings6),
    ("a file to the guest by HTTP", download),
    ("a file from the guest by HTTP", upload),
    ("checksums are the card's work", checksums),
    ("segments are cut and joined by the card", segments),
    ("the clock stands while nothing happens", idle),
    ("interface down and up 20 times, with traffic", down_up),
    ("rmmod, insmod virtio_net 20 times, with traffic", reload),
    ("function level reset", function_level_reset),
    ("carrier is lost with the wire", carrier),
    ("memory taken away: DEVICE_NEEDS_RESET", dma_fault),
    ("guest reboots", reboot),
];

/// Those in which data moves.
pub const DATA: &[Named] = &[
    (BINDS, binds),
    ("100 pings of 0, 56 and 1472 bytes", pings),
    ("100 IPv6 pings of 0, 56 and 1452 bytes", pings6),
    ("a file to the guest by HTTP", download),
    ("a file from the guest by HTTP", upload),
    ("rmmod, insmod virtio_net 20 times, with traffic", reload),
];

/// Those in which several queues take part.
pub const QUEUES: &[Named] = &[
    (BINDS, binds),
    ("a file to the guest by HTTP", download),
    ("a file from the guest by HTTP", upload),
    ("32 connections on four queue pairs", queues),
    ("rmmod, insmod virtio_net 20 times, with traffic", reload),
];

/// Those in which data moves, for a guest with an IOMMU.
pub const IOMMU: &[Named] = &[
    (BINDS, binds),
    ("100 pings of 0, 56 and 1472 bytes", pings),
    ("a file to the guest by HTTP", download),
    ("a file from the guest by HTTP", upload),
    ("the card keeps to what the guest mapped", mapped),
    ("memory taken away: DEVICE_NEEDS_RESET", dma_fault),
];

/// Payload bytes of a full TCP segment with timestamps.
const MSS: u64 = 1448;

/// Bytes that go each way.
fn transfer() -> usize {
    crate::machine::megabytes() * 1_000_000
}

const VIRTIO: &str = "/sys/bus/virtio/devices/virtio0";
const ETH: &str = "/sys/class/net/eth0";

// shows (guest): 4.1.1-1, 5.1.4.1-8, 5.1.4.1-9
fn binds(m: &mut Machine) -> Outcome {
    m.wait_for(
        &format!("basename $(readlink {VIRTIO}/driver)"),
        "virtio_net",
    )?;
    let stats = m.stats()?;
    let bits =
        |index: usize| Feature::from_bits(stats["feature_bits"][index].as_u64().unwrap_or(0));
    let (offered, acknowledged) = (bits(0), bits(1));

    // The kernel's own account, bit 0 first.
    let features = m.run(&format!("cat {VIRTIO}/features"))?;
    let bit = |(n, c): (usize, char)| u64::from(n < 64 && c == '1') << (n % 64);
    let kernels = features
        .trim()
        .chars()
        .enumerate()
        .map(bit)
        .fold(0, |a, b| a | b);
    if kernels != acknowledged.bits() {
        let kernels = Feature::from_bits(kernels);
        return Err(format!(
            "the kernel says {kernels}, the card {acknowledged}"
        ));
    }
    let always =
        Feature::VERSION_1 | Feature::RING_PACKED | Feature::ACCESS_PLATFORM | Feature::MAC;
    let optional = Feature::CSUM
        | Feature::GUEST_CSUM
        | Feature::STATUS
        | Feature::MTU
        | Feature::EVENT_IDX
        | Feature::IN_ORDER;
    let bare = m.setup.serve.contains(&"--features-off");
    let expected = if bare { always } else { always | optional };
    if !offered.contains(expected) || bare && offered != expected {
        return Err(format!("offered: {offered}, not {expected}"));
    }
    // virtio_ring learned IN_ORDER in 7.0.
    let major: Option<u32> = m.release().split('.').next().and_then(|n| n.parse().ok());
    let known = if major >= Some(7) {
        expected
    } else {
        expected.without(Feature::IN_ORDER)
    };
    if !acknowledged.contains(known) {
        return Err(format!("acknowledged: {acknowledged}, not all of {known}"));
    }
    // Without SPEED_DUPLEX the driver does not know.
    let (speed, duplex) = if bare {
        ("-1", "unknown")
    } else {
        ("10000", "full")
    };
    let fields = [
        ("address", "02:00:00:00:00:0b"),
        ("mtu", "1500"),
        ("speed", speed),
        ("duplex", duplex),
        ("carrier", "1"),
    ];
    for (field, value) in fields {
        m.wait_for(&format!("cat {ETH}/{field}"), value)?;
    }
    let vectors = m.run("grep -c MSI.*virtio0 /proc/interrupts")?;
    let vectors = vectors.trim();
    if vectors != (1 + 2 * m.setup.pairs).to_string() {
        return Err(format!("{vectors} MSI-X vectors"));
    }
    Ok(format!(
        "packed ring, {vectors} MSI-X vectors, speed {speed}, duplex {duplex}"
    ))
}

fn pings(m: &mut Machine) -> Outcome {
    all_sizes(m, GUEST.0, [0, 56, 1472])
}

fn pings6(m: &mut Machine) -> Outcome {
    all_sizes(m, GUEST.1, [0, 56, 1452])
}

fn all_sizes(m: &Machine, to: &str, sizes: [u32; 3]) -> Outcome {
    let mut last = String::new();
    for size in sizes {
        last = m.network.ping(to, 100, "0.01", size)?;
    }
    Ok(format!("0 lost; largest: {last}"))
}

/// `len` bytes that no two positions share a pattern of, and the same every time.
fn payload(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// This end's web server, with `file` of so many bytes below `dir`.
fn httpd(m: &mut Machine, dir: &std::path::Path, len: usize) -> Result<Background, String> {
    std::fs::write(dir.join("file"), payload(len)).map_err(|e| e.to_string())?;
    let mut httpd = m.network.command(&m.busybox);
    httpd.args(["httpd", "-f", "-p", "80", "-h"]).arg(dir);
    let httpd = Background(httpd.spawn().map_err(|e| e.to_string())?);
    let wait = "for i in 1 2 3 4 5 6 7 8 9; do nc -z";
    m.run(&format!(
        "{wait} {} 80 && break; usleep 200000; done",
        HOST.0
    ))?;
    Ok(httpd)
}

fn download(m: &mut Machine) -> Outcome {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = dir.path().join("file");
    let _httpd = httpd(m, dir.path(), transfer())?;

    let started = Instant::now();
    m.run(&format!("wget -q -O /tmp/file http://{}/file", HOST.0))?;
    let took = started.elapsed();
    let there = m.run("sha256sum < /tmp/file")?;
    let here = crate::network::run(
        std::process::Command::new(&m.busybox)
            .arg("sha256sum")
            .arg(&file),
    )?;
    same_sum(&here, &there, took)
}

fn upload(m: &mut Machine) -> Outcome {
    m.run("mv /tmp/file /www/file; pidof httpd || httpd -p 80 -h /www")?;
    let there = m.run("sha256sum < /www/file")?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = dir.path().join("file");
    let url = format!("http://{}/file", GUEST.0);
    let started = Instant::now();
    let mut wget = m.network.command(&m.busybox);
    crate::network::run(wget.args(["wget", "-q", "-O"]).arg(&file).arg(url))?;
    let took = started.elapsed();
    if std::fs::read(&file).map_err(|e| e.to_string())? != payload(transfer()) {
        return Err("other bytes than were sent".into());
    }
    let here = crate::network::run(
        std::process::Command::new(&m.busybox)
            .arg("sha256sum")
            .arg(&file),
    )?;
    same_sum(&here, &there, took)
}

fn same_sum(here: &str, there: &str, took: Duration) -> Outcome {
    let sum = |text: &str| text.split_whitespace().next().unwrap_or("").to_string();
    let (here, there) = (sum(here), sum(there));
    if here.len() != 64 || here != there {
        return Err(format!("SHA-256 is {here} here and {there} in the guest"));
    }
    let rate = transfer() as f64 / 1e6 / took.as_secs_f64();
    Ok(format!("SHA-256 {}…, {rate:.1} MB/s", &here[..8]))
}

/// Both transfers went through the card's checksum units.
// shows (guest): 5.1.6.2-1, 5.1.6.4.1-18
fn checksums(m: &mut Machine) -> Outcome {
    let filled = m.stat("/nic/tx_csum")?;
    // What is joined was verified before, and says so once only.
    let verified = m.stat("/nic/rx_csum_valid")? + m.stat("/nic/rx_coalesced")?;
    let segments = transfer() as u64 / MSS;
    if filled < segments || verified < segments {
        return Err(format!(
            "{filled} filled in, {verified} verified; sent {segments} each way"
        ));
    }
    let wrong = m.run("grep ^Tcp: /proc/net/snmp | tail -n 1")?;
    let errors = wrong.split_whitespace().last().unwrap_or("?").to_string();
    if errors != "0" {
        return Err(format!(
            "the guest counts {errors} TCP segments with a bad checksum"
        ));
    }
    Ok(format!("{filled} filled in, {verified} verified, 0 wrong"))
}

/// The guest sent and got its megabytes in pieces larger than the wire's.
// shows (guest): 5.1.6.2-2
fn segments(m: &mut Machine) -> Outcome {
    let (chains, cut) = (m.stat("/nic/tx_gso")?, m.stat("/nic/tx_segments")?);
    let (joined, frames) = (m.stat("/nic/rx_coalesced")?, m.stat("/nic/rx_lro_frames")?);
    if chains == 0 || cut <= chains || frames == 0 || joined <= frames {
        return Err(format!(
            "{cut} segments of {chains} chains, {joined} segments in {frames} frames"
        ));
    }
    Ok(format!(
        "{cut} segments cut from {chains} chains, {joined} joined into {frames} frames"
    ))
}

/// Each queue pair is at work: the card steers by the table that the driver gave it, and the driver sends on
/// the queue of the CPU that it is on.
fn queues(m: &mut Machine) -> Outcome {
    let pairs = m.setup.pairs;
    let several = Feature::CTRL_VQ | Feature::MQ | Feature::RSS | Feature::MRG_RXBUF;
    let several = several | Feature::CTRL_RX | Feature::CTRL_VLAN | Feature::CTRL_MAC_ADDR;
    let bits = m.stats()?["feature_bits"][1].as_u64().unwrap_or(0);
    let acknowledged = Feature::from_bits(bits);
    if !acknowledged.contains(several) {
        return Err(format!(
            "acknowledged: {acknowledged}, not all of {several}"
        ));
    }
    for kind in ["rx", "tx"] {
        let queues = m.run(&format!("ls -d {ETH}/queues/{kind}-* | wc -l"))?;
        if queues.trim() != pairs.to_string() {
            return Err(format!("{} {kind} queues", queues.trim()));
        }
    }
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    // The guest's files are in its memory, and a large one leaves no room for these.
    m.run("rm -f /tmp/file /www/file")?;
    let len = 100_000;
    let _httpd = httpd(m, dir.path(), len)?;
    let said = m.run(&format!(
        "for i in $(seq 32); do wget -q -O /tmp/part$i http://{}/file 2>&1 & done; wait",
        HOST.0
    ))?;
    let good = m.run("cat /tmp/part* | sha256sum")?;
    let expected = dir.path().join("all");
    std::fs::write(&expected, payload(len).repeat(32)).map_err(|e| e.to_string())?;
    let sum = crate::network::run(
        std::process::Command::new(&m.busybox)
            .arg("sha256sum")
            .arg(&expected),
    )?;
    if good.split_whitespace().next() != sum.split_whitespace().next() {
        let parts = m.run("ls -l /tmp/part*; free; dmesg | tail -n 20")?;
        return Err(format!("other bytes than were sent: {said}\n{parts}"));
    }
    m.run("rm /tmp/part*")?;
    let mut interrupts = Vec::new();
    for pair in 0..pairs {
        let line = m.run(&format!("grep virtio0-input.{pair} /proc/interrupts"))?;
        let counts = line.split_whitespace().skip(1);
        let count: u64 = counts.map_while(|word| word.parse::<u64>().ok()).sum();
        if count == 0 {
            return Err(format!("receive queue {pair} never interrupted: {line}"));
        }
        interrupts.push(count);
    }
    let (commands, refused) = (m.stat("/nic/ctrl_ok")?, m.stat("/nic/ctrl_err")?);
    if commands == 0 || refused != 0 {
        return Err(format!("{commands} commands, {refused} refused"));
    }
    Ok(format!(
        "receive interrupts {interrupts:?}, {commands} control commands, 0 refused"
    ))
}

fn idle(m: &mut Machine) -> Outcome {
    m.stats()?;
    let (ticks, cycles) = (m.cpu_ticks()?, m.stat("cycles")?);
    std::thread::sleep(Duration::from_secs(2));
    let ticks = m.cpu_ticks()? - ticks;
    let cycles = m.stat("cycles")? - cycles;
    // A stray neighbour discovery or two may come by; a loop that waits would take 200 ticks.
    if ticks > 20 {
        return Err(format!("{ticks} ticks of CPU in 2 s without traffic"));
    }
    Ok(format!(
        "{} ms of CPU and {cycles} cycles in 2 s",
        ticks * 10
    ))
}

fn down_up(m: &mut Machine) -> Outcome {
    let _traffic = m.network.traffic(GUEST.0)?;
    for _ in 0..20 {
        m.run("ip link set eth0 down && ip link set eth0 up")?;
        m.reachable()?;
    }
    // IPv6 addresses go with the interface.
    m.run(&format!("ip address add {}/64 dev eth0", GUEST.1))?;
    no_damage(m)
}

fn reload(m: &mut Machine) -> Outcome {
    if m.run("[ -f /modules/virtio_net.ko ]").is_err() {
        return Ok("not tested: virtio_net is built into this kernel".into());
    }
    let _traffic = m.network.traffic(GUEST.0)?;
    for _ in 0..20 {
        m.run("rmmod virtio_net && insmod /modules/virtio_net.ko")?;
        m.interface_up()?;
    }
    no_damage(m)
}

/// Nothing went wrong so far that the counters would show.
fn no_damage(m: &mut Machine) -> Outcome {
    for name in [
        "dma_refused",
        "interrupts_lost",
        "requests_refused",
        "/nic/dma_error",
    ] {
        let count = m.stat(name)?;
        if count != 0 {
            return Err(format!("{name} = {count}"));
        }
    }
    m.reachable()?;
    Ok("no refused DMA, no lost interrupt".into())
}

fn function_level_reset(m: &mut Machine) -> Outcome {
    let resets = m.stat("resets")?;
    let device = "$(dirname $(realpath /sys/bus/virtio/devices/virtio0))";
    let unbind = "d=$(basename $p); echo $d > /sys/bus/pci/drivers/virtio-pci/unbind";
    let bind = "echo $d > /sys/bus/pci/drivers/virtio-pci/bind";
    m.run(&format!(
        "p={device}; grep -q flr $p/reset_method && {unbind} && echo 1 > $p/reset && {bind}"
    ))?;
    m.interface_up()?;
    match m.stat("resets")? - resets {
        1 => Ok("the card starts anew".into()),
        n => Err(format!("{n} resets of the function")),
    }
}

fn carrier(m: &mut Machine) -> Outcome {
    let changes = m.stat("link_changes")?;
    let carrier = format!("cat {ETH}/carrier");
    for _ in 0..3 {
        m.network.run("ip", &["link", "set", TAP, "down"])?;
        m.wait_for(&carrier, "0")?;
        m.network.run("ip", &["link", "set", TAP, "up"])?;
        m.wait_for(&carrier, "1")?;
        m.control("link down")?;
        m.wait_for(&carrier, "0")?;
        m.control("link up")?;
        m.wait_for(&carrier, "1")?;
    }
    let v6 = format!("{}/64", HOST.1);
    m.network
        .run("ip", &["address", "add", &v6, "dev", TAP, "nodad"])?;
    m.reachable()?;
    let changes = m.stat("link_changes")? - changes;
    Ok(format!("{changes} changes, each seen by the guest"))
}

/// The guest maps each buffer for as long as the card needs it, so a stray access would be refused.
fn mapped(m: &mut Machine) -> Outcome {
    let groups = m.run("ls /sys/kernel/iommu_groups | wc -l")?;
    if groups.trim() == "0" {
        return Err("the guest does not use its IOMMU".into());
    }
    let mapped = m.stat("mapped_bytes")?;
    if mapped > 64 << 20 {
        return Err(format!("{mapped} bytes are mapped"));
    }
    no_damage(m)?;
    let moved = m.stat("dma_read_bytes")? + m.stat("dma_write_bytes")?;
    Ok(format!("{moved} bytes moved, {mapped} mapped, 0 refused"))
}

// shows (guest): 2.1.2-4
fn dma_fault(m: &mut Machine) -> Outcome {
    let interrupts = "grep virtio0-config /proc/interrupts | awk '{print $2}'";
    let status = format!("cat {VIRTIO}/status");
    m.wait_for(&status, "0x0000000f")?;
    let before = m.run(interrupts)?;
    m.control("memory revoke")?;
    let lost = m
        .network
        .run("ping", &["-n", "-c", "2", "-W", "1", GUEST.0]);
    if lost.is_ok() {
        return Err("the card answers without memory".into());
    }
    // ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK and DEVICE_NEEDS_RESET.
    m.wait_for(&status, "0x0000004f")?;
    let refused = m.stat("dma_refused")?;
    if refused == 0 {
        return Err("nothing was refused".into());
    }
    m.control("memory restore")?;
    let after = m.run(interrupts)?;
    if before == after {
        return Err("the driver was not notified".into());
    }
    let device = "$(basename $(dirname $(realpath /sys/bus/virtio/devices/virtio0)))";
    let driver = "/sys/bus/pci/drivers/virtio-pci";
    m.run(&format!(
        "d={device}; echo $d > {driver}/unbind && echo $d > {driver}/bind"
    ))?;
    m.interface_up()?;
    Ok(format!(
        "{refused} bursts refused, driver notified, works after a reset"
    ))
}

fn reboot(m: &mut Machine) -> Outcome {
    let resets = m.stat("resets")?;
    m.send("reboot -f")?;
    let started = Instant::now();
    m.ready()?;
    let took = started.elapsed();
    m.interface_up()?;
    m.network.ping(GUEST.0, 20, "0.01", 56)?;
    let resets = m.stat("resets")? - resets;
    if resets == 0 {
        return Err("QEMU did not reset the function".into());
    }
    Ok(format!("back in {:.1} s", took.as_secs_f64()))
}
