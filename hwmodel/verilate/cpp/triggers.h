// Verilator's set of triggers as bit masks.
//
// Older Verilator keeps a bool per trigger, and asks for each of up to a few dozen of them in front
// of each piece of evaluation: byte stores that are read again as vectors, and a fifth of the run time.
// The generated code works with any class that has these members; with this one a condition is a
// load and a test. Only included when the runtime is of that kind (toolchain.rs).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "verilated.h"
// Verilator's own is declared above, under its name.
#include "verilated_types.h"

namespace wirepath {

template <std::size_t kSize>
class TriggerSet final {
    using Word = std::uint64_t;
    static constexpr std::size_t kWords = (kSize + 63) / 64;

    class Bit {
      public:
        Bit(Word& word, std::size_t index) : word_{word}, index_{index} {}
        operator bool() const { return word_ >> index_ & 1; }
        // An edge is one of the lowest bit. Shifted, not tested: a cycle asks for all triggers four times.
        void operator=(Word value) { word_ = (word_ & ~(Word{1} << index_)) | (value & 1) << index_; }

      private:
        Word& word_;
        std::size_t index_;
    };

  public:
    void clear() { words_.fill(0); }
    Bit at(std::size_t index) { return {words_[index / 64], index % 64}; }
    bool any() const {
        Word sum = 0;
        for (const Word word : words_) sum |= word;
        return sum != 0;
    }
    void set(const TriggerSet& other) {
        for (std::size_t i = 0; i < kWords; ++i) words_[i] |= other.words_[i];
    }
    void andNot(const TriggerSet& a, const TriggerSet& b) {
        for (std::size_t i = 0; i < kWords; ++i) words_[i] = a.words_[i] & ~b.words_[i];
    }

  private:
    std::array<Word, kWords> words_{};
};

}  // namespace wirepath

#define VlTriggerVec wirepath::TriggerSet
