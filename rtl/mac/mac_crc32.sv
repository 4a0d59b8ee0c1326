// CRC-32 of a frame that arrives in 64-bit words, one a cycle.
//
// init_i clears the register before the first word. word_valid_i adds all 8 octets of word_i,
// tail_valid_i adds its first tail_bytes_i octets (0..8) and ends the frame; never both. crc_o is
// the register of the whole frame, not complemented, from the second cycle after tail_valid_i until
// the next frame's. The cycle after tail_valid_i may carry init_i but no word: the one XOR tree
// works for the tail then, which keeps the byte shifter out of the loop of the register.
module mac_crc32
  import crc32_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        init_i,
  input  logic [63:0] word_i,
  input  logic        word_valid_i,
  input  logic        tail_valid_i,
  input  logic [3:0]  tail_bytes_i,
  output logic [31:0] crc_o
);

  logic [31:0] crc_q;       // register over the whole words so far
  logic        tail_q;      // the tree works on tail_x_q in this cycle
  logic [63:0] tail_x_q;
  logic [31:0] tail_rest_q;
  logic [31:0] frame_crc_q;

  logic [63:0] x;
  logic [31:0] tree;

  assign x = word_i ^ {32'd0, crc_q};

  assign tree = crc32_word(tail_q ? tail_x_q : x);

  always_ff @(posedge clk_i) begin
    if (init_i) crc_q <= CRC32_INIT;
    else if (word_valid_i) crc_q <= tree;

    if (tail_valid_i) begin
      tail_x_q    <= crc32_tail(x, tail_bytes_i);
      tail_rest_q <= crc32_rest(crc_q, tail_bytes_i);
    end
    if (tail_q) frame_crc_q <= tree ^ tail_rest_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) tail_q <= 1'b0;
    else tail_q <= tail_valid_i;
  end

  assign crc_o = frame_crc_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!(tail_q && word_valid_i)) else $fatal(1, "mac_crc32: word behind a tail");
      assert (!(tail_valid_i && word_valid_i)) else $fatal(1, "mac_crc32: word and tail at once");
    end
  end
`endif

endmodule
