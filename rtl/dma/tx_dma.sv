// Transmit DMA: gathers the buffers of each chain of a transmit queue into one byte stream.
//
// Input: descriptors of the virtqueue. Output: AXI4-Stream, 64 bits, one packet per chain:
// virtio_net_hdr and frame, first byte in lane 0, all beats full but the last. Buffers may start
// anywhere and be split anywhere (virtio 2.8.5). A chain is returned as used when its last byte has
// been handed over. A chain without any byte gives no packet and pulses stat_bad_o.
// Reads are bursts that end at BURST_BEATS boundaries; room for their data is reserved before they
// are issued, so the R channel is never held back. They use one AXI ID: data comes in order.
// share_i: beats that may be in flight; a single burst always may. It is looked at when a descriptor or
// a burst has been taken. What is asked for beyond what memory's latency needs only stands in a row before
// it, and there holds up the descriptors of other queues.
// A chain of more than MAX_CHAIN_BYTES is no legal frame, and it would keep the other queues waiting for
// long: nothing is read from the descriptor on with which it grows too long. It is returned, pulses
// stat_bad_o and gives no packet, or one that ends with an abort.
// A packet is offered when all of it has arrived, so that whoever takes it does not wait for memory; one
// that is larger or in more pieces than fits when half of the buffer is full, or 32 bursts are asked for.
// enable_i = 0: no new reads, and what arrives is discarded; a packet that was begun ends with an
// abort: a last beat with tuser. When all reads have been answered the block may be enabled again,
// and begins when the abort has been taken. The block sleeps while it has nothing to do.
module tx_dma
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
  parameter int unsigned ReadBeats     = 256  // beats in flight or waiting, a power of two
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     enable_i,
  input  logic [7:0]               share_i,
  output logic                     reading_o,    // data is on its way to it

  // Virtqueue
  /* verilator lint_off UNUSEDSIGNAL */
  input  vq_desc_t                 desc_i,         // the virtqueue checked its direction
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic                     desc_valid_i,
  output logic                     desc_ready_o,
  output vq_used_t                 used_o,
  output logic                     used_valid_o,
  input  logic                     used_ready_i,

  // AXI read bursts, full-width beats
  output logic [63:0]              ar_addr_o,
  output logic [3:0]               ar_len_o,     // beats - 1
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_valid_i,

  output logic [63:0]              m_axis_tdata_o,
  output logic [7:0]               m_axis_tkeep_o,
  output logic                     m_axis_tvalid_o,
  output logic                     m_axis_tlast_o,
  output logic                     m_axis_tuser_o,  // with tlast: not all of the packet has come
  input  logic                     m_axis_tready_i,

  output logic                     stat_bad_o,    // pulse: a chain that is no frame
  output logic                     error_o,       // pulse
  output logic                     idle_o,        // nothing outstanding on AXI
  output logic                     busy_o
);

  localparam int unsigned StrbW  = HostDataWidth / 8;
  localparam int unsigned BeatW  = $clog2(StrbW);             // address bits inside a beat
  localparam int unsigned LaneW  = BeatW > 3 ? BeatW - 3 : 1; // 64-bit lanes inside a beat
  localparam int unsigned BurstW = BeatW + $clog2(BURST_BEATS);
  localparam int unsigned CountW = $clog2(ReadBeats) + 1;
  localparam int unsigned SeqW   = CountW + 1;                // of beats in a row
  localparam int unsigned MAX_CHAIN_BYTES = 131071;           // 17 bits

  typedef struct packed {
    logic [BeatW-1:0]  first;  // byte lane of the first byte
    logic [BurstW:0]   bytes;  // in this burst, 0: only the end of a chain
    logic              last;   // the chain ends here
    logic              bad;    // with last: it is too long
    logic [15:0]       id;
    logic [15:0]       ndesc;
  } burst_t;

  logic clk;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy_o || r_valid_i),
    .clk_o(clk)
  );

  // After enable_i = 0 everything is given up before the queue goes on.
  logic drain_q, flush;
  wire  active = enable_i && !drain_q;

  // ---- read requests ------------------------------------------------------------------------------
  typedef enum logic [1:0] {DESC, SPLIT, REQUEST} state_e;
  state_e      state_q;
  logic [63:0] addr_q;
  logic [16:0] left_q;        // bytes of the descriptor not yet asked for
  logic        next_q;
  logic [15:0] id_q;
  logic [15:0] ndesc_q;       // descriptors of the chain so far
  logic [16:0] before_q;      // bytes of the chain's descriptors so far
  logic        bad_q;         // it has grown too long
  logic [3:0]  beats_q;       // of the request, minus 1
  logic [CountW-1:0] reserved_q;  // beats asked for and not yet unpacked

  wire [BurstW:0] to_boundary = (BurstW + 1)'(StrbW * BURST_BEATS) - {1'b0, addr_q[BurstW-1:0]};
  wire [BurstW:0] bytes       = (left_q < 17'(to_boundary)) ? left_q[BurstW:0] : to_boundary;
  /* verilator lint_off UNUSEDSIGNAL */
  wire [BurstW:0] span        = (BurstW + 1)'(addr_q[BeatW-1:0]) + bytes - (BurstW + 1)'(1);
  /* verilator lint_on UNUSEDSIGNAL */
  wire [3:0]      beats       = span[BeatW +: 4];  // minus 1
  logic [CountW-1:0] awaited_q;  // beats asked for and not yet arrived
  logic [7:0]        share_q;    // a register: what other queues do is not looked at in every cycle
  wire [CountW-1:0] in_flight   = awaited_q + CountW'(beats) + CountW'(1);
  wire            room        = reserved_q <= CountW'(ReadBeats - BURST_BEATS) &&
                                (awaited_q == '0 || in_flight <= CountW'(share_q));
  wire            desc_fire   = desc_valid_i && desc_ready_o;
  wire [32:0]     chain_bytes = 33'(desc_i.len) + 33'(before_q);
  wire            too_long    = chain_bytes > 33'(MAX_CHAIN_BYTES);
  wire            skip        = bad_q || too_long || desc_i.len == '0;

  burst_t burst, ctx;
  logic   ctx_push, ctx_ready, ctx_valid, ctx_pop;
  assign burst = '{
    first: addr_q[BeatW-1:0],
    bytes: bytes,
    last:  !next_q && left_q == 17'(bytes),
    bad:   bad_q,
    id:    id_q,
    ndesc: ndesc_q
  };
  assign ctx_push     = state_q == SPLIT && active && room && ctx_ready;
  assign desc_ready_o = state_q == DESC && active;
  assign ar_valid_o   = state_q == REQUEST;
  assign ar_len_o     = beats_q;

  logic [63:0] ar_addr_q;
  assign ar_addr_o = ar_addr_q;

  // ---- read data --------------------------------------------------------------------------------------
  /* verilator lint_off UNUSEDSIGNAL */
  logic [5:0]        ctx_count;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [CountW-1:0] beat_count;
  logic [HostDataWidth-1:0] beat;
  logic beat_valid, beat_pop, beat_ready;
  fifo #(
    .Width($bits(burst_t)),
    .Depth(32)
  ) u_ctx (
    .clk_i(clk),
    .rst_ni,
    .flush_i(flush),
    .data_i (burst),
    .valid_i(ctx_push),
    .ready_o(ctx_ready),
    .data_o (ctx),
    .valid_o(ctx_valid),
    .ready_i(ctx_pop),
    .count_o(ctx_count)
  );
  fifo #(
    .Width(HostDataWidth),
    .Depth(ReadBeats)
  ) u_beats (
    .clk_i(clk),
    .rst_ni,
    .flush_i(flush),
    .data_i (r_data_i),
    .valid_i(r_valid_i),
    .ready_o(beat_ready),
    .data_o (beat),
    .valid_o(beat_valid),
    .ready_i(beat_pop),
    .count_o(beat_count)
  );

  // ---- packets that can be offered -------------------------------------------------------------------
  // Beats are counted when they are asked for and when they arrive; a packet is whole when as many
  // have arrived as were asked for up to its end.
  logic [SeqW-1:0] asked_q, arrived_q, end_seq;
  logic            end_valid, chain_end, take, offered_q;
  /* verilator lint_off UNUSEDSIGNAL */
  logic            end_ready;  // there are no more ends than bursts
  logic [5:0]      end_count;
  wire  [SeqW-1:0] ahead = arrived_q - end_seq;
  /* verilator lint_on UNUSEDSIGNAL */
  wire  [SeqW-1:0] asked = asked_q + (left_q != '0 ? SeqW'(beats) + SeqW'(1) : '0);
  fifo #(
    .Width(SeqW),
    .Depth(32)
  ) u_ends (
    .clk_i(clk),
    .rst_ni,
    .flush_i(flush),
    .data_i (asked),
    .valid_i(ctx_push && burst.last),
    .ready_o(end_ready),
    .data_o (end_seq),
    .valid_o(end_valid),
    .ready_i(take && chain_end),
    .count_o(end_count)
  );
  wire whole = end_valid && !ahead[SeqW-1];
  wire offer = offered_q || whole || beat_count >= CountW'(ReadBeats / 2) || !ctx_ready;

  // ---- unpack: one 64-bit lane per cycle, packed against the bytes that are held ---------------------
  logic            started_q;  // the head burst has been begun: pos_q and todo_q are its
  logic [BeatW-1:0] pos_q;
  logic [BurstW:0] todo_q;
  wire [BeatW-1:0] pos  = started_q ? pos_q : ctx.first;
  wire [BurstW:0]  todo = started_q ? todo_q : ctx.bytes;
  wire [3:0]       avail = 4'd8 - {1'b0, pos[2:0]};
  wire [3:0]       n    = (todo < (BurstW + 1)'(avail)) ? todo[3:0] : avail;
  wire             burst_end = todo == (BurstW + 1)'(n);
  assign           chain_end = burst_end && ctx.last;
  wire [LaneW-1:0] word = HostDataWidth == 64 ? '0 : pos[BeatW-1 -: LaneW];
  wire [63:0]      lanes = beat[word*64 +: 64];
  wire [63:0]      chunk = (lanes >> {pos[2:0], 3'b0}) & (n[3] ? '1 : ~({64{1'b1}} << {n[2:0], 3'b0}));

  logic [63:0] acc_q;   // bytes held, first one in lane 0
  logic [3:0]  fill_q;  // how many, 0..8
  logic        tail_q;  // they are the last of the packet
  // While a tail leaves, the next packet's first bytes take its place.
  wire  [3:0]  fill  = tail_q ? '0 : fill_q;
  wire  [63:0] acc   = tail_q ? '0 : acc_q;
  wire  [4:0]  total = {1'b0, fill} + {1'b0, n};
  wire  [63:0] low   = fill[3] ? acc : acc | (chunk << {fill[2:0], 3'b0});
  wire  [63:0] high  = fill[3] ? chunk :
                       fill == '0 ? '0 : chunk >> {3'd0 - fill[2:0], 3'b0};

  // A word leaves when more follow than it can hold, or when the chain ends.
  wire emit_word = total > 5'd8 || (chain_end && total != '0);
  logic out_ready, used_ready;
  assign take = ctx_valid && offer && (!tail_q || (out_ready && !chain_end)) &&
                (n == '0 || beat_valid) && active &&
                (!emit_word || out_ready) && (!chain_end || used_ready);
  assign ctx_pop  = take && burst_end;
  assign beat_pop = take && n != '0 && (burst_end || ((&word || HostDataWidth == 64) && n == avail));

  /* verilator lint_off UNUSEDSIGNAL */
  logic [3:0] used_count;
  logic [1:0] out_count;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [31:0] used_word;
  fifo #(
    .Width(32),
    .Depth(8)
  ) u_used (
    .clk_i(clk),
    .rst_ni,
    .flush_i(flush),
    .data_i ({ctx.id, ctx.ndesc}),
    .valid_i(take && chain_end),
    .ready_o(used_ready),
    .data_o (used_word),
    .valid_o(used_valid_o),
    .ready_i(used_ready_i),
    .count_o(used_count)
  );
  assign used_o = '{more: 1'b0, id: used_word[31:16], len: '0, ndesc: used_word[15:0]};
  assign stat_bad_o = take && chain_end && (total == '0 || ctx.bad);

  // tkeep of a last word from its byte count.
  logic       sent_q;    // words of an unfinished packet have left
  wire        abort     = !active && sent_q && !tail_q;
  wire [3:0]  out_bytes = tail_q ? fill_q : (total > 5'd8 ? 4'd8 : total[3:0]);
  wire        out_last  = tail_q || abort || (chain_end && total <= 5'd8);
  wire        out_valid = (take && emit_word) || tail_q || abort;
  fifo #(
    .Width(74),
    .Depth(2)
  ) u_out (
    .clk_i(clk),
    .rst_ni,
    .flush_i(1'b0),
    .data_i ({abort || (!tail_q && chain_end && ctx.bad), out_last, ~(8'hff << out_bytes),
              tail_q ? acc_q : low}),
    .valid_i(out_valid),
    .ready_o(out_ready),
    .data_o ({m_axis_tuser_o, m_axis_tlast_o, m_axis_tkeep_o, m_axis_tdata_o}),
    .valid_o(m_axis_tvalid_o),
    .ready_i(m_axis_tready_i),
    .count_o(out_count)
  );

  // ---- outstanding reads -----------------------------------------------------------------------------
  assign reading_o = awaited_q != '0;
  wire held = ctx_valid || beat_valid || reserved_q != '0 || fill_q != '0 || sent_q || ndesc_q != '0;
  assign idle_o  = awaited_q == '0 && state_q != REQUEST;
  assign flush   = !active && idle_o && !sent_q && !tail_q;
  assign error_o = active && r_valid_i && r_error_i;
  // Only reads are missing: their data wakes it.
  assign busy_o  = state_q == REQUEST || (state_q == DESC && desc_valid_i && enable_i) ||
                   (state_q == SPLIT && (ctx_push || !active)) ||
                   take || out_valid || used_valid_o || m_axis_tvalid_o ||
                   (enable_i ? drain_q && idle_o : held && (idle_o || !drain_q));

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      state_q    <= DESC;
      drain_q    <= 1'b0;
      sent_q     <= 1'b0;
      offered_q  <= 1'b0;
      asked_q    <= '0;
      arrived_q  <= '0;
      ndesc_q    <= '0;
      before_q   <= '0;
      bad_q      <= 1'b0;
      reserved_q <= '0;
      awaited_q  <= '0;
      started_q  <= 1'b0;
      acc_q      <= '0;
      fill_q     <= '0;
      tail_q     <= 1'b0;
    end else begin
      drain_q <= !enable_i || (drain_q && !flush);
      if (out_valid && out_ready) sent_q <= !out_last;
      if (desc_fire || (ar_valid_o && ar_ready_i)) share_q <= share_i;
      unique case (state_q)
        DESC: begin
          if (desc_fire) begin
            addr_q  <= desc_i.addr;
            left_q  <= skip ? '0 : desc_i.len[16:0];
            bad_q   <= bad_q || too_long;
            if (!too_long) before_q <= desc_i.next ? chain_bytes[16:0] : '0;
            next_q  <= desc_i.next;
            id_q    <= desc_i.id;
            ndesc_q <= ndesc_q + 16'(!desc_i.inner);
            // An empty descriptor in the middle of a chain is nothing; at its end it is the end.
            if (!skip || !desc_i.next) state_q <= SPLIT;
          end
        end
        SPLIT: begin
          if (!active) begin
            state_q <= DESC;
          end else if (ctx_push) begin
            ar_addr_q <= addr_q;
            beats_q   <= beats;
            addr_q    <= addr_q + 64'(bytes);
            left_q    <= left_q - 17'(bytes);
            if (left_q == '0) begin
              state_q <= DESC;
              ndesc_q  <= '0;
              before_q <= '0;
              bad_q    <= 1'b0;
            end else begin
              state_q <= REQUEST;
            end
          end
        end
        REQUEST: begin
          if (ar_ready_i) begin
            if (left_q != '0 && active) begin
              state_q <= SPLIT;
            end else begin
              state_q <= DESC;
              if (!next_q) ndesc_q <= '0;
            end
          end
        end
        default: state_q <= DESC;
      endcase

      if (flush) begin
        reserved_q <= '0;
        started_q  <= 1'b0;
        fill_q     <= '0;
        offered_q  <= 1'b0;
        asked_q    <= '0;
        arrived_q  <= '0;
        ndesc_q    <= '0;
        before_q   <= '0;
        bad_q      <= 1'b0;
      end else begin
        if (ctx_push) asked_q <= asked;
        if (r_valid_i) arrived_q <= arrived_q + SeqW'(1);
        if (take) offered_q <= !chain_end;
        if ((ctx_push && left_q != '0) || beat_pop) begin
          reserved_q <= reserved_q + ((ctx_push && left_q != '0) ? CountW'(beats) + CountW'(1) : '0)
                        - CountW'(beat_pop);
        end
        if (take) begin
          started_q <= !burst_end;
          pos_q     <= pos + BeatW'(n);
          todo_q    <= todo - (BurstW + 1)'(n);
          if (emit_word) begin
            acc_q  <= high;
            fill_q <= total > 5'd8 ? 4'(total - 5'd8) : '0;
            tail_q <= chain_end && total > 5'd8;
          end else begin
            acc_q  <= low;
            fill_q <= total[3:0];
            tail_q <= 1'b0;
          end
        end else if (tail_q && out_ready) begin
          acc_q  <= '0;
          fill_q <= '0;
          tail_q <= 1'b0;
        end
      end
      // High bytes of acc_q beyond fill_q are always zero, so that chunks can be merged by OR.
      if (flush) acc_q <= '0;

      if ((ar_valid_o && ar_ready_i) || r_valid_i) begin
        awaited_q <= awaited_q + ((ar_valid_o && ar_ready_i) ? CountW'(beats_q) + CountW'(1) : '0)
                     - CountW'(r_valid_i);
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_ni) begin
      assert (!r_valid_i || beat_ready)
      else $fatal(1, "tx_dma: read data without room");
      assert (!r_valid_i || awaited_q != '0)
      else $fatal(1, "tx_dma: read data that was not asked for");
    end
  end
`endif

endmodule
