//! The protocol checkers of the checked build are there: stimulus that breaks a rule stops it, and the
//! same stimulus without the breach does not.
#![cfg(feature = "nic")]

use hwmodel::{BareModel, Device, Nic, NicConfig, PinsIn};

fn config() -> NicConfig {
    NicConfig {
        checks: true,
        record: true,
        memory: 1 << 20,
        ..NicConfig::default()
    }
}

/// Pins of a few register accesses, with idle cycles behind.
fn recording() -> Vec<PinsIn> {
    let mut nic = Nic::new(config()).unwrap();
    nic.config_write(0x04, 2, 0x0006);
    for _ in 0..4 {
        nic.bar_read(0x14, 1).unwrap();
        nic.bar_write(0x08, 4, 1).unwrap();
    }
    nic.recording().unwrap().pins.clone()
}

/// What the checked build says about this stimulus.
fn replay(pins: &[PinsIn]) -> Result<u64, String> {
    let mut model = BareModel::new(&config());
    model.replay(pins, false).map_err(|error| error.to_string())
}

#[test]
fn legal_stimulus_passes() {
    assert_eq!(replay(&recording()), Ok(0));
}

#[test]
fn a_broken_rule_on_the_register_interface_stops_it() {
    let mut pins = recording();
    let at = pins.len() - 20;
    for (cycle, pins) in (0u16..).zip(&mut pins[at..at + 8]) {
        // Not held until it is taken: another address in every cycle.
        pins.s_axil_arvalid = true;
        pins.s_axil_araddr = 4 * cycle;
        pins.s_axil_rready = false;
    }
    let error = replay(&pins).unwrap_err();
    assert!(error.contains("axi-lite: payload changed"), "{error}");
}

#[test]
fn a_broken_rule_on_the_memory_interface_stops_it() {
    let mut pins = recording();
    let at = pins.len() - 20;
    pins[at].m_axi_rvalid = true;
    pins[at].m_axi_rid = 1;
    let error = replay(&pins).unwrap_err();
    assert!(
        error.contains("axi: read data that nobody asked for"),
        "{error}"
    );
}
