// SPDX-License-Identifier: Apache-2.0
#include "cpu_form.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "gen/embnic_wire.hpp"

namespace embnic::cpu {
namespace {

using wire::DType;
using wire::Pooling;

struct Layout {
    Kind kind;
    int bits;             // of an element
    std::int64_t affine;  // bytes of scale and bias
    bool front;           // they stand before the elements
};

Layout layout_of(DType dtype) {
    switch (dtype) {
        case DType::FP32: return {Kind::f32, 32, 0, false};
        case DType::FP16: return {Kind::f16, 16, 0, false};
        case DType::BF16: return {Kind::bf16, 16, 0, false};
        case DType::INT8: return {Kind::q8, 8, 8, false};
        case DType::INT8_FRONT: return {Kind::q8, 8, 4, true};
        case DType::INT4: return {Kind::q4, 4, 4, true};
        case DType::INT4_END: return {Kind::q4, 4, 4, false};
        case DType::FIXED: return {Kind::i32, 32, 0, false};
    }
    throw std::invalid_argument("the dtype code is not known");
}

Step plain_step(Kind kind, Pooling pooling) {
    if (pooling == Pooling::NONE && (kind == Kind::f32 || kind == Kind::f16 || kind == Kind::bf16)) return Step::copy;
    if (pooling == Pooling::MAX || pooling == Pooling::NONE) return Step::max;
    return Step::add;
}

}  // namespace

std::int64_t default_distance(std::int64_t pitch) {
    const std::int64_t touched = pitch % kLine == 0 ? pitch : (pitch / kLine + 1) * kLine;
    return std::clamp<std::int64_t>((12 << 10) / touched, 16, 128);
}

Rows make_rows(const Form &form, std::int64_t pitch, Isa isa) {
    const auto dtype = static_cast<DType>(form.dtype);
    const auto pooling = static_cast<Pooling>(form.pooling);
    const Layout layout = layout_of(dtype);
    if (form.pooling < 0 || form.pooling > static_cast<int>(Pooling::NONE)) {
        throw std::invalid_argument("the pooling code is not known");
    }
    const std::int64_t elements = (form.dim * layout.bits + 7) / 8;
    if (form.dim < 1 || pitch != elements + layout.affine) throw std::invalid_argument("rows have the wrong length");
    const bool half = layout.kind == Kind::f16 || layout.kind == Kind::bf16;
    Rows rows;
    rows.dim = form.dim;
    rows.pitch = pitch;
    rows.padding = form.padding;
    rows.distance = default_distance(pitch);
    rows.elements_at = layout.front ? layout.affine : 0;
    rows.affine_at = layout.front ? 0 : elements;
    rows.half_affine = layout.affine == 4;
    rows.mean = pooling == Pooling::MEAN;
    rows.ties_up = dtype == DType::BF16 && !form.mul_then_add;
    rows.unpooled = pooling == Pooling::NONE;
    rows.weighable = pooling == Pooling::SUM && dtype != DType::FIXED;
    rows.unit = dtype == DType::FIXED ? std::ldexp(1.0f, form.scale_exp) : 1.0f;
    rows.result_bytes = half ? 2 : 4;
    rows.half_float = dtype == DType::FP16;
    rows.plain = find_kernel(isa, layout.kind, plain_step(layout.kind, pooling), form.dim);
    if (rows.weighable) {
        const Step product = form.mul_then_add ? Step::mul_then_add : Step::fused;
        rows.weighted = find_kernel(isa, layout.kind, layout.affine != 0 ? Step::add : product, form.dim);
    }
    return rows;
}

}  // namespace embnic::cpu
