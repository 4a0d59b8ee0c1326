// MAC control frames (IEEE 802.3 clause 31, Annex 31B), fields in the order of the wire: the first
// octet is in bits 7:0.
package mac_control_pkg;

  localparam logic [47:0] PAUSE_ADDRESS = 48'h01_00_00_c2_80_01;  // 01-80-C2-00-00-01
  localparam logic [15:0] MAC_CONTROL   = 16'h0888;               // EtherType 0x8808
  localparam logic [15:0] OPCODE_PAUSE  = 16'h0100;               // 0x0001

endpackage
