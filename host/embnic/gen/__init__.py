# SPDX-License-Identifier: Apache-2.0
"""Generated copies of the contract. Written by spec/generate.py; do not edit."""
