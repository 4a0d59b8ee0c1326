// XGMII columns to words that begin with the first octet of the preamble, whatever the start lane.
//
// One word a cycle, meaningless outside frames. sof_o marks the preamble word; a start character
// counts wherever it comes, also inside a frame, but not 4 octets behind another. The word of an
// earlier frame that a start in lane 0 cuts off has no data when the gap is 5 octets or more.
module mac_rx_align
  import xgmii_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic [63:0] xgmii_rxd_i,
  input  logic [7:0]  xgmii_rxc_i,

  output logic        sof_o,        // word_o is a preamble word
  output logic [63:0] word_o,
  output logic        has_ctrl_o,   // a control character; in a preamble word: one besides /S/
  output logic        terminate_o,  // the first control character is /T/
  output logic [3:0]  bytes_o,      // octets before the first control character, 0..8
  output logic        busy_o
);

  // Columns of this cycle and the upper half of those before.
  logic [63:0] rxd_q;
  logic [7:0]  rxc_q;
  logic [31:0] prev_d_q;
  logic [3:0]  prev_c_q;
  logic        start0_q, start4_q, prev_start4_q;
  logic        shift_q;       // lane 4 is the first lane of the frame

  logic        start0, start4;
  logic        shift, sof;
  logic [63:0] word;
  logic [7:0]  ctrl;

  assign start0 = xgmii_rxc_i[0] && xgmii_rxd_i[7:0] == XGMII_START;
  assign start4 = xgmii_rxc_i[4] && xgmii_rxd_i[39:32] == XGMII_START;

  always_ff @(posedge clk_i) begin
    rxd_q    <= xgmii_rxd_i;
    rxc_q    <= xgmii_rxc_i;
    prev_d_q <= rxd_q[63:32];
    prev_c_q <= rxc_q[7:4];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      start0_q      <= 1'b0;
      start4_q      <= 1'b0;
      prev_start4_q <= 1'b0;
      shift_q       <= 1'b0;
    end else begin
      start0_q      <= start0;
      start4_q      <= start4;
      prev_start4_q <= start4_q;
      shift_q       <= shift;
    end
  end

  assign sof   = start0_q || prev_start4_q;
  assign shift = prev_start4_q || (shift_q && !start0_q);
  assign word  = shift ? {rxd_q[31:0], prev_d_q} : rxd_q;
  assign ctrl  = shift ? {rxc_q[3:0], prev_c_q} : rxc_q;

  logic        sof_q;
  logic [63:0] word_q;
  logic        has_ctrl_q, terminate_q;
  logic [3:0]  bytes_q;

  always_ff @(posedge clk_i) begin
    word_q      <= word;
    has_ctrl_q  <= |ctrl;
    terminate_q <= 1'b0;
    if (sof) begin
      has_ctrl_q <= ctrl != XGMII_PREAMBLE_CTRL;
    end else if (|ctrl) begin
      unique casez (ctrl)
        8'b???????1: begin bytes_q <= 4'd0; terminate_q <= word[7:0]   == XGMII_TERMINATE; end
        8'b??????10: begin bytes_q <= 4'd1; terminate_q <= word[15:8]  == XGMII_TERMINATE; end
        8'b?????100: begin bytes_q <= 4'd2; terminate_q <= word[23:16] == XGMII_TERMINATE; end
        8'b????1000: begin bytes_q <= 4'd3; terminate_q <= word[31:24] == XGMII_TERMINATE; end
        8'b???10000: begin bytes_q <= 4'd4; terminate_q <= word[39:32] == XGMII_TERMINATE; end
        8'b??100000: begin bytes_q <= 4'd5; terminate_q <= word[47:40] == XGMII_TERMINATE; end
        8'b?1000000: begin bytes_q <= 4'd6; terminate_q <= word[55:48] == XGMII_TERMINATE; end
        default:     begin bytes_q <= 4'd7; terminate_q <= word[63:56] == XGMII_TERMINATE; end
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) sof_q <= 1'b0;
    else sof_q <= sof;
  end

  assign sof_o       = sof_q;
  assign word_o      = word_q;
  assign has_ctrl_o  = has_ctrl_q;
  assign terminate_o = terminate_q;
  assign bytes_o     = bytes_q;
  // A word that is neither start nor inside a frame has no effect, so it does not make us busy.
  assign busy_o      = start0_q || start4_q || prev_start4_q || sof_q;

endmodule
