// SPDX-License-Identifier: Apache-2.0
// A board with a serial line, simulated to its pins: bytes of a terminal become bits on uart_rx, bits on uart_tx bytes.
//
//     Vembnic_ecpix5 TERMINAL     a file descriptor, the master of a pseudo-terminal; ends when standard input does
//
// Time stands still while nothing is on its way: no byte is waiting, and the line was idle for IDLE_CYCLES.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>

#include "Vembnic_ecpix5.h"
#include "verilated.h"

namespace {

constexpr int kDivisor = EMBNIC_DIVISOR;
constexpr uint64_t kIdleCycles = 200000;  // more than the core needs for anything but its longest timeouts
constexpr uint64_t kResetCycles = 64;     // the line means nothing before
constexpr int kLookEvery = 256;           // cycles between two looks at the terminal

// Bytes to bits: start bit, eight data bits, stop bit.
class BitSource {
public:
    std::deque<uint8_t> bytes;

    bool busy() const { return left_ > 0 || !bytes.empty(); }

    bool tick() {
        if (left_ == 0 && !bytes.empty()) {
            shift_ = 0x200u | (static_cast<uint32_t>(bytes.front()) << 1);
            bytes.pop_front();
            left_ = 10 * kDivisor;
        }
        if (left_ == 0) return true;
        const bool level = (shift_ >> ((10 * kDivisor - left_) / kDivisor)) & 1;
        --left_;
        return level;
    }

private:
    uint32_t shift_ = 0;
    int left_ = 0;
};

// Bits to bytes, each looked at in its middle.
class BitSink {
public:
    std::deque<uint8_t> bytes;

    bool busy() const { return at_ >= 0; }

    void tick(bool level) {
        if (at_ < 0) {
            if (!level) at_ = 0;
            return;
        }
        ++at_;
        if (at_ % kDivisor != kDivisor / 2) return;
        const int bit = at_ / kDivisor;  // 0: start bit
        if (bit >= 1 && bit <= 8) shift_ = static_cast<uint8_t>((shift_ >> 1) | (level ? 0x80 : 0));
        if (bit == 9) {
            if (!level) std::abort();  // the card sent a byte without stop bit
            bytes.push_back(shift_);
            at_ = -1;
        }
    }

private:
    uint8_t shift_ = 0;
    int at_ = -1;
};

bool ended() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 0) <= 0) return false;
    char byte;
    return read(STDIN_FILENO, &byte, 1) <= 0;
}

}  // namespace

double sc_time_stamp() { return 0; }

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const int terminal = std::atoi(argv[1]);
    fcntl(terminal, F_SETFL, fcntl(terminal, F_GETFL) | O_NONBLOCK);
    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vembnic_ecpix5>(context.get());
    BitSource to_card;
    BitSink from_card;
    uint64_t quiet = 0;
    top->uart_rx = 1;
    for (uint64_t cycle = 0;; ++cycle) {
        if (cycle % kLookEvery == 0) {
            uint8_t buffer[4096];
            if (to_card.bytes.size() < sizeof buffer) {
                const ssize_t count = read(terminal, buffer, sizeof buffer);
                if (count > 0) to_card.bytes.insert(to_card.bytes.end(), buffer, buffer + count);
            }
            while (!from_card.bytes.empty()) {
                const uint8_t byte = from_card.bytes.front();
                if (write(terminal, &byte, 1) == 1) {
                    from_card.bytes.pop_front();
                    continue;
                }
                if (errno != EAGAIN) return 1;
                if (ended()) return 0;
                pollfd out{terminal, POLLOUT, 0};
                poll(&out, 1, 100);
            }
            if (quiet >= kIdleCycles) {
                pollfd wait[2] = {{terminal, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
                poll(wait, 2, -1);
                if (ended()) break;
                quiet = 0;
            }
            if (cycle % (kLookEvery * 1024) == 0 && ended()) break;
        }
        top->uart_rx = to_card.tick();
        top->clk100 = 0;
        top->eval();
        top->clk100 = 1;
        top->eval();
        if (cycle > kResetCycles) from_card.tick(top->uart_tx);
        quiet = (to_card.busy() || from_card.busy()) ? 0 : quiet + 1;
    }
    top->final();
    return 0;
}
