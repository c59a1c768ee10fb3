// SPDX-License-Identifier: Apache-2.0
// Counters of the simulated HLS card, under the names of spec/registers.rdl.
#ifndef EMBNIC_COUNTERS_HPP
#define EMBNIC_COUNTERS_HPP

#include <cstdint>

namespace embnic::bridge {

struct Counters {
    std::uint64_t rx_frames, rx_bytes, rx_accepted, drops[9], requests, bags, keys, keys_null, keys_padding, keys_refused, row_hits,
        row_misses, line_hits, line_misses, evictions, fetch_beats, exec_beats, tx_frames, tx_bytes, replies, partials, errors,
        errors_busy, acks, updates, update_rows, update_duplicates, memory_errors, saturations, pinned_hits, fetches, no_free_way,
        not_admitted, prefetches, prefetch_rows;
};

// The names of Counters' members, in their order; drops by DropReason.
inline constexpr const char* kCounterNames[] = {
    "rx_frames",     "rx_bytes",   "rx_accepted",       "drop_not_ours", "drop_mac_error", "drop_length",  "drop_ip_checksum",
    "drop_version",  "drop_header", "drop_crc",         "drop_overload", "drop_tag",       "requests",     "bags",
    "keys",          "keys_null",  "keys_padding",      "keys_refused",  "row_hits",       "row_misses",   "line_hits",
    "line_misses",   "evictions",  "fetch_beats",       "exec_beats",    "tx_frames",      "tx_bytes",     "replies",
    "partials",      "errors",     "errors_busy",       "acks",          "updates",        "update_rows",  "update_duplicates",
    "memory_errors", "saturations", "pinned_hits",      "fetches",       "no_free_way",    "not_admitted", "prefetches",
    "prefetch_rows",
};
static_assert(sizeof(kCounterNames) / sizeof(kCounterNames[0]) == sizeof(Counters) / sizeof(std::uint64_t),
              "every counter has a name");

}  // namespace embnic::bridge

#endif  // EMBNIC_COUNTERS_HPP
