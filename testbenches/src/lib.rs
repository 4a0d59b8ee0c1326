//! RTL testbenches, block by block and for the whole NIC
