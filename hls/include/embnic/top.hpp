// SPDX-License-Identifier: Apache-2.0
// What the synthesis tops share: the configuration that they are built in.
#ifndef EMBNIC_TOP_HPP
#define EMBNIC_TOP_HPP

#include "embnic/config.hpp"

namespace embnic {

using TopNamed = configs::Line100;
using TopConfig = CoreConfig<TopNamed>;

}  // namespace embnic

#endif  // EMBNIC_TOP_HPP
