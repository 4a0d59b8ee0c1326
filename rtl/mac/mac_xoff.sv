// When the peer is asked to pause (IEEE 802.3 Annex 31B): the level of the receive store.
//
// xoff_o, a register, rises when less is free than may still come, at the most, until nothing comes any
// more, and falls halfway from there to an empty store. What may still come is said in words of 8
// bytes, of which the wire carries one a cycle: a frame never takes more words than cycles.
//   our transmitter has begun a frame of max_frame_i bytes, which goes first, with preamble and gap;
//   then the PAUSE frame itself; cable and PHYs on both ways; the peer may begin a frame until
//   REACTION behind it (31B.3.7), and that has max_frame_i bytes as well.
// A store that is smaller than four thirds of that is never asked for more than three quarters of it:
// nothing can be promised then.
// enable_i = 0: xoff_o falls. free_words_i: exact.
// busy_o = 1: xoff_o is about to change, the clock must run. What makes that necessary is room that
// comes back when nothing else happens any more, as a bad frame's does that is forgotten.
module mac_xoff #(
  parameter int unsigned StoreWords  = 4096,
  parameter int unsigned CableMetres = 100
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        enable_i,
  input  logic [15:0]                 max_frame_i,   // bytes with FCS, static
  input  logic [$clog2(StoreWords):0] free_words_i,
  output logic                        xoff_o,
  output logic                        busy_o
);

  localparam int unsigned QUANTUM  = 8;             // cycles: 512 bit times
  // 31B.3.7 and TIM5 of 31B.4.6: any 10 Gb/s PHY but 10GBASE-T, which has 74 (TIM6); at the peer's MDI.
  localparam int unsigned REACTION = 60 * QUANTUM;
  localparam int unsigned PAUSE    = 9;             // preamble, 64 bytes
  localparam int unsigned PHY      = 8 * QUANTUM;   // 44.3: 10GBASE-R, both directions
  // 5 ns a metre, 6.4 ns a cycle, there and back.
  localparam int unsigned CABLE    = (2 * 5 * 10 * CableMetres + 63) / 64;
  // Between pins and store, and from xoff_o to the pins.
  localparam int unsigned PIPES    = 32;
  localparam int unsigned FIXED    = REACTION + PAUSE + PHY + CABLE + PIPES;
  localparam int unsigned GAP      = 20;            // bytes: preamble and inter-frame gap
  localparam int unsigned MOST     = StoreWords - StoreWords / 4;

  localparam int unsigned W = $clog2(StoreWords) + 1;

  // Of a static input: evaluated once.
  logic [31:0]  headroom;
  logic [W-1:0] xoff_level, xon_level;
  always_comb begin
    headroom   = FIXED + ((32'(max_frame_i) + GAP + 7) >> 3) + ((32'(max_frame_i) + 7) >> 3);
    xoff_level = headroom > MOST ? W'(MOST) : W'(headroom);
    xon_level  = W'((32'(xoff_level) + StoreWords) >> 1);
  end

  wire xoff = enable_i && free_words_i < (xoff_o ? xon_level : xoff_level);
  always_ff @(posedge clk_i) xoff_o <= rst_ni && xoff;
  assign busy_o = xoff != xoff_o;

endmodule
