// Walks the headers of one IP packet and says where addresses and ports of its flow are.
//
// In: rx_l3_align's stream, one word a cycle at the most. Out, one cycle later: the words that hold
// any of them (flow_word_t). info_o speaks of the whole packet and holds in the two cycles after
// rx_l3_align's end_o.
//
// Followed are IPv4 options and the IPv6 extension headers hop-by-hop (at the first place only),
// routing, destination options and, as the last, fragment (RFC 8200 4). A packet whose headers are
// cut by its own length or by the frame's end is not ok; one whose version or IPv4 header length is
// wrong neither. Behind a fragment header, and in an IPv4 fragment, nothing is taken for ports.
module rx_flow_parse
  import rx_flow_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        valid_i,
  input  logic        first_i,
  input  logic        ipv6_i,
  input  logic [63:0] data_i,
  input  logic [3:0]  count_i,  // bytes of the frame, 1..8

  output logic        valid_o,
  output flow_word_t  word_o,
  output flow_info_t  info_o
);

  localparam logic [7:0] IPPROTO_HOPOPTS  = 8'd0;
  localparam logic [7:0] IPPROTO_TCP      = 8'd6;
  localparam logic [7:0] IPPROTO_UDP      = 8'd17;
  localparam logic [7:0] IPPROTO_ROUTING  = 8'd43;
  localparam logic [7:0] IPPROTO_FRAGMENT = 8'd44;
  localparam logic [7:0] IPPROTO_DSTOPTS  = 8'd60;
  localparam logic [7:0] ROUTING_TYPE_2   = 8'd2;

  // An extension header that is being read.
  typedef enum logic [1:0] {EXT_OTHER, EXT_DSTOPTS, EXT_ROUTE, EXT_ADDRESS} ext_e;

  logic        ipv6_q;
  logic        cut_q;       // a header is wrong or not all there
  logic        fragment_q;
  logic        extensions_q;
  logic        ports_q, home_q, route_q;
  logic [2:0]  index_q;     // of the next word, stays at 6
  logic [16:0] left_q;      // bytes of the packet from the next word on
  logic [7:0]  hdr_left_q;  // IPv4: 32-bit words of the header; IPv6: 64-bit words of an extension
  logic [7:0]  protocol_q;
  ext_e        ext_q;
  logic        home_ext_q;  // EXT_ADDRESS is a Home Address option's, else a routing header's
  logic        second_q;    // the address's second word is the next one

  // First word. RFC 791 3.1: version/IHL, TOS, total length, identification, flags and offset.
  wire [15:0] total_len   = {data_i[23:16], data_i[31:24]};
  wire        fragment    = data_i[53:48] != 6'd0 || data_i[63:56] != 8'd0;
  // RFC 8200 3: version .. flow label, payload length, next header, hop limit.
  wire [15:0] payload_len = {data_i[39:32], data_i[47:40]};

  // Later words: which halves are of the packet and in the frame.
  wire lo_there = left_q >= 17'd4 && count_i >= 4'd4;
  wire hi_there = left_q >= 17'd8 && count_i == 4'd8;
  wire is_ext   = protocol_q == IPPROTO_ROUTING || protocol_q == IPPROTO_DSTOPTS ||
                  protocol_q == IPPROTO_FRAGMENT ||
                  (protocol_q == IPPROTO_HOPOPTS && index_q == 3'd5);
  wire new_ext  = ipv6_q && index_q >= 3'd5 && hdr_left_q == 8'd0 && is_ext && !fragment_q;
  wire old_ext  = ipv6_q && index_q >= 3'd5 && hdr_left_q != 8'd0;

  wire  in_options = valid_i && !first_i && left_q != 17'd0 &&
                     (new_ext ? protocol_q == IPPROTO_DSTOPTS : old_ext && ext_q == EXT_DSTOPTS);
  logic home_found;
  rx_home_addr u_home_addr (
    .clk_i,
    .valid_i(in_options),
    .first_i(new_ext),
    .data_i,
    .found_o(home_found)
  );

  // 8-byte words of the extension header behind this one.
  wire [7:0] ext_left  = new_ext ? (protocol_q == IPPROTO_FRAGMENT ? 8'd0 : data_i[15:8]) :
                                   hdr_left_q - 8'd1;
  wire       home_here = in_options && home_found && !home_q && ext_left >= 8'd2;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_o <= 1'b0;
    end else begin
      valid_o <= 1'b0;
      if (valid_i && first_i) begin
        ipv6_q       <= ipv6_i;
        index_q      <= 3'd1;
        extensions_q <= 1'b0;
        ports_q      <= 1'b0;
        home_q       <= 1'b0;
        route_q      <= 1'b0;
        ext_q        <= EXT_OTHER;
        if (ipv6_i) begin
          cut_q      <= data_i[7:4] != 4'd6 || count_i != 4'd8;
          fragment_q <= 1'b0;
          left_q     <= 17'(payload_len) + 17'd32;
          hdr_left_q <= 8'd0;
          protocol_q <= data_i[55:48];
        end else begin
          cut_q      <= data_i[7:4] != 4'd4 || data_i[3:0] < 4'd5 || count_i != 4'd8 ||
                        total_len < {10'd0, data_i[3:0], 2'b00};
          fragment_q <= fragment;
          left_q     <= (total_len > 16'd8) ? 17'(total_len) - 17'd8 : 17'd0;
          hdr_left_q <= 8'(data_i[3:0]) - 8'd2;
        end
      end else if (valid_i && left_q != 17'd0) begin
        left_q <= (left_q >= 17'd8) ? left_q - 17'd8 : 17'd0;
        if (index_q != 3'd6) index_q <= index_q + 3'd1;
        word_o.data <= data_i;

        if (!ipv6_q) begin
          if (index_q == 3'd1) protocol_q <= data_i[15:8];
          hdr_left_q <= (hdr_left_q <= 8'd2) ? 8'd0 : hdr_left_q - 8'd2;
          if ((hdr_left_q >= 8'd1 && !lo_there) || (hdr_left_q >= 8'd2 && !hi_there)) begin
            cut_q <= 1'b1;
          end
          valid_o      <= index_q <= 3'd2 || !ports_q;
          word_o.first <= 1'b1;
          word_o.lo    <= HALF_NONE;
          word_o.hi    <= HALF_NONE;
          word_o.slot  <= (index_q == 3'd1) ? 4'd0 : 4'd2;
          if (index_q == 3'd1) word_o.hi <= HALF_SRC;
          if (index_q == 3'd2) word_o.lo <= HALF_DST;
          if (hdr_left_q == 8'd1 && hi_there) begin
            ports_q   <= 1'b1;
            word_o.hi <= HALF_PORTS;
          end
          if (hdr_left_q == 8'd0 && lo_there && !ports_q) begin
            ports_q     <= 1'b1;
            word_o.lo   <= HALF_PORTS;
            word_o.slot <= 4'd3;
          end
        end else if (index_q < 3'd5) begin
          if (!hi_there) cut_q <= 1'b1;
          valid_o      <= 1'b1;
          word_o.first <= index_q[0];
          word_o.slot  <= {index_q, 1'b0} - 4'd1;
          word_o.lo    <= (index_q <= 3'd2) ? HALF_SRC : HALF_DST;
          word_o.hi    <= (index_q <= 3'd2) ? HALF_SRC : HALF_DST;
        end else if (new_ext || old_ext) begin
          if (!hi_there) cut_q <= 1'b1;
          extensions_q <= 1'b1;
          hdr_left_q   <= ext_left;
          if (new_ext) begin
            protocol_q <= data_i[7:0];
            fragment_q <= protocol_q == IPPROTO_FRAGMENT;
            ext_q      <= EXT_OTHER;
            if (protocol_q == IPPROTO_DSTOPTS) ext_q <= EXT_DSTOPTS;
            // The length is given without the first 8 bytes (RFC 8200 4.4).
            if (protocol_q == IPPROTO_ROUTING && data_i[23:16] == ROUTING_TYPE_2 &&
                data_i[15:8] >= 8'd2) begin
              ext_q      <= EXT_ADDRESS;
              home_ext_q <= 1'b0;
              second_q   <= 1'b0;
            end
          end
          if (home_here) begin
            ext_q      <= EXT_ADDRESS;
            home_ext_q <= 1'b1;
            second_q   <= 1'b0;
          end
          if (old_ext && ext_q == EXT_ADDRESS) begin
            second_q     <= 1'b1;
            valid_o      <= 1'b1;
            word_o.first <= !second_q;
            word_o.slot  <= (home_ext_q ? 4'd1 : 4'd5) + {2'd0, second_q, 1'b0};
            word_o.lo    <= home_ext_q ? HALF_HOME : HALF_ROUTE;
            word_o.hi    <= home_ext_q ? HALF_HOME : HALF_ROUTE;
            if (second_q) begin
              ext_q <= EXT_OTHER;
              if (home_ext_q) home_q <= 1'b1;
              else route_q <= 1'b1;
            end
          end
        end else if (!ports_q && !fragment_q && lo_there) begin
          ports_q      <= 1'b1;
          valid_o      <= 1'b1;
          word_o.first <= 1'b1;
          word_o.slot  <= 4'd9;
          word_o.lo    <= HALF_PORTS;
          word_o.hi    <= HALF_NONE;
        end
      end
    end
  end

  // Of IPv6: the fixed header is complete, and the packet does not end where an extension header
  // would have to begin.
  wire ended_early = ipv6_q && (index_q < 3'd5 || (is_ext && !fragment_q));
  wire tcp         = protocol_q == IPPROTO_TCP;
  wire udp         = protocol_q == IPPROTO_UDP;

  assign info_o = '{
    ok:         !cut_q && hdr_left_q == 8'd0 && !ended_early,
    ipv6:       ipv6_q,
    extensions: extensions_q,
    ports:      ports_q && !fragment_q && (tcp || udp),
    tcp:        tcp,
    home:       home_q,
    route:      route_q
  };

endmodule
