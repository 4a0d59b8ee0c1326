//! The whole model through its registers, queues and wire.
use super::*;
use crate::pci;

#[test]
fn registers_answer_once_memory_space_is_on() {
    let mut nic = ModelNic::new(ModelConfig::default()).unwrap();
    assert_eq!(nic.bar_read(pci::BAR_VENDOR, 4), Ok(u32::MAX));
    nic.config_write(pci::COMMAND as u16, 2, u32::from(pci::COMMAND_MEMORY));
    let magic = nic.bar_read(pci::BAR_VENDOR, 4).unwrap();
    assert_eq!(&magic.to_le_bytes(), b"WPTH");
    assert_eq!(nic.bar_read(pci::BAR_VENDOR + 2, 2), Ok(magic >> 16));
    assert!(nic.bar_read(1, 2).is_err());
}
