// What the Verilator runtime calls back: printed text and the end of a simulation.
//
// Included in front of every file that is compiled with the runtime, so that VL_PRINTF means the
// capture below. Everything is per thread: each simulated host runs its own model in one thread.
#pragma once

#include <cstdint>
#include <string>

// Replaces printf for $display, $error and friends: keeps the newest line and passes the text on
// to standard error.
extern "C" int wirepath_printf(const char* format, ...) __attribute__((format(printf, 1, 2)));

#define VL_PRINTF wirepath_printf

// A failed assertion. Rare, so that the compiler keeps what leads to it out of the way of a cycle.
__attribute__((cold)) extern void VL_STOP_MT(const char* file, int line, const char* scope, bool maybe);

namespace wirepath {

// The text printed by the current thread since the last call, at most 4 KiB of it.
std::string take_messages();

}  // namespace wirepath
