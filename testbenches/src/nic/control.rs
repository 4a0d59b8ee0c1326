//! Registers, negotiation, interrupts: what a driver does before and beside the traffic.

use super::host::{Fail, Host, RX, TX, common, feature, status};
use crate::{common_cfg::registers::feature as needs, testbench::Report};
use hwmodel::{CYCLE_PS, Device, Stop};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Constants of the register map as the RTL has them.
const NIC_PKG: &str = include_str!("../../../rtl/pkg/nic_pkg.sv");

/// The number in `NAME = 16'h1234;` or `NAME = 4;`.
pub(super) fn constant(name: &str) -> Result<u32, Fail> {
    let missing = || Fail(format!("nic_pkg.sv has no number for {name}"));
    let at = NIC_PKG.find(&format!(" {name} ")).ok_or_else(missing)?;
    let text = NIC_PKG[at..]
        .split_once('=')
        .and_then(|(_, t)| t.split_once(';'));
    let text = text.ok_or_else(missing)?.0.trim();
    let number = match text.split_once("'h") {
        Some((_, hex)) => u32::from_str_radix(&hex.replace('_', ""), 16),
        None => text.parse(),
    };
    number.map_err(|_| missing())
}

pub(super) fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    got: T,
    wanted: T,
) -> Result<(), Fail> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: {got:x?}, expected {wanted:x?}").into())
}

/// The capabilities say what the RTL does.
// shows (RTL): 4.1.4.3.1-2, 4.1.4.4.1-1, 4.1.4.5.1-1, 4.1.4.6-1
pub fn map(host: &mut Host) -> Result<(), Fail> {
    let map = host.map;
    equal("common", map.common, constant("BAR_COMMON_CFG")?)?;
    equal("isr", map.isr, constant("BAR_ISR")?)?;
    equal("device", map.device, constant("BAR_DEVICE_CFG")?)?;
    equal("notify", map.notify, constant("BAR_NOTIFY")?)?;
    equal(
        "multiplier",
        map.notify_multiplier,
        constant("NOTIFY_OFF_MULTIPLIER")?,
    )?;
    equal("MSI-X table", map.msix_table, constant("BAR_MSIX_TABLE")?)?;
    equal("MSI-X PBA", map.msix_pba, constant("BAR_MSIX_PBA")?)?;
    let magic = host
        .nic
        .bar_read(constant("BAR_VENDOR")? + constant("VENDOR_MAGIC")?, 4)?;
    equal("magic", magic, constant("MAGIC")?)
}

/// 3.1.1, 2.2.2: which feature sets are taken.
// shows (RTL): 2.2.2-2, 4.1.4.3.1-3, 4.1.4.3.1-4, 6.2-1
pub fn negotiation(host: &mut Host, report: &mut Report) -> Result<(), Fail> {
    let offered = host.offered()?;
    equal("offered features", offered & feature::BASE, feature::BASE)?;
    host.write(common::DEVICE_FEATURE_SELECT, 4, 2)?;
    equal("features 64..95", host.read(common::DEVICE_FEATURE, 4)?, 0)?;
    // A pair and the control queue.
    equal("queues", host.read(common::NUM_QUEUES, 2)?, 3)?;
    let not_offered = (0..64).map(|bit| 1 << bit).filter(|bit| offered & bit == 0);
    let refused = [
        0,
        feature::BASE & !feature::VERSION_1,
        feature::BASE & !feature::RING_PACKED,
    ];
    for features in refused
        .into_iter()
        .chain(not_offered.map(|bit| feature::BASE | bit))
    {
        if host.negotiate(features)? {
            return Err(format!("feature set {features:#x} was taken").into());
        }
        report.add("feature sets refused", 1);
    }
    for features in [feature::BASE, offered] {
        if !host.negotiate(features)? {
            return Err(format!("feature set {features:#x} was refused").into());
        }
    }
    // 2.2.1: not after FEATURES_OK.
    host.write(common::DRIVER_FEATURE_SELECT, 4, 0)?;
    host.write(common::DRIVER_FEATURE, 4, 0)?;
    equal(
        "driver features",
        host.read(common::DRIVER_FEATURE, 4)?,
        offered as u32,
    )
}

/// 5.1.3.1: nothing is offered without what it needs, and no driver gets it without. `chosen` are the
/// card's options, `all` is what a card of all options offers.
// shows (RTL): 2.2.2-1, 2.2.2-2, 5.1.3.1-1
pub fn offer(
    host: &mut Host,
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    all: u64,
) -> Result<(), Fail> {
    let config = host.nic.config();
    let mut wanted = config.features & all;
    if config.queue_pairs == 1 {
        wanted &= !needs::MQ;
    }
    let offered = host.offered()?;
    equal("offered features", offered, needs::completed(wanted))?;
    for _ in 0..20 {
        let features = feature::BASE | (offered & (rng.random::<u64>() | rng.random::<u64>()));
        let accepted = host.negotiate(features)?;
        let what = format!("feature set {features:#x} taken");
        equal(&what, accepted, needs::complete(features))?;
        report.add("feature sets refused", (!accepted).into());
        report.add("feature sets taken", accepted.into());
    }
    report.add("offers", 1);
    Ok(())
}

/// Random accesses of 1, 2 and 4 bytes against a model of the fields (4.1.3.1, 4.1.4.3).
// shows (RTL): 4.1.3.2-1, 4.1.4.3.1-7, 4.1.4.3.1-13
// shows (RTL): 4.1.5.1.2.1-2, 4.1.5.1.2.1-3, 4.1.5.1.2.1-4, 4.1.5.1.2.1-6
pub fn registers(host: &mut Host, rng: &mut ChaCha8Rng, report: &mut Report) -> Result<(), Fail> {
    host.negotiate(feature::BASE)?;
    for queue in [RX, TX] {
        host.write(common::QUEUE_SELECT, 2, queue as u32)?;
        equal("queue_size", host.read(common::QUEUE_SIZE, 2)?, 1024)?;
        equal(
            "queue_notify_off",
            host.read(common::QUEUE_NOTIFY_OFF, 2)?,
            queue as u32,
        )?;
        equal("queue_enable", host.read(common::QUEUE_ENABLE, 2)?, 0)?;
        // Three 64-bit fields; the low bits of aligned addresses are not kept.
        let mut model = [0u8; 24];
        for _ in 0..60 {
            let width = 1u32 << rng.random_range(0..3);
            let at = rng.random_range(0..24 / width) * width;
            let value: u32 = rng.random();
            host.write(common::QUEUE_DESC + at, width as u8, value)?;
            for (index, byte) in (at..at + width).zip(value.to_le_bytes()) {
                let kept = [0xf0, 0xfc, 0xfc][index as usize / 8];
                model[index as usize] = byte & if index % 8 == 0 { kept } else { 0xff };
            }
            let width = 1u32 << rng.random_range(0..3);
            let at = rng.random_range(0..24 / width) * width;
            let got = host.read(common::QUEUE_DESC + at, width as u8)?;
            let bytes = &model[at as usize..(at + width) as usize];
            let wanted = bytes.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
            equal(&format!("{width} bytes at queue_desc + {at}"), got, wanted)?;
            report.add("register accesses", 2);
        }
        for (vector, wanted) in [
            (2, 2),
            (3, 3), // the control queue's
            (4, 0xffff),
            (0xffff, 0xffff),
            (0, 0),
            (0x100, 0xffff),
        ] {
            host.write(common::QUEUE_MSIX_VECTOR, 2, vector)?;
            equal(
                "queue_msix_vector",
                host.read(common::QUEUE_MSIX_VECTOR, 2)?,
                wanted,
            )?;
        }
    }
    // 4.1.4.3.2: queues that do not exist have size 0 and no vector, and take nothing.
    for queue in [3, 4, 0x100, 0xffff] {
        host.write(common::QUEUE_SELECT, 2, queue)?;
        for field in [common::QUEUE_SIZE, common::QUEUE_ENABLE] {
            host.write(field, 2, 1)?;
            equal("a queue that does not exist", host.read(field, 2)?, 0)?;
        }
        host.write(common::QUEUE_MSIX_VECTOR, 2, 0)?;
        equal(
            "its vector",
            host.read(common::QUEUE_MSIX_VECTOR, 2)?,
            0xffff,
        )?;
    }
    for queue in [2, 7, 0x3ff] {
        let at = host.map.notify + queue * host.map.notify_multiplier;
        host.nic.bar_write(at, 2, queue)?;
    }
    equal("status", host.status()?, 0xb)
}

/// Waits for messages for `cycles`; how many of each vector came.
fn messages(host: &mut Host, cycles: u64) -> Result<[u32; 3], Fail> {
    let until = host.nic.now() + cycles * CYCLE_PS;
    let mut count = [0; 3];
    loop {
        match host.nic.run_until(until)? {
            Stop::Time => return Ok(count),
            Stop::Msix => {
                if let Some(message) = host.nic.take_msix() {
                    count[Host::vector(&message)?] += 1;
                }
            }
            Stop::WireTx => return Err("a frame leaves without traffic".into()),
        }
    }
}

/// 2.1.2, 4.1.4.3: a queue of an illegal size stops the device and says so, but not before DRIVER_OK.
// shows (RTL): 2.1.2-3, 2.1.2-4
pub fn queue_size(host: &mut Host) -> Result<(), Fail> {
    for (size, running) in [(0, false), (0, true), (1025, true), (0xffff, false)] {
        host.negotiate(feature::BASE)?;
        host.enable_msix()?;
        if running {
            host.driver_ok()?;
        }
        host.write(common::QUEUE_SELECT, 2, 1)?;
        host.write(common::QUEUE_SIZE, 2, size)?;
        host.write(common::QUEUE_ENABLE, 2, 1)?;
        let got = host.status()? & status::NEEDS_RESET;
        equal(
            "NEEDS_RESET after an illegal size",
            got,
            status::NEEDS_RESET,
        )?;
        let count = messages(host, 500)?;
        equal(
            "messages after an illegal size",
            count,
            [u32::from(running), 0, 0],
        )?;
    }
    Ok(())
}

/// 5.1.4, 4.1.5.3: the link's state, its generation and its interrupt, masked in every way.
// shows (RTL): 4.1.4.3.1-5, 4.1.4.5.1-2, 4.1.4.5.1-5
pub fn link(host: &mut Host, rng: &mut ChaCha8Rng, report: &mut Report) -> Result<(), Fail> {
    host.negotiate(feature::BASE)?;
    host.enable_msix()?;
    host.driver_ok()?;
    let (entry, pba) = (host.map.msix_table, host.map.msix_pba);
    let control = host.map.msix + 2;
    let mut up = true;
    let change = |host: &mut Host, up: &mut bool| {
        *up = !*up;
        host.nic.set_link(*up);
    };
    for step in 0..60 {
        let generation = host.read(common::CONFIG_GENERATION, 1)?;
        let by_function = rng.random();
        let mask = |host: &mut Host, on: bool| -> Result<(), Fail> {
            if by_function {
                host.nic
                    .config_write(control, 2, 0x8000 | u32::from(on) << 14);
            } else {
                host.nic.bar_write(entry + 12, 4, on.into())?;
            }
            Ok(())
        };
        match step % 3 {
            0 => {
                change(host, &mut up);
                equal(
                    "messages for a link change",
                    messages(host, 400)?,
                    [1, 0, 0],
                )?;
            }
            1 => {
                mask(host, true)?;
                messages(host, 200)?;
                change(host, &mut up);
                equal("messages while masked", messages(host, 400)?, [0; 3])?;
                equal("pending bits", host.nic.bar_read(pba, 4)?, 1)?;
                mask(host, false)?;
                equal("messages after unmasking", messages(host, 400)?, [1, 0, 0])?;
                equal("pending bits", host.nic.bar_read(pba, 4)?, 0)?;
            }
            _ => {
                // Race: the mask goes on and off around the change. One message, sooner or later.
                let early = rng.random_range(0..120);
                mask(host, true)?;
                let mut count = messages(host, early)?[0];
                change(host, &mut up);
                count += messages(host, rng.random_range(0..120))?[0];
                mask(host, false)?;
                count += messages(host, 400)?[0];
                equal("messages of a race", count, 1)?;
                equal("pending bits", host.nic.bar_read(pba, 4)?, 0)?;
            }
        }
        let seen = host.nic.bar_read(host.map.device + 6, 2)?;
        equal("link status", seen, up.into())?;
        if host.read(common::CONFIG_GENERATION, 1)? == generation {
            return Err("config_generation does not change with the link".into());
        }
        // 4.1.4.5: bit 1, cleared by the read.
        equal("ISR", host.nic.bar_read(host.map.isr, 1)? & 2, 2)?;
        equal("ISR read again", host.nic.bar_read(host.map.isr, 1)?, 0)?;
        report.add("link changes", 1);
    }
    // Without MSI-X nothing is sent, and nothing waits for the time when it is enabled.
    host.nic.config_write(control, 2, 0);
    change(host, &mut up);
    equal("messages with MSI-X off", messages(host, 400)?, [0; 3])?;
    host.nic.config_write(control, 2, 0x8000);
    equal("messages after MSI-X on", messages(host, 400)?, [0; 3])
}
