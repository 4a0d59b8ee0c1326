// The NIC's Verilator model behind a face that cxx can bind: pins in, one clock edge, pins out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rust/cxx.h"

namespace wirepath {

struct PinsIn;
struct PinsOut;
struct Straps;
struct Column;
struct Beat;
struct ReadBurst;
struct Response;
struct Window;
enum class Variant : std::uint8_t;

class Model {
  public:
    virtual ~Model() = default;

    // One clock cycle that begins at `now` (picoseconds): applies `in`, clocks, and samples `out`,
    // which holds until the next edge. Throws std::runtime_error when the RTL stops; the model must
    // only be destroyed then.
    virtual void step(std::uint64_t now, const PinsIn& in, PinsOut& out) = 0;

    // step(), and returns `hash` with the outputs added, as replay() does.
    virtual std::uint64_t step_hashed(std::uint64_t now, const PinsIn& in, PinsOut& out,
                                      std::uint64_t hash) = 0;

    // Cycles that need no decision of the host; bridge.rs says which. `out` is sampled
    // behind the last.
    virtual void run(const PinsIn& in, rust::Slice<const Column> rx,
                     rust::Slice<const Beat> reads, rust::Slice<ReadBurst> bursts,
                     rust::Slice<const Response> responses, Window& window, PinsOut& out) = 0;

    // When the newest edge was, picoseconds: after an exception, the one that threw.
    virtual std::uint64_t time() const = 0;

    // The bare loop: steps through recorded stimulus and returns a hash of all outputs, or 0
    // without `hash`.
    virtual std::uint64_t replay(rust::Slice<const PinsIn> pins, bool hash) = 0;

    // Starts an FST file. Throws when the model was built without waves or a file is open.
    virtual void open_waves(rust::Str path) = 0;
    // Completes the file, if there is one.
    virtual void close_waves() = 0;
};

// A model before its first edge.
std::unique_ptr<Model> new_model(const Straps& straps, Variant variant);

// Adds `out` to a hash, the same as replay() makes.
std::uint64_t hash_pins(std::uint64_t hash, const PinsOut& out);

}  // namespace wirepath
