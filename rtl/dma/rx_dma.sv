// Receive DMA: writes each frame, behind its virtio_net_hdr, into the buffers of its receive queue.
//
// Input: frames with what the header says of them, then their words. Output: bursts for dma_write, and
// finished chains for the virtqueues when all write responses of the frame have come (rx_return).
// A buffer may start at any byte address, have any length and be split anywhere (virtio 2.8.5, 5.1.6.1
// message framing). One 64-bit word per cycle while rx_scatter has room, and no cycle between frames
// whose buffers are there.
// mergeable_i (VIRTIO_NET_F_MRG_RXBUF): a frame goes on in the next chain where one ends. num_buffers
// is known at the end only and then written over the 1 that the header began with; both writes have
// one AXI ID, so they stay in order. Without it, or when the frame's chains fill the whole ring, a frame
// that does not fit is dropped (truncated) and its chains go back with length 0.
// No buffer: with one enabled queue the frame waits. With several, so that a starved queue never blocks
// another, it waits StarveCycles, then it is dropped (stat_no_buffer_o), and so is what follows for that
// queue until there is a buffer; chains that it had taken go back with length 0. The same holds when
// rx_return has no room because the queue's write responses do not come.
// Queue disabled: frames are dropped and counted, a frame in progress ends with its current burst.
// enable_i[p] = 0 and idle_o[p] = 1: nothing of the queue is outstanding on AXI or will be.
// An error response pulses error_o[p].
module rx_dma
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned QueuePairs    = 1,
  parameter int unsigned HostDataWidth = 128,
  parameter int unsigned MaxQueueSize  = 1024,  // descriptors, a power of two
  parameter int unsigned StarveCycles  = 1024,
  localparam int unsigned StrbW        = HostDataWidth / 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic [QueuePairs-1:0]    enable_i,            // queue enabled and device running
  input  logic [15:0]              size_i [QueuePairs], // queue_size, static while enabled
  input  logic                     mergeable_i,         // VIRTIO_NET_F_MRG_RXBUF negotiated
  input  logic                     hash_report_i,       // VIRTIO_NET_F_HASH_REPORT: 20-byte header

  // Frame: its meta, then ceil(len / 8) words, first byte in lane 0
  input  rx_frame_t                frame_i,
  input  logic                     frame_valid_i,
  output logic                     frame_ready_o,
  input  logic                     data_valid_i,
  input  logic [63:0]              data_i,
  output logic                     data_ready_o,

  // Virtqueues
  /* verilator lint_off UNUSEDSIGNAL */
  input  vq_desc_t                 desc_i [QueuePairs], // their direction has been checked
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic [QueuePairs-1:0]    desc_valid_i,
  output logic [QueuePairs-1:0]    desc_ready_o,
  output vq_used_t                 used_o,              // of the queue whose valid is set
  output logic [QueuePairs-1:0]    used_valid_o,
  input  logic [QueuePairs-1:0]    used_ready_i,

  // Write burst: command first, then exactly len + 1 beats
  output logic [63:0]              aw_addr_o,
  output logic [3:0]               aw_len_o,            // beats - 1
  output logic [2:0]               aw_pair_o,           // chooses the AXI ID
  output logic                     aw_valid_o,
  input  logic                     aw_ready_i,
  output logic [HostDataWidth-1:0] w_data_o,
  output logic [StrbW-1:0]         w_strb_o,
  output logic                     w_valid_o,
  input  logic                     w_ready_i,
  input  logic [QueuePairs-1:0]    b_valid_i,           // responses, pulses
  input  logic                     b_error_i,

  output logic                     stat_disabled_o,     // pulses
  output logic                     stat_truncated_o,
  output logic                     stat_no_buffer_o,
  output logic                     stat_csum_o,
  output logic [QueuePairs-1:0]    error_o,
  output logic [QueuePairs-1:0]    idle_o,
  output logic                     between_o,           // no frame has begun and not ended here
  output logic                     busy_o
);

  localparam int unsigned PairW = QueuePairs > 1 ? $clog2(QueuePairs) : 1;
  localparam int unsigned LenW  = 18;  // header + 65562 bytes of a coalesced frame and more
  localparam int unsigned WaitW = $clog2(StarveCycles);
  localparam logic [4:0] NUM_BUFFERS = 5'd10;  // its offset in struct virtio_net_hdr

  typedef enum logic [2:0] {IDLE, DESC, WRITE, PATCH, SKIP, RESYNC, DROP} state_e;

  state_e          state_q;
  logic [PairW-1:0] pair_q;
  // Source: the header preceded by 4 bytes of nothing, so that the frame's words stay aligned.
  logic [63:0]     cur_q;          // current source word
  logic [1:0]      hdr_word_q;     // the header's word behind cur_q: 1, 2, or 0 for the frame
  logic [95:0]     hdr_q;          // what the header has behind cur_q's first value
  logic [2:0]      off_q;          // first byte of cur_q that was not written yet
  logic [LenW-1:0] remaining_q;    // bytes still to write, header included
  logic [14:0]     words_q;        // frame words that were not taken
  logic            csum_q;
  // Destination
  logic [63:0]     addr_q;
  logic [LenW-1:0] left_q;         // bytes to write into the current descriptor
  logic [LenW-1:0] chain_from_q;   // remaining_q when the chain began
  logic [15:0]     id_q;
  logic            next_q;
  logic [15:0]     ndesc_q;        // ring entries of this chain so far
  logic [15:0]     entries_q;      // ring entries of the frame's finished chains
  logic [15:0]     buffers_q;      // the frame's finished chains
  // Where num_buffers stands; its second byte may be somewhere else (2.8.5).
  logic [4:0]      pos_q;          // header bytes written, 12 and more: all the same
  logic [63:0]     patch_addr_q [2];
  logic            joint_q;        // both bytes are in one 64-bit word
  logic            second_q;       // the second byte's turn
  // Starvation
  logic                  several_q;            // more than one queue is enabled
  logic [WaitW-1:0]      wait_q;
  logic [QueuePairs-1:0] starved_q;            // frames are dropped until there is a buffer
  logic [QueuePairs-1:0] cut_q;                // the rest of a chain must be skipped first
  logic [15:0]           cut_ndesc_q [QueuePairs];

  // ---- queues -----------------------------------------------------------------------------------
  logic [QueuePairs-1:0] room, return_idle;
  logic return_drop, return_busy;
  wire  [PairW-1:0] next_pair = frame_i.pair[PairW-1:0];
  wire  enabled      = enable_i[pair_q];
  wire  ready        = desc_valid_i[pair_q] && room[pair_q];
  wire  next_enabled = enable_i[next_pair];
  wire  next_ready   = desc_valid_i[next_pair] && room[next_pair] && next_enabled &&
                       !cut_q[next_pair];
  wire  timeout      = several_q && wait_q == WaitW'(StarveCycles - 1);

  // ---- one destination word per cycle -----------------------------------------------------------
  wire [2:0] lane     = addr_q[2:0];
  wire [3:0] space    = 4'd8 - {1'b0, lane};
  wire [3:0] n        = (left_q >= LenW'(space)) ? space : left_q[3:0];
  wire [4:0] off_end  = {2'b0, off_q} + {1'b0, n};
  wire       all      = remaining_q == LenW'(n);   // these are the frame's last bytes
  wire       pop      = off_end > 5'd8 || (off_end == 5'd8 && !all);
  wire       piece_end = left_q == LenW'(n);

  logic [63:0] next_word;
  always_comb begin
    unique case (hdr_word_q)
      2'd1:    next_word = {16'd1, hdr_q[47:0]};   // num_buffers = 1 (5.1.6.4.1)
      2'd2:    next_word = {16'd0, hdr_q[95:48]};  // hash_value, hash_report, padding_reserved
      default: next_word = data_i;
    endcase
  end
  wire next_valid = hdr_word_q != '0 || data_valid_i;

  logic [63:0] source;
  always_comb begin
    source = cur_q >> {off_q, 3'b0};
    if (off_q != '0) source |= next_word << {3'd0 - off_q, 3'b0};
  end

  // num_buffers over what the header began with: one word, or two bytes in two places.
  wire [4:0]  to_low     = NUM_BUFFERS - pos_q;  // bytes from here to num_buffers
  wire [4:0]  to_high    = to_low + 5'd1;
  wire [15:0] buffers    = buffers_q + 16'd1;
  wire [63:0] patch_addr = patch_addr_q[second_q];
  wire [63:0] patch      = joint_q ? 64'(buffers) : second_q ? 64'(buffers[15:8]) : 64'(buffers[7:0]);

  logic scatter_ready, burst_end;
  wire  patching    = state_q == PATCH;
  wire  write_valid = state_q == WRITE && (!pop || next_valid);
  wire  step        = write_valid && scatter_ready;
  wire  patch_step  = patching && enabled && scatter_ready;
  wire  patch_end   = patch_step && (joint_q || second_q);
  wire  stop        = step && burst_end && !enabled;  // disabled: nothing beyond this burst

  rx_scatter #(
    .HostDataWidth(HostDataWidth)
  ) u_scatter (
    .clk_i,
    .rst_ni,
    .addr_i     (patching ? patch_addr : addr_q),
    .data_i     (patching ? patch << {patch_addr[2:0], 3'b0} : source << {lane, 3'b0}),
    .bytes_i    (patching ? (joint_q ? 4'd2 : 4'd1) : n),
    .end_i      (patching || piece_end),
    .pair_i     (3'(pair_q)),
    .valid_i    (write_valid || (patching && enabled)),
    .ready_o    (scatter_ready),
    .burst_end_o(burst_end),
    .aw_addr_o,
    .aw_len_o,
    .aw_pair_o,
    .aw_valid_o,
    .aw_ready_i,
    .w_data_o,
    .w_strb_o,
    .w_valid_o,
    .w_ready_i
  );

  // ---- events -----------------------------------------------------------------------------------
  wire chain_end = step && piece_end && !next_q && !stop;   // in WRITE
  wire frame_end = step && piece_end && all && !stop;
  wire single    = buffers_q == '0;
  wire full_return = buffers_q >= 16'(MaxQueueSize - 4);
  wire full_ring = {1'b0, entries_q} + {1'b0, ndesc_q} >= {1'b0, size_i[pair_q]} || full_return;
  wire short_end = chain_end && !all && (!mergeable_i || full_ring);
  logic empty_end;  // a chain whose last descriptor is empty ends before the frame
  logic skip_end;   // the rest of a chain has been seen
  logic give_up;    // the frame in progress is dropped for want of a buffer
  logic abandon;    // the frame in progress is dropped because its queue was disabled

  // A frame and its first descriptor are taken together when both are there, if possible in the
  // cycle in which the frame before ends.
  wire free       = state_q == IDLE || (frame_end && !next_q && single);
  wire start      = free && frame_valid_i && next_ready;
  wire refuse     = state_q == IDLE && frame_valid_i && !next_ready &&
                    (!next_enabled || (several_q && (timeout || starved_q[next_pair])));
  wire resync     = state_q == IDLE && frame_valid_i && !refuse && cut_q[next_pair] &&
                    desc_valid_i[next_pair] && room[next_pair];
  assign frame_ready_o = start || refuse;
  assign data_ready_o  = (step && pop && hdr_word_q == '0) || (state_q == DROP && words_q != '0);

  /* verilator lint_off UNUSEDSIGNAL */
  vq_desc_t desc;
  /* verilator lint_on UNUSEDSIGNAL */
  assign desc = desc_i[start ? next_pair : pair_q];

  wire desc_fire = state_q == DESC && enabled && ready;     // in the middle of a frame
  wire skip_fire = (state_q == SKIP || state_q == RESYNC) && enabled && desc_valid_i[pair_q];
  always_comb begin
    desc_ready_o = '0;
    if (start) desc_ready_o[next_pair] = desc.len != '0;
    else if (desc_fire || skip_fire) desc_ready_o[pair_q] = 1'b1;
  end

  wire [LenW-1:0] total     = LenW'(frame_i.len) +
                              (hash_report_i ? LenW'(NET_HDR_HASH_BYTES) : LenW'(NET_HDR_BYTES));
  wire [14:0]     words     = 15'((frame_i.len + 17'd7) >> 3);
  wire [LenW-1:0] remaining = start ? total : remaining_q;
  wire [15:0]     ndesc     = ndesc_q + 16'(!desc.inner);
  wire            big_desc  = desc.len >= 32'(remaining);
  wire            full_ring_here = {1'b0, entries_q} + {1'b0, ndesc} >= {1'b0, size_i[pair_q]} ||
                                   full_return;
  assign empty_end = desc_fire && desc.len == '0 && !desc.next;
  assign skip_end  = skip_fire && !desc.next;
  wire            empty_short = empty_end && (!mergeable_i || full_ring_here);

  wire stalled = (state_q == DESC && !ready) || (state_q == SKIP && !desc_valid_i[pair_q]);
  wire waiting = stalled || (state_q == RESYNC && !desc_valid_i[pair_q]) ||
                 (state_q == IDLE && frame_valid_i && !start && !resync && !refuse);
  assign give_up = stalled && enabled && timeout;
  assign abandon = stop || ((state_q == DESC || state_q == SKIP || state_q == PATCH) && !enabled);

  // A chain goes to rx_return: in the middle of a frame, at its end, or void.
  wire frame_done = (frame_end && !next_q && single) || patch_end ||
                    (skip_end && state_q == SKIP && single);
  wire chain_push = chain_end && (!all || single) || empty_end || frame_done ||
                    (skip_end && state_q == RESYNC);
  wire void_push  = short_end || empty_short || give_up || abandon ||
                    (skip_end && state_q == RESYNC);

  // A frame that was written but can no longer be told to the driver is counted as the others are; not
  // in the cycle of another one, so that none is lost to the counter.
  wire drop_disabled = (refuse && !next_enabled) || abandon;

  rx_return #(
    .QueuePairs(QueuePairs),
    .ChainDepth(MaxQueueSize)
  ) u_return (
    .clk_i,
    .rst_ni,
    .enable_i,
    .pair_i       (pair_q),
    .chain_id_i   (state_q == WRITE || patching ? id_q : desc.id),
    .chain_len_i  (chain_from_q - (state_q == WRITE ? remaining_q - LenW'(n) : remaining_q)),
    .chain_ndesc_i(state_q == WRITE || patching ? ndesc_q : ndesc),
    .chain_valid_i(chain_push),
    .chain_last_i (frame_done),
    .void_valid_i (void_push),
    .burst_valid_i((step || patch_step) && burst_end),
    .room_o       (room),
    .b_valid_i,
    .used_o,
    .used_valid_o,
    .used_ready_i,
    .drop_o       (return_drop),
    .drop_hold_i  (drop_disabled),
    .idle_o       (return_idle),
    .busy_o       (return_busy)
  );

  assign stat_disabled_o  = drop_disabled || return_drop;
  assign stat_truncated_o = short_end || empty_short;
  assign stat_no_buffer_o = give_up || (refuse && next_enabled);
  assign stat_csum_o      = frame_done && csum_q;
  assign error_o          = b_valid_i & {QueuePairs{b_error_i}};

  always_comb begin
    idle_o = return_idle;
    if (!(state_q inside {IDLE, DROP})) idle_o[pair_q] = 1'b0;
  end
  assign between_o = state_q == IDLE;
  assign busy_o = return_busy || aw_valid_o || w_valid_o || state_q == WRITE || state_q == PATCH || state_q == DROP ||
                  (state_q == IDLE && frame_valid_i &&
                   (next_ready || !next_enabled || several_q || resync)) ||
                  (state_q == DESC && (ready || !enabled || several_q)) ||
                  (state_q inside {SKIP, RESYNC} &&
                   (desc_valid_i[pair_q] || !enabled || several_q)) ||
                  several_q != ((enable_i & (enable_i - 1'b1)) != '0) ||
                  (cut_q & ~enable_i) != '0 ||
                  (starved_q & ~(enable_i & {QueuePairs{several_q}})) != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q   <= IDLE;
      several_q <= 1'b0;
      starved_q <= '0;
      cut_q     <= '0;
      wait_q    <= '0;
    end else begin
      several_q <= (enable_i & (enable_i - 1'b1)) != '0;
      wait_q    <= waiting && several_q && !timeout ? wait_q + WaitW'(1) : '0;

      unique case (state_q)
        IDLE: begin
          if (refuse) begin
            state_q <= DROP;
            words_q <= words;
            if (next_enabled) starved_q[next_pair] <= 1'b1;
          end else if (resync) begin
            pair_q  <= next_pair;
            ndesc_q <= cut_ndesc_q[next_pair];
            state_q <= RESYNC;
          end
        end

        DESC: if (desc_fire && desc.len == '0 && !desc.next) begin
          ndesc_q   <= '0;
          entries_q <= entries_q + ndesc;
          buffers_q <= buffers;
          if (empty_short) state_q <= DROP;
        end

        WRITE: if (step) begin
          addr_q      <= addr_q + 64'(n);
          left_q      <= left_q - LenW'(n);
          remaining_q <= remaining_q - LenW'(n);
          off_q       <= off_end[2:0];
          if (pop) begin
            cur_q      <= next_word;
            hdr_word_q <= hdr_word_q == 2'd1 && hash_report_i ? 2'd2 : 2'd0;
            if (hdr_word_q == '0) words_q <= words_q - 15'd1;
          end
          if (pos_q < 5'd12) pos_q <= pos_q + 5'(n);
          if (to_low <= NUM_BUFFERS) begin
            patch_addr_q[0] <= addr_q + 64'(to_low);
            joint_q         <= 5'(n) >= to_low + 5'd2;
          end
          if (to_high <= NUM_BUFFERS + 5'd1) patch_addr_q[1] <= addr_q + 64'(to_high);
          if (piece_end) begin
            state_q <= all ? (next_q ? SKIP : single ? IDLE : PATCH) : short_end ? DROP : DESC;
            if (!all && !next_q) begin
              ndesc_q   <= '0;
              entries_q <= entries_q + ndesc_q;
              buffers_q <= buffers;
            end
          end
        end

        PATCH: if (patch_step) begin
          second_q <= 1'b1;
          if (patch_end) state_q <= IDLE;
        end

        SKIP: if (skip_fire) begin
          id_q    <= desc.id;
          ndesc_q <= ndesc;
          if (skip_end) state_q <= single ? IDLE : PATCH;
        end

        RESYNC: begin
          if (skip_fire) ndesc_q <= ndesc;
          if (skip_end) cut_q[pair_q] <= 1'b0;
          if (skip_end || !enabled) begin
            state_q <= IDLE;
          end else if (timeout && !skip_fire) begin
            cut_ndesc_q[pair_q] <= ndesc_q;
            starved_q[pair_q]   <= 1'b1;
            state_q             <= IDLE;
          end
        end

        DROP: begin
          if (words_q == '0) state_q <= IDLE;
          else if (data_valid_i) begin
            words_q <= words_q - 15'd1;
            if (words_q == 15'd1) state_q <= IDLE;
          end
        end

        default: state_q <= IDLE;
      endcase

      if (give_up) begin
        starved_q[pair_q]   <= 1'b1;
        cut_q[pair_q]       <= ndesc_q != '0;
        cut_ndesc_q[pair_q] <= ndesc_q;
      end
      if (give_up || abandon) state_q <= DROP;

      if (start) begin
        state_q              <= DESC;
        pair_q               <= next_pair;
        starved_q[next_pair] <= 1'b0;
        cur_q                <= {frame_i.hdr[31:0], 32'b0};
        hdr_q                <= frame_i.hdr[127:32];
        hdr_word_q           <= 2'd1;
        off_q                <= 3'd4;
        remaining_q          <= total;
        words_q              <= words;
        csum_q               <= frame_i.hdr.flags[NET_HDR_F_DATA_VALID];
        entries_q            <= '0;
        buffers_q            <= '0;
        ndesc_q              <= '0;
        pos_q                <= '0;
        second_q             <= 1'b0;
      end
      if ((start || desc_fire) && desc.len != '0) begin
        state_q <= WRITE;
        id_q    <= desc.id;
        next_q  <= desc.next;
        ndesc_q <= start ? 16'd1 : ndesc;
        addr_q  <= desc.addr;
        left_q  <= big_desc ? remaining : desc.len[LenW-1:0];
      end else if (desc_fire && desc.next) begin
        ndesc_q <= ndesc;
      end
      if (start) chain_from_q <= total;
      else if (chain_end && !all) chain_from_q <= remaining_q - LenW'(n);
      else if (empty_end) chain_from_q <= remaining_q;

      for (int unsigned p = 0; p < QueuePairs; p++) begin
        if (!enable_i[p]) cut_q[p] <= 1'b0;
        if (!enable_i[p] || !several_q) starved_q[p] <= 1'b0;
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ((desc_ready_o & ~desc_valid_i) == '0)
      else $fatal(1, "rx_dma: descriptor taken that is not there");
      assert (!frame_valid_i || 32'(frame_i.pair) < QueuePairs)
      else $fatal(1, "rx_dma: frame for a queue that does not exist");
    end
  end
`endif

endmodule
