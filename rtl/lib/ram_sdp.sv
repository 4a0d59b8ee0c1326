// Simple dual-port RAM: one write port, one read port, one clock, registered read.
//
// rdata_o is the word at raddr_i of the last cycle with re_i, and holds until the next one. Reading
// and writing the same address in the same cycle gives the old word or the new one, depending on
// the technology: whoever instantiates it must never do so for a word that it uses.
module ram_sdp #(
  parameter int unsigned Width = 64,    // bits
  parameter int unsigned Depth = 2048,  // words
  localparam int unsigned AddrW = $clog2(Depth)
) (
  input  logic             clk_i,

  input  logic             we_i,
  input  logic [AddrW-1:0] waddr_i,
  input  logic [Width-1:0] wdata_i,

  input  logic             re_i,
  input  logic [AddrW-1:0] raddr_i,
  output logic [Width-1:0] rdata_o
);

  logic [Width-1:0] mem [Depth];

  always_ff @(posedge clk_i) begin
    if (we_i) mem[waddr_i] <= wdata_i;
    if (re_i) rdata_o <= mem[raddr_i];
  end

endmodule
