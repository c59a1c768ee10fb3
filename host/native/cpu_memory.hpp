// SPDX-License-Identifier: Apache-2.0
// Memory for rows and for results: anonymous mappings in huge pages where the kernel gives them.
#ifndef EMBNIC_CPU_MEMORY_HPP
#define EMBNIC_CPU_MEMORY_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace embnic::cpu {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// A mapping, aligned to huge pages and advised to be in them; freed at the end.
class Mapping {
public:
    explicit Mapping(std::size_t bytes);  // throws std::bad_alloc
    ~Mapping();
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    std::uint8_t *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

// A piece of memory, and what keeps it there.
struct Piece {
    std::shared_ptr<Mapping> owner;
    std::uint8_t *data = nullptr;
};

// Cuts pieces for rows: large ones are mappings of their own, small ones share one, so that they share huge pages.
class RowArena {
public:
    Piece take(std::size_t bytes);

private:
    std::mutex mutex_;
    std::shared_ptr<Mapping> open_;  // small pieces come from it
    std::size_t used_ = 0;
};

// Hands out blocks for results and takes them back, so that no call pays for fresh pages.
class OutputArena : public std::enable_shared_from_this<OutputArena> {
public:
    using Block = std::unique_ptr<Mapping>;
    Block take(std::size_t bytes);
    void give_back(Block block) noexcept;

private:
    std::mutex mutex_;
    std::vector<Block> free_;
};

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_MEMORY_HPP
