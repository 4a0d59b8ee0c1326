//! The driver over plain files: a directory laid out as sysfs shows a PCI function.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::function::{COMMON, DEVICE, NOTIFY, REGISTER_BAR};
use common::memory::{self, BUS_BASE};
use common::pci;
use driver::{
    BarFile, Error, FdInterrupts, Feature, Interrupts, Options, PciRegisters, VirtioNet, Width,
};
use stack::NetDeviceOps;

const BAR: &str = "resource2";

fn function_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let mut config = pci::config_space(3);
    config[0x10] = 1; // BAR 0 is in I/O space: its file cannot be mapped
    fs::write(path.join("config"), config).unwrap();
    fs::write(path.join("resource0"), [0; 64]).unwrap();
    fs::write(path.join("resource1"), []).unwrap();
    fs::write(path.join(BAR), vec![0; 0x2000]).unwrap();
    fs::write(path.join("resource4"), vec![0; 0x1000]).unwrap();
    dir
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn bytes<const N: usize>(file: &File, at: u32) -> [u8; N] {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at.into()).unwrap();
    bytes
}

#[test]
fn accesses_of_every_width_land_at_their_bytes() {
    let dir = function_dir();
    let mut pci = BarFile::open(dir.path()).unwrap();
    let lens: Vec<_> = (0..8).map(|bar| pci.bar_len(bar)).collect();
    assert_eq!(lens, [0, 0, 0x2000, 0, 0x1000, 0, 0, 0]);

    let bar = REGISTER_BAR;
    pci.bar_write(bar, 0x10, Width::U32, 0x4433_2211).unwrap();
    pci.bar_write(bar, 0x16, Width::U16, 0xdead_6655).unwrap();
    pci.bar_write(bar, 0x1b, Width::U8, 0xdead_be77).unwrap();
    let file = open(&dir.path().join(BAR));
    assert_eq!(
        bytes(&file, 0x10),
        [
            0x11, 0x22, 0x33, 0x44, 0, 0, 0x55, 0x66, 0, 0, 0, 0x77, 0, 0, 0, 0
        ]
    );
    assert_eq!(pci.bar_read(bar, 0x10, Width::U32).unwrap(), 0x4433_2211);
    assert_eq!(pci.bar_read(bar, 0x12, Width::U16).unwrap(), 0x4433);
    assert_eq!(pci.bar_read(bar, 0x13, Width::U8).unwrap(), 0x44);
    assert_eq!(pci.bar_read(bar, 0x18, Width::U32).unwrap(), 0x7700_0000);

    for (bar, offset, width) in [
        (bar, 0x2000, Width::U8),
        (bar, 0x1ffe, Width::U32),
        (bar, 0x11, Width::U16),
        (bar, u32::MAX, Width::U8),
        (0, 0, Width::U8),
        (6, 0, Width::U8),
    ] {
        assert!(
            pci.bar_read(bar, offset, width).is_err(),
            "BAR {bar} {offset:#x} {width:?}"
        );
        assert!(pci.bar_write(bar, offset, width, 0).is_err());
    }
    assert_eq!(pci.config_read(0, Width::U32).unwrap(), 0x1041_1af4);
    pci.config_write(4, Width::U16, 0x0406).unwrap();
    assert_eq!(
        bytes(&open(&dir.path().join("config")), 2),
        [0x41, 0x10, 6, 4, 0x10, 0]
    );
    assert!(pci.config_read(256, Width::U8).is_err());
}

/// Registers that only remember what was written are enough of a device for a probe.
#[test]
fn probe_goes_where_the_capabilities_say() {
    let dir = function_dir();
    let registers = open(&dir.path().join(BAR));
    // Both halves of the features: bits 0 and 2, that is CSUM, VERSION_1 and RING_PACKED.
    registers
        .write_all_at(&[5, 0, 0, 0], u64::from(COMMON) + 4)
        .unwrap();
    registers
        .write_all_at(&[2, 0], u64::from(COMMON) + 0x12)
        .unwrap();
    registers
        .write_all_at(&[33, 0], u64::from(COMMON) + 0x18)
        .unwrap();
    registers
        .write_all_at(&[6, 0], u64::from(COMMON) + 0x1e)
        .unwrap();

    registers
        .write_all_at(&[0xff; 0x100], NOTIFY.into())
        .unwrap();

    let (dma, mem) = memory::shared(8 << 20);
    let vectors = (0..3).map(|_| tempfile::tempfile().unwrap()).collect();
    let pci = BarFile::open(dir.path()).unwrap();
    let irq = FdInterrupts::new(vectors);
    let net = VirtioNet::probe(pci, dma, irq, Options::default()).unwrap();

    assert_eq!(net.negotiated(), Feature::REQUIRED | Feature::CSUM);
    assert_eq!(net.queue_sizes(), (33, 33));
    assert_eq!(
        (net.mtu(), net.mac()),
        (1500, Options::default().fallback_mac)
    );
    // ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK; queue 1 selected and enabled with vector 2.
    assert_eq!(bytes(&registers, COMMON + 0x14), [0x0f]);
    assert_eq!(bytes(&registers, COMMON + 0x16), [1, 0, 33, 0, 2, 0, 1, 0]);
    let desc = u64::from_le_bytes(bytes(&registers, COMMON + 0x20));
    assert!((BUS_BASE..BUS_BASE + (8 << 20)).contains(&desc) && desc % 16 == 0);
    assert_eq!(mem.read(desc, 33 * 16).unwrap(), [0; 33 * 16]);
    // Both queues claim notify offset 6: the receive queue rang 6 * 8 bytes into the structure.
    assert_eq!(
        bytes(&registers, NOTIFY + 46),
        [0xff, 0xff, 0, 0, 0xff, 0xff]
    );
    // The platform programs MSI-X here, so nobody touched it.
    let config = open(&dir.path().join("config"));
    assert_eq!(bytes(&config, 0x42), [2, 0]);
    assert_eq!(bytes(&config, 4), [6, 4]);

    drop(net);
    assert_eq!(bytes(&registers, COMMON + 0x14), [0]);
    assert_eq!(bytes(&config, 4), [2, 4]);
}

#[test]
fn a_device_configuration_that_is_too_short_is_refused() {
    let dir = function_dir();
    let registers = open(&dir.path().join(BAR));
    // MAC is bit 5.
    registers
        .write_all_at(&[0x25, 0, 0, 0], u64::from(COMMON) + 4)
        .unwrap();
    open(&dir.path().join("config"))
        .write_all_at(&[5, 0, 0, 0], 0xcc)
        .unwrap();
    registers
        .write_all_at(&[1, 2, 3, 4, 5, 6], DEVICE.into())
        .unwrap();
    let pci = BarFile::open(dir.path()).unwrap();
    let irq = FdInterrupts::new(vec![tempfile::tempfile().unwrap()]);
    assert_eq!(irq.vectors(), 1);
    let net = VirtioNet::probe(pci, memory::shared(1 << 20).0, irq, Options::default());
    assert!(matches!(
        net,
        Err(Error::ShortStructure {
            length: 5,
            needed: 6,
            ..
        })
    ));
}
