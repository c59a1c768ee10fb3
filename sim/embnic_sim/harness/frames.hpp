// SPDX-License-Identifier: Apache-2.0
// A queue of frames in one flat byte buffer: appended and taken in whole batches, without an allocation per frame.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace embnic {

struct FrameStamp {
    uint64_t first;  // cycle of the frame's first beat
    uint64_t last;   // cycle of its last beat
};

class FrameQueue {
public:
    size_t frames() const { return ends_.size() - head_; }
    bool empty() const { return head_ == ends_.size(); }

    // Bytes of the first `count` frames.
    uint64_t bytes(size_t count) const { return count == 0 ? 0 : ends_[head_ + count - 1] - begin_; }

    void push(const uint8_t* data, uint64_t bytes, uint8_t flag) {
        append(data, bytes);
        close(flag, {});
    }

    // A frame that arrives in pieces: append, then close (or drop).
    void append(const uint8_t* data, uint64_t bytes) { data_.insert(data_.end(), data, data + bytes); }
    void close(uint8_t flag, FrameStamp stamp) {
        ends_.push_back(base_ + data_.size());
        flags_.push_back(flag);
        stamps_.push_back(stamp);
    }
    void drop_open() { data_.resize((empty() ? begin_ : ends_.back()) - base_); }

    const uint8_t* front() const { return data_.data() + (begin_ - base_); }
    uint64_t front_bytes() const { return ends_[head_] - begin_; }
    uint8_t front_flag() const { return flags_[head_]; }
    const FrameStamp& front_stamp() const { return stamps_[head_]; }

    void pop() {
        begin_ = ends_[head_++];
        if (head_ >= 4096 && head_ * 2 >= ends_.size()) compact();
    }

    void clear() {
        data_.clear(), ends_.clear(), flags_.clear(), stamps_.clear();
        head_ = 0, begin_ = base_ = 0;
    }

private:
    // Positions are counted from the queue's beginning of time; `base_` is the position of data_[0].
    void compact() {
        data_.erase(data_.begin(), data_.begin() + static_cast<std::ptrdiff_t>(begin_ - base_));
        base_ = begin_;
        const auto gone = static_cast<std::ptrdiff_t>(head_);
        ends_.erase(ends_.begin(), ends_.begin() + gone);
        flags_.erase(flags_.begin(), flags_.begin() + gone);
        stamps_.erase(stamps_.begin(), stamps_.begin() + gone);
        head_ = 0;
    }

    std::vector<uint8_t> data_;
    std::vector<uint64_t> ends_;
    std::vector<uint8_t> flags_;
    std::vector<FrameStamp> stamps_;
    size_t head_ = 0;
    uint64_t begin_ = 0, base_ = 0;
};

}  // namespace embnic
