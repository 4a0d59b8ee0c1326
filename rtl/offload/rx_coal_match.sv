// The write side of receive coalescing: tells of each frame whether it continues the one that went
// into the store before it, so that rx_coalesce only has to count frames.
//
// A segment is mergeable when its checksums are verified and it is data of a plain TCP stream: IPv4
// without options or IPv6 without extension headers, not padded to the Ethernet minimum, no flag but
// ACK and PSH, no option but timestamps in their usual form (RFC 7323 A), some payload. It continues
// the frame before when all headers are equal but lengths, checksums, PSH, sequence number and
// identification, when the sequence number is the next one and the identification as well (or DF is
// set, RFC 6864 4.1), when the payload is not longer than that of the first and that of all before
// as long as that of the first, when none had PSH, and when IP's length field still holds the whole.
// So segmentation (TCP: the same headers, PSH on the last only) gives back what came.
// Headers are compared with the frame before word by word as they come; equality is transitive, so
// the frame before stands for the whole group. Frames of other flows in between end a group.
//
// In: the stream in front of rx_csum and rx_l3_align's, both a cycle late. Out: meta_o, valid with
// tlast of rx_csum's output (8 cycles behind its input); its mergeable does not yet have rx_csum's
// verdict. A frame whose first beat did not come behind clear_i is not mergeable: the clock may have
// stood before.
// stored_i, with that tlast: the frame is mergeable and goes into the store; ended_i: any frame ends
// there. lost_i: the store had no room for the newest frame.
module rx_coal_match
  import axis_pkg::*;
  import rx_flow_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        clear_i,  // what comes continues nothing that was before

  input  logic        tso4_i,   // VIRTIO_NET_F_GUEST_TSO4 negotiated
  input  logic        tso6_i,

  input  logic [63:0] s_axis_tdata_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_first_i,  // with a frame's first beat

  input  logic        l3_valid_i,
  input  logic        l3_first_i,
  input  logic        l3_ipv6_i,
  input  logic [63:0] l3_data_i,
  input  logic [3:0]  l3_count_i,
  input  logic        l3_end_i,

  output coal_meta_t  meta_o,
  input  logic        ended_i,
  input  logic        stored_i,
  input  logic        lost_i
);

  localparam logic [15:0] ETH_P_8021Q  = 16'h0081;
  localparam logic [15:0] ETH_P_8021AD = 16'ha888;
  localparam logic [7:0]  IPPROTO_TCP  = 8'd6;
  localparam logic [7:0]  TCP_ACK      = 8'h10;
  localparam logic [7:0]  TCP_PSH      = 8'h08;
  // NOP, NOP, timestamps, 10 bytes, as it lies in the lanes.
  localparam logic [31:0] TIMESTAMPS   = 32'h0a08_0101;

  function automatic logic is_vlan(input logic [15:0] ethertype);
    return ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD;
  endfunction

  /////////////////////
  // Ethernet header //
  /////////////////////

  logic [63:0] l2_before [4];  // beats 0..2 of the frame before
  logic [1:0]  beat_q;         // index of the next beat, stays at 3
  logic        begun_q;        // the frame's first beat was seen
  logic        l2_equal_q, tagged_q;
  logic [1:0]  tags_q;
  // Of the frame whose packet is on its way, from its fourth beat on.
  logic        same_l2_q, whole_q;
  logic [1:0]  frame_tags_q;

  // Beat 2 has as much of the header as there are tags: EtherType behind one, tag and EtherType
  // behind the other.
  wire [1:0] beat       = s_axis_first_i ? 2'd0 : beat_q;
  wire       inner_vlan = is_vlan(s_axis_tdata_i[15:0]);
  wire [7:0] l2_lanes   = (beat != 2'd2) ? 8'hff : !tagged_q ? 8'h00 : inner_vlan ? 8'h3f : 8'h03;
  wire       l2_differ  = ((s_axis_tdata_i ^ l2_before[beat]) & byte_mask(l2_lanes)) != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      begun_q <= 1'b0;
    end else if (s_axis_tvalid_i && s_axis_first_i) begin
      begun_q <= 1'b1;
    end
    if (s_axis_tvalid_i) begin
      beat_q <= (beat == 2'd3) ? 2'd3 : beat + 2'd1;
      if (beat != 2'd3) begin
        l2_before[beat] <= s_axis_tdata_i;
        l2_equal_q        <= (beat == 2'd0 || l2_equal_q) && !l2_differ;
      end
      if (beat == 2'd1) begin
        tagged_q <= is_vlan(s_axis_tdata_i[47:32]);
        tags_q   <= {1'b0, is_vlan(s_axis_tdata_i[47:32])};
      end
      if (beat == 2'd2 && tagged_q && inner_vlan) tags_q <= 2'd2;
      if (beat == 2'd3) begin
        same_l2_q    <= l2_equal_q;
        whole_q      <= begun_q;
        frame_tags_q <= tags_q;
      end
    end
  end

  ////////////////////////
  // IP and TCP headers //
  ////////////////////////

  logic [63:0] l3_before [16];  // words 0..8 of the packet before
  logic [3:0]  index_q;         // of the next word, stays at 9
  logic        ipv6_q, plain_q, equal_q, options_q, psh_q, df_q;
  logic [15:0] len_q;           // IPv4: total length; IPv6: payload length
  logic [15:0] id_q;
  logic [31:0] seq_q;
  logic [16:0] bytes_q;         // of the frame from the IP header on
  logic [19:0] addr_acc_q;

  wire [3:0] index = l3_first_i ? 4'd0 : index_q;
  wire       ipv6  = l3_first_i ? l3_ipv6_i : ipv6_q;

  // Which lanes must be equal to those of the packet before, and what stands in this word.
  logic [7:0]  lanes;
  logic        plain, has_flags;
  logic [15:0] flags;  // bytes 12 (length, reserved) and 13 (flags) of the TCP header, in lane order
  logic        options;
  logic [17:0] addr_lo, addr_hi;
  always_comb begin
    lanes     = 8'h00;
    plain     = 1'b1;
    has_flags = 1'b0;
    flags     = l3_data_i[15:0];
    addr_lo   = '0;
    addr_hi   = '0;
    unique case ({ipv6, index})
      {1'b0, 4'd0}: begin  // version, IHL, TOS, (length), (identification), flags, offset
        lanes = 8'hc3;
        plain = l3_data_i[7:0] == 8'h45;
      end
      {1'b0, 4'd1}: begin  // TTL, protocol, (checksum), source address
        lanes   = 8'hf3;
        plain   = l3_data_i[15:8] == IPPROTO_TCP;
        addr_hi = 18'(l3_data_i[47:32]) + 18'(l3_data_i[63:48]);
      end
      {1'b0, 4'd2}: begin  // destination address, ports
        lanes   = 8'hff;
        addr_lo = 18'(l3_data_i[15:0]) + 18'(l3_data_i[31:16]);
      end
      {1'b0, 4'd3}: lanes = 8'hf0;  // (sequence number), acknowledgement number
      {1'b0, 4'd4}: begin  // length, (flags), window, (checksum), urgent pointer
        lanes     = 8'hcd;
        has_flags = 1'b1;
      end
      {1'b0, 4'd5}: if (options_q) begin
        lanes = 8'hff;
        plain = l3_data_i[31:0] == TIMESTAMPS;
      end
      {1'b0, 4'd6}: if (options_q) lanes = 8'h0f;
      {1'b1, 4'd0}: begin  // version, class, flow label, (length), next header, hop limit
        lanes = 8'hcf;
        plain = l3_data_i[7:4] == 4'd6 && l3_data_i[55:48] == IPPROTO_TCP;
      end
      {1'b1, 4'd1}, {1'b1, 4'd2}, {1'b1, 4'd3}, {1'b1, 4'd4}: begin  // addresses
        lanes   = 8'hff;
        addr_lo = 18'(l3_data_i[15:0]) + 18'(l3_data_i[31:16]);
        addr_hi = 18'(l3_data_i[47:32]) + 18'(l3_data_i[63:48]);
      end
      {1'b1, 4'd5}: lanes = 8'h0f;  // ports, (sequence number)
      {1'b1, 4'd6}: begin  // acknowledgement number, length, (flags), window
        lanes     = 8'hdf;
        has_flags = 1'b1;
        flags     = l3_data_i[47:32];
      end
      {1'b1, 4'd7}: begin  // (checksum), urgent pointer
        lanes = options_q ? 8'hfc : 8'h0c;
        plain = !options_q || l3_data_i[63:32] == TIMESTAMPS;
      end
      {1'b1, 4'd8}: if (options_q) lanes = 8'hff;
      default: ;
    endcase
    options = flags[7:4] == 4'd8;
    if (has_flags) begin
      plain = flags[3:0] == 4'd0 && (options || flags[7:4] == 4'd5) &&
              (flags[15:8] & ~TCP_PSH) == TCP_ACK;
    end
  end

  wire differ = ((l3_data_i ^ l3_before[index]) & byte_mask(lanes)) != '0;

  always_ff @(posedge clk_i) begin
    if (l3_valid_i) begin
      bytes_q <= (l3_first_i ? 17'd0 : bytes_q) + 17'(l3_count_i);
      if (index != 4'd9) begin
        index_q          <= index + 4'd1;
        l3_before[index] <= l3_data_i;
        plain_q          <= (l3_first_i || plain_q) && plain;
        equal_q          <= (l3_first_i || equal_q) && !differ;
        addr_acc_q       <= (l3_first_i ? 20'd0 : addr_acc_q) + 20'(addr_lo) + 20'(addr_hi);
        if (has_flags) begin
          options_q <= options;
          psh_q     <= (flags[15:8] & TCP_PSH) != '0;
        end
        if (l3_first_i) begin
          ipv6_q <= l3_ipv6_i;
          len_q  <= l3_ipv6_i ? {l3_data_i[39:32], l3_data_i[47:40]} :
                                {l3_data_i[23:16], l3_data_i[31:24]};
          id_q   <= {l3_data_i[39:32], l3_data_i[47:40]};
          df_q   <= l3_ipv6_i || l3_data_i[54];
        end
        if (!ipv6 && index == 4'd3) seq_q <= swap32(l3_data_i[31:0]);
        if (ipv6 && index == 4'd5)  seq_q <= swap32(l3_data_i[63:32]);
      end
    end
  end

  /////////////
  // Verdict //
  /////////////

  // The group that the newest frame in the store ends.
  typedef struct packed {
    logic [15:0] size;      // payload of its first segment
    logic [15:0] total;     // IP length field of all that was merged
    logic [31:0] next_seq;
    logic [15:0] next_id;
  } group_t;
  group_t group_q;
  logic   open_q;           // it may go on

  // The next frame's headers may come while this one's end is looked at, so all of it moves along.
  typedef struct packed {
    logic        mergeable, continues, psh, ipv6, options;
    logic [1:0]  tags;
    logic [15:0] payload;   // bytes
    logic [15:0] len;       // IP length field
    logic [31:0] seq;
    logic [15:0] id;
    logic [16:0] addr_sum;  // in lane order
  } frame_t;
  frame_t frame1_q, frame2_q;
  /* verilator lint_off UNUSEDSIGNAL */
  frame_t frame3_q;  // less is needed from stage to stage
  /* verilator lint_on UNUSEDSIGNAL */
  group_t group3_q, group4_q;
  logic   end1_q, end2_q, end3_q, end4_q;

  wire [15:0] hdr_bytes = (ipv6_q ? 16'd0 : 16'd20) + (options_q ? 16'd32 : 16'd20);
  // Of a padded frame the store does not know where its packet ends.
  wire        exact     = bytes_q == 17'(len_q) + (ipv6_q ? 17'd40 : 17'd0);
  // IP's length field has 16 bits.
  function automatic logic beyond(input logic [15:0] total, input logic [15:0] more);
    return 17'(total) + 17'(more) > 17'h0_ffff;
  endfunction
  wire [15:0] addr_sum  = frame3_q.addr_sum[15:0] + 16'(frame3_q.addr_sum[16]);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {end1_q, end2_q, end3_q, end4_q} <= '0;
      open_q                           <= 1'b0;
    end else begin
      end1_q <= l3_end_i;
      end2_q <= end1_q;
      end3_q <= end2_q;
      end4_q <= end3_q;
      if (ended_i)           open_q <= stored_i && !meta_o.last;
      if (lost_i || clear_i) open_q <= 1'b0;
    end

    if (end1_q) begin
      frame1_q <= '{
        mergeable: whole_q && plain_q && exact && len_q > hdr_bytes && (ipv6_q ? tso6_i : tso4_i),
        continues: equal_q && same_l2_q && seq_q == group_q.next_seq &&
                   (df_q || id_q == group_q.next_id),
        psh:       psh_q,
        ipv6:      ipv6_q,
        options:   options_q,
        tags:      frame_tags_q,
        payload:   len_q - hdr_bytes,
        len:       len_q,
        seq:       seq_q,
        id:        id_q,
        addr_sum:  17'(addr_acc_q[15:0]) + 17'(addr_acc_q[19:16])
      };
    end
    if (end2_q) begin
      frame2_q           <= frame1_q;
      frame2_q.continues <= frame1_q.continues && open_q && frame1_q.payload <= group_q.size &&
                            !beyond(group_q.total, frame1_q.payload);
    end
    if (end3_q) begin
      frame3_q <= frame2_q;
      group3_q <= '{
        size:     frame2_q.continues ? group_q.size : frame2_q.payload,
        total:    frame2_q.continues ? group_q.total + frame2_q.payload : frame2_q.len,
        next_seq: frame2_q.seq + 32'(frame2_q.payload),
        next_id:  frame2_q.id + 16'd1
      };
    end
    if (end4_q) begin
      meta_o <= '{
        mergeable: frame3_q.mergeable,
        continues: frame3_q.continues,
        last:      frame3_q.psh || frame3_q.payload != group3_q.size ||
                   beyond(group3_q.total, group3_q.size),
        psh:       frame3_q.psh,
        ipv6:      frame3_q.ipv6,
        options:   frame3_q.options,
        tags:      frame3_q.tags,
        addr_sum:  {addr_sum[7:0], addr_sum[15:8]}
      };
      group4_q <= group3_q;
    end
    if (ended_i && stored_i) group_q <= group4_q;
  end

endmodule
