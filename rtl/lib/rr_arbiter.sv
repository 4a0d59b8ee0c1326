// Round-robin choice among clients: the next one that asks after the one that was served last.
//
// grant_o (one-hot, zero when nobody asks) and index_o follow valid_i in the same cycle; take_i says
// that the choice was served. A client that keeps asking waits for each other client once at the most.
module rr_arbiter #(
  parameter  int unsigned Clients = 2,
  localparam int unsigned IndexW  = Clients > 1 ? $clog2(Clients) : 1
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic [Clients-1:0] valid_i,
  input  logic               take_i,
  output logic [Clients-1:0] grant_o,
  output logic [IndexW-1:0]  index_o
);

  // Clients whose number has a bit set: the encoder is one OR per bit of the number.
  function automatic logic [Clients-1:0] numbers_with(int unsigned place);
    for (int unsigned c = 0; c < Clients; c++) numbers_with[c] = 1'((c >> place) & 1);
  endfunction

  logic [Clients-1:0] later_q;  // those behind the one served last
  wire  [Clients-1:0] later   = valid_i & later_q;
  wire  [Clients-1:0] choices = later != '0 ? later : valid_i;
  assign grant_o = choices & (~choices + Clients'(1));  // the lowest

  for (genvar b = 0; b < int'(IndexW); b++) begin : gen_index
    localparam logic [Clients-1:0] WithBit = numbers_with(b);
    assign index_o[b] = |(grant_o & WithBit);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) later_q <= '1;
    else if (take_i) later_q <= ~(grant_o | (grant_o - Clients'(1)));
  end

endmodule
