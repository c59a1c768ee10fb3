// SPDX-License-Identifier: Apache-2.0
#include "model_caches.hpp"

#include <stdexcept>

namespace embnic {

Sketch::Sketch(std::size_t words) : index_bits_(0), words_(words) {
    while (std::size_t{1} << index_bits_ < words) index_bits_++;
}

TagCache::TagCache(unsigned ways, std::size_t sets) : ways_(ways), index_bits_(0), set_mask_(sets - 1), sketch_(ways * sets) {
    if (ways != 1 && ways != 2 && ways != 4 && ways != 8) throw std::invalid_argument("ways must be 1, 2, 4 or 8");
    if (sets < 2 || (sets & (sets - 1)) != 0) throw std::invalid_argument("sets must be a power of two from 2 on");
    while (std::size_t{1} << index_bits_ < sets) index_bits_++;
    keys_.resize(ways * sets);
    states_.resize(sets);
}

void TagCache::clear() noexcept {
    std::fill(states_.begin(), states_.end(), State{});
}

LruCache::LruCache(std::size_t lines) : lines_(lines) {
    if (lines < 1 || lines >= 0xFFFFFFFFu) throw std::invalid_argument("lines must be 1 or more, below 2**32 - 1");
    clear();
}

void LruCache::clear() {
    where_.clear();
    where_.reserve(lines_);
    nodes_.assign(1, Node{0, 0, 0});
}

void LruCache::unlink(std::uint32_t at) noexcept {
    nodes_[nodes_[at].older].newer = nodes_[at].newer;
    nodes_[nodes_[at].newer].older = nodes_[at].older;
}

void LruCache::push(std::uint32_t at) noexcept {
    const std::uint32_t newest = nodes_[0].older;
    nodes_[at].older = newest;
    nodes_[at].newer = 0;
    nodes_[newest].newer = at;
    nodes_[0].older = at;
}

bool LruCache::lookup(std::uint64_t key, bool &evict) {
    evict = false;
    const auto found = where_.find(key);
    if (found != where_.end()) {
        unlink(found->second);
        push(found->second);
        return true;
    }
    std::uint32_t at = static_cast<std::uint32_t>(nodes_.size());
    if (nodes_.size() <= lines_) {
        nodes_.push_back(Node{key, 0, 0});
    } else {
        evict = true;
        at = nodes_[0].newer;
        unlink(at);
        where_.erase(nodes_[at].key);
        nodes_[at].key = key;
    }
    push(at);
    where_.emplace(key, at);
    return false;
}

FbgemmCache::FbgemmCache(unsigned ways, std::size_t sets) : ways_(ways), sets_(sets) {
    if (ways < 1 || ways > 64 || sets < 1) throw std::invalid_argument("ways must be 1 to 64, sets 1 or more");
    keys_.resize(ways * sets);
    times_.assign(ways * sets, 0);
}

void FbgemmCache::clear() {
    std::fill(times_.begin(), times_.end(), 0);
    counters = {};
}

namespace {

std::uint64_t murmur3_finaliser(std::uint64_t h) noexcept {
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ h >> 33;
}

}  // namespace

// Lines that this call uses are not replaced by it, so a set that the call overfills keeps its first `ways` rows and the
// rest are conflict misses. Misses of a set come in the order of their keys.
void FbgemmCache::call(const std::uint64_t *keys, std::size_t count) {
    const std::int64_t now = ++counters.calls;
    counters.requested += static_cast<std::int64_t>(count);
    std::vector<std::uint64_t> unique(keys, keys + count);
    std::sort(unique.begin(), unique.end());
    unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
    counters.unique += static_cast<std::int64_t>(unique.size());
    const auto way_of = [&](std::uint64_t key, std::size_t base) {
        unsigned way = 0;
        while (way < ways_ && !(times_[base + way] > 0 && keys_[base + way] == key)) way++;
        return way;
    };
    const auto base_of = [&](std::uint64_t key) { return murmur3_finaliser(key) % sets_ * ways_; };
    std::vector<std::uint64_t> misses;
    for (const std::uint64_t key : unique) {
        const std::size_t base = base_of(key);
        const unsigned way = way_of(key, base);
        if (way == ways_) misses.push_back(key);
        else times_[base + way] = now;
    }
    counters.unique_misses += static_cast<std::int64_t>(misses.size());
    for (const std::uint64_t key : misses) {
        const std::size_t base = base_of(key);
        const auto first = times_.begin() + static_cast<std::ptrdiff_t>(base);
        const auto oldest = std::min_element(first, first + ways_);
        if (*oldest == now) {
            counters.conflict_unique_misses++;
            continue;
        }
        keys_[base + static_cast<std::size_t>(oldest - first)] = key;
        *oldest = now;
    }
    for (std::size_t i = 0; i < count; i++) {
        counters.conflict_misses += way_of(keys[i], base_of(keys[i])) == ways_;
    }
}

}  // namespace embnic
