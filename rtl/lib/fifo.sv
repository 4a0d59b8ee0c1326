// First-word-fall-through FIFO in registers or distributed RAM.
//
// Handshake: valid/ready on both sides; ready_o and valid_o depend on state only, so the FIFO also
// cuts timing paths. Latency one cycle, one word per cycle sustained (Depth >= 2).
// flush_i empties it at the next edge; a word offered in that cycle is lost.
module fifo #(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 4,  // words, a power of two, at least 2
  localparam int unsigned CountW = $clog2(Depth) + 1
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              flush_i,

  input  logic [Width-1:0]  data_i,
  input  logic              valid_i,
  output logic              ready_o,

  output logic [Width-1:0]  data_o,
  output logic              valid_o,
  input  logic              ready_i,

  output logic [CountW-1:0] count_o  // words held
);

  localparam int unsigned PtrW = $clog2(Depth);

  logic [Width-1:0]  mem [Depth];
  logic [PtrW-1:0]   wptr_q, rptr_q;
  logic [CountW-1:0] count_q;

  wire push = valid_i && ready_o;
  wire pop  = valid_o && ready_i;

  assign ready_o = count_q != CountW'(Depth);
  assign valid_o = count_q != '0;
  assign data_o  = mem[rptr_q];
  assign count_o = count_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      wptr_q  <= '0;
      rptr_q  <= '0;
      count_q <= '0;
    end else begin
      if (push) wptr_q <= wptr_q + PtrW'(1);
      if (pop) rptr_q <= rptr_q + PtrW'(1);
      if (push != pop) count_q <= push ? count_q + CountW'(1) : count_q - CountW'(1);
    end
    if (push) mem[wptr_q] <= data_i;
  end

`ifndef SYNTHESIS
  initial begin
    assert (Depth >= 2 && (Depth & (Depth - 1)) == 0)
    else $fatal(1, "fifo: Depth must be a power of two");
  end
`endif

endmodule
