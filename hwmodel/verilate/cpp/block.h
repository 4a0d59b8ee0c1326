// One RTL block behind a uniform face: words in, words out, one clock edge per step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rust/cxx.h"

namespace wirepath::block {

// Implemented by generated code, one class per block of the table.
class Block {
  public:
    virtual ~Block() = default;

    // One clock cycle: applies `inputs`, samples `outputs` before the rising edge (so that they
    // are what the edge sees together with the inputs), then clocks. Throws when the RTL stops.
    virtual void step(rust::Slice<const std::uint64_t> inputs,
                      rust::Slice<std::uint64_t> outputs) = 0;
    // Four cycles with rst_ni = 0 and all other inputs 0.
    virtual void reset() = 0;
    // Writes an FST of all that follows to `path`; once per block, before the first step.
    virtual void open_waves(rust::Str path) = 0;
    // Flushes the FST.
    virtual void close_waves() = 0;
};

// The block called `name`; throws when the build left it out.
std::unique_ptr<Block> open(rust::Str name);

}  // namespace wirepath::block
