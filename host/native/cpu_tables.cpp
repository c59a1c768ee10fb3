// SPDX-License-Identifier: Apache-2.0
// Lookups go through the C interface of Python: a call of eight tables must not cost more than their rows.
#include "cpu_tables.hpp"

#include <cstring>
#include <utility>

#include <nanobind/ndarray.h>

namespace nb = nanobind;

namespace embnic::cpu {
namespace {

constexpr std::int64_t kUnlockBytes = 64 << 10;       // a shorter call keeps the interpreter's lock
constexpr std::size_t kArenaBytes = std::size_t{256} << 10;  // smaller results come from numpy.empty

// The attributes of embnic.bags.TableBags.
struct Names {
    PyObject *values = PyUnicode_InternFromString("values");
    PyObject *offsets = PyUnicode_InternFromString("offsets");
    PyObject *weights = PyUnicode_InternFromString("weights");
};

const Names &names() {
    static const Names *const kept = new Names();  // never freed: the interpreter may be gone before it
    return *kept;
}

// Borrowed buffers of numpy arrays, given back at the end.
class Buffers {
public:
    ~Buffers() { clear(); }
    void clear() {
        for (auto &held : held_) PyBuffer_Release(&held);
        held_.clear();
    }
    // A C-contiguous array of `dims` dimensions whose elements have this format; null if it is anything else.
    const Py_buffer *take(PyObject *array, int dims, char format, bool writable) {
        Py_buffer view;
        const int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(array, &view, flags) != 0) {
            PyErr_Clear();
            return nullptr;
        }
        const char *code = view.format == nullptr ? "B" : view.format;
        if (code[0] == '=') ++code;  // an array that is not aligned
        const bool same = code[0] == format || (format == 'l' && code[0] == 'q' && view.itemsize == 8);
        const bool aligned = writable || reinterpret_cast<std::uintptr_t>(view.buf) % view.itemsize == 0;
        if (view.ndim != dims || code[1] != '\0' || !same || !aligned || (format == 'l' && view.itemsize != 8)) {
            PyBuffer_Release(&view);
            return nullptr;
        }
        held_.push_back(view);
        return &held_.back();
    }

private:
    std::vector<Py_buffer> held_;
};

}  // namespace

// What a lookup needs; kept from one to the next so that none allocates.
struct Call {
    Scratch scratch;
    Buffers buffers;
    std::vector<std::shared_ptr<Entry>> entries;
    std::vector<PyObject *> names;  // borrowed from the bags
    std::vector<nb::object> results;
    std::vector<std::vector<std::int64_t>> ends;  // offsets that had to be copied
    std::int64_t bags = 0;

    void clear() {
        bags = 0;
        ends.clear();
        buffers.clear();
        scratch.parts.clear();
        entries.clear();
        names.clear();
        results.clear();
    }
};

namespace {

// One for each thread; a lookup that a finaliser makes inside another one finds none and makes its own.
thread_local std::unique_ptr<Call> spare;

struct Borrowed {
    std::unique_ptr<Call> call;
    Borrowed() : call(spare ? std::move(spare) : std::make_unique<Call>()) {}
    ~Borrowed() {
        call->clear();
        spare = std::move(call);
    }
};

// A block of results; goes back to the arena when the last array in it is gone.
struct Lease {
    std::shared_ptr<OutputArena> arena;
    OutputArena::Block block;
    ~Lease() { arena->give_back(std::move(block)); }
};

char format_of(const Rows &rows) { return rows.result_bytes == 4 ? 'f' : (rows.half_float ? 'e' : 'H'); }

}  // namespace

Tables::Tables(Isa isa, unsigned threads) : isa_(isa), pool_(threads) {
    const nb::object numpy = nb::module_::import_("numpy");
    empty_ = numpy.attr("empty");
    array_type_ = numpy.attr("ndarray");
    const nb::object dtype = numpy.attr("dtype");
    float32_ = dtype("<f4");
    float16_ = dtype("<f2");
    uint16_ = dtype("<u2");
}

void Tables::set(nb::str name, nb::object array, const Form &form, bool tuned) {
    Buffers buffers;
    const Py_buffer *const view = buffers.take(array.ptr(), 2, 'B', false);
    if (view == nullptr) throw nb::value_error("the rows are no C-contiguous uint8 [rows, bytes]");
    auto entry = std::make_shared<Entry>();
    entry->rows = make_rows(form, view->shape[1], isa_);
    entry->rows.data = static_cast<const std::uint8_t *>(view->buf);
    entry->rows.rows = view->shape[0];
    entry->owner = std::move(array);
    if (tuned && entry->rows.rows > 0) {
        const nb::gil_scoped_release unlocked;
        tune(entry->rows);
    }
    if (slots_.contains(name)) {
        entries_[nb::cast<std::size_t>(slots_[name])] = std::move(entry);
        return;
    }
    slots_[name] = entries_.size();
    entries_.push_back(std::move(entry));
}

void Tables::drop(nb::str name) {
    if (slots_.contains(name)) entries_[nb::cast<std::size_t>(slots_[name])].reset();
}

const std::shared_ptr<Entry> *Tables::find(nb::handle name) const {
    PyObject *const slot = PyDict_GetItemWithError(slots_.ptr(), name.ptr());
    if (slot == nullptr) {
        PyErr_Clear();
        return nullptr;
    }
    const auto &entry = entries_[PyLong_AsSize_t(slot)];
    return entry == nullptr ? nullptr : &entry;
}

std::int64_t Tables::distance(nb::str name) const {
    const auto *const entry = find(name);
    if (entry == nullptr) throw nb::key_error("no such table");
    return (*entry)->rows.distance;
}

bool Tables::add(Call &call, nb::handle name, nb::handle bags) const {
    const auto *const entry = find(name);
    if (entry == nullptr) return false;
    const Rows &rows = (*entry)->rows;
    const auto array_of = [&](PyObject *attribute) {
        PyObject *const found = PyObject_GetAttr(bags.ptr(), attribute);
        if (found == nullptr) PyErr_Clear();
        return nb::steal(found);  // the bags keep it alive
    };
    const nb::object values = array_of(names().values), offsets = array_of(names().offsets),
                     weights = array_of(names().weights);
    if (!values.is_valid() || !offsets.is_valid() || !weights.is_valid()) return false;
    Part part;
    part.rows = &rows;
    const Py_buffer *view = call.buffers.take(values.ptr(), 1, 'l', false);
    if (view == nullptr) return false;
    part.ids = static_cast<const std::int64_t *>(view->buf);
    part.count = view->shape[0];
    view = call.buffers.take(offsets.ptr(), 1, 'l', false);
    if (view == nullptr || view->shape[0] < 1) return false;
    call.bags += view->shape[0] - 1;
    if (rows.unpooled) {
        part.bags = part.count;
    } else {
        part.offsets = static_cast<const std::int64_t *>(view->buf);
        part.bags = view->shape[0] - 1;
    }
    if (!weights.is_none()) {
        if (!rows.weighable) return false;
        view = call.buffers.take(weights.ptr(), 1, 'f', false);
        if (view == nullptr || view->shape[0] != part.count) return false;
        part.weights = static_cast<const float *>(view->buf);
    }
    call.scratch.parts.push_back(part);
    call.entries.push_back(*entry);
    call.names.push_back(name.ptr());
    return true;
}

nb::object Tables::make_result(std::size_t bags, const Rows &form, nb::handle block, std::size_t at) const {
    const nb::object &dtype = form.result_bytes == 4 ? float32_ : (form.half_float ? float16_ : uint16_);
    const nb::object shape = nb::steal(Py_BuildValue("(nn)", static_cast<Py_ssize_t>(bags),
                                                     static_cast<Py_ssize_t>(form.dim)));
    if (!block.is_valid()) {
        PyObject *const args[] = {shape.ptr(), dtype.ptr()};
        return nb::steal(PyObject_Vectorcall(empty_.ptr(), args, 2, nullptr));
    }
    const nb::object offset = nb::steal(PyLong_FromSize_t(at));
    PyObject *const args[] = {shape.ptr(), dtype.ptr(), block.ptr(), offset.ptr()};
    return nb::steal(PyObject_Vectorcall(array_type_.ptr(), args, 4, nullptr));
}

bool Tables::take_result(Call &call, std::size_t at, nb::handle given) const {
    Part &part = call.scratch.parts[at];
    const Py_buffer *const view = call.buffers.take(given.ptr(), 2, format_of(*part.rows), true);
    if (view == nullptr || view->shape[0] != part.bags || view->shape[1] != part.rows->dim) return false;
    part.out = static_cast<std::uint8_t *>(view->buf);
    return true;
}

bool Tables::give_results(Call &call, nb::handle given) {
    constexpr std::size_t kAlign = 64;
    auto &parts = call.scratch.parts;
    const auto bytes = [&](const Part &part) {
        const auto exact = static_cast<std::size_t>(part.bags * part.rows->dim * part.rows->result_bytes);
        return (exact + kAlign - 1) / kAlign * kAlign;
    };
    std::size_t total = 0, used = 0;
    for (std::size_t at = 0; at < parts.size(); ++at) {
        PyObject *const found = given.is_none() ? nullptr : PyDict_GetItemWithError(given.ptr(), call.names[at]);
        call.results.push_back(nb::borrow(found));
        if (found == nullptr) total += bytes(parts[at]);
        else ++used;
    }
    if (!given.is_none() && used != static_cast<std::size_t>(PyDict_Size(given.ptr()))) return false;
    nb::object block;
    if (total >= kArenaBytes) {
        OutputArena::Block mapping = outputs_->take(total);
        std::uint8_t *const data = mapping->data();
        const nb::capsule owner(new Lease{outputs_, std::move(mapping)},
                                [](void *p) noexcept { delete static_cast<Lease *>(p); });
        block = nb::cast(nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>(data, {total}, owner));
    }
    std::size_t next = 0;
    for (std::size_t at = 0; at < parts.size(); ++at) {
        if (!call.results[at].is_valid()) {
            call.results[at] = make_result(static_cast<std::size_t>(parts[at].bags), *parts[at].rows, block, next);
            if (!call.results[at].is_valid()) throw nb::python_error();
            next += bytes(parts[at]);
        }
        if (!take_result(call, at, call.results[at])) return false;
    }
    return true;
}

bool Tables::run(Call &call) {
    const std::int64_t bytes = bytes_of(call.scratch.parts);
    Outcome outcome;
    if (bytes < kUnlockBytes) {
        outcome = answer(call.scratch, nullptr, bytes);
    } else {
        const nb::gil_scoped_release unlocked;
        outcome = answer(call.scratch, &pool_, bytes);
    }
    if (!outcome.good) return false;
    ++lookups_;
    saturations_ += outcome.saturated;
    for (const Part &part : call.scratch.parts) keys_ += part.count;
    bags_ += call.bags;
    return true;
}

bool Tables::add_at(Call &call, const Addresses &given) const {
    const auto *const entry = find(given.name);
    if (entry == nullptr || given.count < 0 || given.bags < 0) return false;
    const Rows &rows = (*entry)->rows;
    if (rows.unpooled || (given.weights != 0 && !rows.weighable)) return false;
    Part part;
    part.rows = &rows;
    part.ids = reinterpret_cast<const std::int64_t *>(given.ids);
    part.count = given.count;
    part.offsets = reinterpret_cast<const std::int64_t *>(given.offsets);
    part.bags = given.bags;
    if (!given.closed) {
        auto &ends = call.ends.emplace_back(part.offsets, part.offsets + given.bags);
        ends.push_back(given.count);
        part.offsets = ends.data();
    }
    part.weights = reinterpret_cast<const float *>(given.weights);
    part.out = reinterpret_cast<std::uint8_t *>(given.out);
    call.scratch.parts.push_back(part);
    call.entries.push_back(*entry);
    call.bags += given.bags;
    return true;
}

bool Tables::lookup_at(nb::handle parts) {
    const Borrowed borrowed;
    Call &call = *borrowed.call;
    for (const nb::handle part : nb::cast<nb::sequence>(parts)) {
        const auto given = nb::cast<nb::tuple>(part);
        if (given.size() != 8) throw nb::value_error("a part has eight elements");
        const Addresses addresses{given[0],
                                  nb::cast<std::uintptr_t>(given[1]),
                                  nb::cast<std::int64_t>(given[2]),
                                  nb::cast<std::uintptr_t>(given[3]),
                                  nb::cast<std::int64_t>(given[4]),
                                  nb::cast<bool>(given[5]),
                                  nb::cast<std::uintptr_t>(given[6]),
                                  nb::cast<std::uintptr_t>(given[7])};
        if (!add_at(call, addresses)) return false;
    }
    return run(call);
}

nb::object Tables::lookup(nb::handle bags, nb::handle out) {
    if (!PyDict_CheckExact(bags.ptr()) || !(out.is_none() || PyDict_CheckExact(out.ptr()))) return nb::none();
    const Borrowed borrowed;
    Call &call = *borrowed.call;
    PyObject *name = nullptr, *part = nullptr;
    for (Py_ssize_t position = 0; PyDict_Next(bags.ptr(), &position, &name, &part);) {
        if (!add(call, name, part)) return nb::none();
    }
    if (!give_results(call, out)) return nb::none();
    if (!run(call)) return nb::none();
    nb::dict pooled;
    for (std::size_t at = 0; at < call.names.size(); ++at) {
        if (PyDict_SetItem(pooled.ptr(), call.names[at], call.results[at].ptr()) != 0) throw nb::python_error();
    }
    return pooled;
}

}  // namespace embnic::cpu
