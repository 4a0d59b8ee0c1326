// Reads the headers of a super-frame: what segmentation repeats, and where its fields are.
//
// Frames are looked at in order, each when its first SLOT_WORDS words or all of it are there: one
// field of 16 bits every two cycles, about 25 cycles for TCP over IPv4, 35 over IPv6. Followed are
// up to two VLAN tags (802.1Q), IPv4 with options, IPv6 with hop-by-hop options (first), routing and
// destination options. A frame is bad when NEEDS_CSUM is not set or gso_size is 0 (virtio 1.2,
// 5.1.6.2), when it does not carry what gso_type says, is a fragment, its headers are cut, wrong or
// longer than MAX_HEADERS, or the checksum field is not where they have it. hdr_len and the lengths
// in the IP headers are not looked at.
module tx_seg_parse
  import tx_seg_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,
  input  logic [15:0] max_frame_i,  // bytes, virtio_net_hdr included

  input  slot_t       slot_i [SLOTS],
  input  logic        begin_i,      // pulse: a frame's first beat is taken, into the next slot

  // Header memory, registered read
  output logic        hdr_re_o,
  output slot_id_t    hdr_slot_o,
  output logic [5:0]  hdr_word_o,
  input  logic [63:0] hdr_data_i,

  output ctx_t        ctx_o,
  output logic        ctx_valid_o,
  input  logic        ctx_ready_i,
  output logic        busy_o
);

  import virtio_pkg::*;

  localparam logic [15:0] ETH_C_TAG = 16'h8100;
  localparam logic [15:0] ETH_S_TAG = 16'h88a8;
  localparam logic [15:0] ETH_IPV4  = 16'h0800;
  localparam logic [15:0] ETH_IPV6  = 16'h86dd;
  localparam logic [7:0]  HOP_BY_HOP   = 8'd0;
  localparam logic [7:0]  TCP          = 8'd6;
  localparam logic [7:0]  UDP          = 8'd17;
  localparam logic [7:0]  ROUTING      = 8'd43;
  localparam logic [7:0]  DEST_OPTIONS = 8'd60;
  localparam logic [7:0]  ROUTING_HOME    = 8'd2;  // RFC 6275 6.4
  localparam logic [7:0]  ROUTING_SEGMENT = 8'd4;  // RFC 8754 2
  localparam logic [11:0] ETHER_TYPE   = 12'(NET_HDR + 12);
  localparam logic [15:0] OFFSET_TCP   = 16'd16;
  localparam logic [15:0] OFFSET_UDP   = 16'd6;

  typedef enum logic [4:0] {
    IDLE,
    NET_FIRST,    // flags, gso_type, gso_size, csum_start
    NET_SECOND,   // csum_offset
    ETHER,
    V4_FIRST,
    V4_ID,
    V4_FRAGMENT,
    V4_PROTOCOL,
    V6_FIRST,
    V6_NEXT,
    V6_EXTENSION,
    V6_ROUTING,
    TRANSPORT,    // decides, reads nothing
    SEQ_HIGH,
    SEQ_LOW,
    TCP_FLAGS,
    SUM_SOURCE,   // IPv4: both addresses
    SUM_DEST,
    SUM_OPTIONS,
    DONE
  } state_e;

  state_e      state_q;
  slot_id_t    slot_q;       // of the frame that is read, or comes next
  logic        got_q;        // the memory's answer for at_q is there
  logic [11:0] at_q;         // position of the field
  logic [11:0] l3_q, l4_q, headers_q, end_q, dest_q;
  logic [1:0]  tags_q;
  logic        ipv6_q, udp_q, tcp4_q, tcp6_q, bad_q, extension_q;
  logic        address_q;    // a routing header has room for an address
  logic [7:0]  next_q;       // protocol of what is at l4_q
  logic [15:0] gso_size_q, csum_start_q, id_q, flags_q;
  logic [31:0] seq_q;
  logic [21:0] ip_sum_q, pseudo_q;
  logic        offset_tcp_q, offset_udp_q;

  /* verilator lint_off UNUSEDSIGNAL */
  slot_t       slot;
  /* verilator lint_on UNUSEDSIGNAL */
  assign slot = slot_i[slot_q];

  logic [2:0] waiting_q;  // frames that have begun and are not parsed
  wire        present  = waiting_q != '0;
  wire        complete = slot.ended || slot.len >= 17'(8 * SLOT_WORDS);
  wire [15:0] lane     = hdr_data_i[{at_q[2:1], 4'd0} +: 16];
  wire [15:0] field    = {lane[7:0], lane[15:8]};

  assign hdr_re_o   = state_q != IDLE && state_q != DONE && !got_q;
  assign hdr_slot_o = slot_q;
  assign hdr_word_o = at_q[8:3];

  // Sum of the 16-bit words of this 64-bit word from at_q to before end_q.
  logic [17:0] sum;
  always_comb begin
    sum = '0;
    for (int unsigned i = 0; i < 4; i++) begin
      if (2'(i) >= at_q[2:1] && {at_q[11:3], 2'(i)} < end_q[11:1]) begin
        sum += 18'({hdr_data_i[16*i +: 8], hdr_data_i[16*i+8 +: 8]});
      end
    end
  end
  wire        sum_done = {at_q[11:3] + 9'd1, 3'd0} >= end_q;

  // The transport header's place and what it must be.
  wire [11:0] csum_start = 12'(NET_HDR) + csum_start_q[11:0];
  wire        wanted     = udp_q ? next_q == UDP && offset_udp_q
                                 : next_q == TCP && offset_tcp_q && (ipv6_q ? tcp6_q : tcp4_q);

  always_ff @(posedge clk_i) begin
    got_q <= hdr_re_o;
    unique case (state_q)
      IDLE: begin
        got_q       <= 1'b0;
        at_q        <= '0;
        bad_q       <= 1'b0;
        tags_q      <= '0;
        extension_q <= 1'b0;
        pseudo_q    <= '0;
        if (present && !slot.gso) state_q <= DONE;
        else if (present && complete) state_q <= NET_FIRST;
      end
      NET_FIRST: if (got_q) begin
        bad_q        <= !hdr_data_i[NET_HDR_F_NEEDS_CSUM] || hdr_data_i[47:32] == '0;
        tcp4_q       <= hdr_data_i[14:8] == NET_HDR_GSO_TCPV4;
        tcp6_q       <= hdr_data_i[14:8] == NET_HDR_GSO_TCPV6;
        udp_q        <= hdr_data_i[14:8] == NET_HDR_GSO_UDP_L4;
        gso_size_q   <= hdr_data_i[47:32];
        csum_start_q <= hdr_data_i[63:48];
        at_q         <= 12'd8;
        state_q      <= NET_SECOND;
      end
      NET_SECOND: if (got_q) begin
        offset_tcp_q <= hdr_data_i[15:0] == OFFSET_TCP;
        offset_udp_q <= hdr_data_i[15:0] == OFFSET_UDP;
        at_q         <= ETHER_TYPE;
        state_q      <= bad_q ? DONE : ETHER;
      end
      ETHER: if (got_q) begin
        l3_q <= at_q + 12'd2;
        if ((field == ETH_C_TAG || field == ETH_S_TAG) && tags_q != 2'd2) begin
          tags_q <= tags_q + 2'd1;
          at_q   <= at_q + 12'd4;
        end else begin
          at_q    <= at_q + 12'd2;
          ipv6_q  <= field == ETH_IPV6;
          bad_q   <= field != ETH_IPV6 && field != ETH_IPV4;
          state_q <= field == ETH_IPV6 ? V6_FIRST : field == ETH_IPV4 ? V4_FIRST : DONE;
        end
      end

      // RFC 791 3.1
      V4_FIRST: if (got_q) begin
        l4_q     <= l3_q + {6'd0, field[11:8], 2'b00};
        ip_sum_q <= 22'(field);
        bad_q    <= field[15:12] != 4'd4 || field[11:8] < 4'd5;
        at_q     <= l3_q + 12'd4;
        state_q  <= (field[15:12] != 4'd4 || field[11:8] < 4'd5) ? DONE : V4_ID;
      end
      V4_ID: if (got_q) begin
        id_q    <= field;
        at_q    <= l3_q + 12'd6;
        state_q <= V4_FRAGMENT;
      end
      V4_FRAGMENT: if (got_q) begin
        ip_sum_q <= ip_sum_q + 22'(field);
        bad_q    <= field[13:0] != '0;  // more fragments, or an offset
        at_q     <= l3_q + 12'd8;
        state_q  <= V4_PROTOCOL;
      end
      V4_PROTOCOL: if (got_q) begin
        ip_sum_q <= ip_sum_q + 22'(field);
        next_q   <= field[7:0];
        state_q  <= TRANSPORT;
      end

      // RFC 8200 3, 4
      V6_FIRST: if (got_q) begin
        l4_q    <= l3_q + 12'd40;
        dest_q  <= l3_q + 12'd24;
        at_q    <= l3_q + 12'd6;
        bad_q   <= field[15:12] != 4'd6;
        state_q <= field[15:12] != 4'd6 ? DONE : V6_NEXT;
      end
      V6_NEXT: if (got_q) begin
        next_q  <= field[15:8];
        at_q    <= l4_q;
        state_q <= TRANSPORT;
      end
      V6_EXTENSION: if (got_q) begin
        extension_q <= 1'b1;
        next_q      <= field[15:8];
        address_q   <= field[7:0] >= 8'd2;
        l4_q        <= l4_q + 12'd8 + {1'b0, field[7:0], 3'b000};
        at_q        <= next_q == ROUTING ? l4_q + 12'd2 : l4_q + 12'd8 + {1'b0, field[7:0], 3'b000};
        state_q     <= next_q == ROUTING ? V6_ROUTING : TRANSPORT;
      end
      V6_ROUTING: if (got_q) begin
        // RFC 8200 8.1: the pseudo-header has the final destination. These two types have it first.
        if (field[7:0] != '0) begin
          dest_q <= at_q + 12'd6;
          bad_q  <= !address_q || (field[15:8] != ROUTING_HOME && field[15:8] != ROUTING_SEGMENT);
        end
        at_q    <= l4_q;
        state_q <= TRANSPORT;
      end

      TRANSPORT: begin
        got_q <= 1'b0;
        if (bad_q || l4_q > MAX_HEADERS) begin
          bad_q   <= 1'b1;
          state_q <= DONE;
        end else if (ipv6_q && (next_q == ROUTING || next_q == DEST_OPTIONS ||
                                (next_q == HOP_BY_HOP && !extension_q))) begin
          state_q <= V6_EXTENSION;
        end else begin
          bad_q     <= !wanted || csum_start != l4_q || csum_start_q[15:12] != '0;
          headers_q <= l4_q + 12'd8;
          pseudo_q  <= 22'(next_q);
          at_q      <= udp_q ? l3_q + (ipv6_q ? 12'd8 : 12'd12) : l4_q + 12'd4;
          end_q     <= l3_q + (ipv6_q ? 12'd24 : 12'd20);
          state_q   <= udp_q ? SUM_SOURCE : SEQ_HIGH;
        end
      end
      SEQ_HIGH: if (got_q) begin
        seq_q[31:16] <= field;
        at_q         <= l4_q + 12'd6;
        state_q      <= SEQ_LOW;
      end
      SEQ_LOW: if (got_q) begin
        seq_q[15:0] <= field;
        at_q        <= l4_q + 12'd12;
        state_q     <= TCP_FLAGS;
      end
      TCP_FLAGS: if (got_q) begin
        flags_q   <= field;
        headers_q <= l4_q + {6'd0, field[15:12], 2'b00};
        bad_q     <= bad_q || field[15:12] < 4'd5;
        at_q      <= l3_q + (ipv6_q ? 12'd8 : 12'd12);
        state_q   <= SUM_SOURCE;
      end
      SUM_SOURCE: if (got_q) begin
        // What was read beyond the frame's end is dropped here.
        bad_q    <= bad_q || headers_q > MAX_HEADERS || 17'(headers_q) > slot.len ||
                    16'(headers_q) > max_frame_i;
        pseudo_q <= pseudo_q + 22'(sum);
        ip_sum_q <= ip_sum_q + 22'(sum);
        at_q     <= {at_q[11:3] + 9'd1, 3'd0};
        if (sum_done && ipv6_q) begin
          at_q    <= dest_q;
          end_q   <= dest_q + 12'd16;
          state_q <= SUM_DEST;
        end else if (sum_done) begin
          at_q    <= end_q;
          end_q   <= l4_q;
          state_q <= end_q == l4_q ? DONE : SUM_OPTIONS;
        end
      end
      SUM_DEST: if (got_q) begin
        pseudo_q <= pseudo_q + 22'(sum);
        at_q     <= {at_q[11:3] + 9'd1, 3'd0};
        if (sum_done) state_q <= DONE;
      end
      SUM_OPTIONS: if (got_q) begin
        ip_sum_q <= ip_sum_q + 22'(sum);
        at_q     <= {at_q[11:3] + 9'd1, 3'd0};
        if (sum_done) state_q <= DONE;
      end
      default: begin  // DONE
        if (ctx_ready_i) begin
          state_q <= IDLE;
          slot_q  <= slot_q + 2'd1;
        end
      end
    endcase
    waiting_q <= waiting_q + 3'(begin_i) - 3'(ctx_valid_o && ctx_ready_i);
    if (!rst_ni || flush_i) begin
      state_q   <= IDLE;
      slot_q    <= '0;
      got_q     <= 1'b0;
      waiting_q <= '0;
    end
  end

  assign ctx_valid_o = state_q == DONE;
  assign ctx_o = '{
    slot:        slot_q,
    plain:       !slot.gso,
    bad:         bad_q,
    ipv6:        ipv6_q,
    udp:         udp_q,
    l3:          l3_q[8:0],
    l4:          l4_q[8:0],
    headers:     headers_q[8:0],
    gso_size:    gso_size_q,
    max_payload: max_frame_i - 16'(headers_q),
    id:          id_q,
    seq:         seq_q,
    flags:       flags_q,
    ip_sum:      fold(ip_sum_q),
    pseudo_sum:  fold(pseudo_q)
  };
  assign busy_o = state_q != IDLE;

endmodule
