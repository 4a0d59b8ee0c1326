//! The NIC's RTL under Verilator and what surrounds the chip: host memory, PCI function, wire
