// Helpers for the 64-bit AXI4-Stream between blocks: byte 0 in bits 7:0, tkeep contiguous from bit
// 0.
package axis_pkg;

  // Bytes of a beat, 0..8.
  function automatic logic [3:0] keep_count(input logic [7:0] keep);
    unique case (keep)
      8'hff:   return 4'd8;
      8'h7f:   return 4'd7;
      8'h3f:   return 4'd6;
      8'h1f:   return 4'd5;
      8'h0f:   return 4'd4;
      8'h07:   return 4'd3;
      8'h03:   return 4'd2;
      8'h01:   return 4'd1;
      default: return 4'd0;
    endcase
  endfunction

  // tkeep of a beat with `count` bytes, 0..8.
  function automatic logic [7:0] count_keep(input logic [3:0] count);
    unique case (count)
      4'd0:    return 8'h00;
      4'd1:    return 8'h01;
      4'd2:    return 8'h03;
      4'd3:    return 8'h07;
      4'd4:    return 8'h0f;
      4'd5:    return 8'h1f;
      4'd6:    return 8'h3f;
      4'd7:    return 8'h7f;
      default: return 8'hff;
    endcase
  endfunction

  // All ones in the bytes whose tkeep bit is set.
  function automatic logic [63:0] byte_mask(input logic [7:0] keep);
    return {{8{keep[7]}}, {8{keep[6]}}, {8{keep[5]}}, {8{keep[4]}},
            {8{keep[3]}}, {8{keep[2]}}, {8{keep[1]}}, {8{keep[0]}}};
  endfunction

endpackage
