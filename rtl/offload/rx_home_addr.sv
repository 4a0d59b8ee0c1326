// Finds the Home Address option among the options of an IPv6 destination options header (RFC 8200
// 4.2, 4.6; RFC 6275 6.3).
//
// In: the header's 8-byte words, with first_i its first. found_o, in the same cycle: the option
// begins in lane 6 and has the right length, so the next two words are the address. Its alignment is
// 8n + 6 by its definition; at another place it is not one. Options behind the header's end are the
// caller's to ignore.
module rx_home_addr (
  input  logic        clk_i,
  input  logic        valid_i,
  input  logic        first_i,
  input  logic [63:0] data_i,
  output logic        found_o
);

  localparam logic [7:0] OPT_PAD1         = 8'h00;
  localparam logic [7:0] OPT_HOME_ADDRESS = 8'hc9;
  localparam logic [7:0] ADDRESS_BYTES    = 8'd16;

  logic [8:0] skip_q;    // bytes of an option that lie in words to come, from lane 0 on
  logic       length_q;  // lane 0 of the next word is the length of the option begun in lane 7

  // Where each option begins, from lane to lane: next header and length precede the first.
  logic [8:0] at;
  logic       open;
  always_comb begin
    at      = first_i ? 9'd2 : length_q ? 9'(data_i[7:0]) + 9'd1 : skip_q;
    open    = 1'b0;
    found_o = 1'b0;
    for (int unsigned lane = 0; lane < 8; lane++) begin
      if (at == 9'(lane)) begin
        if (data_i[8*lane +: 8] == OPT_PAD1) begin
          at = 9'(lane) + 9'd1;
        end else if (lane == 7) begin
          at   = 9'd8;
          open = 1'b1;
        end else begin
          found_o = lane == 6 && data_i[55:48] == OPT_HOME_ADDRESS &&
                    data_i[63:56] == ADDRESS_BYTES;
          at      = 9'(lane) + 9'd2 + 9'(data_i[8*(lane+1) +: 8]);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      skip_q   <= at - 9'd8;
      length_q <= open;
    end
  end

endmodule
