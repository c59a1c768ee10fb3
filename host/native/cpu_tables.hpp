// SPDX-License-Identifier: Apache-2.0
// The CPU backend's tables: loaded rows by name, and lookups into numpy arrays.
#ifndef EMBNIC_CPU_TABLES_HPP
#define EMBNIC_CPU_TABLES_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>

#include "cpu_form.hpp"
#include "cpu_memory.hpp"
#include "cpu_pool.hpp"
#include "cpu_request.hpp"

namespace embnic::cpu {

struct Entry {
    Rows rows;
    nanobind::object owner;  // the array that holds the rows
};

struct Call;

// The bags of a table in memory that the caller keeps: no array objects, nothing is copied.
struct Addresses {
    nanobind::handle name;
    std::uintptr_t ids;  // int64 [count]
    std::int64_t count;
    std::uintptr_t offsets;  // int64: where the bags start [bags]; `closed`: and where the last ends [bags + 1]
    std::int64_t bags;
    bool closed;
    std::uintptr_t weights;  // float [count], or 0
    std::uintptr_t out;      // [bags, dim] in the type of the table's results
};

class Tables {
public:
    Tables(Isa isa, unsigned threads);

    // Sets all rows of a table: uint8 [rows, pitch], C-contiguous; kept alive, not copied.
    void set(nanobind::str name, nanobind::object array, const Form &form, bool tuned);
    void drop(nanobind::str name);

    // Bags and results by table name; None where anything is not as it should be (the caller finds out what).
    nanobind::object lookup(nanobind::handle bags, nanobind::handle out);

    // The same for tuples of `Addresses`; false where anything is not as it should be.
    bool lookup_at(nanobind::handle parts);

    // Lookups, bags, keys and saturated additions since the start.
    std::vector<std::int64_t> counters() const { return {lookups_, bags_, keys_, saturations_}; }
    std::int64_t distance(nanobind::str name) const;
    Isa isa() const { return isa_; }
    unsigned threads() const { return pool_.threads(); }

private:
    const std::shared_ptr<Entry> *find(nanobind::handle name) const;
    bool add(Call &call, nanobind::handle name, nanobind::handle bags) const;
    bool add_at(Call &call, const Addresses &given) const;
    bool run(Call &call);
    bool give_results(Call &call, nanobind::handle given);
    bool take_result(Call &call, std::size_t at, nanobind::handle given) const;
    nanobind::object make_result(std::size_t rows, const Rows &form, nanobind::handle block, std::size_t at) const;

    Isa isa_;
    Pool pool_;
    nanobind::dict slots_;  // name -> index into entries_
    std::vector<std::shared_ptr<Entry>> entries_;
    std::shared_ptr<OutputArena> outputs_ = std::make_shared<OutputArena>();
    nanobind::object empty_, array_type_, float32_, float16_, uint16_;  // numpy's
    std::int64_t lookups_ = 0, bags_ = 0, keys_ = 0, saturations_ = 0;  // changed under the interpreter's lock
};

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_TABLES_HPP
