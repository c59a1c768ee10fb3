// SPDX-License-Identifier: Apache-2.0
// A first-in first-out stream between two processes: the vendor's type in synthesis, a queue elsewhere.
//
// Meaning  read() takes the oldest beat, write() adds one. In a C simulation processes run one after the other, so a read of
//          an empty stream can never be answered: it is an error of the caller and throws.
#ifndef EMBNIC_STREAM_HPP
#define EMBNIC_STREAM_HPP

#ifdef __SYNTHESIS__
#include <hls_stream.h>

namespace embnic {
template <typename Beat>
struct Stream : hls::stream<Beat> {
    using hls::stream<Beat>::stream;
    unsigned level() { return this->size(); }
};
}  // namespace embnic

#else
#include <cstddef>
#include <deque>
#include <stdexcept>
#include <utility>

namespace embnic {

template <typename Beat>
class Stream {
  public:
    Beat read() {
        if (beats_.empty()) throw std::logic_error("read of an empty stream");
        Beat beat = std::move(beats_.front());
        beats_.pop_front();
        return beat;
    }
    void write(const Beat& beat) { beats_.push_back(beat); }
    bool empty() const noexcept { return beats_.empty(); }
    std::size_t level() const noexcept { return beats_.size(); }

  private:
    std::deque<Beat> beats_;
};

}  // namespace embnic
#endif

#endif  // EMBNIC_STREAM_HPP
