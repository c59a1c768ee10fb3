// SPDX-License-Identifier: Apache-2.0
// Keeps the operations of each line in order and lets all others pass each other.
//
// Two counts are kept of every line: fills and reads. One pair counts what the tag stage issued, in
// its order, and stamps each operation with the counts before it. The other counts what was done.
// A read may go when all fills issued before it are done; a fill when all reads and all fills issued
// before it are done. So a read sees exactly the fill that it was looked up behind, a fill never
// overwrites what an older read still needs, and reads of one line go in any order. Whatever an
// operation waits for is older than it in the order of the tag stage: the oldest never waits.
//
// Counts are modulo the number of places, PLACES: an operation lacks at most what the other places
// hold, so equality of counts is equality of numbers.
//
// Order       of issues as given; checks see every read that passed before them. A fill is seen by
//             checks that begin a cycle or more after filled_valid.
// Latency     1 cycle from issue_valid to the stamp; check_line one cycle before check_valid.
// Throughput  one issue, one check and one fill per cycle.
// Wake        every change of a done count is told on wake_*, at the latest 3 cycles after the last
//             check that did not see it.
// Reset       clears all counts, LINES cycles (sts_clearing).
`default_nettype none
`include "embnic_assert.svh"
module embnic_cache_order
    import embnic_cache_pkg::*;
#(
    parameter int unsigned LINES  = 4096, // lines; power of two, >= 2
    parameter int unsigned PLACES = 512   // operations between issue and completion; power of two, 2 .. 2,048
) (
    input  wire logic               clk,
    input  wire logic               rst,
    input  wire logic               issue_valid,
    input  wire logic [LINE_W-1:0]  issue_line,
    input  wire logic               issue_fill,         // a fill, else a read
    output      logic [STAMP_W-1:0] stamp_fills,        // one cycle after issue_valid: issued before it
    output      logic [STAMP_W-1:0] stamp_reads,
    output      logic               stamp_joins,        // a fill issued before it was not done when it was issued
    input  wire logic [LINE_W-1:0]  check_line,         // one cycle before check_valid
    input  wire logic               check_valid,
    input  wire logic               check_fill,
    input  wire logic [STAMP_W-1:0] check_fills,        // the operation's stamps
    input  wire logic [STAMP_W-1:0] check_reads,
    output      logic               check_pass,         // combinational; a read that passes is counted as done
    output      logic               check_lacks_fills,  // it waits for a fill, else for reads
    input  wire logic               filled_valid,       // a fill is done
    input  wire logic [LINE_W-1:0]  filled_line,
    input  wire logic [STAMP_W-1:0] filled_fills,       // its stamp
    output      logic               wake_read_valid,    // a read of the line is done: so many are now
    output      logic [LINE_W-1:0]  wake_read_line,
    output      logic [STAMP_W-1:0] wake_read_count,
    output      logic               wake_fill_valid,    // a fill of the line is done: so many are now
    output      logic [LINE_W-1:0]  wake_fill_line,
    output      logic [STAMP_W-1:0] wake_fill_count,
    output      logic               sts_clearing
);
    if (LINES < 2 || LINES > (1 << LINE_W) || (LINES & (LINES - 1)) != 0) begin : gen_bad_lines
        $fatal(1, "LINES must be a power of two, 2 to 65,536");
    end
    if (PLACES < 2 || PLACES > (1 << PLACE_W) || (PLACES & (PLACES - 1)) != 0) begin : gen_bad_places
        $fatal(1, "PLACES must be a power of two, 2 to 2,048");
    end

    localparam int unsigned IDX_W = $clog2(LINES);
    localparam int unsigned W     = $clog2(PLACES);

    typedef struct packed {
        logic [W-1:0] fills;
        logic [W-1:0] reads;
    } counts_t;

    // After a reset the counts are cleared one line after the other. A flush needs nothing: what
    // was issued is done then.
    logic             clearing_q;
    logic [IDX_W-1:0] clear_line_q;

    always_ff @(posedge clk) begin
        if (rst) begin
            clearing_q  <= 1'b1;
            clear_line_q <= '0;
        end else if (clearing_q) begin
            clearing_q  <= clear_line_q != '1;
            clear_line_q <= clear_line_q + 1'b1;
        end
    end

    assign sts_clearing = clearing_q;

    // Issued. Read in the cycle of the issue, added to and written in the next; the operation right
    // behind one of its line takes the sum from a register.

    logic                issued_valid_q, issued_fill_q, issued_again_q;
    logic [LINE_W-1:0]   issued_line_q;
    logic [2*W-1:0]      issued_ram;
    counts_t             issued_now, issued_next, issued_next_q;

    embnic_ram_1r1w #(.WIDTH(2 * W), .DEPTH(LINES), .STYLE(2)) u_issued (
        .clk,
        .wr_en  (clearing_q || issued_valid_q),
        .wr_addr(clearing_q ? clear_line_q : issued_line_q[IDX_W-1:0]),
        .wr_data(clearing_q ? '0 : issued_next),
        .rd_en  (issue_valid),
        .rd_addr(issue_line[IDX_W-1:0]),
        .rd_data(issued_ram)
    );

    assign issued_now  = issued_again_q ? issued_next_q : counts_t'(issued_ram);
    assign stamp_fills = STAMP_W'(issued_now.fills);
    assign stamp_reads = STAMP_W'(issued_now.reads);

    always_comb begin
        issued_next = issued_now;
        if (issued_fill_q) issued_next.fills = issued_now.fills + 1'b1;
        else issued_next.reads = issued_now.reads + 1'b1;
    end

    always_ff @(posedge clk) begin
        issued_line_q  <= issue_line;
        issued_fill_q  <= issue_fill;
        issued_again_q <= issued_valid_q && issued_line_q == issue_line;
        issued_next_q  <= issued_next;
        issued_valid_q <= issue_valid && !rst;
    end

    // Done: fills. Written when told, never read for the sum: a fill's stamp says how many there are.

    logic [W-1:0] c0_fills, reads_ram, filled_next;

    assign filled_next = filled_fills[W-1:0] + 1'b1;

    // The same for the stamps.
    logic [W-1:0] issued_done;

    embnic_ram_1r1w #(.WIDTH(W), .DEPTH(LINES), .STYLE(2)) u_fills_issued (
        .clk,
        .wr_en  (clearing_q || filled_valid),
        .wr_addr(clearing_q ? clear_line_q : filled_line[IDX_W-1:0]),
        .wr_data(clearing_q ? '0 : filled_next),
        .rd_en  (issue_valid),
        .rd_addr(issue_line[IDX_W-1:0]),
        .rd_data(issued_done)
    );

    assign stamp_joins = issued_done != issued_now.fills;

    embnic_ram_1r1w #(.WIDTH(W), .DEPTH(LINES), .STYLE(2)) u_fills (
        .clk,
        .wr_en  (clearing_q || filled_valid),
        .wr_addr(clearing_q ? clear_line_q : filled_line[IDX_W-1:0]),
        .wr_data(clearing_q ? '0 : filled_next),
        .rd_en  (1'b1),
        .rd_addr(check_line[IDX_W-1:0]),
        .rd_data(c0_fills)
    );

    // A check that reads the RAM in the cycle of that write does not see it; its operation sleeps
    // three cycles after the write. So that is when it is to be woken.
    localparam int unsigned WAKE_CYCLES = 3;

    embnic_delay #(.WIDTH(1), .CYCLES(WAKE_CYCLES), .RESET(1'b1)) u_wake_valid (
        .clk, .rst, .in(filled_valid), .out(wake_fill_valid)
    );
    embnic_delay #(.WIDTH(LINE_W + STAMP_W), .CYCLES(WAKE_CYCLES)) u_wake (
        .clk, .rst,
        .in ({filled_line, STAMP_W'(filled_next)}),
        .out({wake_fill_line, wake_fill_count})
    );

    // Done: reads. Read one cycle before the check, added to in the check, written one cycle after.
    // What the two checks before this one wrote is not in the RAM's word: see `on_1`, `on_2`.

    logic [LINE_W-1:0] c0_line_q, c1_line_q;             // line of the check; of the one before it
    logic              c0_on_1_q, c0_on_2_q;             // the check one or two cycles ahead is of the same line
    logic              c1_read_q, c2_read_q;             // and was a read that passed
    logic [W-1:0]      c1_reads_q, c2_reads_q;           // and these are the reads done with it
    logic [W-1:0]      c0_reads;
    logic              fills_done, reads_done, read_passes;

    embnic_ram_1r1w #(.WIDTH(W), .DEPTH(LINES), .STYLE(2)) u_reads (
        .clk,
        .wr_en  (clearing_q || c1_read_q),
        .wr_addr(clearing_q ? clear_line_q : c1_line_q[IDX_W-1:0]),
        .wr_data(clearing_q ? '0 : c1_reads_q),
        .rd_en  (1'b1),
        .rd_addr(check_line[IDX_W-1:0]),
        .rd_data(reads_ram)
    );

    always_comb begin
        c0_reads = reads_ram;
        if (c0_on_2_q && c2_read_q) c0_reads = c2_reads_q;
        if (c0_on_1_q && c1_read_q) c0_reads = c1_reads_q;
    end

    assign fills_done        = c0_fills == check_fills[W-1:0];
    assign reads_done        = c0_reads == check_reads[W-1:0];
    assign check_pass        = fills_done && (!check_fill || reads_done);
    assign check_lacks_fills = !fills_done;
    assign read_passes       = check_valid && check_pass && !check_fill;

    assign wake_read_valid = c1_read_q;
    assign wake_read_line  = c1_line_q;
    assign wake_read_count = STAMP_W'(c1_reads_q);

    always_ff @(posedge clk) begin
        c0_line_q  <= check_line;
        c0_on_1_q  <= c0_line_q == check_line;
        c0_on_2_q  <= c1_line_q == check_line;
        c1_line_q  <= c0_line_q;
        c1_reads_q <= c0_reads + 1'b1;
        c2_reads_q <= c1_reads_q;
        if (rst) begin
            c1_read_q <= 1'b0;
            c2_read_q <= 1'b0;
        end else begin
            c1_read_q <= read_passes;
            c2_read_q <= c1_read_q;
        end
    end

    // Stamps are as wide as the largest configuration needs.
    wire unused = &{1'b0, check_fills, check_reads, filled_fills, issue_line, check_line, filled_line};

    // Assertions
    `EMBNIC_ASSUME(nothing_in_clear, !(clearing_q && (issue_valid || check_valid || filled_valid)),
        "operations wait while the counts are cleared")
    `EMBNIC_KNOWN(wake_known, {wake_read_valid, wake_fill_valid}, "wakes are known after reset")
    `EMBNIC_COVER(read_waits, check_valid && !check_fill && !check_pass, "a read waits for its fill")
    `EMBNIC_COVER(fill_waits, check_valid && check_fill && fills_done && !reads_done,
        "a fill waits for older reads of its line")
    `EMBNIC_COVER(two_reads, read_passes && c0_on_1_q && c1_read_q,
        "two reads of one line in consecutive cycles")
endmodule
`default_nettype wire
