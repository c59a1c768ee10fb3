// SPDX-License-Identifier: Apache-2.0
// Codes and byte layouts of the wire. Generated from spec/wire.toml by spec/generate.py. Do not edit.
#ifndef EMBNIC_WIRE_HPP
#define EMBNIC_WIRE_HPP

#include <cstddef>
#include <cstdint>

namespace embnic::wire {

inline constexpr std::uint32_t kContractHash = 0x0C68E535u;

inline constexpr std::uint16_t kMagic = 0xEB1Cu;
inline constexpr std::uint8_t kVersion = 1u;
inline constexpr std::uint16_t kDefaultUdpPort = 0x454Eu;
inline constexpr std::size_t kHeaderBytes = 22;
inline constexpr std::size_t kFirstPayloadByte = 64;  // of a whole Ethernet frame
inline constexpr std::size_t kUnitBytes = 64;
inline constexpr std::size_t kBlockBytes = 64;
inline constexpr std::size_t kSequenceBytes = 16;
inline constexpr std::size_t kFrameOverhead = 68;
inline constexpr std::size_t kMaxFrameBytes = 16384;  // longest frame, Ethernet header to CRC
inline constexpr std::size_t kCrcBytes = 4;
inline constexpr std::uint32_t kCrcPoly = 0x82F63B78u;  // CRC32C, reflected
inline constexpr std::uint32_t kCrcInit = 0xFFFFFFFFu;
inline constexpr std::uint32_t kCrcXorout = 0xFFFFFFFFu;

// What a frame asks for or answers.
enum class Opcode : std::uint8_t {
    PING = 1,  // request: are you there; answered by REPLY without vectors
    LOOKUP = 2,  // request: bags of keys; answered by REPLY, PARTIAL or ERROR
    REPLY = 3,  // reply: pooled, normalised vectors
    PARTIAL = 4,  // reply: an unnormalised fp32 (FIXED: int32) accumulator and its count
    ROWS = 5,  // request and reply: rows without pooling (reserved)
    UPDATE = 6,  // request: write rows; answered by ACK or ERROR
    ACK = 7,  // reply: an UPDATE, FILL, INVALIDATE or PREFETCH took effect
    FILL = 8,  // request: write rows and bring them into the cache; answered by ACK or ERROR
    INVALIDATE = 9,  // request: drop rows from the cache; answered by ACK or ERROR
    PREFETCH = 10,  // request: bring rows into the cache, hold or release them; answered by ACK
    MERGE = 11,  // request: a bag's keys and partials to be merged with them; answered by REPLY, PARTIAL or ERROR
    ACCUMULATE = 12,  // request: gradients, summed by row; answered by REPLY or ERROR
    TOPK = 13,  // request: scores, the best are kept; answered by REPLY or ERROR
    INTERACT = 14,  // request: dot products of samples' vectors; answered by REPLY or ERROR
    ERROR = 15,  // reply: the request was refused; see the status
};

// How a row is given; card memory holds all quantised layouts alike (see the payloads).
enum class DType : std::uint8_t {
    FP32 = 0,  // IEEE 754 binary32
    FP16 = 1,  // IEEE 754 binary16
    BF16 = 2,  // bfloat16
    INT8 = 3,  // uint8 elements q, then fp32 scale and bias; an element is scale * q + bias
    INT8_FRONT = 4,  // fp16 scale and bias, then uint8 elements
    INT4 = 5,  // fp16 scale and bias, then 4-bit elements, the first of a byte in its low half
    INT4_END = 6,  // 4-bit elements as INT4, then fp16 scale and bias
    FIXED = 7,  // int32 elements in units of 2**fixed_scale_exp of the table; the card answers unscaled int32
};

// Why a request was refused.
enum class Status : std::uint8_t {
    OK = 0,  // not refused
    BAD_REQUEST = 1,  // the frame contradicts itself: counts, lengths, flags
    UNKNOWN_TABLE = 2,  // no such table
    TABLE_MISMATCH = 3,  // the table's dim, dtype or pooling is not the frame's
    OUT_OF_RANGE = 4,  // a row number is not below the table's rows
    TOO_LARGE = 5,  // the reply or a vector exceeds what the card can hold
    UNSUPPORTED = 6,  // this card does not execute that
    MEMORY_ERROR = 7,  // card memory answered with an error, or not in time
    SNAPSHOT_GONE = 8,  // the snapshot named was retired
    CLIENTS_FULL = 9,  // no room to remember another updating client
    SEQUENCE_WINDOW = 10,  // the sequence number is too far ahead
    BUSY = 11,  // try again later: the card is quiesced
    REMOTE_ERROR = 12,  // the card that holds a row answered with an error, or not in time
    JOB_GONE = 13,  // the card does not have the job that this piece belongs to: begin it again
};

// How the rows of a bag become one vector.
enum class Pooling : std::uint8_t {
    SUM = 0,  // sum, weighted when the frame says so
    MEAN = 1,  // sum divided by the keys that contributed; by the host for FIXED
    MAX = 2,  // elementwise maximum
    NONE = 3,  // no pooling: the row of every key, zeros for a null key and the padding row
};

// The order of the additions; a partial or a mean is divided and rounded once, after the last of them.
enum class Order : std::uint8_t {
    SEQUENTIAL = 0,  // key order: acc = acc + row, from +0
    TREE = 1,  // the j-th key that counts goes to sum j mod k, k = 2**tree_k_log2; sums are then added pairwise
    SPLIT = 2,  // local rows in key order, then the owners' partials by ascending owner number
    MEMO = 3,  // as the plan's memo rows say
};

// What becomes of the lines of a PREFETCH or FILL; it stands in the header's first_bag.
enum class Hold : std::uint8_t {
    NONE = 0,  // brought into the cache, replaced like any other
    LOCK = 1,  // kept until they are looked up, updated or released
    PIN = 2,  // kept until they are released, through updates, too
    RELEASE = 3,  // PREFETCH only: nothing is fetched; neither locked nor pinned any more
};

// Why a received frame was dropped, one reason a frame; the value is the bit in evt_rx_drop.
enum class DropReason : std::uint8_t {
    NOT_OURS = 0,  // not untagged IPv4 UDP to our port with our magic
    MAC_ERROR = 1,  // the MAC marked the frame bad
    LENGTH = 2,  // truncated, lengths disagree, or payload not a multiple of 8
    IP_CHECKSUM = 3,  // the IPv4 header checksum is wrong
    VERSION = 4,  // another version of our header
    HEADER = 5,  // reserved flags set, or an opcode this side does not take
    CRC = 6,  // CRC32C over header and payload is wrong
    OVERLOAD = 7,  // no room
    TAG = 8,  // tag trailer, but the tenant has no key
};

// Bits of the header's flags.
inline constexpr std::uint8_t kFlagWeighted = 1u << 0;  // entries are 16 bytes: key, fp32 weight, zero
inline constexpr std::uint8_t kFlagTag = 1u << 1;  // an 8-byte SipHash-2-4 tag replaces the CRC
inline constexpr std::uint8_t kFlagAccumulator = 1u << 2;  // the payload begins with the running accumulator of a continued bag
inline constexpr std::uint8_t kFlagContinues = 1u << 3;  // the last bag continues in another frame
inline constexpr std::uint8_t kFlagFinal = 1u << 4;  // last frame of the reply
inline constexpr std::uint8_t kFlagPartialWanted = 1u << 5;  // answer with PARTIAL
inline constexpr std::uint8_t kFlagProduct = 1u << 6;  // the keys of a bag are pairs of two tables, whose rows are multiplied
inline constexpr std::uint8_t kFlagsReserved = 0x80;

// Byte offsets within our header; dtype is bits 3:0 and status bits 7:4 of their byte.
inline constexpr std::size_t kMagicOffset = 0;
inline constexpr std::size_t kVersionOffset = 2;
inline constexpr std::size_t kOpcodeOffset = 3;
inline constexpr std::size_t kFlagsOffset = 4;
inline constexpr std::size_t kDtypeStatusOffset = 5;
inline constexpr std::size_t kTenantOffset = 6;
inline constexpr std::size_t kRequestIdOffset = 8;
inline constexpr std::size_t kFirstBagOffset = 12;
inline constexpr std::size_t kBagsOffset = 14;
inline constexpr std::size_t kKeysOffset = 16;
inline constexpr std::size_t kDimOffset = 18;
inline constexpr std::size_t kSnapshotOffset = 20;

// A key, one little-endian 64-bit word.
inline constexpr std::size_t kKeyBytes = 8;
inline constexpr std::size_t kWeightedBytes = 16;  // key, fp32 weight, zero
inline constexpr std::uint64_t kNullRow = 0xFFFFFFFFFFFFu;
inline constexpr unsigned kKeyRowShift = 0;  // row within the table; all ones: a null key, contributes nothing
inline constexpr unsigned kKeyRowBits = 48;
inline constexpr unsigned kKeyTableShift = 48;  // table
inline constexpr unsigned kKeyTableBits = 15;
inline constexpr unsigned kKeyLastShift = 63;  // last key of its bag in this frame
inline constexpr unsigned kKeyLastBits = 1;

// A table descriptor: 4 little-endian 64-bit words; a field lies within one of them.
inline constexpr std::size_t kDescriptorWords = 4;
struct DescriptorField {
    unsigned word;
    unsigned shift;
    unsigned bits;
};
inline constexpr DescriptorField kDescriptorValid{ 0, 0, 1 };  // the table exists
inline constexpr DescriptorField kDescriptorDtype{ 0, 1, 4 };  // storage type
inline constexpr DescriptorField kDescriptorPooling{ 0, 5, 2 };  // pooling
inline constexpr DescriptorField kDescriptorHasPadding{ 0, 7, 1 };  // padding_row is skipped and not counted
inline constexpr DescriptorField kDescriptorMulThenAdd{ 0, 8, 1 };  // round weighted products, BF16 sums to even
inline constexpr DescriptorField kDescriptorDim{ 0, 16, 16 };  // elements of a row
inline constexpr DescriptorField kDescriptorOrder{ 0, 32, 2 };  // order of the additions
inline constexpr DescriptorField kDescriptorTreeKLog2{ 0, 34, 4 };  // log2 of a TREE's sums, 1 to 4; else 0
inline constexpr DescriptorField kDescriptorFixedScaleExp{ 0, 38, 8 };  // log2 of the unit of FIXED; else 0
inline constexpr DescriptorField kDescriptorRemote{ 0, 46, 1 };  // the rows live on another card, at base there
inline constexpr DescriptorField kDescriptorMemo{ 0, 47, 1 };  // rows are stored partial sums
inline constexpr DescriptorField kDescriptorOwner{ 0, 48, 8 };  // which owner holds the rows
inline constexpr DescriptorField kDescriptorGeneration{ 0, 56, 8 };  // changes whenever the table is replaced
inline constexpr DescriptorField kDescriptorBase{ 1, 0, 64 };  // row 0, a multiple of 64; bits 39:37: log2 of its channels
inline constexpr DescriptorField kDescriptorRows{ 2, 0, 64 };  // rows, at most 2**48 - 1
inline constexpr DescriptorField kDescriptorPaddingRow{ 3, 0, 64 };  // the row that is skipped when has_padding

// Whether a card takes the opcode as a request.
inline constexpr bool is_request(std::uint8_t opcode) noexcept {
    switch (static_cast<Opcode>(opcode)) {
    case Opcode::PING:
    case Opcode::LOOKUP:
    case Opcode::ROWS:
    case Opcode::UPDATE:
    case Opcode::FILL:
    case Opcode::INVALIDATE:
    case Opcode::PREFETCH:
    case Opcode::MERGE:
    case Opcode::ACCUMULATE:
    case Opcode::TOPK:
    case Opcode::INTERACT:
        return true;
    default:
        return false;
    }
}

}  // namespace embnic::wire

#endif  // EMBNIC_WIRE_HPP
