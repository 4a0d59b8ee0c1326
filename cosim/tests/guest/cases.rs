//! What the guest goes through.

use std::time::{Duration, Instant};

use driver::Feature;

use crate::features::binds;
use crate::machine::Machine;
use crate::network::{GUEST, HOST, TAP};
use crate::transfers::{
    both_ways6, checksums, download, httpd, payload, segments, sha256sum, upload,
};

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
    ("files each way by HTTP over IPv6", both_ways6),
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
    ("files each way by HTTP over IPv6", both_ways6),
    ("rmmod, insmod virtio_net 20 times, with traffic", reload),
];

/// Those in which several queues take part.
pub const QUEUES: &[Named] = &[
    (BINDS, binds),
    ("a file to the guest by HTTP", download),
    ("a file from the guest by HTTP", upload),
    ("64 connections on four queue pairs", queues),
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

/// The card as virtio's device, and as an interface.
pub const VIRTIO: &str = "/sys/bus/virtio/devices/virtio0";
pub const ETH: &str = "/sys/class/net/eth0";

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

/// Last octets of this end's further addresses.
const ADDRESSES: std::ops::RangeInclusive<u8> = 101..=132;

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
    let len = 50_000;
    // The guest's hash key is random, and Toeplitz' hash is linear: connections whose ports follow each other may
    // well all have the same bit of it. Other addresses have other bits, and ports that do not follow.
    for last in ADDRESSES {
        let address = format!("10.9.0.{last}/24");
        m.network
            .run("ip", &["address", "add", &address, "dev", TAP])?;
    }
    let _httpd = httpd(m, dir.path(), len)?;
    let addresses = format!("$(seq {} {})", ADDRESSES.start(), ADDRESSES.end());
    let said = m.run(&format!(
        "for i in 1 2; do for n in {addresses}; do wget -q -O /tmp/part$i.$n http://10.9.0.$n/file 2>&1 & done; wait; done"
    ))?;
    let good = m.run("cat /tmp/part* | sha256sum")?;
    let expected = dir.path().join("all");
    std::fs::write(&expected, payload(len).repeat(2 * ADDRESSES.count()))
        .map_err(|e| e.to_string())?;
    let sum = sha256sum(m, &expected)?;
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
