// SPDX-License-Identifier: Apache-2.0
// The C interface of the simulated HLS card and of the kernels; ctypes calls it.
#include <cstring>
#include <memory>

#include "bridge/card.hpp"
#include "bridge/kernels.hpp"

namespace {

using namespace embnic;
using bridge::Card;
using bridge::CardOf;
using Kernel = configs::Line100;  // kernels called without a card have its lanes
using Gradients = bridge::GradBridge<GradConfig<Kernel>>;

struct Knobs {
    std::uint32_t enable, quiesce, port, reply_units, cached_ways, admission;
};

}  // namespace

extern "C" {

std::uint32_t embnic_hls_abi() { return 1; }

const char* const* embnic_hls_counter_names(std::uint32_t* count) {
    *count = sizeof(bridge::kCounterNames) / sizeof(bridge::kCounterNames[0]);
    return bridge::kCounterNames;
}

Card* embnic_hls_card_create(std::uint32_t config_id) {
    switch (config_id) {
    case configs::Tiny::kId: return new CardOf<CoreConfig<configs::Tiny>>;
    case configs::Edge::kId: return new CardOf<CoreConfig<configs::Edge>>;
    case configs::Line100::kId: return new CardOf<CoreConfig<configs::Line100>>;
    default: return nullptr;
    }
}

void embnic_hls_card_destroy(Card* card) { delete card; }

void embnic_hls_card_configure(Card* card, const Knobs* knobs) {
    card->enable = knobs->enable != 0;
    card->quiesce = knobs->quiesce != 0;
    card->port = static_cast<std::uint16_t>(knobs->port);
    card->reply_units = knobs->reply_units < 2 ? 2 : knobs->reply_units;
    card->cache(knobs->cached_ways, knobs->admission != 0);
}

void embnic_hls_card_table(Card* card, std::uint32_t number, const std::uint64_t* words) { card->table(number, words); }

void embnic_hls_card_flush(Card* card) { card->flush(); }

void embnic_hls_card_resize(Card* card, std::uint64_t bytes) {
    if (bytes > card->memory.size()) card->memory.resize(bytes);
}

std::int32_t embnic_hls_card_memory(Card* card, std::int32_t write, std::uint64_t at, std::uint8_t* data, std::uint64_t bytes) {
    if (at > card->memory.size() || bytes > card->memory.size() - at) return 1;
    if (bytes == 0) return 0;
    if (write) {
        std::memcpy(card->memory.data() + at, data, bytes);
    } else {
        std::memcpy(data, card->memory.data() + at, bytes);
    }
    return 0;
}

void embnic_hls_card_push(Card* card, const std::uint8_t* data, const std::int64_t* offsets, std::uint64_t frames) {
    for (std::uint64_t at = 0; at < frames; at++) {
        card->receive(data + offsets[at], static_cast<std::size_t>(offsets[at + 1] - offsets[at]));
    }
}

std::uint64_t embnic_hls_card_waiting(Card* card, std::uint64_t most, std::uint64_t* bytes) {
    const std::uint64_t frames = card->sent.size() < most ? card->sent.size() : most;
    *bytes = 0;
    for (std::uint64_t at = 0; at < frames; at++) *bytes += card->sent[at].size();
    return frames;
}

void embnic_hls_card_pull(Card* card, std::uint64_t frames, std::uint8_t* data, std::int64_t* offsets) {
    std::int64_t at = 0;
    offsets[0] = 0;
    for (std::uint64_t frame = 0; frame < frames; frame++) {
        const bridge::Bytes& sent = card->sent.front();
        std::memcpy(data + at, sent.data(), sent.size());
        at += static_cast<std::int64_t>(sent.size());
        offsets[frame + 1] = at;
        card->sent.pop_front();
    }
}

void embnic_hls_card_counters(Card* card, std::uint64_t* out) { std::memcpy(out, &card->count, sizeof card->count); }

Gradients* embnic_hls_gradients_create() { return new Gradients; }

void embnic_hls_gradients_destroy(Gradients* gradients) { delete gradients; }

std::uint64_t embnic_hls_gradients_take(Gradients* gradients, std::uint32_t rule, std::uint32_t beats, std::uint32_t dim,
                                        std::uint32_t rate, std::uint32_t epsilon, const bridge::GradBatch* batch) {
    if (rule > static_cast<std::uint32_t>(GradRule::ADAGRAD)) return ~std::uint64_t{0};
    return gradients->take({static_cast<GradRule>(rule), beats, dim, rate, epsilon}, *batch);
}

std::uint32_t embnic_hls_gradients_give(Gradients* gradients, const bridge::GradBatch* batch, std::uint64_t rows) {
    return gradients->give(*batch, rows);
}

void embnic_hls_topk(const std::uint32_t* scores, std::uint64_t count, std::uint32_t k, std::uint64_t* ids, std::uint32_t* best) {
    bridge::topk<TopKConfig>(scores, count, k, ids, best);
}

std::int32_t embnic_hls_interact(const std::uint32_t* from, std::uint64_t samples, std::uint32_t vectors, std::uint32_t beats,
                                 std::uint32_t* out) {
    return bridge::interact<InteractConfig<Kernel>>(from, samples, vectors, beats, out) ? 0 : 1;
}

}  // extern "C"
