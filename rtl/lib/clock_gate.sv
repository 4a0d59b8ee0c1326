// Clock gate for a block that has nothing to do.
//
// clk_o has the rising edges of clk_i that follow a low phase with en_i = 1; en_i must come from
// registers of clk_i or of clk_o. Contract with the block behind it: its state can only change while
// its busy_o is 1 or in a cycle in which en_i announces an input, so a gate that is always open makes
// the same circuit. That is what FPGA synthesis gets: a wire, and so one clock. Silicon would put its
// integrated clock gating cell here. In simulation a closed gate means that the block is not
// evaluated at all, which is where most of this model's speed comes from.
module clock_gate (
  input  logic clk_i,
  input  logic en_i,
  output logic clk_o
);

`ifdef SYNTHESIS
  assign clk_o = clk_i;
  logic unused_en;
  assign unused_en = en_i;
`else
  logic en_l;
  always_latch begin
    if (!clk_i) en_l = en_i;
  end
  assign clk_o = clk_i & en_l;
`endif

endmodule
