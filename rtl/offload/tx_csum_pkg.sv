// What the transmit store keeps beside each frame.
package tx_csum_pkg;

  typedef struct packed {
    logic        insert;    // write a checksum into the frame
    logic        udp;       // a result of zero goes out as all ones (RFC 768)
    logic        odd;       // csum_start is odd: the sum's bytes are in each other's place
    logic [13:0] position;  // bytes from the frame's first: where the checksum goes
    logic [29:0] sum;       // not folded, over 16-bit lanes with the first byte in bits 7:0
  } tx_meta_t;

endpackage
