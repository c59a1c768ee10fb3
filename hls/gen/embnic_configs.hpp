// SPDX-License-Identifier: Apache-2.0
// The named configurations. Generated from spec/configs.toml by spec/generate.py. Do not edit.
#ifndef EMBNIC_CONFIGS_HPP
#define EMBNIC_CONFIGS_HPP

namespace embnic::configs {

// small enough to reach every corner in tests
struct Tiny {
    static constexpr unsigned kId = 1;
    static constexpr unsigned DATA_W = 128;
    static constexpr unsigned SLOTS = 4;
    static constexpr unsigned MAX_VEC64 = 8;
    static constexpr unsigned TREE_K = 8;
    static constexpr unsigned PRODUCTS = 1;
    static constexpr unsigned COMPUTE = 1;
    static constexpr unsigned LINE_BYTES = 64;
    static constexpr unsigned WAYS = 2;
    static constexpr unsigned SETS = 8;
    static constexpr unsigned FETCHES = 4;
    static constexpr unsigned MAX_BURST = 2;
    static constexpr unsigned REMOTE_FETCHES = 16;
    static constexpr unsigned REMOTE_SLOTS = 2;
    static constexpr unsigned OPQ_DEPTH = 32;
    static constexpr unsigned KS_BEATS = 512;
    static constexpr unsigned RX_FRAMES = 8;
    static constexpr unsigned RSP_BEATS = 512;
    static constexpr unsigned CTXS = 4;
    static constexpr unsigned TABLES = 8;
    static constexpr unsigned CLIENTS = 2;
    static constexpr unsigned CACHE_STYLE = 0;
    static constexpr unsigned BUF_STYLE = 0;
    static constexpr unsigned CHANNELS = 2;
    static constexpr unsigned GENERATOR = 1;
    static constexpr unsigned ECC = 1;
};

// 10 Gb/s at 78 MHz: four fp32 lanes, block RAM cache
struct Edge {
    static constexpr unsigned kId = 2;
    static constexpr unsigned DATA_W = 128;
    static constexpr unsigned SLOTS = 16;
    static constexpr unsigned MAX_VEC64 = 16;
    static constexpr unsigned TREE_K = 0;
    static constexpr unsigned PRODUCTS = 0;
    static constexpr unsigned COMPUTE = 0;
    static constexpr unsigned LINE_BYTES = 256;
    static constexpr unsigned WAYS = 4;
    static constexpr unsigned SETS = 128;
    static constexpr unsigned FETCHES = 16;
    static constexpr unsigned MAX_BURST = 256;
    static constexpr unsigned REMOTE_FETCHES = 0;
    static constexpr unsigned REMOTE_SLOTS = 0;
    static constexpr unsigned OPQ_DEPTH = 128;
    static constexpr unsigned KS_BEATS = 1024;
    static constexpr unsigned RX_FRAMES = 16;
    static constexpr unsigned RSP_BEATS = 1024;
    static constexpr unsigned CTXS = 16;
    static constexpr unsigned TABLES = 64;
    static constexpr unsigned CLIENTS = 4;
    static constexpr unsigned CACHE_STYLE = 2;
    static constexpr unsigned BUF_STYLE = 2;
    static constexpr unsigned CHANNELS = 1;
    static constexpr unsigned GENERATOR = 0;
    static constexpr unsigned ECC = 0;
};

// 100 Gb/s at 250 MHz: sixteen fp32 lanes, ultra RAM cache
struct Line100 {
    static constexpr unsigned kId = 3;
    static constexpr unsigned DATA_W = 512;
    static constexpr unsigned SLOTS = 32;
    static constexpr unsigned MAX_VEC64 = 64;
    static constexpr unsigned TREE_K = 16;
    static constexpr unsigned PRODUCTS = 1;
    static constexpr unsigned COMPUTE = 0;
    static constexpr unsigned LINE_BYTES = 256;
    static constexpr unsigned WAYS = 4;
    static constexpr unsigned SETS = 1024;
    static constexpr unsigned FETCHES = 128;
    static constexpr unsigned MAX_BURST = 16;
    static constexpr unsigned REMOTE_FETCHES = 1280;
    static constexpr unsigned REMOTE_SLOTS = 20;
    static constexpr unsigned OPQ_DEPTH = 2048;
    static constexpr unsigned KS_BEATS = 1024;
    static constexpr unsigned RX_FRAMES = 32;
    static constexpr unsigned RSP_BEATS = 2048;
    static constexpr unsigned CTXS = 32;
    static constexpr unsigned TABLES = 256;
    static constexpr unsigned CLIENTS = 8;
    static constexpr unsigned CACHE_STYLE = 3;
    static constexpr unsigned BUF_STYLE = 2;
    static constexpr unsigned CHANNELS = 1;
    static constexpr unsigned GENERATOR = 1;
    static constexpr unsigned ECC = 1;
};

// the smallest: fits an ECP5-85F beside 256 KB of its own block RAM as card memory
struct Mini {
    static constexpr unsigned kId = 4;
    static constexpr unsigned DATA_W = 128;
    static constexpr unsigned SLOTS = 4;
    static constexpr unsigned MAX_VEC64 = 4;
    static constexpr unsigned TREE_K = 0;
    static constexpr unsigned PRODUCTS = 0;
    static constexpr unsigned COMPUTE = 0;
    static constexpr unsigned LINE_BYTES = 64;
    static constexpr unsigned WAYS = 2;
    static constexpr unsigned SETS = 64;
    static constexpr unsigned FETCHES = 4;
    static constexpr unsigned MAX_BURST = 4;
    static constexpr unsigned REMOTE_FETCHES = 0;
    static constexpr unsigned REMOTE_SLOTS = 0;
    static constexpr unsigned OPQ_DEPTH = 16;
    static constexpr unsigned KS_BEATS = 512;
    static constexpr unsigned RX_FRAMES = 4;
    static constexpr unsigned RSP_BEATS = 256;
    static constexpr unsigned CTXS = 4;
    static constexpr unsigned TABLES = 8;
    static constexpr unsigned CLIENTS = 2;
    static constexpr unsigned CACHE_STYLE = 2;
    static constexpr unsigned BUF_STYLE = 2;
    static constexpr unsigned CHANNELS = 1;
    static constexpr unsigned GENERATOR = 0;
    static constexpr unsigned ECC = 0;
};

}  // namespace embnic::configs

#endif  // EMBNIC_CONFIGS_HPP
