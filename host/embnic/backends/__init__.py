# SPDX-License-Identifier: Apache-2.0
"""Execute lookups: one file a backend, all behind the `Backend` Protocol of `base`."""
