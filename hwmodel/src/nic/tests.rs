use super::*;
use crate::{axi::AxiHostConfig, guest::GuestDevice, pci};

fn nic(config: NicConfig) -> Nic {
    Nic::new(config).expect("a card")
}

/// A card whose registers answer.
fn enabled(config: NicConfig) -> Nic {
    let mut nic = nic(config);
    nic.config_write(
        pci::COMMAND as u16,
        2,
        u32::from(pci::COMMAND_MEMORY | pci::COMMAND_MASTER),
    );
    nic
}

#[test]
fn registers_answer_in_every_width() {
    let mut nic = enabled(NicConfig::default());
    let magic = nic.bar_read(pci::BAR_VENDOR, 4).unwrap();
    assert_eq!(&magic.to_le_bytes(), b"WPTH");
    for (index, byte) in magic.to_le_bytes().into_iter().enumerate() {
        let read = nic.bar_read(pci::BAR_VENDOR + index as u32, 1).unwrap();
        assert_eq!(read, u32::from(byte), "byte {index}");
    }
    assert_eq!(nic.bar_read(pci::BAR_VENDOR + 2, 2).unwrap(), magic >> 16);
}

#[test]
fn a_register_read_takes_the_round_trip() {
    let config = NicConfig {
        mmio_read_latency: 900_000,
        ..NicConfig::default()
    };
    let mut nic = enabled(config);
    let before = nic.now();
    nic.bar_read(pci::BAR_VENDOR, 4).unwrap();
    let took = nic.now() - before;
    assert!((900_000..1_000_000).contains(&took), "{took} ps");
}

#[test]
fn writes_arrive_in_order_and_before_reads() {
    let mut nic = enabled(NicConfig::default());
    // device_feature_select chooses which half device_feature shows (virtio 4.1.4.3).
    nic.bar_write(0, 4, 1).unwrap();
    let high = nic.bar_read(4, 4).unwrap();
    nic.bar_write(0, 4, 1).unwrap();
    nic.bar_write(0, 4, 0).unwrap();
    let low = nic.bar_read(4, 4).unwrap();
    assert_eq!(
        high & 0b101,
        0b101,
        "VERSION_1 and RING_PACKED are offered: {high:#x}"
    );
    assert_eq!(low & 1 << 5, 1 << 5, "MAC is offered: {low:#x}");
}

#[test]
fn illegal_register_accesses_are_errors() {
    let mut nic = enabled(NicConfig::default());
    for (offset, width) in [(0, 3), (1, 2), (2, 4), (0x1_0000, 1), (u32::MAX, 1), (0, 8)] {
        let error = Error::BarAccess { offset, width };
        assert_eq!(nic.bar_read(offset, width), Err(error.clone()));
        assert_eq!(nic.bar_write(offset, width, 0), Err(error));
    }
}

#[test]
fn without_memory_space_enable_nobody_answers() {
    let mut nic = nic(NicConfig::default());
    assert_eq!(nic.bar_read(pci::BAR_VENDOR, 4), Ok(u32::MAX));
    nic.bar_write(0x14, 1, 1).unwrap();
    nic.config_write(pci::COMMAND as u16, 2, u32::from(pci::COMMAND_MEMORY));
    assert_eq!(
        nic.bar_read(0x14, 1),
        Ok(0),
        "the write to device_status was lost"
    );
}

// shows (RTL): 4.1.4.9.1-2, 4.1.4.9.1-3
#[test]
fn configuration_space_is_a_window_to_registers() {
    let mut nic = enabled(NicConfig::default());
    let capability = pci::CAP_WINDOW as u16;
    nic.config_write(capability + 4, 1, 0);
    nic.config_write(capability + 8, 4, pci::BAR_VENDOR);
    nic.config_write(capability + 12, 4, 4);
    assert_eq!(&nic.config_read(capability + 16, 4).to_le_bytes(), b"WPTH");
    nic.config_write(capability + 8, 4, 0);
    nic.config_write(capability + 16, 4, 1);
    assert_eq!(
        nic.bar_read(0, 4),
        Ok(1),
        "device_feature_select was written"
    );
}

#[test]
fn function_level_reset_clears_device_and_function() {
    let mut nic = enabled(NicConfig::default());
    nic.bar_write(0, 4, 1).unwrap();
    assert_eq!(nic.bar_read(0, 4), Ok(1));
    nic.config_write(pci::DEVICE_CONTROL as u16, 2, 0x8000);
    assert_eq!(nic.config_read(pci::COMMAND as u16, 2), 0);
    nic.config_write(pci::COMMAND as u16, 2, u32::from(pci::COMMAND_MEMORY));
    assert_eq!(nic.bar_read(0, 4), Ok(0));
}

#[test]
fn memory_of_another_process_is_mapped_and_taken_back() {
    use crate::iommu::{Access, MapError, Permission, Refusal};
    let guest = crate::HostMemory::new(1 << 20).unwrap();
    let mut nic = nic(NicConfig::default());
    let map = |nic: &mut Nic, iova, len, offset| {
        nic.dma_map(iova, len, guest.file(), offset, Permission::ReadWrite)
    };
    map(&mut nic, 0, 0xa_0000, 0).unwrap();
    map(&mut nic, 0x10_0000, 0x4_0000, 0xc_0000).unwrap();
    let before = nic.memory().len();
    assert!(matches!(
        map(&mut nic, 0x9_f000, 0x1000, 0),
        Err(crate::DmaMapError::Table(MapError::Overlap { iova: 0 }))
    ));
    assert!(matches!(
        map(&mut nic, 0x20_0000, 0x1000, 1 << 20),
        Err(crate::DmaMapError::File(_))
    ));
    assert_eq!(nic.memory().len(), before, "what failed leaves nothing");

    let phys = nic.iommu().translate(0x10_0010, 16, Access::Write).unwrap();
    nic.memory().write(phys, b"device").unwrap();
    let mut bytes = [0; 6];
    guest.read(0xc_0010, &mut bytes).unwrap();
    assert_eq!(&bytes, b"device");

    assert!(nic.dma_unmap(0x10_1000, 0x1000).is_err());
    assert_eq!(nic.dma_unmap(0, u64::MAX), Ok(0xe_0000));
    assert_eq!(nic.iommu().mapped(), 0);
    assert!(nic.memory().write(phys, b"device").is_err());
    assert_eq!(
        nic.iommu().translate(0x10_0010, 16, Access::Write),
        Err(Refusal::NotMapped)
    );
}

#[test]
fn a_quiescent_card_is_woken_from_outside_only() {
    let mut nic = enabled(NicConfig::default());
    nic.bar_read(pci::BAR_VENDOR, 4).unwrap();
    let settled = nic.now() + 1_000_000;
    nic.run_until(settled).unwrap();
    assert!(nic.quiescent());
    let cycles = nic.counters().cycles;
    nic.run_until(settled + 1_000_000_000).unwrap();
    assert_eq!(nic.counters().cycles, cycles, "its clock stands");

    for wake in [
        |nic: &mut Nic| nic.bar_write(0, 4, 1).unwrap(),
        |nic: &mut Nic| nic.wire_send(WireFrame::new(0, vec![0xff; 60])),
        |nic: &mut Nic| nic.set_link(false),
    ] {
        wake(&mut nic);
        assert!(!nic.quiescent());
        let until = nic.now() + 10_000_000;
        nic.run_until(until).unwrap();
        assert!(nic.quiescent());
    }
}

// shows (RTL): 2.5.2-1
#[test]
fn device_configuration_shows_the_options() {
    let config = NicConfig {
        mac: [2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee],
        mtu: 9000,
        ..NicConfig::default()
    };
    let mut nic = enabled(config);
    let mut byte = |at| nic.bar_read(pci::BAR_DEVICE_CFG + at, 1).unwrap() as u8;
    let mac: Vec<u8> = (0..6).map(&mut byte).collect();
    assert_eq!(mac, [2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]);
    assert_eq!(nic.bar_read(pci::BAR_DEVICE_CFG + 10, 2), Ok(9000));
}

// shows (RTL): 5.1.4.1-2
#[test]
fn options_out_of_range_are_refused() {
    for config in [
        NicConfig {
            mtu: 67,
            ..NicConfig::default()
        },
        NicConfig {
            mtu: 9203,
            ..NicConfig::default()
        },
        NicConfig {
            mac: [1, 0, 0, 0, 0, 0],
            ..NicConfig::default()
        },
    ] {
        assert!(matches!(Nic::new(config), Err(Error::Config { .. })));
    }
}

/// Register accesses and frames to a device without driver, with pauses; all that can be seen of it.
fn exercise(idle_skip: bool, axi: AxiHostConfig) -> (Vec<u32>, Ps, Counters, Nic) {
    let mut nic = enabled(NicConfig {
        idle_skip,
        axi,
        record: true,
        ..NicConfig::default()
    });
    let mut seen = Vec::new();
    for round in 0..20u64 {
        let bytes = vec![round as u8; 60 + 13 * round as usize];
        nic.wire_send(WireFrame::new(nic.now() + 3_333 * round, bytes));
        nic.run_until(nic.now() + 77_777 * round).unwrap();
        nic.set_link(round % 3 != 0);
        // rx frames, rx disabled, ISR, config generation
        for offset in [0x6100, 0x6138, 0x1000, 0x15] {
            seen.push(nic.bar_read(offset, 1).unwrap());
        }
        nic.run_until(nic.now() + 10_000_000).unwrap();
    }
    (seen, nic.now(), nic.counters(), nic)
}

#[test]
fn idle_skip_changes_nothing() {
    for axi in [AxiHostConfig::default(), AxiHostConfig::random(7)] {
        let (skipping, skipping_end, skipped, _) = exercise(true, axi.clone());
        let (running, running_end, ran, _) = exercise(false, axi);
        assert_eq!((skipping, skipping_end), (running, running_end));
        assert_eq!(ran.cycles_skipped, 0);
        assert_eq!(skipped.cycles + skipped.cycles_skipped, ran.cycles);
        assert!(
            skipped.cycles * 4 < ran.cycles,
            "{} of {} cycles ran",
            skipped.cycles,
            ran.cycles
        );
        let same = |c: Counters| Counters {
            cycles: 0,
            cycles_skipped: 0,
            ..c
        };
        assert_eq!(same(skipped), same(ran));
    }
}

#[test]
fn a_recording_replays_to_the_same_outputs() {
    let (_, _, counters, nic) = exercise(true, AxiHostConfig::default());
    let recording = nic.recording().expect("it was asked for");
    assert_eq!(recording.pins.len() as u64, counters.cycles);
    let mut bare = crate::BareModel::new(nic.config());
    assert_eq!(bare.replay(&recording.pins, true), Ok(recording.hash));
    // Another stimulus gives another hash, so the comparison means something.
    let mut other = recording.pins.clone();
    other.remove(other.len() / 2);
    assert_ne!(
        crate::BareModel::new(nic.config()).replay(&other, true),
        Ok(recording.hash)
    );
}

#[test]
fn waves_are_written_for_the_window() {
    let path = std::env::temp_dir().join(format!("wirepath-waves-{}.fst", std::process::id()));
    let config = NicConfig {
        waves: Some(path.clone()),
        waves_window: 1_000_000..2_000_000,
        idle_skip: false,
        ..NicConfig::default()
    };
    let mut nic = nic(config);
    nic.run_until(900_000).unwrap();
    assert!(!path.exists());
    nic.run_until(3_000_000).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    // FST header block: type 0, length 329, then start and end time, big endian.
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((bytes[0], word(1)), (0, 329));
    assert!(
        (1_000_000..1_010_000).contains(&word(9)),
        "begins at {}",
        word(9)
    );
    assert!(
        (1_990_000..2_010_000).contains(&word(17)),
        "ends at {}",
        word(17)
    );
}

/// `$fatal` arrives as an error with its time and scope, and the program goes on.
#[test]
fn a_failed_assertion_is_an_error() {
    let reset = PinsIn::reset();
    let run = PinsIn {
        rst_n: true,
        ..reset
    };
    // A beat that nobody asked for.
    let beat = PinsIn {
        m_axi_rvalid: true,
        m_axi_rlast: true,
        m_axi_rid: crate::BusClient::Data(1).id(),
        ..run
    };
    let mut pins = vec![reset; 8];
    pins.extend([run; 8]);
    pins.extend([beat; 2]);
    pins.extend([run; 8]);
    let result = crate::BareModel::new(&NicConfig::default()).replay(&pins, false);
    let Err(Error::Rtl { at, message }) = result else {
        panic!("{result:?}")
    };
    assert!((16 * CYCLE_PS..26 * CYCLE_PS).contains(&at), "{at} ps");
    assert!(message.contains("dma_watch: read data"), "{message}");
    assert!(message.contains("nic.u_dma_port.u_watch"), "{message}");
    assert!(
        crate::BareModel::new(&NicConfig::default())
            .replay(&pins[..16], false)
            .is_ok()
    );
}
