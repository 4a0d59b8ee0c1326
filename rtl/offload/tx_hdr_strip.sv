// Takes struct virtio_net_hdr (virtio 1.2, 5.1.6: 12 bytes) off the front of a stream and shifts the
// Ethernet frame behind it to lane 0.
//
// In: a beat is taken in every cycle with s_axis_tvalid_i. Out, one cycle later: words of 8 bytes,
// also without tready. A word that the last beat does not complete comes one cycle later, in the slot
// of the next header's first beat, so no cycle is lost. A stream that ends within the header gives
// one word with keep_o = 0. The header's fields are valid with every word of their frame (but not with
// that one).
// tuser with tlast makes abort_o with last_o. flush_i: the next beat is a first one.
module tx_hdr_strip (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  input  logic        s_axis_tuser_i,

  output logic        valid_o,
  output logic        first_o,
  output logic        last_o,
  output logic        abort_o,        // with last_o
  output logic [63:0] data_o,         // bytes without keep_o are undefined
  output logic [7:0]  keep_o,
  output logic        needs_csum_o,   // VIRTIO_NET_HDR_F_NEEDS_CSUM
  output logic [7:0]  gso_type_o,
  output logic [15:0] csum_start_o,   // bytes from the frame's first
  output logic [15:0] csum_offset_o,  // bytes from csum_start

  output logic        busy_o          // a word will come without another beat
);

  logic [1:0]  beat_q;        // index of the next beat, stays at 2
  logic        short_q;       // a stream ended with its first beat
  logic        flush_q;       // bytes of the last beat are left
  logic        abort_q;       // that beat, or the one of short_q, had tuser
  logic [3:0]  flush_keep_q;
  logic        start_q;       // the next word is the first
  logic [31:0] prev_q;        // upper half of the beat before

  // Fields of the first beat wait here until the frame before is through.
  logic        flags_q;
  logic [7:0]  gso_type_q;
  logic [15:0] csum_start_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      beat_q  <= 2'd0;
      short_q <= 1'b0;
      flush_q <= 1'b0;
      valid_o <= 1'b0;
    end else begin
      valid_o <= 1'b0;
      flush_q <= 1'b0;
      if (flush_q) begin
        valid_o <= 1'b1;
        first_o <= 1'b0;
        last_o  <= 1'b1;
        abort_o <= abort_q;
        keep_o  <= {4'h0, flush_keep_q};
        data_o  <= {32'd0, prev_q};
      end else if (short_q) begin
        // The beat in this cycle, if any, is a first one and gives no word.
        short_q <= 1'b0;
        valid_o <= 1'b1;
        first_o <= 1'b1;
        last_o  <= 1'b1;
        abort_o <= abort_q;
        keep_o  <= 8'h00;
      end

      if (s_axis_tvalid_i) begin
        prev_q  <= s_axis_tdata_i[63:32];
        abort_q <= s_axis_tuser_i;
        if (s_axis_tlast_i) beat_q <= 2'd0;
        else if (!beat_q[1]) beat_q <= beat_q + 2'd1;
        unique case (beat_q)
          2'd0: begin
            start_q      <= 1'b1;
            short_q      <= s_axis_tlast_i;
            flags_q      <= s_axis_tdata_i[virtio_pkg::NET_HDR_F_NEEDS_CSUM];
            gso_type_q   <= s_axis_tdata_i[15:8];
            csum_start_q <= s_axis_tdata_i[63:48];
          end
          2'd1: begin
            needs_csum_o  <= flags_q;
            gso_type_o    <= gso_type_q;
            csum_start_o  <= csum_start_q;
            csum_offset_o <= s_axis_tdata_i[15:0];
            if (s_axis_tlast_i) begin
              valid_o <= 1'b1;
              first_o <= 1'b1;
              last_o  <= 1'b1;
              abort_o <= s_axis_tuser_i;
              keep_o  <= {4'h0, s_axis_tkeep_i[7:4]};
              data_o  <= {32'd0, s_axis_tdata_i[63:32]};
            end
          end
          default: begin
            valid_o      <= 1'b1;
            first_o      <= start_q;
            start_q      <= 1'b0;
            last_o       <= s_axis_tlast_i && !s_axis_tkeep_i[4];
            abort_o      <= s_axis_tuser_i;
            keep_o       <= {s_axis_tkeep_i[3:0], 4'hf};
            data_o       <= {s_axis_tdata_i[31:0], prev_q};
            flush_q      <= s_axis_tlast_i && s_axis_tkeep_i[4];
            flush_keep_q <= s_axis_tkeep_i[7:4];
          end
        endcase
      end
    end
  end

  assign busy_o = valid_o || flush_q || short_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && s_axis_tvalid_i) begin
      assert (s_axis_tlast_i ? s_axis_tkeep_i[0] : s_axis_tkeep_i == 8'hff)
      else $fatal(1, "tx_hdr_strip: a beat that is neither full nor the last");
    end
  end
`endif

endmodule
