// SPDX-License-Identifier: Apache-2.0
// Builds, checks and checksums whole Ethernet frames; the native side of embnic/wire.py. Works on bytes: no alignment is
// assumed, nothing is read outside the ranges given, no exceptions.
#ifndef EMBNIC_CODEC_HPP
#define EMBNIC_CODEC_HPP

#include <cstddef>
#include <cstdint>

namespace embnic {

// CRC32C of `size` bytes. SSE4.2 where the processor has it, slicing-by-8 elsewhere.
std::uint32_t crc32c(const std::uint8_t *data, std::size_t size) noexcept;

// The slicing-by-8 form, whatever the processor; for comparison.
std::uint32_t crc32c_generic(const std::uint8_t *data, std::size_t size) noexcept;

// Writes one frame to `out`, kFrameOverhead + payload_size bytes, and returns its end. `prefix` is Ethernet, IPv4 and UDP
// (42 bytes) with lengths and checksums zero, `header` our 22 bytes.
std::uint8_t *encode_frame(std::uint8_t *out, const std::uint8_t *prefix, const std::uint8_t *header,
                           const std::uint8_t *payload, std::size_t payload_size) noexcept;

// What was found in a received frame; the payload's range counts from the frame's first byte.
struct FrameCheck {
    std::int8_t reason;  // -1: accepted, else a wire::DropReason
    std::size_t payload_begin;
    std::size_t payload_end;
};

// Checks one frame: UDP destination `port` (-1: any), opcodes whose byte in `opcodes` [256] is not 0.
FrameCheck check_frame(const std::uint8_t *frame, std::size_t size, std::int64_t port,
                       const std::uint8_t *opcodes) noexcept;

}  // namespace embnic

#endif  // EMBNIC_CODEC_HPP
