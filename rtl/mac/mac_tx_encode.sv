// Last stage of the transmit MAC: words of a frame to XGMII columns.
//
// In each cycle at most one of start_i (preamble), full_i (8 octets of word_i) and tail_i (the
// first bytes_i octets of it, with crc_i over the frame) is set. At least one cycle without any of
// them follows a tail: the rest of FCS and terminate may need it. lane4_i, valid with start_i:
// this frame starts in lane 4, so that everything is half a word later.
// bad_i, valid with tail_i: error characters instead of data and a wrong FCS.
module mac_tx_encode
  import xgmii_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,
  input  logic        lane4_i,
  input  logic        full_i,
  input  logic        tail_i,
  input  logic [3:0]  bytes_i,   // 1..8
  input  logic        bad_i,
  input  logic [63:0] word_i,    // octets behind bytes_i are ignored
  input  logic [31:0] crc_i,     // not complemented

  output logic [63:0] xgmii_txd_o,
  output logic [7:0]  xgmii_txc_o,
  output logic        busy_o     // the output is not idle or will not be in the next cycle
);

  localparam logic [7:0] T = XGMII_TERMINATE;

  logic        rest_q;      // the word behind a tail
  logic [31:0] rest_fcs_q;
  logic [3:0]  rest_bytes_q;

  logic        drive;
  logic [31:0] fcs;
  logic [63:0] data;
  logic [7:0]  ctrl;

  assign drive = start_i || full_i || tail_i || rest_q;
  assign fcs   = bad_i ? crc_i : ~crc_i;

  // A column as if every frame began in lane 0.
  always_comb begin
    data = XGMII_IDLE_WORD;
    ctrl = 8'hff;
    if (full_i) begin
      data = word_i;
      ctrl = 8'h00;
    end else if (start_i) begin
      data = XGMII_PREAMBLE;
      ctrl = XGMII_PREAMBLE_CTRL;
    end else if (tail_i) begin
      unique case (bytes_i)
        4'd1:    begin data[47:0] = {T, fcs, word_i[7:0]};      ctrl = 8'he0; end
        4'd2:    begin data[55:0] = {T, fcs, word_i[15:0]};     ctrl = 8'hc0; end
        4'd3:    begin data       = {T, fcs, word_i[23:0]};     ctrl = 8'h80; end
        4'd4:    begin data       = {fcs, word_i[31:0]};        ctrl = 8'h00; end
        4'd5:    begin data       = {fcs[23:0], word_i[39:0]};  ctrl = 8'h00; end
        4'd6:    begin data       = {fcs[15:0], word_i[47:0]};  ctrl = 8'h00; end
        4'd7:    begin data       = {fcs[7:0], word_i[55:0]};   ctrl = 8'h00; end
        default: begin data       = word_i;                     ctrl = 8'h00; end
      endcase
      if (bad_i) begin
        data[31:0] = {4{XGMII_ERROR}};
        ctrl[3:0]  = 4'hf;
      end
    end else if (rest_q) begin
      unique case (rest_bytes_q)
        4'd4:    begin data[7:0]  = T;                          ctrl = 8'hff; end
        4'd5:    begin data[15:0] = {T, rest_fcs_q[31:24]};     ctrl = 8'hfe; end
        4'd6:    begin data[23:0] = {T, rest_fcs_q[31:16]};     ctrl = 8'hfc; end
        4'd7:    begin data[31:0] = {T, rest_fcs_q[31:8]};      ctrl = 8'hf8; end
        4'd8:    begin data[39:0] = {T, rest_fcs_q};            ctrl = 8'hf0; end
        default: ;  // nothing left
      endcase
    end
  end

  logic        lane4, lane4_q;
  logic        active_q, active2_q;  // a column was driven one or two cycles ago
  logic [31:0] data_hi_q;            // upper half of the column before
  logic [3:0]  ctrl_hi_q;
  logic [63:0] txd_q;
  logic [7:0]  txc_q;

  assign lane4 = start_i ? lane4_i : lane4_q;

  always_ff @(posedge clk_i) begin
    if (tail_i) begin
      rest_fcs_q   <= fcs;
      rest_bytes_q <= bytes_i;
    end
    lane4_q <= lane4;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rest_q    <= 1'b0;
      active_q  <= 1'b0;
      active2_q <= 1'b0;
      data_hi_q <= XGMII_IDLE_WORD[63:32];
      ctrl_hi_q <= 4'hf;
      txd_q     <= XGMII_IDLE_WORD;
      txc_q     <= 8'hff;
    end else begin
      rest_q    <= tail_i;
      active_q  <= drive;
      active2_q <= active_q;
      if (drive || active_q || active2_q) begin
        data_hi_q <= data[63:32];
        ctrl_hi_q <= ctrl[7:4];
        txd_q     <= lane4 ? {data[31:0], data_hi_q} : data;
        txc_q     <= lane4 ? {ctrl[3:0], ctrl_hi_q} : ctrl;
      end
    end
  end

  assign xgmii_txd_o = txd_q;
  assign xgmii_txc_o = txc_q;
  assign busy_o      = drive || active_q || active2_q;

endmodule
