// SPDX-License-Identifier: Apache-2.0
// Helper threads for one job at a time, in which the caller takes part. No barrier: a helper that the system does not run
// takes no chunk, and the caller does the work. (An OpenMP barrier waits a scheduler's tick for it, 8 ms.)
#ifndef EMBNIC_CPU_POOL_HPP
#define EMBNIC_CPU_POOL_HPP

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace embnic::cpu {

class Pool {
public:
    using Work = void (*)(void *job, std::size_t chunk);

    // `threads` count the caller; helpers start with the first job that wants them.
    explicit Pool(unsigned threads) : threads_(threads == 0 ? 1 : threads) {}
    ~Pool();
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    unsigned threads() const noexcept { return threads_; }

    // Runs `work(job, chunk)` for every chunk, with up to `helpers` helpers; returns when all are done. While another
    // caller has the helpers, this one works alone. `work` must not throw.
    void run(Work work, void *job, std::size_t chunks, unsigned helpers);

private:
    void help();
    void start(unsigned helpers);

    unsigned threads_;
    std::mutex owner_;  // held by the caller that has the helpers
    std::mutex mutex_;  // of everything below
    std::condition_variable wake_;
    std::vector<std::thread> helpers_;
    std::uint64_t job_number_ = 0;
    unsigned wanted_ = 0;  // helpers that may still join the job
    bool closing_ = false;
    Work work_ = nullptr;
    void *job_ = nullptr;
    std::size_t chunks_ = 0;
    std::atomic<std::size_t> next_{0};    // chunk to be taken
    std::atomic<unsigned> inside_{0};     // helpers that are in the job
};

}  // namespace embnic::cpu

#endif  // EMBNIC_CPU_POOL_HPP
