// Receive MAC: XGMII to a stream of frames without preamble and FCS.
//
// Input: a start character in lane 0 or 4, gap of 5 octets or more from the last FCS octet to the
// next start (IEEE 802.3 46.2.1: what a receiving reconciliation sublayer must stand), other
// columns outside frames are ignored.
// Output: beats without tready, all full but the last; tuser with tlast = 1: the frame is bad and
// must be dropped. A frame too short for a beat leaves no beat. A frame over the limit is ended
// with tlast and tuser at the limit and its rest ignored. The limit is 4 bytes less for a frame
// without C-tag or S-tag (802.1Q 9.6), so that it is one of the payload (virtio 5.1.4.1: mtu).
// stat_o: exactly one pulse for each start character, when the fate of the frame is known (one that
// stands in the preamble of another only spoils that preamble). Of the reasons to drop the first
// that holds counts: error (a control character other than terminate inside, a start without
// terminate before, a preamble that differs), oversize, runt, bad_fcs.
// busy_o = 0: nothing of a frame is inside.
module mac_rx
  import nic_pkg::*;
  import crc32_pkg::*;
  import xgmii_pkg::*;
(
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic [63:0]  xgmii_rxd_i,
  input  logic [7:0]   xgmii_rxc_i,
  input  logic [15:0]  max_frame_i,     // longest good frame with a VLAN tag, bytes with FCS, 68..16383

  output logic [63:0]  m_axis_tdata_o,
  output logic [7:0]   m_axis_tkeep_o,
  output logic         m_axis_tvalid_o,
  output logic         m_axis_tlast_o,
  output logic         m_axis_tuser_o,

  output logic         busy_o,
  output mac_rx_stat_t stat_o
);

  localparam int unsigned FcsBytes = 4;
  localparam int unsigned TagBytes = 4;
  localparam int unsigned MinFrame = 64;  // bytes with FCS (802.3 4A.4.2 minFrameSize)

  //////////////////////////////////////////////////////
  // Stage 1: words that begin with the first octet   //
  //////////////////////////////////////////////////////

  logic        sof;         // word is the preamble of a frame
  logic [63:0] word;
  logic        has_ctrl;    // the frame ends in this word, preamble: something is wrong
  logic        terminate;   // its first control character is /T/
  logic [3:0]  bytes;       // octets before the first control character, valid with has_ctrl
  logic        align_busy;

  mac_rx_align u_align (
    .clk_i,
    .rst_ni,
    .xgmii_rxd_i,
    .xgmii_rxc_i,
    .sof_o       (sof),
    .word_o      (word),
    .has_ctrl_o  (has_ctrl),
    .terminate_o (terminate),
    .bytes_o     (bytes),
    .busy_o      (align_busy)
  );

  //////////////////////////////////////////////////////
  // Stage 2: frame state, length, FCS                //
  //////////////////////////////////////////////////////

  logic        active_q;    // inside a frame
  logic        bad_start_q; // its preamble was wrong
  logic [10:0] words_q;     // whole words so far
  logic [12:0] room_q;      // whole words that fit into the limit besides
  logic        full_up_q;   // room_q == 0, early because much hangs on it
  logic        tagged_q;    // a VLAN tag was seen
  logic        hold_valid_q;
  logic [63:0] hold_q;      // youngest word; leaves when it is known where the FCS begins

  // End of a frame, waiting for its CRC. end1: the tail is in the tree, end2: crc holds.
  logic        end1_q, end2_q;
  logic        end_beat_q;  // hold_q is the last beat
  logic        end_runt_q;
  logic [7:0]  end_keep_q;
  logic [13:0] end_bytes_q;

  logic        oversize, full, tail, error, cut;
  logic [31:0] crc;

  // Both limits: they differ by half a word.
  wire [15:0] max_untagged = max_frame_i - 16'(TagBytes);
  wire [2:0]  rest         = tagged_q ? max_frame_i[2:0] : max_untagged[2:0];
  wire        is_tag       = word[47:32] == 16'h0081 || word[47:32] == 16'ha888;  // octets 12, 13
  wire        tag_seen     = words_q == 11'd1 && is_tag;

  assign oversize = full_up_q && (!has_ctrl || bytes > {1'b0, rest});
  assign error    = active_q && (sof || bad_start_q || (has_ctrl && !terminate));
  assign cut      = error || (active_q && oversize);
  assign full     = active_q && !cut && !has_ctrl;
  assign tail     = active_q && !cut && has_ctrl;

  mac_crc32 u_crc32 (
    .clk_i,
    .rst_ni,
    .init_i       (sof),
    .word_i       (word),
    .word_valid_i (full),
    .tail_valid_i (tail),
    .tail_bytes_i (bytes),
    .crc_o        (crc)
  );

  always_ff @(posedge clk_i) begin
    if (sof) begin
      bad_start_q <= word != XGMII_PREAMBLE || has_ctrl;
      words_q     <= '0;
      room_q      <= max_untagged[15:3];
      full_up_q   <= 1'b0;
      tagged_q    <= 1'b0;
    end else if (full) begin
      words_q   <= words_q + 11'd1;
      room_q    <= room_q - 13'(!(tag_seen && max_frame_i[3] != max_untagged[3]));
      full_up_q <= room_q == 13'd1;
      tagged_q  <= tagged_q || tag_seen;
      hold_q    <= word;
    end else if (tail) begin
      // The last four octets are the FCS: with up to four octets in this word the frame ends in
      // the held word.
      if (bytes > 4'(FcsBytes)) hold_q <= word;
      end_beat_q  <= hold_valid_q || bytes > 4'(FcsBytes);
      end_keep_q  <= keep_of(bytes);
      end_runt_q  <= words_q < 11'(MinFrame / 8);
      end_bytes_q <= {words_q, 3'd0} + {10'd0, bytes} - 14'(FcsBytes);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q     <= 1'b0;
      hold_valid_q <= 1'b0;
      end1_q       <= 1'b0;
      end2_q       <= 1'b0;
    end else begin
      if (sof) active_q <= 1'b1;
      else if (cut || tail) active_q <= 1'b0;
      if (sof) hold_valid_q <= 1'b0;
      else if (full) hold_valid_q <= 1'b1;
      end1_q <= tail;
      end2_q <= end1_q;
    end
  end

  // Byte enables of the last beat of a frame whose last word has n octets, FCS taken off.
  function automatic logic [7:0] keep_of(logic [3:0] n);
    unique case (n)
      4'd0:    return 8'h0f;
      4'd1:    return 8'h1f;
      4'd2:    return 8'h3f;
      4'd3:    return 8'h7f;
      4'd4:    return 8'hff;
      4'd5:    return 8'h01;
      4'd6:    return 8'h03;
      default: return 8'h07;
    endcase
  endfunction

  //////////////////////////////////////////////////////
  // Stage 3: output                                  //
  //////////////////////////////////////////////////////

  logic         tvalid_q, tlast_q, tuser_q;
  logic [7:0]   tkeep_q;
  logic [63:0]  tdata_q;
  mac_rx_stat_t stat_q;
  logic         fcs_ok;

  assign fcs_ok = crc == CRC32_RESIDUE;

  // Two frames never want the output at once: a last beat leaves two cycles after the last word,
  // and the next frame holds its first word back at least as long behind its preamble. It may be
  // cut in that cycle, but without a beat.
  always_ff @(posedge clk_i) begin
    if (active_q || end2_q) begin
      tdata_q <= hold_q;
      tlast_q <= end2_q || cut;
      tuser_q <= !end2_q || end_runt_q || !fcs_ok;
      tkeep_q <= end2_q ? end_keep_q : 8'hff;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      tvalid_q <= 1'b0;
      stat_q   <= '0;
    end else begin
      tvalid_q <= end2_q ? end_beat_q
                         : hold_valid_q && (cut || full || (tail && bytes > 4'(FcsBytes)));
      stat_q.error    <= error;
      stat_q.oversize <= cut && !error;
      stat_q.runt     <= end2_q && end_runt_q;
      stat_q.bad_fcs  <= end2_q && !end_runt_q && !fcs_ok;
      stat_q.good     <= end2_q && !end_runt_q && fcs_ok;
      if (end2_q) stat_q.bytes <= end_bytes_q;
    end
  end

  assign m_axis_tdata_o  = tdata_q;
  assign m_axis_tkeep_o  = tkeep_q;
  assign m_axis_tvalid_o = tvalid_q;
  assign m_axis_tlast_o  = tlast_q;
  assign m_axis_tuser_o  = tuser_q;
  assign stat_o          = stat_q;

  // Counters behind stat_o see a pulse one cycle later; the owner of the counters is busy for it.
  assign busy_o = align_busy || active_q || end1_q || end2_q || tvalid_q
                || stat_q.good || stat_q.bad_fcs || stat_q.runt || stat_q.oversize || stat_q.error;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!(end2_q && hold_valid_q && (cut || full || tail)))
        else $fatal(1, "mac_rx: two frames want the output");
    end
  end
`endif

endmodule
