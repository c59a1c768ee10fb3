// SPDX-License-Identifier: Apache-2.0
// The batch codec of embnic/wire.py; wire_numpy.py is its twin and describes the arrays.
#include "codec.hpp"

#include <array>
#include <cstring>
#include <stdexcept>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "gen/embnic_wire.hpp"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EMBNIC_SSE42 1
#include <nmmintrin.h>
#endif

namespace embnic {
namespace {

namespace w = wire;

constexpr std::size_t kIp = 14;      // where IPv4 begins
constexpr std::size_t kUdp = 34;     // where UDP begins
constexpr std::size_t kHeader = 42;  // where our header begins
constexpr std::size_t kPrefixBytes = kHeader;
constexpr std::size_t kUdpOverhead = 8 + w::kHeaderBytes;  // of the UDP length, beside payload and trailer
constexpr std::size_t kTagBytes = 8;                       // trailer of a tagged frame, in place of the CRC

std::uint32_t load_be16(const std::uint8_t *p) noexcept { return static_cast<std::uint32_t>(p[0]) << 8 | p[1]; }

std::uint32_t load_le32(const std::uint8_t *p) noexcept {
    return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
           static_cast<std::uint32_t>(p[2]) << 16 | static_cast<std::uint32_t>(p[3]) << 24;
}

void store_be16(std::uint8_t *p, std::uint32_t value) noexcept {
    p[0] = static_cast<std::uint8_t>(value >> 8);
    p[1] = static_cast<std::uint8_t>(value);
}

void store_le32(std::uint8_t *p, std::uint32_t value) noexcept {
    for (int i = 0; i < 4; i++) p[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

// Sum of the ten words of an IPv4 header in ones' complement.
std::uint32_t ip_sum(const std::uint8_t *ip) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 2) sum += load_be16(ip + i);
    sum = (sum & 0xFFFFu) + (sum >> 16);
    return (sum & 0xFFFFu) + (sum >> 16);
}

using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;

// Table k steps a byte over k further zero bytes.
constexpr CrcTables make_tables() noexcept {
    CrcTables tables{};
    for (std::uint32_t byte = 0; byte < 256; byte++) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1u) ? w::kCrcPoly : 0u);
        tables[0][byte] = value;
    }
    for (std::size_t k = 1; k < 8; k++) {
        for (std::size_t byte = 0; byte < 256; byte++) {
            const std::uint32_t before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][before & 255u];
        }
    }
    return tables;
}

constexpr CrcTables kTables = make_tables();

std::uint32_t crc_generic(std::uint32_t state, const std::uint8_t *p, std::size_t size) noexcept {
    for (; size >= 8; size -= 8, p += 8) {
        const std::uint32_t low = load_le32(p) ^ state;
        const std::uint32_t high = load_le32(p + 4);
        state = kTables[7][low & 255u] ^ kTables[6][(low >> 8) & 255u] ^ kTables[5][(low >> 16) & 255u] ^
                kTables[4][low >> 24] ^ kTables[3][high & 255u] ^ kTables[2][(high >> 8) & 255u] ^
                kTables[1][(high >> 16) & 255u] ^ kTables[0][high >> 24];
    }
    for (; size > 0; size--, p++) state = (state >> 8) ^ kTables[0][(state ^ *p) & 255u];
    return state;
}

#ifdef EMBNIC_SSE42
__attribute__((target("sse4.2"))) std::uint32_t crc_sse42(std::uint32_t state, const std::uint8_t *p,
                                                          std::size_t size) noexcept {
    std::uint64_t wide = state;
    for (; size >= 8; size -= 8, p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, sizeof word);  // x86: little-endian as CRC32C wants it
        wide = _mm_crc32_u64(wide, word);
    }
    auto narrow = static_cast<std::uint32_t>(wide);
    for (; size > 0; size--, p++) narrow = _mm_crc32_u8(narrow, *p);
    return narrow;
}
#endif

using CrcFunction = std::uint32_t (*)(std::uint32_t, const std::uint8_t *, std::size_t) noexcept;

CrcFunction choose_crc() noexcept {
#ifdef EMBNIC_SSE42
    if (__builtin_cpu_supports("sse4.2")) return crc_sse42;
#endif
    return crc_generic;
}

const CrcFunction kCrc = choose_crc();

FrameCheck dropped(w::DropReason reason) noexcept { return {static_cast<std::int8_t>(reason), 0, 0}; }

// Untagged IPv4 without options or fragments, UDP, to our port, with our magic. `head` are the first 64 bytes.
bool is_ours(const std::uint8_t *head, std::int64_t port) noexcept {
    return load_be16(head + 12) == 0x0800 && head[kIp] == 0x45 && (load_be16(head + 20) & 0x3FFFu) == 0 &&
           head[23] == 17 && (port < 0 || load_be16(head + kUdp + 2) == static_cast<std::uint64_t>(port)) &&
           head[kHeader] == (w::kMagic & 255u) && head[kHeader + 1] == (w::kMagic >> 8);
}

}  // namespace

std::uint32_t crc32c(const std::uint8_t *data, std::size_t size) noexcept {
    return kCrc(w::kCrcInit, data, size) ^ w::kCrcXorout;
}

std::uint32_t crc32c_generic(const std::uint8_t *data, std::size_t size) noexcept {
    return crc_generic(w::kCrcInit, data, size) ^ w::kCrcXorout;
}

std::uint8_t *encode_frame(std::uint8_t *out, const std::uint8_t *prefix, const std::uint8_t *header,
                           const std::uint8_t *payload, std::size_t payload_size) noexcept {
    const std::size_t size = payload_size + w::kFrameOverhead;
    std::memcpy(out, prefix, kPrefixBytes);
    store_be16(out + kIp + 2, static_cast<std::uint32_t>(size - kIp));
    store_be16(out + kUdp + 4, static_cast<std::uint32_t>(size - kUdp));
    store_be16(out + kIp + 10, 0xFFFFu - ip_sum(out + kIp));
    std::memcpy(out + kHeader, header, w::kHeaderBytes);
    if (payload_size != 0) std::memcpy(out + w::kFirstPayloadByte, payload, payload_size);
    store_le32(out + size - w::kCrcBytes, crc32c(out + kHeader, w::kHeaderBytes + payload_size));
    return out + size;
}

FrameCheck check_frame(const std::uint8_t *frame, std::size_t size, std::int64_t port,
                       const std::uint8_t *opcodes) noexcept {
    // Behind the end of a short frame the headers are zero: that is how the card sees it.
    std::array<std::uint8_t, w::kFirstPayloadByte> padded{};
    const std::uint8_t *head = frame;
    if (size < w::kFirstPayloadByte) {
        if (size != 0) std::memcpy(padded.data(), frame, size);
        head = padded.data();
    }
    if (!is_ours(head, port)) return dropped(w::DropReason::NOT_OURS);
    const std::uint8_t *ours = head + kHeader;
    const std::uint8_t flags = ours[w::kFlagsOffset];
    const bool tagged = (flags & w::kFlagTag) != 0;
    const std::size_t udp_size = load_be16(head + kUdp + 4);
    const std::size_t overhead = kUdpOverhead + (tagged ? kTagBytes : w::kCrcBytes);
    if (load_be16(head + kIp + 2) != udp_size + 20 || udp_size < overhead || (udp_size - overhead) % 8 != 0 ||
        udp_size + kUdp > size || size > w::kMaxFrameBytes) {
        return dropped(w::DropReason::LENGTH);
    }
    if (ip_sum(head + kIp) != 0xFFFFu) return dropped(w::DropReason::IP_CHECKSUM);
    if (ours[w::kVersionOffset] != w::kVersion) return dropped(w::DropReason::VERSION);
    if ((flags & w::kFlagsReserved) != 0 || opcodes[ours[w::kOpcodeOffset]] == 0) {
        return dropped(w::DropReason::HEADER);
    }
    if (tagged) return dropped(w::DropReason::TAG);
    const std::size_t end = w::kFirstPayloadByte + udp_size - overhead;
    if (load_le32(frame + end) != crc32c(ours, w::kHeaderBytes + (end - w::kFirstPayloadByte))) {
        return dropped(w::DropReason::CRC);
    }
    return {-1, w::kFirstPayloadByte, end};
}

}  // namespace embnic

// ---------------------------------------------------------------------------------------------------------------------
// Python
// ---------------------------------------------------------------------------------------------------------------------
namespace {

namespace nb = nanobind;
using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes2 = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutBytes = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutBytes2 = nb::ndarray<std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutOffsets2 = nb::ndarray<std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutCrcs = nb::ndarray<std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutReasons = nb::ndarray<std::int8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const char *what) {
    if (!condition) throw std::invalid_argument(what);
}

// Every range [offsets[i], offsets[i + 1]) lies within `size` bytes.
void require_ranges(const Offsets &offsets, std::size_t size) {
    require(offsets.shape(0) >= 1 && offsets.data()[0] >= 0, "offsets must begin at 0 or above");
    for (std::size_t i = 1; i < offsets.shape(0); i++) {
        require(offsets.data()[i] >= offsets.data()[i - 1], "offsets must never decrease");
    }
    require(static_cast<std::uint64_t>(offsets.data()[offsets.shape(0) - 1]) <= size, "offsets exceed the data");
}

void crc32c_batch(Bytes data, Offsets starts, Offsets lengths, OutCrcs out) {
    const std::size_t count = starts.shape(0);
    require(lengths.shape(0) == count && out.shape(0) == count, "starts, lengths and out must have the same length");
    const auto size = static_cast<std::int64_t>(data.shape(0));
    for (std::size_t i = 0; i < count; i++) {
        const std::int64_t start = starts.data()[i], length = lengths.data()[i];
        require(start >= 0 && length >= 0 && length <= size && start <= size - length, "a range exceeds the data");
    }
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < count; i++) {
        out.data()[i] = embnic::crc32c(data.data() + starts.data()[i], static_cast<std::size_t>(lengths.data()[i]));
    }
}

std::uint32_t crc32c_generic(Bytes data) { return embnic::crc32c_generic(data.data(), data.shape(0)); }

void encode_frames(Bytes prefix, Bytes2 headers, Bytes payload, Offsets payload_offsets, OutBytes out) {
    require_ranges(payload_offsets, payload.shape(0));
    const std::size_t count = payload_offsets.shape(0) - 1;
    const std::int64_t *at = payload_offsets.data();
    require(prefix.shape(0) == embnic::kPrefixBytes, "prefix must have 42 bytes");
    require(headers.shape(0) == count && headers.shape(1) == embnic::wire::kHeaderBytes, "headers must be [n, 22]");
    require(out.shape(0) == static_cast<std::size_t>(at[count] - at[0]) + count * embnic::wire::kFrameOverhead,
            "out must have exactly the frames' bytes");
    for (std::size_t i = 0; i < count; i++) {
        const auto size = static_cast<std::size_t>(at[i + 1] - at[i]);
        require(size <= embnic::wire::kMaxFrameBytes - embnic::wire::kFrameOverhead, "a payload is too long");
    }
    nb::gil_scoped_release release;
    std::uint8_t *to = out.data();
    for (std::size_t i = 0; i < count; i++) {
        to = embnic::encode_frame(to, prefix.data(), headers.data() + i * embnic::wire::kHeaderBytes,
                                  payload.data() + at[i], static_cast<std::size_t>(at[i + 1] - at[i]));
    }
}

void decode_frames(Bytes data, Offsets offsets, std::int64_t port, Bytes opcodes, OutBytes2 headers,
                   OutOffsets2 payloads, OutReasons reasons) {
    require_ranges(offsets, data.shape(0));
    const std::size_t count = offsets.shape(0) - 1;
    require(opcodes.shape(0) == 256, "opcodes must have 256 bytes");
    require(headers.shape(0) == count && headers.shape(1) == embnic::wire::kHeaderBytes, "headers must be [n, 22]");
    require(payloads.shape(0) == count && payloads.shape(1) == 2, "payloads must be [n, 2]");
    require(reasons.shape(0) == count, "reasons must be [n]");
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < count; i++) {
        const std::int64_t first = offsets.data()[i];
        const std::uint8_t *frame = data.data() + first;
        const auto size = static_cast<std::size_t>(offsets.data()[i + 1] - first);
        const embnic::FrameCheck found = embnic::check_frame(frame, size, port, opcodes.data());
        std::uint8_t *header = headers.data() + i * embnic::wire::kHeaderBytes;
        std::int64_t *payload = payloads.data() + 2 * i;
        reasons.data()[i] = found.reason;
        if (found.reason < 0) {
            std::memcpy(header, frame + embnic::kHeader, embnic::wire::kHeaderBytes);
            payload[0] = first + static_cast<std::int64_t>(found.payload_begin);
            payload[1] = first + static_cast<std::int64_t>(found.payload_end);
        } else {
            std::memset(header, 0, embnic::wire::kHeaderBytes);
            payload[0] = payload[1] = 0;
        }
    }
}

}  // namespace

void bind_codec(nanobind::module_ &m) {
    using namespace nanobind::literals;
    m.def("crc32c_batch", &crc32c_batch, "data"_a, "starts"_a, "lengths"_a, "out"_a.noconvert());
    m.def("crc32c_generic", &crc32c_generic, "data"_a);
    m.def("encode_frames", &encode_frames, "prefix"_a, "headers"_a, "payload"_a, "payload_offsets"_a,
          "out"_a.noconvert());
    m.def("decode_frames", &decode_frames, "data"_a, "offsets"_a, "port"_a, "opcodes"_a, "headers"_a.noconvert(),
          "payloads"_a.noconvert(), "reasons"_a.noconvert());
}
