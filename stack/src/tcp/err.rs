//! `tcp_v4_err()`, `tcp_v6_err()`: what an ICMP error does to a connection.

use super::seq::Seq;
use super::sock::{Pair, TcpState};
use crate::icmp_err::IcmpErr;
use crate::stack::Stack;

impl Stack {
    /// An error about the segment `seq` of `pair`. A connection that is being made ends with it; one that is there goes on, and has it for an
    /// answer only if it times out (RFC 9293 3.9.2.2, RFC 5461).
    pub(crate) fn tcp_err(&mut self, pair: Pair, seq: u32, err: IcmpErr) {
        let seq = Seq(seq);
        let Some(id) = self.tcp.lookup_established(&pair) else {
            return self.tcp_req_err(pair, seq, err);
        };
        let Some(mut sock) = self.tcp.take(id) else {
            return;
        };
        // Who does not know what was sent last only guesses.
        let expected = !seq.before(sock.snd_una) && !seq.after(sock.snd_nxt);
        match sock.state {
            _ if !expected => {}
            TcpState::Closed | TcpState::TimeWait => {}
            TcpState::SynSent => self.tcp_done(id, &mut sock, Some(err.error)),
            _ => sock.soft_error = Some(err.error),
        }
        self.tcp.put(id, sock);
    }

    /// `tcp_req_err()`: accept() does not tell of network errors, so the connection is forgotten without a word.
    fn tcp_req_err(&mut self, pair: Pair, seq: Seq, err: IcmpErr) {
        let Some(id) = self.tcp.lookup_listener(pair.0) else {
            return;
        };
        let request = self.tcp.listener(id).and_then(|l| l.syn_queue.get(&pair));
        let wanted = request.filter(|request| request.isn == seq && err.drop_request);
        if let Some(&request) = wanted {
            self.tcp_drop_request(id, &pair, &request);
        }
    }
}
