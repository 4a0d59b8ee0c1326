// Receive scatter: joins pieces of up to 8 bytes into beats of the host's width and these into bursts.
//
// Input: one piece per cycle, valid/ready. Its bytes stand in the lanes of addr_i[2:0] and do not
// cross a multiple of 8; the pieces of a burst follow each other in memory. A burst ends with a piece
// that has end_i, and at every multiple of BURST_BEATS beats, so that none crosses 4 KiB.
// Output: bursts for dma_write, offered only when all their beats are there, so that the W channel is
// never held idle. burst_end_o says, together with a piece, that it completes a burst.
module rx_scatter
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
  localparam int unsigned StrbW        = HostDataWidth / 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic [63:0]              addr_i,      // of the piece's first byte
  input  logic [63:0]              data_i,      // in its lanes, the others are zero
  input  logic [3:0]               bytes_i,     // 1..8
  input  logic                     end_i,       // the burst ends here
  input  logic [2:0]               pair_i,      // constant inside a burst
  input  logic                     valid_i,
  output logic                     ready_o,
  output logic                     burst_end_o,

  output logic [63:0]              aw_addr_o,
  output logic [3:0]               aw_len_o,    // beats - 1
  output logic [2:0]               aw_pair_o,   // whose write it is
  output logic                     aw_valid_o,
  input  logic                     aw_ready_i,
  output logic [HostDataWidth-1:0] w_data_o,
  output logic [StrbW-1:0]         w_strb_o,
  output logic                     w_valid_o,
  input  logic                     w_ready_i
);

  localparam int unsigned BeatW  = $clog2(StrbW);              // address bits inside a beat
  localparam int unsigned BurstW = $clog2(BURST_BEATS);
  localparam int unsigned LaneW  = BeatW > 3 ? BeatW - 3 : 1;  // 64-bit lanes inside a beat

  typedef struct packed {
    logic [63:0]       addr;
    logic [2:0]        pair;
    logic [BurstW-1:0] len;
  } burst_t;
  typedef struct packed {
    logic [HostDataWidth-1:0] data;
    logic [StrbW-1:0]         strb;
  } beat_t;

  // What the open beat and the open burst hold so far.
  beat_t             beat_q;
  logic [63:0]       burst_addr_q;
  logic [BurstW-1:0] burst_len_q;
  logic              burst_open_q;

  logic beat_ready, burst_ready;
  wire [2:0]       lane = addr_i[2:0];
  wire [LaneW-1:0] word = HostDataWidth == 64 ? '0 : addr_i[3 +: LaneW];
  wire last_word   = HostDataWidth == 64 || (&word);
  wire beat_end    = end_i || (last_word && {1'b0, lane} + bytes_i == 4'd8);
  assign burst_end_o = end_i || (beat_end && &addr_i[BeatW +: BurstW]);
  assign ready_o     = beat_ready && burst_ready;
  wire fire        = valid_i && ready_o;

  wire [7:0] strb = ~(8'hff << bytes_i) << lane;
  beat_t beat;
  always_comb begin
    beat = beat_q;
    for (int unsigned i = 0; i < HostDataWidth / 64; i++) begin
      if (word == LaneW'(i)) begin
        beat.data[64*i +: 64] = data_i;
        beat.strb[8*i +: 8]   = strb;
      end
    end
  end

  burst_t burst, burst_out;
  assign burst = '{
    addr: burst_open_q ? burst_addr_q : addr_i,
    pair: pair_i,
    len:  burst_open_q ? burst_len_q : '0
  };
  /* verilator lint_off UNUSEDSIGNAL */
  logic [3:0] burst_count;
  logic [6:0] beat_count;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width($bits(burst_t)),
    .Depth(8)
  ) u_bursts (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (burst),
    .valid_i(fire && burst_end_o),
    .ready_o(burst_ready),
    .data_o (burst_out),
    .valid_o(aw_valid_o),
    .ready_i(aw_ready_i),
    .count_o(burst_count)
  );
  assign aw_addr_o = burst_out.addr;
  assign aw_pair_o = burst_out.pair;
  assign aw_len_o  = burst_out.len;

  beat_t beat_out;
  fifo #(
    .Width($bits(beat_t)),
    .Depth(64)
  ) u_beats (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (beat),
    .valid_i(fire && beat_end),
    .ready_o(beat_ready),
    .data_o (beat_out),
    .valid_o(w_valid_o),
    .ready_i(w_ready_i),
    .count_o(beat_count)
  );
  assign w_data_o = beat_out.data;
  assign w_strb_o = beat_out.strb;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      burst_open_q <= 1'b0;
      beat_q.strb  <= '0;
    end else if (fire) begin
      burst_open_q <= !burst_end_o;
      beat_q.strb  <= beat_end ? '0 : beat.strb;
    end
    if (fire) begin
      beat_q.data <= beat.data;
      if (!burst_open_q) burst_addr_q <= addr_i;
      burst_len_q <= burst_end_o ? '0 : burst.len + BurstW'(beat_end);
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && fire) begin
      assert (bytes_i != '0 && {1'b0, lane} + bytes_i <= 4'd8)
      else $fatal(1, "rx_scatter: a piece that crosses a multiple of 8");
    end
  end
`endif

endmodule
