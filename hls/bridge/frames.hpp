// SPDX-License-Identifier: Apache-2.0
// Frames of the wire for the C simulation: checks as rtl/net/embnic_rx_frame.sv, and replies.
#ifndef EMBNIC_FRAMES_HPP
#define EMBNIC_FRAMES_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "embnic_wire.hpp"

namespace embnic::bridge {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::size_t kIp = 14, kUdp = 34, kOurs = 42;

inline std::uint32_t little(const std::uint8_t* at, unsigned bytes) {
    std::uint32_t value = 0;
    for (unsigned i = bytes; i-- > 0;) value = value << 8 | at[i];
    return value;
}

inline std::uint64_t little64(const std::uint8_t* at) {
    return little(at, 4) | static_cast<std::uint64_t>(little(at + 4, 4)) << 32;
}

inline std::uint32_t big16(const std::uint8_t* at) { return static_cast<std::uint32_t>(at[0]) << 8 | at[1]; }

inline void put(std::uint8_t* at, std::uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) at[i] = static_cast<std::uint8_t>(value >> 8 * i);
}

inline std::uint32_t crc32c(const std::uint8_t* data, std::size_t size) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t byte = 0; byte < 256; byte++) {
            std::uint32_t value = byte;
            for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? wire::kCrcPoly : 0);
            made[byte] = value;
        }
        return made;
    }();
    std::uint32_t crc = wire::kCrcInit;
    for (std::size_t i = 0; i < size; i++) crc = table[(crc ^ data[i]) & 0xFF] ^ crc >> 8;
    return crc ^ wire::kCrcXorout;
}

// Ones' complement sum of an IPv4 header of 20 bytes; 0xFFFF when its checksum is right.
inline std::uint32_t ip_sum(const std::uint8_t* header) {
    std::uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2) sum += big16(header + i);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (sum & 0xFFFF) + (sum >> 16);
}

// Our header, and where the payload lies.
struct Request {
    const std::uint8_t* frame;
    const std::uint8_t* payload;
    std::size_t payload_bytes;
    std::uint8_t opcode, flags, dtype;
    std::uint16_t first_bag, bags, keys, dim;
};

inline Request parse(const std::uint8_t* frame) {
    const std::uint8_t* ours = frame + kOurs;
    Request request{};
    request.frame = frame;
    request.payload = frame + wire::kFirstPayloadByte;
    request.payload_bytes = big16(frame + kUdp + 4) - 8 - wire::kHeaderBytes - wire::kCrcBytes;
    request.opcode = ours[wire::kOpcodeOffset];
    request.flags = ours[wire::kFlagsOffset];
    request.dtype = ours[wire::kDtypeStatusOffset] & 15;
    request.first_bag = static_cast<std::uint16_t>(little(ours + wire::kFirstBagOffset, 2));
    request.bags = static_cast<std::uint16_t>(little(ours + wire::kBagsOffset, 2));
    request.keys = static_cast<std::uint16_t>(little(ours + wire::kKeysOffset, 2));
    request.dim = static_cast<std::uint16_t>(little(ours + wire::kDimOffset, 2));
    return request;
}

// Why a frame is dropped, the first reason that holds; nothing when it is accepted.
inline std::optional<wire::DropReason> refusal(const std::uint8_t* frame, std::size_t size, bool enabled, std::uint16_t port) {
    using wire::DropReason;
    if (!enabled) return DropReason::OVERLOAD;
    if (size < wire::kFirstPayloadByte) return size < kOurs + 2 ? DropReason::NOT_OURS : DropReason::LENGTH;
    const std::uint8_t* ours = frame + kOurs;
    const bool is_ours = big16(frame + 12) == 0x0800 && frame[kIp] == 0x45 && (big16(frame + 20) & 0x3FFF) == 0 &&
                         frame[23] == 17 && big16(frame + kUdp + 2) == port && little(ours, 2) == wire::kMagic;
    if (!is_ours) return DropReason::NOT_OURS;
    const std::size_t overhead = 8 + wire::kHeaderBytes + wire::kCrcBytes;
    const bool tag = (ours[wire::kFlagsOffset] & wire::kFlagTag) != 0;
    const std::size_t udp = big16(frame + kUdp + 4), trailer = tag ? 4 : 0;
    if (big16(frame + 16) != ((udp + 20) & 0xFFFF) || udp < overhead + trailer || udp > wire::kMaxFrameBytes - kUdp ||
        (udp - overhead - trailer) % 8 || size < udp + kUdp || size > wire::kMaxFrameBytes) {
        return DropReason::LENGTH;
    }
    if (ip_sum(frame + kIp) != 0xFFFF) return DropReason::IP_CHECKSUM;
    if (ours[wire::kVersionOffset] != wire::kVersion) return DropReason::VERSION;
    if (!wire::is_request(ours[wire::kOpcodeOffset]) || (ours[wire::kFlagsOffset] & wire::kFlagsReserved)) {
        return DropReason::HEADER;
    }
    if (tag) return DropReason::TAG;
    const std::size_t body = udp - 8 - wire::kCrcBytes;
    if (crc32c(ours, body) != little(ours + body, 4)) return DropReason::CRC;
    return std::nullopt;
}

// What of a reply's header is its own.
struct ReplyHeader {
    wire::Opcode opcode;
    wire::Status status;
    bool final;
    std::uint16_t first_bag, bags, beat;
};

inline Bytes reply_frame(const Request& request, const ReplyHeader& header, const Bytes& body) {
    Bytes frame(wire::kFirstPayloadByte + body.size() + wire::kCrcBytes);
    const std::uint8_t* from = request.frame;
    for (unsigned i = 0; i < 6; i++) {
        frame[i] = from[6 + i];
        frame[6 + i] = from[i];
    }
    frame[12] = 8;
    const std::size_t udp = 8 + wire::kHeaderBytes + body.size() + wire::kCrcBytes;
    std::uint8_t* ip = frame.data() + kIp;
    ip[0] = 0x45;
    ip[2] = static_cast<std::uint8_t>((udp + 20) >> 8);
    ip[3] = static_cast<std::uint8_t>(udp + 20);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    for (unsigned i = 0; i < 4; i++) {
        ip[12 + i] = from[kIp + 16 + i];
        ip[16 + i] = from[kIp + 12 + i];
    }
    const std::uint32_t checksum = ~ip_sum(ip) & 0xFFFF;
    ip[10] = static_cast<std::uint8_t>(checksum >> 8);
    ip[11] = static_cast<std::uint8_t>(checksum);
    std::uint8_t* ports = frame.data() + kUdp;
    for (unsigned i = 0; i < 2; i++) {
        ports[i] = from[kUdp + 2 + i];
        ports[2 + i] = from[kUdp + i];
    }
    ports[4] = static_cast<std::uint8_t>(udp >> 8);
    ports[5] = static_cast<std::uint8_t>(udp);
    std::uint8_t* ours = frame.data() + kOurs;
    const bool vectors = header.opcode == wire::Opcode::REPLY || header.opcode == wire::Opcode::PARTIAL;
    const bool fixed = vectors && request.dtype == static_cast<std::uint8_t>(wire::DType::FIXED);
    put(ours, wire::kMagic, 2);
    ours[wire::kVersionOffset] = wire::kVersion;
    ours[wire::kOpcodeOffset] = static_cast<std::uint8_t>(header.opcode);
    ours[wire::kFlagsOffset] = header.final ? wire::kFlagFinal : 0;
    ours[wire::kDtypeStatusOffset] = static_cast<std::uint8_t>(
        static_cast<unsigned>(header.status) << 4 | static_cast<unsigned>(fixed ? wire::DType::FIXED : wire::DType::FP32));
    for (std::size_t i = wire::kTenantOffset; i < wire::kFirstBagOffset; i++) ours[i] = from[kOurs + i];
    put(ours + wire::kFirstBagOffset, header.first_bag, 2);
    put(ours + wire::kBagsOffset, header.bags, 2);
    put(ours + wire::kKeysOffset, header.beat, 2);
    put(ours + wire::kDimOffset, request.dim, 2);
    for (std::size_t i = 0; i < body.size(); i++) frame[wire::kFirstPayloadByte + i] = body[i];
    put(frame.data() + wire::kFirstPayloadByte + body.size(), crc32c(ours, wire::kHeaderBytes + body.size()), 4);
    return frame;
}

}  // namespace embnic::bridge

#endif  // EMBNIC_FRAMES_HPP
