// Protocol rules of an AXI4-Lite interface (AMBA AXI4 A3.2, B1.1), seen from between both sides.
//
// Watches, drives nothing; a broken rule is $fatal with the scope of the instance. Not synthesized.
//   valid and payload stay until ready, on all five channels.
//   A write response comes only behind its address and its data, a read response behind its address,
//   one for each and never one more.
//   Bounded response: with MaxWait > 0 the slave takes what is offered, and answers, within so many
//   cycles.
module axil_checker #(
  parameter int unsigned AddrWidth = 16,  // bits
  parameter int unsigned MaxWait   = 0    // cycles, 0: any
) (
  input logic                 clk_i,
  input logic                 rst_ni,
  input logic [AddrWidth-1:0] awaddr_i,
  input logic                 awvalid_i,
  input logic                 awready_i,
  input logic [31:0]          wdata_i,
  input logic [3:0]           wstrb_i,
  input logic                 wvalid_i,
  input logic                 wready_i,
  input logic [1:0]           bresp_i,
  input logic                 bvalid_i,
  input logic                 bready_i,
  input logic [AddrWidth-1:0] araddr_i,
  input logic                 arvalid_i,
  input logic                 arready_i,
  input logic [31:0]          rdata_i,
  input logic [1:0]           rresp_i,
  input logic                 rvalid_i,
  input logic                 rready_i
);

`ifndef SYNTHESIS
  localparam logic [1:0] RESP_EXOKAY = 2'b01;  // not in AXI4-Lite (B1.1.1)

  // What waited in the cycle before: aw, w, b, ar, r.
  logic [4:0]           waiting_q;
  logic [AddrWidth-1:0] awaddr_q, araddr_q;
  logic [35:0]          w_q;
  logic [1:0]           bresp_q;
  logic [33:0]          r_q;
  // Taken and not yet answered.
  int unsigned aw_q, wdata_count_q, ar_q;
  int unsigned wait_q;

  wire [4:0] waiting = {awvalid_i && !awready_i, wvalid_i && !wready_i, bvalid_i && !bready_i,
                        arvalid_i && !arready_i, rvalid_i && !rready_i};
  wire b_fire = bvalid_i && bready_i;
  wire r_fire = rvalid_i && rready_i;
  // The slave owes something: to take an offer, or an answer.
  wire owed = (awvalid_i && !awready_i) || (wvalid_i && !wready_i) || (arvalid_i && !arready_i) ||
              (aw_q != 0 && wdata_count_q != 0 && !bvalid_i) || (ar_q != 0 && !rvalid_i);
  wire held = (bvalid_i && !bready_i) || (rvalid_i && !rready_i);  // by the master

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      waiting_q     <= '0;
      aw_q          <= 0;
      wdata_count_q <= 0;
      ar_q          <= 0;
      wait_q        <= 0;
    end else begin
      waiting_q <= waiting;
      awaddr_q  <= awaddr_i;
      araddr_q  <= araddr_i;
      w_q       <= {wdata_i, wstrb_i};
      bresp_q   <= bresp_i;
      r_q       <= {rdata_i, rresp_i};

      assert ((waiting_q & ~{awvalid_i, wvalid_i, bvalid_i, arvalid_i, rvalid_i}) == '0)
      else $fatal(1, "axi-lite: valid withdrawn before ready");
      assert (!(waiting_q[4] && awaddr_i != awaddr_q) && !(waiting_q[3] && {wdata_i, wstrb_i} != w_q) &&
              !(waiting_q[2] && bresp_i != bresp_q) && !(waiting_q[1] && araddr_i != araddr_q) &&
              !(waiting_q[0] && {rdata_i, rresp_i} != r_q))
      else $fatal(1, "axi-lite: payload changed while it waited");

      aw_q          <= aw_q + 32'(awvalid_i && awready_i) - 32'(b_fire);
      wdata_count_q <= wdata_count_q + 32'(wvalid_i && wready_i) - 32'(b_fire);
      ar_q          <= ar_q + 32'(arvalid_i && arready_i) - 32'(r_fire);
      assert (!bvalid_i || (aw_q != 0 && wdata_count_q != 0))
      else $fatal(1, "axi-lite: a write response to nothing");
      assert (!rvalid_i || ar_q != 0)
      else $fatal(1, "axi-lite: a read response to nothing");
      assert (!(bvalid_i && bresp_i == RESP_EXOKAY) && !(rvalid_i && rresp_i == RESP_EXOKAY))
      else $fatal(1, "axi-lite: an exclusive response");

      wait_q <= (owed && !held) ? wait_q + 1 : 0;
      assert (MaxWait == 0 || wait_q <= MaxWait)
      else $fatal(1, "axi-lite: no answer within the bound");
    end
  end
`endif

endmodule
