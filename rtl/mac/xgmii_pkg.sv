// XGMII control characters and columns (IEEE 802.3 table 46-3), 64 bits a cycle = two transfers of
// four lanes. A packet starts in lane 0 of a transfer, so in lane 0 or 4 here (46.3.1.3).
package xgmii_pkg;

  // A table of constants: each user takes some of them.
  /* verilator lint_off UNUSEDPARAM */
  localparam logic [7:0] XGMII_IDLE      = 8'h07;
  localparam logic [7:0] XGMII_START     = 8'hfb;
  localparam logic [7:0] XGMII_TERMINATE = 8'hfd;
  localparam logic [7:0] XGMII_ERROR     = 8'hfe;

  localparam logic [63:0] XGMII_IDLE_WORD = {8{XGMII_IDLE}};

  // /S/, six octets of preamble, SFD (46.2.1): what stands in front of each frame, /S/ in lane 0.
  localparam logic [63:0] XGMII_PREAMBLE      = 64'hd555_5555_5555_55fb;
  localparam logic [7:0]  XGMII_PREAMBLE_CTRL = 8'h01;
  /* verilator lint_on UNUSEDPARAM */

endpackage
