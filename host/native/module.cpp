// SPDX-License-Identifier: Apache-2.0
// embnic._native: what the host package does in C++. Everything here has a numpy twin that answers without it.
#include <nanobind/nanobind.h>

void bind_bags(nanobind::module_ &m);
void bind_cpu(nanobind::module_ &m);
void bind_codec(nanobind::module_ &m);
void bind_model(nanobind::module_ &m);

NB_MODULE(_native, m) {
    m.doc() = "Native code of embnic; use it through the Python modules.";
    bind_bags(m);
    bind_cpu(m);
    bind_codec(m);
    bind_model(m);
}
