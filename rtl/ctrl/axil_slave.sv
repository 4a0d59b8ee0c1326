// AXI4-Lite slave of BAR0: turns accesses into register requests, one at a time.
//
// A read waits for writes that arrived before it, as PCI ordering demands. Every access is answered
// with OKAY; offsets that hold nothing read as zero and ignore writes (unused bits of a region are
// reserved, virtio 4.1.4.3). rdata_i answers req_o in the same cycle.
// Latency: write 1 cycle to the register, read 2 cycles to rvalid.
module axil_slave
  import nic_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        awake_i,   // clk_i runs in this cycle: nothing is accepted while it does not

  input  logic [15:0] awaddr_i,
  input  logic        awvalid_i,
  output logic        awready_o,
  input  logic [31:0] wdata_i,
  input  logic [3:0]  wstrb_i,
  input  logic        wvalid_i,
  output logic        wready_o,
  output logic [1:0]  bresp_o,
  output logic        bvalid_o,
  input  logic        bready_i,
  input  logic [15:0] araddr_i,
  input  logic        arvalid_i,
  output logic        arready_o,
  output logic [31:0] rdata_o,
  output logic [1:0]  rresp_o,
  output logic        rvalid_o,
  input  logic        rready_i,

  input  logic        messages_idle_i,  // every MSI-X message has been answered
  output reg_req_t    req_o,
  input  logic [31:0] rdata_i,

  output logic        busy_o
);

  logic        aw_q, w_q, ar_q, b_q, r_q;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [15:0] awaddr_q, araddr_q;  // bits 1:0 say nothing: the strobes choose the bytes
  /* verilator lint_on UNUSEDSIGNAL */
  logic [31:0] wdata_q, rdata_q;
  logic [3:0]  wstrb_q;

  wire do_write = aw_q && w_q && !b_q;
  // A driver masks a vector and reads back to know that no message of it is under way any more: that
  // read must not overtake one that waits for the bus (PCI Local Bus 3.0, 6.8.2; posted ordering).
  wire behind_messages = araddr_q[15:12] == BAR_MSIX_TABLE[15:12] ||
                         araddr_q[15:12] == BAR_MSIX_PBA[15:12];
  wire do_read  = ar_q && !aw_q && !w_q && !r_q && (messages_idle_i || !behind_messages);

  assign awready_o = awake_i && !aw_q;
  assign wready_o  = awake_i && !w_q;
  assign arready_o = awake_i && !ar_q;
  assign bvalid_o  = b_q;
  assign bresp_o   = RESP_OKAY;
  assign rvalid_o  = r_q;
  assign rdata_o   = rdata_q;
  assign rresp_o   = RESP_OKAY;
  assign busy_o    = aw_q || w_q || ar_q || b_q || r_q;

  assign req_o = '{
    write: do_write,
    read:  do_read,
    addr:  do_write ? {awaddr_q[15:2], 2'b0} : {araddr_q[15:2], 2'b0},
    data:  wdata_q,
    strb:  wstrb_q
  };

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      aw_q <= 1'b0;
      w_q  <= 1'b0;
      ar_q <= 1'b0;
      b_q  <= 1'b0;
      r_q  <= 1'b0;
    end else begin
      if (awvalid_i && awready_o) begin
        aw_q     <= 1'b1;
        awaddr_q <= awaddr_i;
      end
      if (wvalid_i && wready_o) begin
        w_q     <= 1'b1;
        wdata_q <= wdata_i;
        wstrb_q <= wstrb_i;
      end
      if (arvalid_i && arready_o) begin
        ar_q     <= 1'b1;
        araddr_q <= araddr_i;
      end
      if (bready_i) b_q <= 1'b0;
      if (rready_i) r_q <= 1'b0;
      if (do_write) begin
        aw_q <= 1'b0;
        w_q  <= 1'b0;
        b_q  <= 1'b1;
      end
      if (do_read) begin
        ar_q    <= 1'b0;
        r_q     <= 1'b1;
        rdata_q <= rdata_i;
      end
    end
  end

endmodule
