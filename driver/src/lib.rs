//! The virtio-net driver: PCI capabilities, packed virtqueues, NAPI
