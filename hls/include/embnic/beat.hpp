// SPDX-License-Identifier: Apache-2.0
// What travels between the cores of the data path: operations, stored beats, vector beats and writes of the reply buffer.
//
// Op and Beat have the fields of op_t and beat_t of rtl/embnic_pkg.sv, in their order and under their names; a test compares
// names and widths. Lanes are 32-bit words: binary32, or int32 of FIXED rows.
#ifndef EMBNIC_BEAT_HPP
#define EMBNIC_BEAT_HPP

#include <cstddef>
#include <cstdint>

#include "embnic_wire.hpp"

namespace embnic {

using wire::DType;
using wire::Pooling;

inline constexpr unsigned kAccLoopCycles = 12;  // ACC_LOOP_CYCLES of embnic_pkg
inline constexpr unsigned kIntExtraCycles = 7;  // INT_EXTRA_CYCLES
inline constexpr std::uint8_t kPairFirstBank = 1;  // PAIR_FIRST_BANK

template <unsigned kLanes>
struct Lanes {
    std::uint32_t lane[kLanes];
};

enum class OpKind : std::uint8_t { ROW, FLUSH, INIT, INVALIDATE, RELEASE, PREFETCH, LOCK, PIN };

// One line of one row of one bag.
struct Op {
    OpKind kind{};
    std::uint8_t slot{};
    std::uint8_t ctx{};
    std::uint16_t tbl{};
    std::uint64_t row{};
    std::uint8_t seg{};
    std::uint64_t addr{};
    bool remote{};  // lines of other cards come as those of memory do
    std::uint8_t owner{};
    std::uint8_t generation{};
    DType dtype{};
    std::uint16_t fetch_beats{};
    bool header{};
    std::uint8_t chunk{};
    std::uint16_t beats{};
    std::uint16_t beat_base{};
    std::uint8_t bank{};
    bool combine{};
    bool product{};
    bool first{};
    bool spaced{};
    bool last{};
    bool first_seg{};
    bool last_seg{};
    std::uint16_t dim{};
    Pooling pooling{};
    bool partial{};
    bool mul_then_add{};
    std::uint32_t weight{};
    std::uint32_t count{};
    std::uint16_t rsp_addr{};
};

// What the pool is told of a beat.
struct Beat {
    DType dtype{};
    std::uint8_t sub{};
    bool header{};
    bool bare{};
    std::uint8_t slot{};
    std::uint8_t ctx{};
    std::uint16_t beat{};
    std::uint8_t bank{};
    bool combine{};
    bool product{};
    bool fetch{};
    bool first{};
    bool load{};
    bool flush{};
    bool last{};
    bool done{};
    std::uint16_t dim{};
    Pooling pooling{};
    bool partial{};
    bool mul_then_add{};
    std::uint32_t weight{};
    std::uint32_t count{};
    std::uint16_t rsp_addr{};
};

// A bus beat as stored, with what it is for.
template <unsigned kLanes>
struct StoredBeat {
    Beat info{};
    Lanes<kLanes> data{};
};

// A vector beat; scale and bias are those of a quantised row.
template <unsigned kLanes>
struct VectorBeat {
    Beat info{};
    Lanes<kLanes> data{};
    std::uint32_t scale{};
    std::uint32_t bias{};
};

// A write of the reply buffer; done with the last one of a bag.
template <unsigned kLanes>
struct ResponseBeat {
    std::uint16_t addr{};
    Lanes<kLanes> data{};
    bool done{};
    std::uint8_t ctx{};
    std::uint32_t count{};
};

// A stored bus beat holds 2**expand chunks, each of which becomes one vector beat.
inline constexpr unsigned expand_of(DType dtype) {
    switch (dtype) {
    case DType::FP16:
    case DType::BF16: return 1;
    case DType::INT8:
    case DType::INT8_FRONT: return 2;
    case DType::INT4:
    case DType::INT4_END: return 3;
    default: return 0;
    }
}

inline constexpr bool is_quantised(DType dtype) { return expand_of(dtype) >= 2; }

}  // namespace embnic

#endif  // EMBNIC_BEAT_HPP
