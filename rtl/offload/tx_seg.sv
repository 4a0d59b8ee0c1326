// Transmit segmentation (virtio 1.2, 5.1.6.2: VIRTIO_NET_F_HOST_TSO4, _TSO6, _ECN, _USO).
//
// In: per frame struct virtio_net_hdr (12 bytes, 20 with hash_hdr_i), then an Ethernet frame without
// FCS, tlast at its end; tuser with tlast: the frame was cut by an error. Out, for tx_csum: the same
// with a header of 12 bytes, gso_type NONE. tready goes through from out to in; no other path does.
//
// A frame whose gso_type is NONE or was not negotiated goes through in the same cycle (tx_csum drops
// and counts the latter). One that is to be segmented goes into the engine, and so does what comes
// behind it until the engine is empty, so that the order is kept. Out of the engine come frames of
// at most gso_size bytes of payload, each with NEEDS_CSUM and the headers of the super-frame, where
// changed are: IPv4 total length, identification (counted up) and header checksum, IPv6 payload
// length; TCP sequence number, FIN and PSH (last segment only), CWR (first one only, RFC 3168
// 6.1.2); UDP length; and in the checksum field the pseudo-header's sum (RFC 8200 8.1: with a routing
// header of type 2 or 4 the final destination). Lengths, checksums and hdr_len of the driver are not
// relied on. Headers are: Ethernet, up to two VLAN tags, IPv4 with options or IPv6 with hop-by-hop,
// routing and destination options, TCP with options or UDP, 496 bytes together at the most.
//
// malformed_o pulses, and nothing is sent of the frame, when NEEDS_CSUM is not set, gso_size is 0,
// the headers are not those of gso_type, are longer, cut, wrong, or of a fragment, the checksum
// place is not theirs, or a segment would be longer than max_frame_i. A super-frame longer than any
// IP packet is noticed when its first segments are gone: no more follow, malformed_o pulses. Of an
// aborted one complete segments may be gone as well; that is not counted here.
// segment_o pulses for each segment, gso_o with a frame's last.
//
// A segment goes out when its payload has come and it is known whether it is the last one: with
// enough input, a beat every cycle without gaps. That is line rate for every gso_size: header and
// frame make (F + 12) / 8 beats, and the wire takes (F + 24) / 8 cycles.
// The engine's clock stands still until the first frame that is to be segmented.
// flush_i: all that is in the engine or being received is gone; the next beat begins a header.
module tx_seg (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  logic        tso4_i,         // negotiated, static while frames come
  input  logic        tso6_i,
  input  logic        ecn_i,
  input  logic        uso_i,
  input  logic        hash_hdr_i,     // VIRTIO_NET_F_HASH_REPORT negotiated: header of 20 bytes
  input  logic [15:0] max_frame_i,    // bytes without FCS

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  input  logic        s_axis_tuser_i,
  output logic        s_axis_tready_o,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  output logic        m_axis_tuser_o,
  input  logic        m_axis_tready_i,

  output logic        malformed_o,
  output logic        gso_o,
  output logic        segment_o,
  output logic        busy_o          // state will change without another beat
);

  import virtio_pkg::*;

  ///////////////////////////////////////
  // A header of 20 bytes becomes one  //
  // of 12 with the same alignment     //
  ///////////////////////////////////////

  logic [1:0]  beat_q;  // index of the next beat, stays at 3
  logic [31:0] low_q;   // csum_offset and num_buffers

  wire taken = s_axis_tvalid_i && s_axis_tready_o;
  wire first = beat_q == 2'd0;
  // hash_value and hash_report: upper half of the second beat, lower half of the third.
  wire skip  = hash_hdr_i && beat_q == 2'd1 && !s_axis_tlast_i;
  wire splice = hash_hdr_i && beat_q == 2'd2;

  wire [63:0] data = splice ? {s_axis_tdata_i[63:32], low_q} : s_axis_tdata_i;
  wire [7:0]  keep = splice ? s_axis_tkeep_i | 8'h0f :
                     (hash_hdr_i && beat_q == 2'd1) ? s_axis_tkeep_i & 8'h0f : s_axis_tkeep_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) beat_q <= 2'd0;
    else if (taken && s_axis_tlast_i) beat_q <= 2'd0;
    else if (taken && beat_q != 2'd3) beat_q <= beat_q + 2'd1;
    if (taken && hash_hdr_i && beat_q == 2'd1) low_q <= s_axis_tdata_i[31:0];
  end

  /////////////////////
  // Which way to go //
  /////////////////////

  logic segmented;  // gso_type of a first beat
  always_comb begin
    unique case (s_axis_tdata_i[14:8])
      NET_HDR_GSO_TCPV4:  segmented = tso4_i && (ecn_i || !s_axis_tdata_i[8+NET_HDR_GSO_ECN]);
      NET_HDR_GSO_TCPV6:  segmented = tso6_i && (ecn_i || !s_axis_tdata_i[8+NET_HDR_GSO_ECN]);
      NET_HDR_GSO_UDP_L4: segmented = uso_i && !s_axis_tdata_i[8+NET_HDR_GSO_ECN];
      default:            segmented = 1'b0;
    endcase
  end

  logic        engine_busy, engine_ready, engine_valid, engine_last;
  logic [63:0] engine_data;
  logic [7:0]  engine_keep;

  // While the engine is busy, all goes through it. A frame that is going past it has begun before.
  wire start = s_axis_tvalid_i && first && segmented;
  wire enter = engine_busy || start;

  assign s_axis_tready_o = engine_busy ? engine_ready : m_axis_tready_i;
  assign m_axis_tdata_o  = engine_busy ? engine_data : data;
  assign m_axis_tkeep_o  = engine_busy ? engine_keep : keep;
  assign m_axis_tlast_o  = engine_busy ? engine_last : s_axis_tlast_i;
  assign m_axis_tuser_o  = !engine_busy && s_axis_tuser_i;
  assign m_axis_tvalid_o = engine_busy ? engine_valid : s_axis_tvalid_i && !start && !skip;

  logic clk;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || engine_busy || start || flush_i),
    .clk_o(clk)
  );

  tx_seg_engine u_engine (
    .clk_i(clk),
    .rst_ni,
    .flush_i,
    .max_frame_i,
    .data_i         (data),
    .keep_i         (keep),
    .valid_i        (taken && enter && !skip),
    .last_i         (s_axis_tlast_i),
    .abort_i        (s_axis_tuser_i),
    .gso_i          (segmented),
    .ready_o        (engine_ready),
    .m_axis_tdata_o (engine_data),
    .m_axis_tkeep_o (engine_keep),
    .m_axis_tvalid_o(engine_valid),
    .m_axis_tlast_o (engine_last),
    .m_axis_tready_i(m_axis_tready_i && engine_busy),
    .malformed_o,
    .gso_o,
    .segment_o,
    .busy_o         (engine_busy)
  );

  assign busy_o = engine_busy;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && taken) begin
      assert (s_axis_tlast_i ? s_axis_tkeep_i[0] : s_axis_tkeep_i == 8'hff)
      else $fatal(1, "tx_seg: a beat that is neither full nor the last");
      assert (!s_axis_tuser_i || s_axis_tlast_i) else $fatal(1, "tx_seg: tuser without tlast");
    end
  end
`endif

endmodule
