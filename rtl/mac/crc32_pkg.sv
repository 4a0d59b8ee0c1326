// CRC-32 of Ethernet (IEEE 802.3 3.2.9), 64 bits at a time, reflected: bit 0 of a word is the first
// bit on the wire, the register shifts right, polynomial 0xEDB88320.
//
// One linear map serves every length. For a whole word w and register c:
//   crc32_word(w ^ {32'b0, c}) = register after these 8 octets.
// For n < 8 octets the operand is moved up so that its last octet is octet 7: a zero register does
// not notice leading zeros. What n < 4 octets do not reach of the old register is added afterwards:
//   crc32_word(crc32_tail(w ^ c, n)) ^ crc32_rest(c, n).
// So there is one XOR tree of 64 inputs instead of eight of different lengths.
package crc32_pkg;

  // A table of constants: each user takes some of them.
  /* verilator lint_off UNUSEDPARAM */
  localparam logic [31:0] CRC32_INIT = 32'hffff_ffff;
  // Register after a frame and its own FCS (802.3 3.2.9: 0xC704DD7B in transmission order).
  localparam logic [31:0] CRC32_RESIDUE = 32'hdebb_20e3;
  /* verilator lint_on UNUSEDPARAM */

  // Register after 64 bits that entered a zero register. Row j holds the inputs of output bit j:
  // bit i of it is bit j of the register after the word 1 << i.
  function automatic logic [31:0] crc32_word(logic [63:0] x);
    return {
      ^(x & 64'h8268_80ef_a40d_a72d),
      ^(x & 64'hc35c_c098_760b_74bb),
      ^(x & 64'he3c6_e0a3_9f08_1d70),
      ^(x & 64'h71e3_7051_cf84_0eb8),
      ^(x & 64'hba99_38c7_43cf_a071),
      ^(x & 64'hdf24_1c8c_05ea_7715),
      ^(x & 64'h6f92_0e46_02f5_3b8a),
      ^(x & 64'hb5a1_87cc_a577_3ae8),
      ^(x & 64'hd8b8_4309_f6b6_3a59),
      ^(x & 64'h6c5c_2184_fb5b_1d2c),
      ^(x & 64'hb446_902d_d9a0_29bb),
      ^(x & 64'hd84b_c8f9_48dd_b3f0),
      ^(x & 64'hee4d_6493_0063_7ed5),
      ^(x & 64'h7726_b249_8031_bf6a),
      ^(x & 64'h3b93_5924_c018_dfb5),
      ^(x & 64'h1dc9_ac92_600c_6fda),
      ^(x & 64'h8c8c_56a6_940b_90c0),
      ^(x & 64'h4646_2b53_4a05_c860),
      ^(x & 64'h2323_15a9_a502_e430),
      ^(x & 64'h1191_8ad4_d281_7218),
      ^(x & 64'h08c8_c56a_6940_b90c),
      ^(x & 64'h0464_62b5_34a0_5c86),
      ^(x & 64'h805a_b1b5_3e5d_896e),
      ^(x & 64'hc245_d835_3b23_639a),
      ^(x & 64'h6122_ec1a_9d91_b1cd),
      ^(x & 64'h3091_760d_4ec8_d8e6),
      ^(x & 64'h9a20_3be9_0369_cb5e),
      ^(x & 64'h4d10_1df4_81b4_e5af),
      ^(x & 64'h2688_0efa_40da_72d7),
      ^(x & 64'h1344_077d_206d_396b),
      ^(x & 64'h09a2_03be_9036_9cb5),
      ^(x & 64'h04d1_01df_481b_4e5a)
    };
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
