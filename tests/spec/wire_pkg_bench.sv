// SPDX-License-Identifier: Apache-2.0
// Shows what the functions of embnic_wire_pkg make of bytes: combinational, for test_vectors.py.
`default_nettype none
module wire_pkg_bench
    import embnic_wire_pkg::*;
(
    input  wire logic [8*HEADER_BYTES-1:0] header_in,    // our header, first byte in bits 7:0
    output      logic [15:0]               magic,
    output      logic [7:0]                version,
    output      logic [7:0]                opcode,
    output      logic [7:0]                flags,
    output      logic [3:0]                dtype,
    output      logic [3:0]                status,
    output      logic [15:0]               tenant,
    output      logic [31:0]               request_id,
    output      logic [15:0]               first_bag,
    output      logic [15:0]               bags,
    output      logic [15:0]               keys,
    output      logic [15:0]               dim,
    output      logic [15:0]               snapshot,
    output      logic [8*HEADER_BYTES-1:0] header_out,   // written again
    input  wire logic [63:0]               key_in,
    output      logic                      key_last,
    output      logic [14:0]               key_tbl,
    output      logic [47:0]               key_row,
    output      logic                      key_null,
    input  wire logic [255:0]              words_in,     // a descriptor, word 0 in bits 31:0
    output      logic [255:0]              words_out     // written again
);
    header_t hdr;
    key_t    key;

    assign hdr        = header_from_bytes(header_in);
    assign header_out = header_to_bytes(hdr);
    assign magic      = hdr.magic;
    assign version    = hdr.version;
    assign opcode     = hdr.opcode;
    assign flags      = hdr.flags;
    assign dtype      = hdr.dtype;
    assign status     = hdr.status;
    assign tenant     = hdr.tenant;
    assign request_id = hdr.request_id;
    assign first_bag  = hdr.first_bag;
    assign bags       = hdr.bags;
    assign keys       = hdr.keys;
    assign dim        = hdr.dim;
    assign snapshot   = hdr.snapshot;
    assign key        = key_t'(key_in);
    assign key_last   = key.last;
    assign key_tbl    = key.tbl;
    assign key_row    = key.row;
    assign key_null   = row_is_null(key.row);
    assign words_out  = descriptor_to_words(descriptor_from_words(words_in));
endmodule
`default_nettype wire
