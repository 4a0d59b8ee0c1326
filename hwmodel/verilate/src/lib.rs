//! Build support: finds Verilator and compiles a SystemVerilog top into a C++ model
