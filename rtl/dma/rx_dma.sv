// Receive DMA: writes each frame, behind its virtio_net_hdr, into the buffers of a receive queue.
//
// Input: packet_fifo's read side (length, then words). Output: bursts for dma_write_arb and finished
// chains for the virtqueue, the latter only when all write responses of the frame have come, so that
// a used descriptor never announces data that is still on its way.
// A buffer may start at any byte address, have any length and be split anywhere (virtio 2.8.5, 5.1.6.1
// message framing). One 64-bit word per cycle while the write buffer has room.
// No descriptor: the frame waits. Queue disabled: frames are dropped and counted. Buffer chain too
// short: the chain is returned with length 0 and the frame counted as truncated.
// An error response pulses error_o.
module rx_dma
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
  localparam int unsigned StrbW        = HostDataWidth / 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     enable_i,       // queue enabled and device running

  // Frame
  input  logic                     meta_valid_i,
  input  logic [13:0]              meta_len_i,     // bytes, FCS not included
  input  logic                     meta_csum_i,    // L4 checksum verified
  output logic                     meta_ready_o,
  input  logic                     data_valid_i,
  input  logic [63:0]              data_i,
  output logic                     data_ready_o,

  // Virtqueue
  /* verilator lint_off UNUSEDSIGNAL */
  input  vq_desc_t                 desc_i,         // the virtqueue checked its direction
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic                     desc_valid_i,
  output logic                     desc_ready_o,
  output vq_used_t                 used_o,
  output logic                     used_valid_o,
  input  logic                     used_ready_i,

  // Write burst: command first, then exactly len + 1 beats
  output logic [63:0]              aw_addr_o,
  output logic [3:0]               aw_len_o,       // beats - 1
  output logic                     aw_valid_o,
  input  logic                     aw_ready_i,
  output logic [HostDataWidth-1:0] w_data_o,
  output logic [StrbW-1:0]         w_strb_o,
  output logic                     w_valid_o,
  input  logic                     w_ready_i,
  input  logic                     b_valid_i,
  input  logic                     b_error_i,

  output logic                     stat_disabled_o,   // pulses
  output logic                     stat_truncated_o,
  output logic                     stat_csum_o,
  output logic                     error_o,
  output logic                     idle_o,            // nothing outstanding on AXI
  output logic                     busy_o
);

  localparam int unsigned BeatW     = $clog2(StrbW);             // address bits inside a beat
  localparam int unsigned BurstW    = $clog2(BURST_BEATS);
  localparam int unsigned LaneW     = BeatW > 3 ? BeatW - 3 : 1; // 64-bit lanes inside a beat
  localparam int unsigned SeqW      = 12;

  typedef enum logic [2:0] {IDLE, DESC, WRITE, SKIP, DONE, DROP} state_e;
  typedef struct packed {
    logic [63:0]       addr;
    logic [BurstW-1:0] len;
  } burst_t;
  typedef struct packed {
    logic [HostDataWidth-1:0] data;
    logic [StrbW-1:0]         strb;
  } beat_t;
  typedef struct packed {
    vq_used_t        used;
    logic [SeqW-1:0] seq;  // bursts issued when the frame ended
  } done_t;

  state_e      state_q;
  // Source: virtio_net_hdr preceded by 4 bytes of nothing, so that the frame's words stay aligned.
  logic [63:0] cur_q;          // current source word
  logic        in_hdr_q;       // cur_q is the first half of the header
  logic [2:0]  off_q;          // first byte of cur_q that was not written yet
  logic [14:0] remaining_q;    // bytes still to write, header included
  logic [11:0] words_q;        // frame words still in packet_fifo
  logic        csum_q;
  logic [14:0] total_q;
  // Destination
  logic [63:0] addr_q;
  logic [14:0] left_q;         // bytes to write into the current descriptor
  logic [15:0] id_q;
  logic        next_q;
  logic [15:0] ndesc_q;
  logic        truncated_q;
  // Burst being built
  logic [HostDataWidth-1:0] beat_q;
  logic [StrbW-1:0]         strb_q;
  logic [63:0]              burst_addr_q;
  logic [BurstW-1:0]        burst_len_q;
  logic                     burst_open_q;
  logic [SeqW-1:0]          seq_q;    // bursts issued
  logic [SeqW-1:0]          acked_q;  // bursts acknowledged

  // ---- one destination word per cycle ---------------------------------------------------------
  wire [2:0] lane     = addr_q[2:0];
  wire [3:0] room     = 4'd8 - {1'b0, lane};
  wire [3:0] n        = (left_q >= {11'b0, room}) ? room : left_q[3:0];
  wire [4:0] off_end  = {2'b0, off_q} + {1'b0, n};
  wire       pop      = off_end > 5'd8 || (off_end == 5'd8 && remaining_q != {11'b0, n});
  // num_buffers = 1 (5.1.6.4.1), the rest of the header's second half is zero.
  wire [63:0] next_word  = in_hdr_q ? 64'h0001_0000_0000_0000 : data_i;
  wire        next_valid = in_hdr_q || data_valid_i;
  wire        piece_end  = left_q == {11'b0, n};

  logic beat_ready, burst_ready;
  wire  [LaneW-1:0] word = HostDataWidth == 64 ? '0 : addr_q[3 +: LaneW];
  wire  last_lane  = HostDataWidth == 64 || (&word);
  wire  beat_end   = piece_end || (last_lane && n == room);
  wire  burst_end  = piece_end || (beat_end && &addr_q[BeatW +: BurstW]);
  wire  step       = state_q == WRITE && (!pop || next_valid) && beat_ready && burst_ready;

  logic [63:0] shifted;
  logic [7:0]  lane_strb;
  always_comb begin
    shifted   = cur_q >> {off_q, 3'b0};
    if (off_q != 0) shifted |= next_word << {3'd0 - off_q, 3'b0};
    shifted   = shifted << {lane, 3'b0};
    lane_strb = ~(8'hff << n) << lane;
  end

  beat_t beat;
  always_comb begin
    beat = '{data: beat_q, strb: strb_q};
    for (int unsigned i = 0; i < HostDataWidth / 64; i++) begin
      if (word == LaneW'(i)) begin
        beat.data[64*i +: 64] = shifted;
        beat.strb[8*i +: 8]   = lane_strb;
      end
    end
  end

  // ---- bursts wait here until they are whole, so that the W channel is never held idle ---------
  burst_t burst, burst_out;
  assign burst = '{
    addr: burst_open_q ? burst_addr_q : addr_q,
    len:  burst_open_q ? burst_len_q : '0
  };
  /* verilator lint_off UNUSEDSIGNAL */
  logic [3:0] burst_count;
  logic [6:0] beat_count;
  logic [4:0] done_count;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width($bits(burst_t)),
    .Depth(8)
  ) u_bursts (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (burst),
    .valid_i(step && burst_end),
    .ready_o(burst_ready),
    .data_o (burst_out),
    .valid_o(aw_valid_o),
    .ready_i(aw_ready_i),
    .count_o(burst_count)
  );
  assign aw_addr_o = burst_out.addr;
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
    .valid_i(step && beat_end),
    .ready_o(beat_ready),
    .data_o (beat_out),
    .valid_o(w_valid_o),
    .ready_i(w_ready_i),
    .count_o(beat_count)
  );
  assign w_data_o = beat_out.data;
  assign w_strb_o = beat_out.strb;

  // ---- frames whose write responses are awaited -------------------------------------------------
  done_t done, done_out;
  logic  done_push, done_ready, done_valid, discard;
  wire   frame_end = step && piece_end && remaining_q == {11'b0, n};  // of the frame's last byte
  // The last burst of a frame is pushed in the same cycle as its end.
  assign done = '{
    used: '{id: id_q, len: truncated_q ? '0 : {17'b0, total_q}, ndesc: ndesc_q},
    seq:  seq_q + SeqW'(state_q == WRITE)
  };
  assign done_push = state_q == DONE || (frame_end && !next_q);
  fifo #(
    .Width($bits(done_t)),
    .Depth(16)
  ) u_done (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (done),
    .valid_i(done_push),
    .ready_o(done_ready),
    .data_o (done_out),
    .valid_o(done_valid),
    .ready_i((used_valid_o && used_ready_i) || discard),
    .count_o(done_count)
  );
  wire [SeqW-1:0] ahead = acked_q - done_out.seq;
  wire acknowledged    = done_valid && !ahead[SeqW-1];
  assign used_o       = done_out.used;
  assign used_valid_o = acknowledged && enable_i;

  // ---- control ----------------------------------------------------------------------------------
  wire meta_fire = meta_valid_i && meta_ready_o;
  assign meta_ready_o = state_q == IDLE;
  assign data_ready_o = (step && pop && !in_hdr_q) || (state_q == DROP && words_q != '0);
  // A frame and its first descriptor are taken together when both are there. At the end of a
  // descriptor the chain goes on; what is left of it behind the frame is taken too.
  assign desc_ready_o = (state_q == DESC || state_q == SKIP || meta_fire) && enable_i;

  wire        desc_fire = desc_valid_i && desc_ready_o;
  wire [14:0] total     = {1'b0, meta_len_i} + 15'(NET_HDR_BYTES);
  wire [14:0] remaining = state_q == IDLE ? total : remaining_q;
  wire        big_desc  = desc_i.len >= {17'b0, remaining};

  // A frame that was written but can no longer be told to the driver is counted as the others are;
  // not in the cycle of another one, so that none is lost to the counter.
  wire drop_disabled = (meta_fire || state_q == DESC || state_q == SKIP) && !enable_i;
  assign discard         = acknowledged && !enable_i && !drop_disabled;
  assign stat_disabled_o = drop_disabled || (discard && done_out.used.len != '0);
  assign stat_truncated_o = done_push && done_ready && truncated_q;
  assign stat_csum_o      = done_push && done_ready && !truncated_q && csum_q;
  assign error_o          = b_valid_i && b_error_i;

  assign idle_o = seq_q == acked_q && !done_valid && (state_q == IDLE || state_q == DROP);
  assign busy_o = seq_q != acked_q || done_valid || state_q == WRITE || state_q == DONE ||
                  state_q == DROP ||
                  (state_q == IDLE && meta_valid_i) ||
                  ((state_q == DESC || state_q == SKIP) && (desc_valid_i || !enable_i));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q      <= IDLE;
      burst_open_q <= 1'b0;
      seq_q        <= '0;
      acked_q      <= '0;
    end else begin
      if (b_valid_i) acked_q <= acked_q + SeqW'(1);

      unique case (state_q)
        IDLE: if (meta_valid_i) begin
          words_q     <= 12'((meta_len_i + 14'd7) >> 3);
          total_q     <= total;
          remaining_q <= total;
          csum_q      <= meta_csum_i;
          cur_q       <= {30'b0, meta_csum_i, 1'b0, 32'b0};  // flags: DATA_VALID
          in_hdr_q    <= 1'b1;
          off_q       <= 3'd4;
          ndesc_q     <= '0;
          truncated_q <= 1'b0;
          state_q     <= enable_i ? DESC : DROP;
        end

        DESC: if (!enable_i) state_q <= DROP;

        WRITE: if (step) begin
          addr_q      <= addr_q + {60'b0, n};
          left_q      <= left_q - {11'b0, n};
          remaining_q <= remaining_q - {11'b0, n};
          off_q       <= off_end[2:0];
          if (pop) begin
            cur_q    <= next_word;
            in_hdr_q <= 1'b0;
            if (!in_hdr_q) words_q <= words_q - 12'd1;
          end
          beat_q <= beat.data;
          strb_q <= beat_end ? '0 : beat.strb;
          if (!burst_open_q) burst_addr_q <= addr_q;
          burst_open_q <= !burst_end;
          burst_len_q  <= burst_end ? '0 : burst.len + BurstW'(beat_end);
          if (burst_end) seq_q <= seq_q + SeqW'(1);
          if (piece_end) begin
            if (frame_end) state_q <= next_q ? SKIP : done_ready ? IDLE : DONE;
            else if (next_q) state_q <= DESC;
            else begin
              truncated_q <= 1'b1;
              state_q     <= DONE;
            end
          end
        end

        SKIP: begin
          if (!enable_i) begin
            state_q <= IDLE;
          end else if (desc_valid_i) begin
            id_q    <= desc_i.id;
            next_q  <= desc_i.next;
            ndesc_q <= ndesc_q + 16'd1;
            if (!desc_i.next) state_q <= DONE;
          end
        end

        DONE: if (done_ready) state_q <= truncated_q ? DROP : IDLE;

        DROP: begin
          if (words_q == '0) state_q <= IDLE;
          else if (data_valid_i) begin
            words_q <= words_q - 12'd1;
            if (words_q == 12'd1) state_q <= IDLE;
          end
        end

        default: state_q <= IDLE;
      endcase

      if (desc_fire && state_q != SKIP) begin
        id_q    <= desc_i.id;
        next_q  <= desc_i.next;
        ndesc_q <= state_q == IDLE ? 16'd1 : ndesc_q + 16'd1;
        addr_q  <= desc_i.addr;
        left_q  <= big_desc ? remaining : desc_i.len[14:0];
        strb_q  <= '0;
        if (desc_i.len != '0) begin
          state_q <= WRITE;
        end else if (!desc_i.next) begin
          truncated_q <= 1'b1;
          state_q     <= DONE;
        end
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!desc_fire || desc_valid_i)
      else $fatal(1, "rx_dma: descriptor taken that is not there");
      assert (!b_valid_i || seq_q != acked_q)
      else $fatal(1, "rx_dma: write response without a burst");
    end
  end
`endif

endmodule
