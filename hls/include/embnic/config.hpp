// SPDX-License-Identifier: Apache-2.0
// What the cores of the data path take from a named configuration of spec/configs.toml.
#ifndef EMBNIC_CONFIG_HPP
#define EMBNIC_CONFIG_HPP

#include "embnic_configs.hpp"

namespace embnic {

template <typename Named>
struct CoreConfig {
    static constexpr unsigned kId = Named::kId;
    static constexpr unsigned kLanes = Named::DATA_W / 32;
    static constexpr unsigned kBusBytes = Named::DATA_W / 8;
    static constexpr unsigned kBpw = 512 / Named::DATA_W;  // bus beats of a 64-byte unit
    static constexpr unsigned kSlots = Named::SLOTS;
    static constexpr unsigned kMaxVec64 = Named::MAX_VEC64;
    static constexpr unsigned kVecBeats = Named::MAX_VEC64 * kBpw;
    static constexpr unsigned kLineBytes = Named::LINE_BYTES;
    static constexpr unsigned kLineBeats = Named::LINE_BYTES / kBusBytes;
    static constexpr unsigned kWays = Named::WAYS;
    static constexpr unsigned kSets = Named::SETS;
    static constexpr unsigned kFetches = Named::FETCHES;
    static constexpr unsigned kTables = Named::TABLES;
    static constexpr unsigned kClients = Named::CLIENTS;
    static constexpr unsigned kReplyVec64 = Named::RSP_BEATS / 2 / kBpw;
    static constexpr unsigned kTreeK = Named::TREE_K;
    static constexpr unsigned kInitUnits = 2 * Named::MAX_VEC64;
    static constexpr unsigned kInitBeats = 512;
};

// Of the kernels beyond pooling: what is built on the cards of the three configurations.
template <typename Named>
struct GradConfig {
    static constexpr unsigned kLanes = Named::DATA_W / 32;
    static constexpr unsigned kBeats = 8;
    static constexpr unsigned kSets = 128;
    static constexpr unsigned kWays = 8;
    static constexpr unsigned kBanks = 4;
};

struct TopKConfig {
    static constexpr unsigned kMaxK = 64;
};

template <typename Named>
struct InteractConfig {
    static constexpr unsigned kLanes = Named::DATA_W / 32;
    static constexpr unsigned kMaxVectors = 32;
    static constexpr unsigned kBeats = 128 / kLanes;
};

}  // namespace embnic

#endif  // EMBNIC_CONFIG_HPP
