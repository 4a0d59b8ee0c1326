// CRC-32 of Ethernet (IEEE 802.3 3.2.9), 64 bits at a time, reflected: bit 0 of a word is the first
// bit on the wire, the register shifts right.
//
// One linear map serves every length. For a whole word w and register c:
//   crc32_word(w ^ {32'b0, c}) = register after these 8 octets.
// For n < 8 octets the operand is moved up so that its last octet is octet 7: a zero register does
// not notice leading zeros. What n < 4 octets do not reach of the old register is added afterwards:
//   crc32_word(crc32_tail(w ^ c, n)) ^ crc32_rest(c, n).
// So there is one XOR tree of 64 inputs instead of eight of different lengths.
//
// It is written as one table for each octet, which is what a simulator is quick with. Each is linear,
// so that synthesis makes the XOR tree of it (no larger than one written out as 32 parities).
package crc32_pkg;

  // A table of constants: each user takes some of them.
  /* verilator lint_off UNUSEDPARAM */
  localparam logic [31:0] CRC32_INIT = 32'hffff_ffff;
  // Register after a frame and its own FCS (802.3 3.2.9: 0xC704DD7B in transmission order).
  localparam logic [31:0] CRC32_RESIDUE = 32'hdebb_20e3;
  /* verilator lint_on UNUSEDPARAM */

  localparam logic [31:0] CRC32_POLYNOMIAL = 32'hedb8_8320;

  typedef logic [31:0] crc32_tables_t [8 * 256];

  // Entry 256*i + v: the register after octet i of a word was v and all else, and the register
  // before it, zero. An octet that comes earlier is followed by more zeros.
  function automatic crc32_tables_t crc32_tables();
    crc32_tables_t tables;
    for (int unsigned v = 0; v < 256; v++) begin
      logic [31:0] c;
      c = v;
      for (int unsigned i = 8; i > 0; i--) begin
        for (int unsigned bits = 0; bits < 8; bits++) begin
          c = (c >> 1) ^ (c[0] ? CRC32_POLYNOMIAL : 32'd0);
        end
        tables[256 * (i - 1) + v] = c;
      end
    end
    return tables;
  endfunction
  localparam crc32_tables_t CRC32_TABLES = crc32_tables();

  // Register after 64 bits that entered a zero register.
  function automatic logic [31:0] crc32_word(logic [63:0] x);
    logic [31:0] sum;
    sum = '0;
    for (int unsigned i = 0; i < 8; i++) sum ^= CRC32_TABLES[{3'(i), x[8*i +: 8]}];
    return sum;
  endfunction

  // Operand for the first n octets of x = word ^ register, n in 0..8.
  function automatic logic [63:0] crc32_tail(logic [63:0] x, logic [3:0] n);
    unique case (n)
      4'd0:    return 64'd0;
      4'd1:    return {x[7:0], 56'd0};
      4'd2:    return {x[15:0], 48'd0};
      4'd3:    return {x[23:0], 40'd0};
      4'd4:    return {x[31:0], 32'd0};
      4'd5:    return {x[39:0], 24'd0};
      4'd6:    return {x[47:0], 16'd0};
      4'd7:    return {x[55:0], 8'd0};
      default: return x;
    endcase
  endfunction

  // Part of the old register that n octets do not reach.
  function automatic logic [31:0] crc32_rest(logic [31:0] crc, logic [3:0] n);
    unique case (n)
      4'd0:    return crc;
      4'd1:    return {8'd0, crc[31:8]};
      4'd2:    return {16'd0, crc[31:16]};
      4'd3:    return {24'd0, crc[31:24]};
      default: return 32'd0;
    endcase
  endfunction

endpackage
