// Protocol rules of an AXI4 interface (AMBA AXI4 chapters A3 and A5), seen from between both sides.
//
// Watches, drives nothing; a broken rule is $fatal with the scope of the instance. Not synthesized.
//   valid and payload stay until ready, on all five channels (A3.2.1).
//   Bursts: INCR, no beat wider than the bus, none across 4 KiB (A3.4.1).
//   wlast with exactly the last beat of each burst, in the order of the addresses (A3.4.1, A5.2.2);
//   data may come before its address. Strobes only in the lanes of the beat's bytes (A3.4.3).
//   A write response behind its address and last data; read data behind its address, in order within
//   an ID, rlast with exactly the last beat (A3.3.1, A5.3).
//   Bounded response: with MaxReady > 0 the master takes B and R within so many cycles.
// Depth: transactions in flight at most, per ID of reads, and of writes in all.
module axi4_checker #(
  parameter int unsigned DataWidth = 128,  // bits
  parameter int unsigned IdWidth   = 8,
  parameter int unsigned Depth     = 256,  // a power of two
  parameter int unsigned MaxReady  = 0     // cycles, 0: any
) (
  input logic                   clk_i,
  input logic                   rst_ni,
  input logic [IdWidth-1:0]     awid_i,
  input logic [63:0]            awaddr_i,
  input logic [7:0]             awlen_i,
  input logic [2:0]             awsize_i,
  input logic [1:0]             awburst_i,
  input logic                   awvalid_i,
  input logic                   awready_i,
  input logic [DataWidth-1:0]   wdata_i,
  input logic [DataWidth/8-1:0] wstrb_i,
  input logic                   wlast_i,
  input logic                   wvalid_i,
  input logic                   wready_i,
  input logic [IdWidth-1:0]     bid_i,
  input logic [1:0]             bresp_i,
  input logic                   bvalid_i,
  input logic                   bready_i,
  input logic [IdWidth-1:0]     arid_i,
  input logic [63:0]            araddr_i,
  input logic [7:0]             arlen_i,
  input logic [2:0]             arsize_i,
  input logic [1:0]             arburst_i,
  input logic                   arvalid_i,
  input logic                   arready_i,
  input logic [IdWidth-1:0]     rid_i,
  input logic [DataWidth-1:0]   rdata_i,
  input logic [1:0]             rresp_i,
  input logic                   rlast_i,
  input logic                   rvalid_i,
  input logic                   rready_i
);

`ifndef SYNTHESIS
  localparam int unsigned Ids     = 1 << IdWidth;
  localparam int unsigned PlaceW  = $clog2(Depth);
  localparam int unsigned StrbW   = DataWidth / 8;
  localparam int unsigned BusSize = $clog2(StrbW);
  localparam int unsigned AddrW   = IdWidth + 64 + 8 + 3 + 2;
  localparam logic [1:0]  INCR    = 2'b01;

  // A write burst.
  typedef struct packed {
    logic [IdWidth-1:0] id;
    logic [63:0]        addr;
    logic [7:0]         len;
    logic [2:0]         size;
  } burst_t;

  /* verilator lint_off UNUSEDSIGNAL */
  function automatic logic legal(logic [63:0] start, logic [7:0] len, logic [2:0] size);
    automatic logic [63:0] bytes = (64'(len) + 64'd1) << size;
    automatic logic [63:0] first = (64'(start[11:0]) >> size) << size;
    return 32'(size) <= BusSize && first + bytes <= 64'd4096;
  endfunction

  // Lanes of the bytes from `start` to the end of its beat.
  function automatic logic [StrbW-1:0] lanes(logic [63:0] start, logic [2:0] size);
    automatic int unsigned lane = 32'(start[BusSize-1:0]);
    for (int unsigned i = 0; i < StrbW; i++) lanes[i] = i >= lane && (i >> size) == (lane >> size);
  endfunction
  /* verilator lint_on UNUSEDSIGNAL */

  // ---- stability ------------------------------------------------------------------------------------
  logic [4:0]                 waiting_q;  // aw, w, b, ar, r
  logic [AddrW-1:0]           aw_payload_q, ar_payload_q;
  logic [DataWidth+StrbW:0]   w_payload_q;
  logic [IdWidth+1:0]         b_payload_q;
  logic [IdWidth+DataWidth+2:0] r_payload_q;
  wire [AddrW-1:0]            aw_payload = {awid_i, awaddr_i, awlen_i, awsize_i, awburst_i};
  wire [AddrW-1:0]            ar_payload = {arid_i, araddr_i, arlen_i, arsize_i, arburst_i};
  wire [DataWidth+StrbW:0]    w_payload  = {wdata_i, wstrb_i, wlast_i};
  wire [IdWidth+1:0]          b_payload  = {bid_i, bresp_i};
  wire [IdWidth+DataWidth+2:0] r_payload = {rid_i, rdata_i, rresp_i, rlast_i};
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      waiting_q <= '0;
    end else begin
      waiting_q <= {awvalid_i && !awready_i, wvalid_i && !wready_i, bvalid_i && !bready_i,
                    arvalid_i && !arready_i, rvalid_i && !rready_i};
      assert ((waiting_q & ~{awvalid_i, wvalid_i, bvalid_i, arvalid_i, rvalid_i}) == '0)
      else $fatal(1, "axi: valid withdrawn before ready");
      assert (!(waiting_q[4] && aw_payload != aw_payload_q) && !(waiting_q[3] && w_payload != w_payload_q) &&
              !(waiting_q[2] && b_payload != b_payload_q) && !(waiting_q[1] && ar_payload != ar_payload_q) &&
              !(waiting_q[0] && r_payload != r_payload_q))
      else $fatal(1, "axi: payload changed while it waited");
    end
    if (awvalid_i) aw_payload_q <= aw_payload;
    if (arvalid_i) ar_payload_q <= ar_payload;
    if (wvalid_i)  w_payload_q  <= w_payload;
    if (bvalid_i)  b_payload_q  <= b_payload;
    if (rvalid_i)  r_payload_q  <= r_payload;
  end

  // A scoreboard reads best as a program: assignments below take effect at once.
  /* verilator lint_off BLKSEQ */

  // ---- writes ---------------------------------------------------------------------------------------
  burst_t            bursts [Depth];         // addresses whose data has not ended
  logic [PlaceW-1:0] bursts_in, bursts_out;
  logic [7:0]        ended [Depth];          // data that ended before its address came: beats - 1
  logic [PlaceW-1:0] ended_in, ended_out;
  logic [7:0]        beat;                   // of the data burst on the bus
  logic              known;                  // its address was there at its first beat: addr is right
  logic [63:0]       addr;                   // of the beat
  int unsigned       unanswered [Ids];       // whole writes
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      bursts_in  = '0;
      bursts_out = '0;
      ended_in   = '0;
      ended_out  = '0;
      beat       = '0;
      for (int unsigned i = 0; i < Ids; i++) unanswered[i] = 0;
    end else begin
      if (bvalid_i) begin
        assert (unanswered[bid_i] != 0)
        else $fatal(1, "axi: a write response to nothing");
        if (bready_i) unanswered[bid_i] -= 1;
      end
      if (awvalid_i && awready_i) begin
        assert (awburst_i == INCR && legal(awaddr_i, awlen_i, awsize_i))
        else $fatal(1, "axi: illegal write burst");
        bursts[bursts_in] = '{id: awid_i, addr: awaddr_i, len: awlen_i, size: awsize_i};
        bursts_in += 1'b1;
        assert (bursts_in != bursts_out)
        else $fatal(1, "axi: more writes in flight than Depth");
      end
      if (wvalid_i && wready_i) begin
        if (beat == '0) begin
          known = ended_in == ended_out && bursts_in != bursts_out;
          addr  = bursts[bursts_out].addr;
        end
        if (known) begin
          assert ((wstrb_i & ~lanes(addr, bursts[bursts_out].size)) == '0)
          else $fatal(1, "axi: strobe outside of the beat");
          addr = ((addr >> bursts[bursts_out].size) + 64'd1) << bursts[bursts_out].size;
        end
        if (wlast_i) begin
          ended[ended_in] = beat;
          ended_in += 1'b1;
        end
        beat = wlast_i ? '0 : beat + 8'd1;
        assert (wlast_i || !(bursts_in != bursts_out && ended_in == ended_out) ||
                beat <= bursts[bursts_out].len)
        else $fatal(1, "axi: wlast at the wrong beat");
      end
      if (bursts_in != bursts_out && ended_in != ended_out) begin
        assert (ended[ended_out] == bursts[bursts_out].len)
        else $fatal(1, "axi: wlast at the wrong beat");
        unanswered[bursts[bursts_out].id] += 1;
        bursts_out += 1'b1;
        ended_out  += 1'b1;
      end
    end
  end

  // ---- reads -----------------------------------------------------------------------------------------
  logic [7:0]        lens [Ids][Depth];
  logic [PlaceW-1:0] lens_in [Ids];
  logic [PlaceW-1:0] lens_out [Ids];
  logic [7:0]        read_beat [Ids];
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      for (int unsigned i = 0; i < Ids; i++) begin
        lens_in[i]   = '0;
        lens_out[i]  = '0;
        read_beat[i] = '0;
      end
    end else begin
      if (rvalid_i) begin
        assert (lens_in[rid_i] != lens_out[rid_i])
        else $fatal(1, "axi: read data that nobody asked for");
        assert (rlast_i == (read_beat[rid_i] == lens[rid_i][lens_out[rid_i]]))
        else $fatal(1, "axi: rlast at the wrong beat");
        if (rready_i) begin
          read_beat[rid_i] = rlast_i ? '0 : read_beat[rid_i] + 8'd1;
          if (rlast_i) lens_out[rid_i] += 1'b1;
        end
      end
      if (arvalid_i && arready_i) begin
        assert (arburst_i == INCR && legal(araddr_i, arlen_i, arsize_i))
        else $fatal(1, "axi: illegal read burst");
        lens[arid_i][lens_in[arid_i]] = arlen_i;
        lens_in[arid_i] += 1'b1;
        assert (lens_in[arid_i] != lens_out[arid_i])
        else $fatal(1, "axi: more reads in flight than Depth");
      end
    end
  end
  /* verilator lint_on BLKSEQ */

  // ---- bounded response ------------------------------------------------------------------------------
  int unsigned b_wait_q, r_wait_q;
  always_ff @(posedge clk_i) begin
    b_wait_q <= (rst_ni && bvalid_i && !bready_i) ? b_wait_q + 1 : 0;
    r_wait_q <= (rst_ni && rvalid_i && !rready_i) ? r_wait_q + 1 : 0;
    assert (MaxReady == 0 || (b_wait_q <= MaxReady && r_wait_q <= MaxReady))
    else $fatal(1, "axi: the master does not take a response within the bound");
  end
`endif

endmodule
