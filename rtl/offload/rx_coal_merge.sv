// Turns groups of frames into single ones on their way out of the receive store.
//
// In: groups, and the store's words. Of the first frame all words pass, with the header's fields
// patched: IP length, IPv4 header checksum, PSH, and the TCP checksum field, which gets the sum of
// the pseudo-header (virtio 5.1.6.4: NEEDS_CSUM). Of the others the headers are dropped and the
// payload is moved up to what went before. One word of the store a cycle, so that merging is never
// slower than the wire.
// Out: the frame for the DMA engine and, independently, its words; both through small FIFOs. A frame
// that is alone passes unaltered with a latency of 2 cycles.
module rx_coal_merge
  import nic_pkg::*;
  import virtio_pkg::*;
  import rx_flow_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        guest_csum_i,  // VIRTIO_NET_F_GUEST_CSUM negotiated

  input  coal_group_t group_i,
  input  logic        group_valid_i,
  output logic        group_ready_o,
  input  logic        data_valid_i,
  input  logic [63:0] data_i,
  output logic        data_ready_o,

  output rx_frame_t   frame_o,
  output logic        frame_valid_o,
  input  logic        frame_ready_i,
  output logic        data_valid_o,
  output logic [63:0] data_o,
  input  logic        data_ready_i,

  output logic        idle_o,        // holds nothing
  output logic        busy_o
);

  localparam logic [7:0] GSO_TCPV4 = 8'd1;
  localparam logic [7:0] GSO_TCPV6 = 8'd4;
  localparam logic [15:0] TCP_CSUM_OFFSET = 16'd16;
  localparam logic [15:0] IPPROTO_TCP     = 16'd6;

  typedef enum logic [1:0] {IDLE, WORDS, FLUSH} state_e;
  state_e      state_q;
  logic        ipv6_q, options_q, psh_q;
  logic [1:0]  tags_q;
  logic [15:0] addr_sum_q;
  logic [15:0] payload_q;    // bytes of all payloads
  logic [13:0] len_q, last_len_q;
  logic        merge_q;      // two frames or more
  logic        first_q;      // in the first frame
  logic [15:0] more_q;       // frames behind this one
  logic [3:0]  index_q;      // of the next word in its frame, stays at 15
  logic [10:0] words_q;      // words left of the frame
  logic [2:0]  held_q;       // bytes of rest_q
  logic [63:0] rest_q;       // the output word that is not yet full

  function automatic logic [15:0] swap16(input logic [15:0] half);
    return {half[7:0], half[15:8]};
  endfunction

  function automatic logic [15:0] fold(input logic [16:0] sum);
    return sum[15:0] + 16'(sum[16]);
  endfunction

  function automatic logic [10:0] words(input logic [13:0] len);
    return 11'((len + 14'd7) >> 3);
  endfunction

  ///////////
  // Frame //
  ///////////

  logic      frame_ready, group_take;
  rx_frame_t frame;
  wire       merge = group_i.more != '0;
  wire [6:0] l4    = l4_offset(group_i.meta.coal.tags, group_i.meta.coal.ipv6);
  wire [6:0] hdr   = header_bytes(group_i.meta.coal.tags, group_i.meta.coal.ipv6,
                                  group_i.meta.coal.options);
  always_comb begin
    frame                 = '0;
    frame.len             = merge ? 17'(group_i.payload) + 17'(hdr) : 17'(group_i.len);
    frame.pair            = group_i.meta.pair;
    frame.hdr.hash_value  = group_i.meta.hash;
    frame.hdr.hash_report = 16'(group_i.meta.report);
    if (merge) begin
      frame.hdr.flags[NET_HDR_F_NEEDS_CSUM] = 1'b1;
      frame.hdr.gso_type    = group_i.meta.coal.ipv6 ? GSO_TCPV6 : GSO_TCPV4;
      frame.hdr.hdr_len     = 16'(hdr);
      frame.hdr.gso_size    = 16'(group_i.len) - 16'(hdr);
      frame.hdr.csum_start  = 16'(l4);
      frame.hdr.csum_offset = TCP_CSUM_OFFSET;
    end else begin
      frame.hdr.flags[NET_HDR_F_DATA_VALID] = group_i.meta.csum_valid && guest_csum_i;
    end
  end

  assign group_ready_o = state_q == IDLE && frame_ready;
  assign group_take    = group_valid_i && group_ready_o;

  /* verilator lint_off UNUSEDSIGNAL */
  logic [1:0] frame_count;
  logic [2:0] data_count;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width($bits(rx_frame_t)),
    .Depth(2)
  ) u_frames (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (frame),
    .valid_i(group_take),
    .ready_o(frame_ready),
    .data_o (frame_o),
    .valid_o(frame_valid_o),
    .ready_i(frame_ready_i),
    .count_o(frame_count)
  );

  /////////////////////////
  // Header of the whole //
  /////////////////////////

  // Field values in the order of the lanes; known before the header's third word, the first to be
  // patched, comes.
  logic [15:0] ip_len_q, pseudo_q;
  logic [16:0] pseudo_sum_q;
  logic [15:0] csum_delta_q;  // RFC 1624 3: ~m + m' of the IPv4 total length

  wire [15:0] tcp_len = payload_q + (options_q ? 16'd32 : 16'd20);
  wire [15:0] ip_len  = tcp_len + (ipv6_q ? 16'd0 : 16'd20);
  wire [15:0] old_len = 16'(len_q) - 16'(l3_offset(tags_q));
  wire        prepare = state_q == WORDS && first_q && merge_q && index_q <= 4'd1;

  always_ff @(posedge clk_i) begin
    if (prepare) begin
      ip_len_q     <= swap16(ip_len);
      csum_delta_q <= fold({1'b0, ~old_len} + 17'(ip_len));
      pseudo_sum_q <= 17'(tcp_len) + IPPROTO_TCP;
    end
    if (state_q == WORDS && first_q && merge_q && index_q <= 4'd2) begin
      pseudo_q <= swap16(fold(17'(fold(pseudo_sum_q)) + 17'(addr_sum_q)));
    end
  end

  // 16-bit words of the frame, of which this word has four.
  wire [5:0] l3_half     = 6'(l3_offset(tags_q) >> 1);
  wire [5:0] l4_half     = 6'(l4_offset(tags_q, ipv6_q) >> 1);
  wire [5:0] at_ip_len   = l3_half + (ipv6_q ? 6'd2 : 6'd1);
  wire [5:0] at_ip_csum  = l3_half + 6'd5;
  wire [5:0] at_flags    = l4_half + 6'd6;
  wire [5:0] at_tcp_csum = l4_half + 6'd8;

  ///////////////
  // Alignment //
  ///////////////

  // Bytes of this word from `from` to `to` go on; behind the first frame only payload does.
  wire [6:0]  hdr_bytes = header_bytes(tags_q, ipv6_q, options_q);
  wire        in_header = !first_q && index_q < hdr_bytes[6:3];
  wire [2:0]  from      = (!first_q && index_q == hdr_bytes[6:3]) ? hdr_bytes[2:0] : 3'd0;
  wire [2:0]  tail      = (more_q == '0) ? last_len_q[2:0] : len_q[2:0];
  wire        last_word = words_q == 11'd1;
  // Of a frame that is alone all words are full: what is beyond its end does not matter.
  wire [3:0]  to        = (merge_q && last_word && tail != 3'd0) ? {1'b0, tail} : 4'd8;
  wire [3:0]  filled    = in_header ? {1'b0, held_q} : 4'(held_q) + to - 4'(from);

  // The header's fields are put in. Byte `from` moves to place held_q; what does not fit wraps around
  // to the next word's beginning. Nothing of it is looked at but in WORDS.
  wire [5:0]   turn = {held_q - from, 3'd0};  // bits
  logic [63:0] word, rotated, merged;
  always_comb begin
    word    = data_i;
    rotated = data_i;
    merged  = rest_q;
    if (state_q == WORDS) begin
      if (merge_q && first_q) begin
        for (int unsigned lane = 0; lane < 4; lane++) begin
          if ({index_q, 2'(lane)} == at_ip_len) word[16*lane +: 16] = ip_len_q;
          if ({index_q, 2'(lane)} == at_ip_csum && !ipv6_q) begin
            word[16*lane +: 16] = ~swap16(fold({1'b0, ~swap16(data_i[16*lane +: 16])} +
                                               17'(csum_delta_q)));
          end
          if ({index_q, 2'(lane)} == at_flags) begin
            word[16*lane + 11] = data_i[16*lane + 11] || psh_q;
          end
          if ({index_q, 2'(lane)} == at_tcp_csum) word[16*lane +: 16] = pseudo_q;
        end
      end
      rotated = word << turn | word >> (7'd64 - {1'b0, turn});
      for (int unsigned lane = 0; lane < 8; lane++) begin
        merged[8*lane +: 8] = (3'(lane) < held_q) ? rest_q[8*lane +: 8] : rotated[8*lane +: 8];
      end
    end
  end

  logic out_ready;
  wire  emit  = filled[3];
  wire  step  = state_q == WORDS && data_valid_i && out_ready;
  wire  flush = state_q == FLUSH && out_ready;
  assign data_ready_o = state_q == WORDS && out_ready;

  fifo #(
    .Width(64),
    .Depth(4)
  ) u_out (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (merged),
    .valid_i((step && emit) || flush),
    .ready_o(out_ready),
    .data_o (data_o),
    .valid_o(data_valid_o),
    .ready_i(data_ready_i),
    .count_o(data_count)
  );

  assign idle_o = state_q == IDLE && !frame_valid_o && !data_valid_o;
  assign busy_o = step || flush;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= IDLE;
    end else begin
      unique case (state_q)
        IDLE:    if (group_take) state_q <= WORDS;
        WORDS:   if (step && last_word && more_q == '0) begin
          state_q <= (filled[2:0] != 3'd0) ? FLUSH : IDLE;
        end
        default: if (flush) state_q <= IDLE;
      endcase
    end

    if (group_take) begin
      ipv6_q     <= group_i.meta.coal.ipv6;
      options_q  <= group_i.meta.coal.options;
      tags_q     <= group_i.meta.coal.tags;
      addr_sum_q <= group_i.meta.coal.addr_sum;
      psh_q      <= group_i.psh;
      payload_q  <= group_i.payload;
      len_q      <= group_i.len;
      last_len_q <= group_i.last_len;
      merge_q    <= merge;
      first_q    <= 1'b1;
      more_q     <= group_i.more;
      index_q    <= '0;
      words_q    <= words(group_i.len);
      held_q     <= '0;
    end
    if (step) begin
      held_q <= filled[2:0];
      rest_q <= emit ? rotated : merged;
      if (!last_word) begin
        words_q <= words_q - 11'd1;
        if (index_q != 4'd15) index_q <= index_q + 4'd1;
      end else begin
        words_q <= words((more_q == 16'd1) ? last_len_q : len_q);
        more_q  <= more_q - 16'd1;
        index_q <= '0;
        first_q <= 1'b0;
      end
    end
  end

endmodule
