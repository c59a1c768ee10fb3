// SPDX-License-Identifier: Apache-2.0
// embnic_cache_order: a read passes exactly when all fills of its line issued before it are done, a fill exactly when all
// older fills and reads are; what failed is woken when, and not before, it would pass that check.
//
// The model keeps no counts. Each operation holds the set of older operations of its line that it waits for, taken when
// it is issued. PLACES of them are open at a time; any of them may be checked in any cycle, as embnic_cache_sched does:
// not while it sleeps.
`default_nettype none
`include "embnic_fv.svh"
module embnic_cache_order_fv
    import embnic_cache_pkg::LINE_W;
    import embnic_cache_pkg::STAMP_W;
#(
    parameter int unsigned LINES  = 2,
    parameter int unsigned PLACES = 4,
    localparam int unsigned IDX_W = $clog2(LINES),
    localparam int unsigned W     = $clog2(PLACES)
) (
    input wire logic             clk,
    input wire logic             rst,
    input wire logic             issue_valid,
    input wire logic [W-1:0]     issue_place,
    input wire logic [IDX_W-1:0] issue_line,
    input wire logic             issue_fill,
    input wire logic [IDX_W-1:0] look_line,     // one cycle before a check
    input wire logic             check_valid,
    input wire logic [W-1:0]     check_place,
    input wire logic             filled_valid,
    input wire logic [W-1:0]     filled_place
);
    `EMBNIC_FV_RESET

    typedef logic [PLACES-1:0] set_t;

    // The open operations: a read until it passes, a fill until it is done.
    set_t                          busy_q, fill_q, passed_q;
    logic [PLACES-1:0][IDX_W-1:0]  line_q;
    logic [PLACES-1:0][W-1:0]      fills_q, reads_q, fills, reads;   // stamps; a fresh one's are at the output
    logic                          fresh_q;
    logic [W-1:0]                  fresh_place_q;
    set_t [PLACES-1:0]             older_fills_q, older_reads_q;     // not done, not passed
    set_t [PLACES-1:0]             unseen_q;                         // older_fills_q as a check of this cycle knows it
    set_t                          on_line, read_passes, fill_done;

    logic [STAMP_W-1:0] stamp_fills, stamp_reads, wake_read_count, wake_fill_count;
    logic [LINE_W-1:0]  wake_read_line, wake_fill_line;
    logic               check_pass, check_lacks_fills, wake_read_valid, wake_fill_valid, sts_clearing;
    logic               should_pass, lacks_fills;

    always_comb begin
        for (int unsigned i = 0; i < PLACES; i++) begin
            fills[i]       = (fresh_q && fresh_place_q == W'(i)) ? stamp_fills[W-1:0] : fills_q[i];
            reads[i]       = (fresh_q && fresh_place_q == W'(i)) ? stamp_reads[W-1:0] : reads_q[i];
            on_line[i]     = busy_q[i] && line_q[i] == issue_line;
            read_passes[i] = check_valid && check_pass && check_place == W'(i) && !fill_q[i];
            fill_done[i]   = filled_valid && filled_place == W'(i);
        end
    end

    embnic_cache_order #(.LINES(LINES), .PLACES(PLACES)) u_dut (
        .clk, .rst, .issue_valid,
        .issue_line (LINE_W'(issue_line)),
        .issue_fill, .stamp_fills, .stamp_reads,
        .stamp_joins(),
        .check_line (LINE_W'(look_line)),
        .check_valid,
        .check_fill (fill_q[check_place]),
        .check_fills(STAMP_W'(fills[check_place])),
        .check_reads(STAMP_W'(reads[check_place])),
        .check_pass, .check_lacks_fills,
        .filled_valid,
        .filled_line (LINE_W'(line_q[filled_place])),
        .filled_fills(STAMP_W'(fills[filled_place])),
        .wake_read_valid, .wake_read_line, .wake_read_count,
        .wake_fill_valid, .wake_fill_line, .wake_fill_count,
        .sts_clearing
    );

    assign lacks_fills = unseen_q[check_place] != '0;
    assign should_pass = !lacks_fills && (!fill_q[check_place] || older_reads_q[check_place] == '0);

    // Sleep, as embnic_cache_sched keeps it: two cycles after the check.
    logic [IDX_W-1:0]         looked_q;
    set_t                     failing_q, asleep_q, on_fills_q;
    logic [PLACES-1:0][2:0]   missed_q;   // cycles asleep although what was lacked is done
    logic [PLACES-1:0][1:0]   failed_q;   // checks of this operation

    always_ff @(posedge clk) begin
        looked_q      <= look_line;
        fresh_place_q <= issue_place;
        if (fresh_q) begin
            fills_q[fresh_place_q] <= stamp_fills[W-1:0];
            reads_q[fresh_place_q] <= stamp_reads[W-1:0];
        end
        for (int unsigned i = 0; i < PLACES; i++) begin
            older_fills_q[i] <= older_fills_q[i] & ~fill_done;
            older_reads_q[i] <= older_reads_q[i] & ~read_passes;
            unseen_q[i]      <= older_fills_q[i];
            if (issue_valid && issue_place == W'(i)) begin
                line_q[i]        <= issue_line;
                fill_q[i]        <= issue_fill;
                older_fills_q[i] <= on_line & fill_q & ~fill_done;
                older_reads_q[i] <= on_line & ~fill_q & ~read_passes;
                unseen_q[i]      <= on_line & fill_q;
                failed_q[i]      <= '0;
            end
            if (check_valid && !check_pass && check_place == W'(i)) begin
                failed_q[i]   <= failed_q[i] + 1'b1;
                on_fills_q[i] <= check_lacks_fills;
            end
            missed_q[i] <= (asleep_q[i] && (on_fills_q[i] ? older_fills_q[i] : older_reads_q[i]) == '0)
                ? missed_q[i] + 1'b1 : '0;
            if (rst) begin
                busy_q[i]    <= 1'b0;
                passed_q[i]  <= 1'b0;
                failing_q[i] <= 1'b0;
                asleep_q[i]  <= 1'b0;
                missed_q[i]  <= '0;
            end else begin
                if (issue_valid && issue_place == W'(i)) busy_q[i] <= 1'b1;
                else if (read_passes[i] || fill_done[i]) busy_q[i] <= 1'b0;
                passed_q[i]  <= (passed_q[i] && !fill_done[i])
                    || (check_valid && check_pass && check_place == W'(i) && fill_q[i]);
                failing_q[i] <= check_valid && !check_pass && check_place == W'(i);
                asleep_q[i]  <= failing_q[i] || (asleep_q[i] && !(on_fills_q[i]
                    ? wake_fill_valid && wake_fill_line == LINE_W'(line_q[i]) && wake_fill_count == STAMP_W'(fills[i])
                    : wake_read_valid && wake_read_line == LINE_W'(line_q[i]) && wake_read_count == STAMP_W'(reads[i])));
            end
        end
        if (rst) fresh_q <= 1'b0;
        else fresh_q <= issue_valid;
    end

    `EMBNIC_ASSUME(free_place, !(issue_valid && busy_q[issue_place]), "an operation takes a place that is free")
    `EMBNIC_ASSUME(open_one, !check_valid || (busy_q[check_place] && !passed_q[check_place] && !failing_q[check_place]
        && !asleep_q[check_place]), "what waits for its check is checked, and not while it sleeps")
    `EMBNIC_ASSUME(looked_up, !check_valid || looked_q == line_q[check_place], "its line was looked up in the cycle before")
    `EMBNIC_ASSUME(only_passed, !filled_valid || (busy_q[filled_place] && passed_q[filled_place]), "only a fill that passed is done")

    `EMBNIC_ASSERT(right_pass, !check_valid || check_pass == should_pass,
        "a read gets exactly the fill it was issued behind, a fill overwrites nothing that is still to be read")
    `EMBNIC_ASSERT(right_reason, !check_valid || check_lacks_fills == lacks_fills, "it says what is lacked")
    for (genvar i = 0; i < int'(PLACES); i++) begin : gen_claims
        `EMBNIC_NEVER(sleeps_on, missed_q[i] > 3'd3, "an operation is woken at the latest 3 cycles after what it lacked is done")
        `EMBNIC_NEVER(fails_thrice, busy_q[i] && failed_q[i] > 2'd2, "an operation fails twice at most: for fills, then for reads")
    end

    `EMBNIC_COVER(all_open, busy_q == '1 && fill_q == PLACES'(1) && line_q == '0, "a fill and reads of one line")
    if (PLACES > 2) begin : gen_three
        `EMBNIC_COVER(failed_twice, check_valid && check_pass && failed_q[check_place] == 2'd2,
            "a fill waits for a fill, then for a read, then passes")
    end

    // What makes the proof inductive: counts differ by the sizes of the sets.
    function automatic logic [W:0] size(input set_t s);
        size = '0;
        for (int unsigned i = 0; i < PLACES; i++) size = size + (W + 1)'(s[i]);
    endfunction

    logic [LINES-1:0][W-1:0] issued_fills, issued_reads, done_fills, done_reads;
    logic                    ready_q;         // the RAMs were cleared before they were read
    logic                    just_filled_q;
    logic [IDX_W-1:0]        just_line_q;
    logic [W-1:0]            just_place_q;
    set_t                    just;

    assign just = just_filled_q ? set_t'(1) << just_place_q : '0;

    always_ff @(posedge clk) begin
        ready_q       <= !sts_clearing && !rst;
        just_filled_q <= filled_valid && !rst;
        just_line_q   <= line_q[filled_place];
        just_place_q  <= filled_place;
    end

    for (genvar l = 0; l < int'(LINES); l++) begin : gen_line
        logic [2*W-1:0] issued;
        logic           cleared;
        set_t           here;

        assign cleared         = !sts_clearing || IDX_W'(l) < u_dut.clear_line_q;
        assign issued          = u_dut.u_issued.gen_block.mem[l];
        assign issued_fills[l] = (u_dut.issued_valid_q && u_dut.issued_line_q == LINE_W'(l)) ? u_dut.issued_next.fills : issued[2*W-1:W];
        assign issued_reads[l] = (u_dut.issued_valid_q && u_dut.issued_line_q == LINE_W'(l)) ? u_dut.issued_next.reads : issued[W-1:0];
        assign done_fills[l]   = u_dut.u_fills.gen_block.mem[l];
        assign done_reads[l]   = (u_dut.c1_read_q && u_dut.c1_line_q == LINE_W'(l)) ? u_dut.c1_reads_q : u_dut.u_reads.gen_block.mem[l];

        always_comb begin
            for (int unsigned i = 0; i < PLACES; i++) here[i] = busy_q[i] && line_q[i] == IDX_W'(l);
        end

        `EMBNIC_FV_HELP(issued_now, !(u_dut.issued_valid_q && u_dut.issued_line_q == LINE_W'(l)) || u_dut.issued_now == issued,
            "what an issue adds to is in the RAM a cycle later")
        `EMBNIC_FV_HELP(open_fills, !cleared || issued_fills[l] - done_fills[l] == W'(size(here & fill_q)), "fills not done")
        `EMBNIC_FV_HELP(open_reads, !cleared || issued_reads[l] - done_reads[l] == W'(size(here & ~fill_q)), "reads not done")
    end
    `EMBNIC_FV_HELP(read_fills, !ready_q || u_dut.c0_fills + W'(just_filled_q && just_line_q == looked_q) == done_fills[looked_q],
        "the RAM of fills is one cycle behind")
    `EMBNIC_FV_HELP(read_reads, !ready_q || u_dut.c0_reads == done_reads[looked_q], "the RAM of reads is made up for")
    `EMBNIC_FV_HELP(quiet, !sts_clearing || (busy_q == '0 && !fresh_q && !just_filled_q && !u_dut.c1_read_q),
        "nothing is open while the counts are cleared")
    `EMBNIC_FV_HELP(ready, ready_q || (busy_q & ~(fresh_q ? set_t'(1) << fresh_place_q : '0)) == '0, "nothing is open before that")
    `EMBNIC_FV_HELP(just_free, (just & busy_q) == '0, "what was just done is free")
    `EMBNIC_FV_HELP(same_issue, fresh_q == u_dut.issued_valid_q && (!fresh_q
        || (u_dut.issued_line_q == LINE_W'(line_q[fresh_place_q]) && u_dut.issued_fill_q == fill_q[fresh_place_q]
        && busy_q[fresh_place_q] && !passed_q[fresh_place_q])), "the issue under way is the fresh operation")

    for (genvar i = 0; i < int'(PLACES); i++) begin : gen_place
        set_t here;

        always_comb begin
            for (int unsigned k = 0; k < PLACES; k++) here[k] = busy_q[k] && line_q[k] == line_q[i] && k != unsigned'(i);
        end

        `EMBNIC_FV_HELP(same_fills, !busy_q[i] || fills[i] - done_fills[line_q[i]] == W'(size(older_fills_q[i])), "its stamp counts its set")
        `EMBNIC_FV_HELP(same_reads, !(busy_q[i] && fill_q[i]) || reads[i] - done_reads[line_q[i]] == W'(size(older_reads_q[i])),
            "its stamp counts its set")
        `EMBNIC_FV_HELP(fills_open, !busy_q[i] || (older_fills_q[i] & ~(here & fill_q)) == '0, "its set is of open fills of its line")
        `EMBNIC_FV_HELP(reads_open, !busy_q[i] || (older_reads_q[i] & ~(here & ~fill_q)) == '0, "its set is of open reads of its line")
        `EMBNIC_FV_HELP(passed_alone, !passed_q[i] || (busy_q[i] && fill_q[i] && older_fills_q[i] == '0 && older_reads_q[i] == '0),
            "a fill that passed waits for nothing")
        `EMBNIC_FV_HELP(one_behind, !busy_q[i] || unseen_q[i] == (older_fills_q[i] | (just_line_q == line_q[i] ? just : '0)),
            "a check is one cycle behind")
        `EMBNIC_FV_HELP(waiting, !(failing_q[i] || asleep_q[i]) || (busy_q[i] && !passed_q[i] && (on_fills_q[i] || fill_q[i])),
            "what sleeps is open, and only a fill waits for reads")
        `EMBNIC_FV_HELP(fills_seen, !(busy_q[i] && failed_q[i] != '0 && !(on_fills_q[i] && (failing_q[i] || asleep_q[i])))
            || unseen_q[i] == '0, "who was woken for fills lacks none")
        `EMBNIC_FV_HELP(reads_seen, !(busy_q[i] && failed_q[i] != '0 && !on_fills_q[i] && !failing_q[i] && !asleep_q[i])
            || older_reads_q[i] == '0, "who was woken for reads lacks none")
        `EMBNIC_FV_HELP(first_fail, !(busy_q[i] && (failing_q[i] || asleep_q[i])) || failed_q[i] != '0, "who sleeps failed")
        `EMBNIC_FV_HELP(second_fail, !(busy_q[i] && on_fills_q[i]) || failed_q[i] <= 2'd1 || failed_q[i] == '0, "the second time is for reads")
        // Its wake is on the way: which of the three stages it is in bounds how long was slept on.
        logic in_flight;

        always_comb begin
            in_flight = 1'b0;
            for (int unsigned k = 0; k < 3; k++) begin
                if (u_dut.u_wake_valid.line_q[k] && u_dut.u_wake.line_q[k] == {LINE_W'(line_q[i]), STAMP_W'(fills[i])}
                    && (failing_q[i] ? k < 2 : 32'(missed_q[i]) <= k)) in_flight = 1'b1;
            end
        end

        `EMBNIC_FV_HELP(fill_told, !((failing_q[i] || asleep_q[i]) && on_fills_q[i] && older_fills_q[i] == '0) || in_flight,
            "who lacks fills no more will be told")
        `EMBNIC_FV_HELP(read_told, !((failing_q[i] || asleep_q[i]) && !on_fills_q[i] && older_reads_q[i] == '0) || (asleep_q[i]
            && missed_q[i] == '0 && wake_read_valid && wake_read_line == LINE_W'(line_q[i]) && wake_read_count == STAMP_W'(reads[i])),
            "who lacks reads no more is told")
        for (genvar k = 0; k < int'(PLACES); k++) begin : gen_pair
            if (k != i) begin : gen_two
                `EMBNIC_FV_HELP(ordered, !(busy_q[i] && busy_q[k] && fill_q[k] && line_q[i] == line_q[k])
                    || older_fills_q[i][k] != (fill_q[i] ? older_fills_q[k][i] : older_reads_q[k][i]), "one of two is older")
            end
        end
    end
endmodule
`default_nettype wire
