// SPDX-License-Identifier: Apache-2.0
#include "cpu_pool.hpp"

#include <chrono>
#include <system_error>

namespace embnic::cpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(20);  // before a thread sleeps or yields

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

Pool::~Pool() {
    {
        const std::lock_guard<std::mutex> held(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    for (auto &helper : helpers_) helper.join();
}

void Pool::start(unsigned helpers) {
    try {
        while (helpers_.size() < helpers) helpers_.emplace_back([this] { help(); });
    } catch (const std::system_error &) {  // no more threads: the caller works with those that are there
    }
}

void Pool::run(Work work, void *job, std::size_t chunks, unsigned helpers) {
    helpers = helpers < threads_ ? helpers : threads_ - 1;
    std::unique_lock<std::mutex> owner(owner_, std::defer_lock);
    if (helpers == 0 || chunks < 2 || !owner.try_lock()) {
        for (std::size_t chunk = 0; chunk < chunks; ++chunk) work(job, chunk);
        return;
    }
    start(helpers);
    {
        const std::lock_guard<std::mutex> held(mutex_);
        work_ = work;
        job_ = job;
        chunks_ = chunks;
        next_.store(0, std::memory_order_relaxed);
        wanted_ = helpers;
        ++job_number_;
    }
    if (helpers == 1) wake_.notify_one();
    else wake_.notify_all();
    for (std::size_t chunk; (chunk = next_.fetch_add(1)) < chunks;) work(job, chunk);
    {
        const std::lock_guard<std::mutex> held(mutex_);
        wanted_ = 0;  // who did not come yet need not
    }
    const auto spin_until = Clock::now() + kSpin;
    while (inside_.load(std::memory_order_acquire) != 0) {
        if (Clock::now() < spin_until) relax();
        else std::this_thread::yield();
    }
}

void Pool::help() {
    std::uint64_t seen = 0;
    std::unique_lock<std::mutex> held(mutex_);
    while (true) {
        wake_.wait(held, [&] { return closing_ || (wanted_ != 0 && job_number_ != seen); });
        if (closing_) return;
        seen = job_number_;
        --wanted_;
        inside_.fetch_add(1, std::memory_order_relaxed);  // under the mutex: the owner sees it or closed the job
        const Work work = work_;
        void *const job = job_;
        const std::size_t chunks = chunks_;
        held.unlock();
        for (std::size_t chunk; (chunk = next_.fetch_add(1)) < chunks;) work(job, chunk);
        inside_.fetch_sub(1, std::memory_order_release);
        held.lock();
    }
}

}  // namespace embnic::cpu
