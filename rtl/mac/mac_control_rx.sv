// MAC control sublayer, receive side (IEEE 802.3 clause 31, Annex 31B): takes PAUSE frames out of the
// stream of the receive MAC.
//
// Watches the beats of mac_rx. With enable_i, drop_o is set together with a control frame's last beat
// (EtherType 0x8808): it does not go to the MAC client. One cycle later one pulse tells what it was:
// pause_o for a good PAUSE to 01-80-C2-00-00-01 or to this station, with quanta_o (of 512 bit
// times), other_o for a good frame with another opcode or address (31.5.1: discarded).
// busy_o: a pulse is on the outputs.
module mac_control_rx (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        enable_i,
  input  logic [47:0] station_i,       // bits 7:0 = first octet on the wire

  input  logic [63:0] s_axis_tdata_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  input  logic        s_axis_tuser_i,  // with tlast: the frame is bad

  output logic        drop_o,

  output logic        pause_o,
  output logic [15:0] quanta_o,
  output logic        other_o,
  output logic        busy_o
);

  import mac_control_pkg::*;

  logic [1:0] index_q;    // of the next beat, stays at 3
  logic       for_us_q, control_q, opcode_q;

  assign drop_o = enable_i && control_q && index_q == 2'd3;

  always_ff @(posedge clk_i) begin
    if (s_axis_tvalid_i) begin
      if (index_q == 2'd0) begin
        for_us_q  <= s_axis_tdata_i[47:0] == PAUSE_ADDRESS || s_axis_tdata_i[47:0] == station_i;
        control_q <= 1'b0;
      end
      if (index_q == 2'd1) begin
        control_q <= s_axis_tdata_i[47:32] == MAC_CONTROL;
        opcode_q  <= s_axis_tdata_i[63:48] == OPCODE_PAUSE;
      end
      if (index_q == 2'd2) quanta_o <= {s_axis_tdata_i[7:0], s_axis_tdata_i[15:8]};
    end
    if (!rst_ni) begin
      index_q <= 2'd0;
      pause_o <= 1'b0;
      other_o <= 1'b0;
    end else begin
      pause_o <= 1'b0;
      other_o <= 1'b0;
      if (s_axis_tvalid_i) begin
        index_q <= s_axis_tlast_i ? 2'd0 : index_q == 2'd3 ? 2'd3 : index_q + 2'd1;
        if (s_axis_tlast_i && !s_axis_tuser_i && drop_o) begin
          pause_o <= for_us_q && opcode_q;
          other_o <= !(for_us_q && opcode_q);
        end
      end
    end
  end

  assign busy_o = pause_o || other_o;

endmodule
