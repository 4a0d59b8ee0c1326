// Turns $fatal, $stop, $finish and failed assertions into C++ exceptions, with the text that the
// RTL printed for them. cxx makes a Rust Err of them.
#include "hooks.h"

#include <cstdarg>
#include <cstdio>
#include <stdexcept>

#include "verilated.h"

namespace {

constexpr std::size_t kMaxMessage = 4096;
thread_local std::string messages;

[[noreturn]] void raise(const char* what, const char* file, int line, const char* hier) {
    std::string text = wirepath::take_messages();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (text.empty()) {
        text = what;
        if (file && *file) text += std::string{" at "} + file + ":" + std::to_string(line);
        if (hier && *hier) text += std::string{" in "} + hier;
    }
    throw std::runtime_error{text};
}

}  // namespace

namespace wirepath {

std::string take_messages() {
    std::string text;
    text.swap(messages);
    return text;
}

}  // namespace wirepath

extern "C" int wirepath_printf(const char* format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    const int length = std::vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (messages.size() + sizeof line > kMaxMessage) messages.clear();
    messages += line;
    return length;
}

void vl_finish(const char* file, int line, const char* hier) { raise("$finish", file, line, hier); }

void vl_stop(const char* file, int line, const char* hier) { raise("$stop", file, line, hier); }

void vl_fatal(const char* file, int line, const char* hier, const char* msg) {
    raise(msg && *msg ? msg : "$fatal", file, line, hier);
}
