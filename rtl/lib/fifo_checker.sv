// Rules of a FIFO between valid/ready on both sides, seen from outside.
//
// Watches, drives nothing; a broken rule is $fatal with the scope of the instance. Not synthesized.
//   Overflow: nothing is taken while Depth words are held, and an offer stays until it is taken (a
//   producer that does not look at ready would lose its word here).
//   Underflow: nothing is offered while no word is held.
//   Words come out as they went in, in order, none twice.
// flush_i empties it; a word offered in that cycle is lost.
module fifo_checker #(
  parameter int unsigned Width = 8,  // bits
  parameter int unsigned Depth = 4   // words
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             flush_i,
  input logic [Width-1:0] in_i,
  input logic             in_valid_i,
  input logic             in_ready_i,
  input logic [Width-1:0] out_i,
  input logic             out_valid_i,
  input logic             out_ready_i
);

`ifndef SYNTHESIS
  localparam int unsigned PtrW = Depth > 1 ? $clog2(Depth) : 1;

  logic [Width-1:0] words [Depth];
  logic [PtrW-1:0]  in_q, out_q;
  int unsigned      held_q;
  logic             waits_q;  // an offer was not taken

  function automatic logic [PtrW-1:0] after(logic [PtrW-1:0] place);
    return 32'(place) == Depth - 1 ? '0 : place + PtrW'(1);
  endfunction

  wire push = in_valid_i && in_ready_i;
  wire pop  = out_valid_i && out_ready_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      in_q    <= '0;
      out_q   <= '0;
      held_q  <= 0;
      waits_q <= 1'b0;
    end else begin
      assert (!push || held_q < Depth)
      else $fatal(1, "fifo: overflow");
      assert (!waits_q || in_valid_i)
      else $fatal(1, "fifo: an offer was withdrawn, its word is lost");
      assert (!out_valid_i || held_q != 0)
      else $fatal(1, "fifo: underflow");
      assert (!out_valid_i || out_i == words[out_q])
      else $fatal(1, "fifo: a word is not the one that is due");
      waits_q <= in_valid_i && !in_ready_i;
      held_q  <= held_q + 32'(push) - 32'(pop);
      if (push) in_q <= after(in_q);
      if (pop) out_q <= after(out_q);
    end
    if (push) words[in_q] <= in_i;
  end
`endif

endmodule
