// Reads frames from the transmit store and writes the checksum into them on the way out.
//
// The sum is folded and complemented while the frame before is being sent. m_axis_tvalid_o stays up
// from a frame's first word to its last, and frames of 3 words or more that wait follow each other
// without a gap. flush_i forgets what was prepared; a frame whose meta was popped goes on to its
// end. inserted_o pulses when a frame with a checksum begins. busy_o: a frame is here or waits in
// the store.
module tx_csum_patch
  import axis_pkg::*;
  import tx_csum_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  logic        meta_valid_i,
  input  logic [13:0] meta_len_i,
  input  tx_meta_t    meta_i,
  output logic        meta_ready_o,

  input  logic        data_valid_i,
  input  logic [63:0] data_i,
  output logic        data_ready_o,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  input  logic        m_axis_tready_i,

  output logic        inserted_o,
  output logic        busy_o
);

  //////////////////////////////////////////////////////////////////
  // The next frame's checksum, while its meta waits in the store //
  //////////////////////////////////////////////////////////////////

  typedef enum logic [1:0] {
    PREP_FOLD,
    PREP_COMPLEMENT,
    PREP_READY
  } prep_e;

  prep_e       prep_q;
  logic [16:0] fold_q;
  logic [15:0] csum_q;  // first byte on the wire in bits 7:0

  wire [15:0] csum     = ~(fold_q[15:0] + 16'(fold_q[16]));
  wire [15:0] csum_udp = (meta_i.udp && csum == 16'd0) ? 16'hffff : csum;

  logic       start;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i || start) begin
      prep_q <= PREP_FOLD;
    end else if (meta_valid_i) begin
      unique case (prep_q)
        PREP_FOLD:       prep_q <= meta_i.insert ? PREP_COMPLEMENT : PREP_READY;
        PREP_COMPLEMENT: prep_q <= PREP_READY;
        default: ;
      endcase
      if (prep_q == PREP_FOLD) fold_q <= 17'(meta_i.sum[15:0]) + 17'(meta_i.sum[29:16]);
      if (prep_q == PREP_COMPLEMENT) begin
        csum_q <= meta_i.odd ? {csum_udp[7:0], csum_udp[15:8]} : csum_udp;
      end
    end
  end

  /////////////
  // Readout //
  /////////////

  logic        active_q;
  logic [10:0] left_q;        // words
  logic [7:0]  tail_keep_q;
  logic        patch_q;       // the checksum is still to be written
  logic        carry_q;       // its second byte falls into lane 0 of this word
  logic [10:0] patch_word_q;  // words until the one with its first byte
  logic [2:0]  patch_lane_q;
  logic [15:0] patch_csum_q;

  wire advance = !m_axis_tvalid_o || m_axis_tready_i;
  wire pop     = active_q && data_valid_i && advance;
  wire last    = left_q == 11'd1;

  assign start        = prep_q == PREP_READY && !flush_i && (!active_q || (pop && last));
  assign meta_ready_o = start;
  assign data_ready_o = active_q && advance;

  wire        patch_here = patch_q && patch_word_q == 11'd0;
  wire [63:0] patch_mask = 64'h0000_0000_0000_ffff << {patch_lane_q, 3'b000};
  wire [63:0] patch_bits = {48'd0, patch_csum_q} << {patch_lane_q, 3'b000};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q        <= 1'b0;
      m_axis_tvalid_o <= 1'b0;
      inserted_o      <= 1'b0;
    end else begin
      inserted_o <= start && meta_i.insert;
      if (start) active_q <= 1'b1;
      else if (pop && last) active_q <= 1'b0;
      if (advance) m_axis_tvalid_o <= pop;
    end

    if (pop) begin
      left_q         <= left_q - 11'd1;
      patch_word_q   <= patch_word_q - 11'd1;
      m_axis_tlast_o <= last;
      m_axis_tkeep_o <= last ? tail_keep_q : 8'hff;
      m_axis_tdata_o <= data_i;
      carry_q        <= 1'b0;
      if (carry_q) m_axis_tdata_o[7:0] <= patch_csum_q[15:8];
      if (patch_here) begin
        m_axis_tdata_o <= (data_i & ~patch_mask) | patch_bits;
        patch_q        <= 1'b0;
        carry_q        <= patch_lane_q == 3'd7;
      end
    end

    if (start) begin
      left_q       <= 11'((meta_len_i + 14'd7) >> 3);
      tail_keep_q  <= (meta_len_i[2:0] == 3'd0) ? 8'hff : count_keep({1'b0, meta_len_i[2:0]});
      patch_q      <= meta_i.insert;
      carry_q      <= 1'b0;
      patch_word_q <= meta_i.position[13:3];
      patch_lane_q <= meta_i.position[2:0];
      patch_csum_q <= csum_q;
    end
  end

  assign busy_o = active_q || m_axis_tvalid_o || meta_valid_i || inserted_o;

endmodule
