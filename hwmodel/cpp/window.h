// The AXI4 port in a window: what the host decided before goes on, and what the device gives is noted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwmodel/src/bridge.rs.h"

namespace wirepath {

// Inputs change between two edges; outputs hold since the edge before. `Root` is Verilator's class
// with the ports as members.
template <typename Root>
class Port {
  public:
    // `reads` are the beats of `bursts`, one behind the other; `bursts` and `responses` are in order.
    Port(Root& pins, Window& window, rust::Slice<const Beat> reads,
         rust::Slice<ReadBurst> bursts, rust::Slice<const Response> responses)
        : t_{pins},
          w_{window},
          reads_{reads.data()},
          bursts_{bursts.data()},
          responses_{responses.data()},
          burst_count_{static_cast<std::uint32_t>(bursts.size())},
          response_count_{static_cast<std::uint32_t>(responses.size())},
          end_{window.read_begun ? bursts_[0].end : 0} {
        w_.read_count = w_.read_done = w_.response_count = 0;
        w_.aw_count = w_.ar_count = w_.write_count = 0;
        due_ = next_due();
    }

    // Before the edge of `cycle`. False when the window ends with it.
    bool handshake(std::uint32_t cycle) {
        return ((cycle < due_) & !asks()) || channels(cycle);
    }

    // Whether the edge left something on the outputs that may not be taken.
    bool refused() const {
        return asks() && ((t_.m_axi_awvalid_o && !w_.take_aw) ||
                          (t_.m_axi_arvalid_o && !w_.take_ar) ||
                          (t_.m_axi_wvalid_o && !w_.open && !t_.m_axi_awvalid_o));
    }

  private:
    // The device offers an address or data.
    bool asks() const { return t_.m_axi_arvalid_o | t_.m_axi_awvalid_o | t_.m_axi_wvalid_o; }

    // Out of line: in most cycles nothing is on the channels, and the loop stays short.
    [[gnu::noinline]] bool channels(std::uint32_t cycle) {
        bool more = true;
        if (cycle >= due_) {
            read_data(cycle);
            respond(cycle);
            if (w_.read_more && w_.read_done == burst_count_) more = false;
            due_ = next_due();
        }
        if (asks()) {
            if (!read_address(cycle)) more = false;
            if (!write_address(cycle)) more = false;
            write_data(cycle);
        }
        return more;
    }

    // The first cycle in which R or B changes: at once while something is on them.
    std::uint32_t next_due() const {
        if (t_.m_axi_rvalid_i | t_.m_axi_bvalid_i | (w_.read_count < end_)) return 0;
        std::uint32_t due = UINT32_MAX;
        if (w_.read_begun < burst_count_) due = bursts_[w_.read_begun].cycle;
        if (w_.response_count < response_count_) {
            due = std::min(due, responses_[w_.response_count].cycle);
        }
        return due;
    }

    void read_data(std::uint32_t cycle) {
        if (!w_.read_waits) {
            if (w_.read_count == end_ && w_.read_begun < burst_count_ &&
                bursts_[w_.read_begun].cycle <= cycle) {
                const ReadBurst& burst = bursts_[w_.read_begun++];
                t_.m_axi_rid_i = burst.id;
                t_.m_axi_rresp_i = burst.resp;
                end_ = burst.end;
            }
            t_.m_axi_rvalid_i = w_.read_count < end_;
            if (!t_.m_axi_rvalid_i) return;
            const Beat& beat = reads_[w_.read_count++];
            std::memcpy(&t_.m_axi_rdata_i[0], beat.data.data(), sizeof beat.data);
            t_.m_axi_rlast_i = w_.read_count == end_;
        }
        w_.read_waits = !t_.m_axi_rready_o;
        if (!w_.read_waits && w_.read_count == end_) bursts_[w_.read_done++].done = cycle;
    }

    void respond(std::uint32_t cycle) {
        if (!w_.response_waits) {
            const bool due = w_.response_count < response_count_ &&
                             responses_[w_.response_count].cycle <= cycle;
            t_.m_axi_bvalid_i = due;
            if (!due) return;
            const Response& response = responses_[w_.response_count++];
            t_.m_axi_bid_i = response.id;
            t_.m_axi_bresp_i = response.resp;
        }
        w_.response_waits = !t_.m_axi_bready_o;
    }

    bool read_address(std::uint32_t cycle) {
        if (!(t_.m_axi_arvalid_o && w_.take_ar)) return true;
        w_.ar[w_.ar_count++] = {t_.m_axi_araddr_o, cycle,            t_.m_axi_arid_o,
                                t_.m_axi_arlen_o,  t_.m_axi_arsize_o, t_.m_axi_arburst_o};
        w_.limit = std::min(w_.limit, cycle + w_.read_latency);
        return --w_.take_ar;
    }

    bool write_address(std::uint32_t cycle) {
        if (!(t_.m_axi_awvalid_o && w_.take_aw)) return true;
        w_.aw[w_.aw_count++] = {t_.m_axi_awaddr_o, cycle,            t_.m_axi_awid_o,
                                t_.m_axi_awlen_o,  t_.m_axi_awsize_o, t_.m_axi_awburst_o};
        ++w_.open;
        return --w_.take_aw;
    }

    // Behind write_address(): an address may come with its data.
    void write_data(std::uint32_t cycle) {
        t_.m_axi_wready_i = w_.open != 0;
        if (!(w_.open && t_.m_axi_wvalid_o)) return;
        WriteBeat& beat = w_.writes[w_.write_count++];
        std::memcpy(beat.data.data(), &t_.m_axi_wdata_o[0], sizeof beat.data);
        beat.strobe = t_.m_axi_wstrb_o;
        beat.last = t_.m_axi_wlast_o;
        beat.cycle = cycle;
        w_.open -= beat.last;
        // The response to the last beat, and a read that begins when this one is visible, are the
        // host's.
        if (beat.last || w_.read_begun < burst_count_)
            w_.limit = std::min(w_.limit, cycle + w_.write_latency);
    }

    Root& t_;
    Window& w_;
    const Beat* const reads_;
    ReadBurst* const bursts_;
    const Response* const responses_;
    const std::uint32_t burst_count_, response_count_;
    // Beats up to the end of the burst under way.
    std::uint32_t end_;
    // Before this cycle nothing happens on R and B.
    std::uint32_t due_;
};

}  // namespace wirepath
