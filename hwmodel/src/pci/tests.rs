use super::*;

/// The fields of a capability list entry, as a driver walks it (virtio 4.1.4).
fn capabilities(config: &PciConfig) -> Vec<(u8, u16)> {
    let mut found = Vec::new();
    let mut at = config.read(0x34, 1) as u16;
    while at != 0 {
        assert!(
            at >= 0x40 && at.is_multiple_of(4) && found.len() < 16,
            "capability at {at:#x}"
        );
        found.push((config.read(at, 1) as u8, at));
        at = config.read(at + 1, 1) as u16;
    }
    found
}

// shows (PCI): 4.1.1-1, 4.1.2.1-1, 4.1.2.1-2
#[test]
fn identity_is_that_of_a_modern_network_card() {
    let config = PciConfig::new();
    assert_eq!(config.read(0x00, 4), 0x1041_1af4);
    assert_eq!(config.read(0x08, 4), 0x0200_0001, "class and revision");
    assert_eq!(config.read(0x0e, 1), 0, "header type");
    assert!(
        config.read(0x2e, 2) >= 0x40,
        "subsystem ID (virtio 4.1.2.1)"
    );
    assert_eq!(config.read(0x06, 2) & 0x10, 0x10, "capabilities list");
}

// shows (PCI): 4.1.4.2-1, 4.1.4.3.1-1, 4.1.4.3.1-2, 4.1.4.4.1-1, 4.1.4.4.1-2, 4.1.4.4.1-3
// shows (PCI): 4.1.4.5.1-1, 4.1.4.6-1, 4.1.4.6.1-1, 4.1.4.9.1-1
#[test]
fn capability_list_holds_each_structure_once() {
    let config = PciConfig::new();
    let list = capabilities(&config);
    let ids: Vec<u8> = list.iter().map(|c| c.0).collect();
    assert_eq!(ids, [0x10, 0x11, 0x09, 0x09, 0x09, 0x09, 0x09]);
    let mut types = Vec::new();
    for (_, at) in list.iter().filter(|c| c.0 == 0x09) {
        let cap_len = config.read(at + 2, 1);
        let cfg_type = config.read(at + 3, 1);
        let (bar, offset, length) = (
            config.read(at + 4, 1),
            config.read(at + 8, 4),
            config.read(at + 12, 4),
        );
        assert_eq!(bar, 0);
        assert!(offset + length <= BAR0_LEN);
        // 2 and 5 carry one more word.
        assert_eq!(cap_len, if matches!(cfg_type, 2 | 5) { 20 } else { 16 });
        types.push((cfg_type, offset, length));
    }
    assert_eq!(
        types,
        [
            (1, 0, 0x3c),
            (2, 0x3000, 12),
            (3, 0x1000, 1),
            (4, 0x2000, 24),
            (5, 0, 0)
        ]
    );
    assert_eq!(config.read(CAP_NOTIFY as u16 + 16, 4), 4);
}

/// 4.1.4.4.1, 4.1.5.1.2: with any number of pairs; the control queue's index is the highest (5.1.2).
// shows (PCI): 4.1.4.4.1-4, 4.1.4.4.1-5, 4.1.5.1.2.1-1
#[test]
fn every_queue_has_its_doorbell_and_vector() {
    for queue_pairs in 1..=8 {
        let card = crate::NicConfig {
            queue_pairs,
            ..crate::NicConfig::default()
        };
        let config = PciConfig::with_shape(&card.shape());
        let cap = CAP_NOTIFY as u16;
        let (length, multiplier) = (config.read(cap + 12, 4), config.read(cap + 16, 4));
        // queue_notify_off is the queue's index.
        let last = 2 * u32::from(queue_pairs);
        assert!(length >= last * multiplier + 2, "{queue_pairs} pairs");
        // Table Size is encoded as N - 1; one more vector is that of configuration changes.
        assert_eq!(config.read(MSIX_CONTROL as u16, 2), last + 1);
    }
}

#[test]
fn capabilities_do_not_overlap() {
    let config = PciConfig::new();
    let list = capabilities(&config);
    let mut spans: Vec<(u16, u16)> = list
        .iter()
        .map(|&(id, at)| {
            let len = match id {
                0x10 => 0x3c,
                0x11 => 12,
                _ => config.read(at + 2, 1) as u16,
            };
            (at, at + len)
        })
        .collect();
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "{spans:x?}"
    );
    assert!(spans.last().is_some_and(|last| last.1 <= 0x100));
}

// shows (PCI): 4.1.1-1
#[test]
fn bar_is_sized_by_writing_ones() {
    let mut config = PciConfig::new();
    config.write(BAR0 as u16, 4, u32::MAX);
    assert_eq!(config.read(BAR0 as u16, 4), !(BAR0_LEN - 1));
    for bar in 1..6 {
        config.write(BAR0 as u16 + 4 * bar, 4, u32::MAX);
        assert_eq!(config.read(BAR0 as u16 + 4 * bar, 4), 0, "BAR{bar}");
    }
    config.write(BAR0 as u16, 4, 0xfe12_3456);
    assert_eq!(config.read(BAR0 as u16, 4), 0xfe12_0000);
}

// shows (PCI): 4.1.1-1, 4.1.5.1.2.1-1
#[test]
fn only_writable_bits_change() {
    let mut config = PciConfig::new();
    for offset in (0..256u16).step_by(4) {
        // Not the reset bit, which is another matter.
        let value = if usize::from(offset) == DEVICE_CONTROL {
            0x7fff
        } else {
            u32::MAX
        };
        config.write(offset, 4, value);
    }
    let fresh = PciConfig::new();
    assert_eq!(config.read(0, 4), fresh.read(0, 4));
    assert_eq!(capabilities(&config), capabilities(&fresh));
    assert_eq!(
        config.read(MSIX_CONTROL as u16, 2),
        0xc000 | u32::from(MSIX_VECTORS - 1)
    );
    assert_eq!(config.read(COMMAND as u16, 2), 0x0546);
    assert!(config.bus_master() && config.memory_enabled());
    assert!(config.msix_enabled() && config.msix_masked());
}

#[test]
fn bytes_are_written_on_their_own() {
    let mut config = PciConfig::new();
    config.write(MSIX_CONTROL as u16 + 1, 1, 0x80);
    assert!(config.msix_enabled() && !config.msix_masked());
    config.write(COMMAND as u16, 1, 0x04);
    assert!(config.bus_master() && !config.memory_enabled());
}

// shows (PCI): 4.1.1-1
#[test]
fn function_level_reset_is_announced_and_recognised() {
    let mut config = PciConfig::new();
    assert_eq!(config.read(CAP_PCIE as u16 + 4, 4) >> 28, 1);
    assert_eq!(
        config.write(DEVICE_CONTROL as u16, 2, 0x8000),
        Effect::FunctionReset
    );
    assert_eq!(
        config.write(DEVICE_CONTROL as u16 + 1, 1, 0x80),
        Effect::FunctionReset
    );
    assert_eq!(
        config.write(DEVICE_CONTROL as u16, 4, 0x8000),
        Effect::FunctionReset
    );
    assert_eq!(config.write(DEVICE_CONTROL as u16, 2, 0x7fff), Effect::None);
    assert_eq!(
        config.write(DEVICE_CONTROL as u16 + 2, 2, 0x8000),
        Effect::None
    );
}

// shows (PCI): 4.1.4.9.1-2, 4.1.4.9.1-3
#[test]
fn window_takes_legal_accesses_only() {
    let mut config = PciConfig::new();
    let cap = CAP_WINDOW as u16;
    let mut window = |bar: u32, offset: u32, length: u32| {
        config.write(cap + 4, 1, bar);
        config.write(cap + 8, 4, offset);
        config.write(cap + 12, 4, length);
        config.window(WINDOW_DATA as u16)
    };
    assert_eq!(
        window(0, 0x2004, 2),
        Some(Window {
            offset: 0x2004,
            width: 2
        })
    );
    assert_eq!(
        window(0, 0xfffc, 4),
        Some(Window {
            offset: 0xfffc,
            width: 4
        })
    );
    for (bar, offset, length) in [
        (1, 0, 4),
        (0, 2, 4),
        (0, 0, 0),
        (0, 0, 3),
        (0, 0, 8),
        (0, 0x1_0000, 1),
        (0, 0, 0x104),
    ] {
        assert_eq!(
            window(bar, offset, length),
            None,
            "{bar} {offset:#x} {length}"
        );
    }
    assert_eq!(config.window(WINDOW_DATA as u16 + 1), None);
}

#[test]
fn odd_accesses_are_no_accesses() {
    let mut config = PciConfig::new();
    for (offset, width) in [(1, 2), (2, 4), (0, 3), (0, 0), (0, 8)] {
        assert_eq!(config.read(offset, width), u32::MAX);
        assert_eq!(config.write(offset, width, 0), Effect::None);
    }
    assert_eq!(config.read(0x100, 4), 0, "no extended capabilities");
    assert_eq!(config.read(0xffc, 4), 0);
    assert_eq!(config.write(0x100, 4, 1), Effect::None);
}

/// The RTL's register map is the one that the capabilities announce.
#[test]
fn offsets_are_those_of_the_rtl() {
    let package = include_str!("../../../rtl/pkg/nic_pkg.sv");
    let constant = |name: &str| {
        let line = package
            .lines()
            .find(|line| line.contains("localparam") && line.split_whitespace().any(|w| w == name))
            .unwrap_or_else(|| panic!("{name} is not in nic_pkg"));
        let value = line
            .split('=')
            .nth(1)
            .and_then(|v| v.split(';').next())
            .unwrap_or("")
            .trim();
        match value.split_once("'h") {
            Some((_, hex)) => u32::from_str_radix(&hex.replace('_', ""), 16),
            None => value.parse(),
        }
        .unwrap_or_else(|_| panic!("{name} = {value}"))
    };
    for (name, value) in [
        ("BAR_COMMON_CFG", BAR_COMMON_CFG),
        ("BAR_ISR", BAR_ISR),
        ("BAR_DEVICE_CFG", BAR_DEVICE_CFG),
        ("BAR_NOTIFY", BAR_NOTIFY),
        ("BAR_MSIX_TABLE", BAR_MSIX_TABLE),
        ("BAR_MSIX_PBA", BAR_MSIX_PBA),
        ("BAR_VENDOR", BAR_VENDOR),
        ("NOTIFY_OFF_MULTIPLIER", NOTIFY_OFF_MULTIPLIER),
    ] {
        assert_eq!(constant(name), value, "{name}");
    }
}
