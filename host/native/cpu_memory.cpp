// SPDX-License-Identifier: Apache-2.0
#include "cpu_memory.hpp"

#include <new>
#include <utility>

#include <sys/mman.h>

namespace embnic::cpu {
namespace {

constexpr std::size_t kOwnMapping = std::size_t{16} << 20;  // from here on, rounding up to huge pages wastes little
constexpr std::size_t kSharedMapping = std::size_t{32} << 20;
constexpr std::size_t kAlign = 64;
constexpr std::size_t kBlocksKept = 4;  // that are free

constexpr std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Mapping::Mapping(std::size_t bytes) : size_(round_up(bytes == 0 ? 1 : bytes, kHugePage)) {
    if (size_ < bytes) throw std::bad_alloc();
    // One huge page more, of which the parts before and behind the aligned range are given back.
    const std::size_t mapped = size_ + kHugePage;
    void *raw = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    auto *const first = static_cast<std::uint8_t *>(raw);
    const std::size_t before = round_up(reinterpret_cast<std::uintptr_t>(first), kHugePage) -
                               reinterpret_cast<std::uintptr_t>(first);
    if (before != 0) ::munmap(first, before);
    if (before != kHugePage) ::munmap(first + before + size_, kHugePage - before);
    data_ = first + before;
#ifdef MADV_HUGEPAGE
    ::madvise(data_, size_, MADV_HUGEPAGE);  // refused: the pages are of 4 KB, and everything works
#endif
}

Mapping::~Mapping() { ::munmap(data_, size_); }

Piece RowArena::take(std::size_t bytes) {
    if (bytes >= kOwnMapping) {
        auto own = std::make_shared<Mapping>(bytes);
        return {own, own->data()};
    }
    const std::lock_guard<std::mutex> held(mutex_);
    const std::size_t taken = round_up(bytes, kAlign);
    if (open_ == nullptr || used_ + taken > open_->size()) {
        open_ = std::make_shared<Mapping>(kSharedMapping);
        used_ = 0;
    }
    Piece piece{open_, open_->data() + used_};
    used_ += taken;
    return piece;
}

OutputArena::Block OutputArena::take(std::size_t bytes) {
    {
        const std::lock_guard<std::mutex> held(mutex_);
        for (auto &block : free_) {
            if (block->size() < bytes || block->size() > 4 * round_up(bytes, kHugePage)) continue;
            std::swap(block, free_.back());
            Block found = std::move(free_.back());
            free_.pop_back();
            return found;
        }
    }
    return std::make_unique<Mapping>(bytes);
}

void OutputArena::give_back(Block block) noexcept {
    const std::lock_guard<std::mutex> held(mutex_);
    try {
        if (free_.size() == kBlocksKept) free_.erase(free_.begin());  // the one that was free longest
        free_.push_back(std::move(block));
    } catch (const std::bad_alloc &) {  // then it is freed
    }
}

}  // namespace embnic::cpu
