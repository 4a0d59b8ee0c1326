// Protocol rules of an AXI4-Stream between blocks (AMBA AXI4-Stream 2.2, and ours on top).
//
// Watches, drives nothing; a broken rule is $fatal with the scope of the instance. Not synthesized.
//   A beat that was offered stays as it is until it is taken (2.2.1).
//   tkeep is contiguous from bit 0 and not zero, and only the last beat of a packet may be partial
//   (ours: blocks count bytes by that). tvalid, tready and, with tvalid, tlast are never unknown.
//   With MaxStall > 0: an offered beat is taken within so many cycles (bounded response).
// Streams whose receiver cannot wait tie tready_i to 1.
module axis_checker #(
  parameter int unsigned DataWidth = 64,  // bits
  parameter int unsigned UserWidth = 1,
  parameter int unsigned MaxStall  = 0    // cycles, 0: any
) (
  input logic                   clk_i,
  input logic                   rst_ni,
  input logic [DataWidth-1:0]   tdata_i,
  input logic [DataWidth/8-1:0] tkeep_i,
  input logic [UserWidth-1:0]   tuser_i,
  input logic                   tvalid_i,
  input logic                   tlast_i,
  input logic                   tready_i
);

`ifndef SYNTHESIS
  logic                   waiting_q;
  logic [DataWidth-1:0]   tdata_q;
  logic [DataWidth/8-1:0] tkeep_q;
  logic [UserWidth-1:0]   tuser_q;
  logic                   tlast_q;
  int unsigned            stall_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      waiting_q <= 1'b0;
      stall_q   <= 0;
    end else begin
      waiting_q <= tvalid_i && !tready_i;
      tdata_q   <= tdata_i;
      tkeep_q   <= tkeep_i;
      tuser_q   <= tuser_i;
      tlast_q   <= tlast_i;
      stall_q   <= (tvalid_i && !tready_i) ? stall_q + 1 : 0;
      if (waiting_q) begin
        assert (tvalid_i)
        else $fatal(1, "axis: tvalid withdrawn before tready");
        assert ({tdata_i, tkeep_i, tuser_i, tlast_i} == {tdata_q, tkeep_q, tuser_q, tlast_q})
        else $fatal(1, "axis: the beat changed while it waited");
      end
      if (tvalid_i) begin
        assert (tkeep_i != '0 && (tkeep_i & (tkeep_i + 1'b1)) == '0)
        else $fatal(1, "axis: tkeep is not contiguous from bit 0");
        assert (tlast_i || (&tkeep_i))
        else $fatal(1, "axis: a partial beat that is not the last");
      end
      assert (MaxStall == 0 || stall_q <= MaxStall)
      else $fatal(1, "axis: no tready within the bound");
    end
  end
`endif

endmodule
