// Transmit store with checksum insertion (virtio 1.2, 5.1.6.2: VIRTIO_NET_HDR_F_NEEDS_CSUM).
//
// In: per frame struct virtio_net_hdr (12 bytes, the first in lane 0), then the Ethernet frame
// without FCS, tlast at its end. Out: the frame alone, when it is wholly stored, without gaps. With
// NEEDS_CSUM the ones' complement sum from csum_start to the frame's end is complemented and
// written at csum_start + csum_offset, any alignment; the driver left the pseudo-header's sum
// there. With csum_offset = 6 (UDP) a zero goes out as 0xffff. gso_type other than NONE, NEEDS_CSUM
// without csum_en_i (VIRTIO_NET_F_CSUM negotiated), a checksum field that is not wholly inside the
// frame, and a frame shorter than 14 bytes or longer than max_frame_i or the store are dropped,
// with a pulse on malformed_o; too long ones do not fill the store. A frame that ends with tuser (it
// was cut by an error, which has its own count) is dropped without the pulse. Other flags, hdr_len,
// gso_size and num_buffers are not looked at.
//
// s_axis_tready_o depends on state only. free_words_o: at least so many beats can follow each other
// from now on without it falling (beats taken but not yet stored are allowed for).
// Latency: 9 cycles from the last beat to the first word out, 8 without NEEDS_CSUM, one more when
// the last beat has more than 4 bytes.
// flush_i, one cycle: all that is stored or being received is gone, and so is a beat offered in
// that cycle; the next one begins a header. A frame whose readout began is completed.
// csum_inserted_o pulses when a frame with an inserted checksum begins to go out.
// busy_o = 1: state will change without another beat.
module tx_csum
  import axis_pkg::*;
  import tx_csum_pkg::*;
#(
  parameter int unsigned Depth = 2048  // words of 64 bits, a power of two, 64..2048
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  logic        csum_en_i,
  input  logic [15:0] max_frame_i,      // bytes without FCS

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  input  logic        s_axis_tuser_i,   // with tlast
  output logic        s_axis_tready_o,
  output logic [11:0] free_words_o,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  input  logic        m_axis_tready_i,

  output logic        malformed_o,
  output logic        csum_inserted_o,
  output logic        busy_o
);

  // A stored frame comes from four beats at least, so metas last about as long as words.
  localparam int unsigned MetaDepth  = Depth / 4;
  localparam int unsigned CountW     = $clog2(Depth) + 1;
  localparam int unsigned MetaCountW = $clog2(MetaDepth) + 1;

  // Words that tready leaves free for beats on their way to the store (at most 6), and what
  // free_words_o holds back on top.
  localparam int unsigned READY_MARGIN  = 8;
  localparam int unsigned CREDIT_MARGIN = 16;
  localparam int unsigned META_MARGIN   = 4;
  // The longest frame that fits under the margins, in bytes.
  localparam int unsigned MAX_STORED = (Depth - CREDIT_MARGIN) * 8;

  localparam logic [15:0] UDP_CSUM_OFFSET = 16'd6;

  //////////////////
  // Flow control //
  //////////////////

  logic                  space_q;
  logic [CountW-1:0]     free_words, free_words_q;
  logic [MetaCountW-1:0] free_metas, free_metas_q;
  logic [11:0]           credit_words, credit_metas;

  assign credit_words = (free_words_q > CountW'(CREDIT_MARGIN)) ?
                        12'(free_words_q) - 12'(CREDIT_MARGIN) : 12'd0;
  assign credit_metas = (free_metas_q > MetaCountW'(META_MARGIN)) ?
                        12'({free_metas_q, 2'b00}) - 12'(4 * META_MARGIN) : 12'd0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      space_q      <= 1'b0;
      free_words_q <= '0;
      free_metas_q <= '0;
      free_words_o <= '0;
    end else begin
      free_words_q <= free_words;
      free_metas_q <= free_metas;
      space_q      <= free_words > CountW'(READY_MARGIN) && free_metas > MetaCountW'(META_MARGIN);
      free_words_o <= (credit_words < credit_metas) ? credit_words : credit_metas;
    end
  end

  assign s_axis_tready_o = space_q;

  ///////////////////////////
  // Cycle 1: strip, align //
  ///////////////////////////

  logic        word_valid, word_first, word_last, word_abort;
  logic [63:0] word_data;
  logic [7:0]  word_keep;
  logic        needs_csum;
  logic [7:0]  gso_type;
  logic [15:0] csum_start, csum_offset;
  logic        strip_busy;

  tx_hdr_strip u_strip (
    .clk_i,
    .rst_ni,
    .flush_i,
    .s_axis_tdata_i,
    .s_axis_tkeep_i,
    .s_axis_tvalid_i(s_axis_tvalid_i && s_axis_tready_o),
    .s_axis_tlast_i,
    .s_axis_tuser_i,
    .valid_o        (word_valid),
    .first_o        (word_first),
    .last_o         (word_last),
    .abort_o        (word_abort),
    .data_o         (word_data),
    .keep_o         (word_keep),
    .needs_csum_o   (needs_csum),
    .gso_type_o     (gso_type),
    .csum_start_o   (csum_start),
    .csum_offset_o  (csum_offset),
    .busy_o         (strip_busy)
  );

  //////////////////////////////////////////////////////////
  // Cycle 2: bytes under the sum, sums of pairs of lanes //
  //////////////////////////////////////////////////////////

  logic        v1_q, last1_q, abort1_q, illegal1_q, csum1_q, udp1_q, odd1_q;
  logic [63:0] data1_q;
  logic [7:0]  keep1_q;
  logic [10:0] index_q;     // of the next word; a frame is cut before it wraps
  logic [14:0] len1_q;      // bytes up to and including this word
  logic [16:0] position1_q;
  logic [16:0] lo1_q, hi1_q;

  wire [10:0] index    = word_first ? 11'd0 : index_q;
  wire [7:0]  from     = (13'(index) > csum_start[15:3])  ? 8'hff :
                         (13'(index) == csum_start[15:3]) ? 8'hff << csum_start[2:0] : 8'h00;
  wire [7:0]  under    = word_keep & from;
  wire [63:0] summands = (under == 8'hff) ? word_data : word_data & byte_mask(under);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) v1_q <= 1'b0;
    else                    v1_q <= word_valid;
    if (word_valid) begin
      index_q <= index + 11'd1;
      data1_q <= word_data;
      keep1_q <= word_keep;
      last1_q <= word_last;
      len1_q  <= {1'b0, index, 3'b000} + 15'(keep_count(word_keep));
      if (needs_csum) begin
        lo1_q <= 17'(summands[15:0]) + 17'(summands[31:16]);
        hi1_q <= 17'(summands[47:32]) + 17'(summands[63:48]);
      end
      if (word_last) begin
        illegal1_q  <= gso_type != 8'd0 || (needs_csum && !csum_en_i);
        csum1_q     <= needs_csum;
        udp1_q      <= csum_offset == UDP_CSUM_OFFSET;
        odd1_q      <= csum_start[0];
        position1_q <= 17'(csum_start) + 17'(csum_offset);
        abort1_q    <= word_abort;
      end
    end
  end

  ///////////////////////////////////////
  // Cycle 3: sum of the word, verdict //
  ///////////////////////////////////////

  logic        v2_q, last2_q, abort2_q, bad2_q, long2_q, csum2_q, udp2_q, odd2_q;
  logic [63:0] data2_q;
  logic [7:0]  keep2_q;
  logic [13:0] position2_q;
  logic [17:0] sum2_q;

  wire [15:0] max_len  = (max_frame_i < 16'(MAX_STORED)) ? max_frame_i : 16'(MAX_STORED);
  wire        no_field = csum1_q && 18'(position1_q) + 18'd2 > 18'(len1_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) v2_q <= 1'b0;
    else                    v2_q <= v1_q;
    if (v1_q) begin
      data2_q     <= data1_q;
      keep2_q     <= keep1_q;
      last2_q     <= last1_q;
      long2_q     <= 16'(len1_q) > max_len;
      abort2_q    <= last1_q && abort1_q;
      bad2_q      <= last1_q && (illegal1_q || no_field || len1_q < 15'd14);
      csum2_q     <= csum1_q;
      udp2_q      <= udp1_q;
      odd2_q      <= odd1_q;
      position2_q <= position1_q[13:0];
      sum2_q      <= 18'(lo1_q) + 18'(hi1_q);
    end
  end

  ////////////////////////////////
  // Cycle 4: accumulate, store //
  ////////////////////////////////

  logic        cut_q;     // too long: the rest is swallowed
  logic        kill_q;    // after a flush: nothing more comes of what the store was receiving
  logic [1:0]  settle_q;  // the store changed: space_q and free_words_o will follow
  logic [29:0] acc_q;

  wire [29:0] acc   = acc_q + 30'(sum2_q);
  wire        store = v2_q && !cut_q;
  wire        bad   = bad2_q || long2_q || abort2_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      cut_q       <= 1'b0;
      kill_q      <= 1'b0;
      acc_q       <= '0;
      malformed_o <= 1'b0;
      settle_q    <= '1;
    end else begin
      kill_q      <= flush_i;
      settle_q    <= {settle_q[0], v2_q || kill_q};
      malformed_o <= v2_q && last2_q && !abort2_q && (cut_q || long2_q || bad2_q) && !flush_i;
      if (flush_i) begin
        cut_q <= 1'b0;
        acc_q <= '0;
      end else if (v2_q) begin
        cut_q <= !last2_q && (cut_q || long2_q);
        acc_q <= last2_q ? '0 : acc;
      end
    end
  end

  tx_meta_t    meta_in, meta_out;
  logic        meta_valid, meta_ready;
  logic [13:0] meta_len;
  logic        data_valid, data_ready;
  logic [63:0] data_out;
  logic        fifo_busy, drop, unused_ready;

  assign meta_in = '{insert: csum2_q, udp: udp2_q, odd: odd2_q, position: position2_q, sum: acc};

  packet_fifo #(
    .Depth         (Depth),
    .MetaDepth     (MetaDepth),
    .MetaWidth     ($bits(tx_meta_t)),
    .FlushKeepsOpen(1'b1)
  ) u_store (
    .clk_i,
    .rst_ni,
    .flush_i,
    .s_axis_tdata_i (data2_q),
    .s_axis_tkeep_i (keep2_q),
    .s_axis_tvalid_i(store || kill_q),
    .s_axis_tlast_i (last2_q || long2_q || kill_q),
    .s_axis_tuser_i (bad || kill_q),
    .s_meta_i       (meta_in),
    .ready_o        (unused_ready),  // the margins above keep room
    .free_words_o   (free_words),
    .free_metas_o   (free_metas),
    .drop_o         (drop),
    .meta_valid_o   (meta_valid),
    .meta_len_o     (meta_len),
    .meta_data_o    (meta_out),
    .meta_ready_i   (meta_ready),
    .data_valid_o   (data_valid),
    .data_o         (data_out),
    .data_ready_i   (data_ready),
    .busy_o         (fifo_busy)
  );

  logic patch_busy;

  tx_csum_patch u_patch (
    .clk_i,
    .rst_ni,
    .flush_i,
    .meta_valid_i(meta_valid),
    .meta_len_i  (meta_len),
    .meta_i      (meta_out),
    .meta_ready_o(meta_ready),
    .data_valid_i(data_valid),
    .data_i      (data_out),
    .data_ready_o(data_ready),
    .m_axis_tdata_o,
    .m_axis_tkeep_o,
    .m_axis_tvalid_o,
    .m_axis_tlast_o,
    .m_axis_tready_i,
    .inserted_o  (csum_inserted_o),
    .busy_o      (patch_busy)
  );

  assign busy_o = strip_busy || v1_q || v2_q || kill_q || settle_q != '0 || malformed_o ||
                  fifo_busy || patch_busy;

`ifndef SYNTHESIS
  initial begin
    assert (Depth >= 64 && Depth <= 2048 && (Depth & (Depth - 1)) == 0)
    else $fatal(1, "tx_csum: Depth must be a power of two from 64 to 2048");
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!drop) else $fatal(1, "tx_csum: the store overflows");
    end
  end
`endif

endmodule
