// SPDX-License-Identifier: Apache-2.0
// Generated from spec/registers.rdl by spec/generate.py, PeakRDL-regblock. Do not edit

package embnic_csr_pkg;

    localparam EMBNIC_CSR_DATA_WIDTH = 32;
    localparam EMBNIC_CSR_MIN_ADDR_WIDTH = 12;
    localparam EMBNIC_CSR_SIZE = 'h350;

    typedef struct {
        logic [31:0] next;
    } embnic_csr__CONTRACT_HASH__value__in_t;

    typedef struct {
        embnic_csr__CONTRACT_HASH__value__in_t value;
    } embnic_csr__CONTRACT_HASH__in_t;

    typedef struct {
        logic [31:0] next;
    } embnic_csr__CONFIG_ID__value__in_t;

    typedef struct {
        embnic_csr__CONFIG_ID__value__in_t value;
    } embnic_csr__CONFIG_ID__in_t;

    typedef struct {
        logic [31:0] next;
    } embnic_csr__GIT_HASH__value__in_t;

    typedef struct {
        embnic_csr__GIT_HASH__value__in_t value;
    } embnic_csr__GIT_HASH__in_t;

    typedef struct {
        logic [15:0] next;
    } embnic_csr__REMOTE_WAITING__lines__in_t;

    typedef struct {
        embnic_csr__REMOTE_WAITING__lines__in_t lines;
    } embnic_csr__REMOTE_WAITING__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_d5b508dd__value__in_t;

    typedef struct {
        capability_reg_desc_d5b508dd__value__in_t value;
    } capability_reg_desc_d5b508dd__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_f7815b5b__value__in_t;

    typedef struct {
        capability_reg_desc_f7815b5b__value__in_t value;
    } capability_reg_desc_f7815b5b__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_b960f668__value__in_t;

    typedef struct {
        capability_reg_desc_b960f668__value__in_t value;
    } capability_reg_desc_b960f668__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_9772e9e5__value__in_t;

    typedef struct {
        capability_reg_desc_9772e9e5__value__in_t value;
    } capability_reg_desc_9772e9e5__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_279bd4c5__value__in_t;

    typedef struct {
        capability_reg_desc_279bd4c5__value__in_t value;
    } capability_reg_desc_279bd4c5__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_00db52ba__value__in_t;

    typedef struct {
        capability_reg_desc_00db52ba__value__in_t value;
    } capability_reg_desc_00db52ba__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_91142ea0__value__in_t;

    typedef struct {
        capability_reg_desc_91142ea0__value__in_t value;
    } capability_reg_desc_91142ea0__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_caf323f8__value__in_t;

    typedef struct {
        capability_reg_desc_caf323f8__value__in_t value;
    } capability_reg_desc_caf323f8__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_f62b4c96__value__in_t;

    typedef struct {
        capability_reg_desc_f62b4c96__value__in_t value;
    } capability_reg_desc_f62b4c96__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_ec16475d__value__in_t;

    typedef struct {
        capability_reg_desc_ec16475d__value__in_t value;
    } capability_reg_desc_ec16475d__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_ba61c875__value__in_t;

    typedef struct {
        capability_reg_desc_ba61c875__value__in_t value;
    } capability_reg_desc_ba61c875__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_29eb4b30__value__in_t;

    typedef struct {
        capability_reg_desc_29eb4b30__value__in_t value;
    } capability_reg_desc_29eb4b30__in_t;

    typedef struct {
        logic [15:0] next;
    } embnic_csr__CHANNEL_READS__bursts__in_t;

    typedef struct {
        embnic_csr__CHANNEL_READS__bursts__in_t bursts;
    } embnic_csr__CHANNEL_READS__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_718ce038__value__in_t;

    typedef struct {
        capability_reg_desc_718ce038__value__in_t value;
    } capability_reg_desc_718ce038__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_883121fb__value__in_t;

    typedef struct {
        capability_reg_desc_883121fb__value__in_t value;
    } capability_reg_desc_883121fb__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_22855810__value__in_t;

    typedef struct {
        capability_reg_desc_22855810__value__in_t value;
    } capability_reg_desc_22855810__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_4dcd487a__value__in_t;

    typedef struct {
        capability_reg_desc_4dcd487a__value__in_t value;
    } capability_reg_desc_4dcd487a__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_26f0fba6__value__in_t;

    typedef struct {
        capability_reg_desc_26f0fba6__value__in_t value;
    } capability_reg_desc_26f0fba6__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_71bd2ec5__value__in_t;

    typedef struct {
        capability_reg_desc_71bd2ec5__value__in_t value;
    } capability_reg_desc_71bd2ec5__in_t;

    typedef struct {
        logic [31:0] next;
    } capability_reg_desc_01b7ca06__value__in_t;

    typedef struct {
        capability_reg_desc_01b7ca06__value__in_t value;
    } capability_reg_desc_01b7ca06__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__idle__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__flush_busy__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__drained__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__commit_busy__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__reset_busy__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__memory_stuck__in_t;

    typedef struct {
        logic next;
    } embnic_csr__STATUS__generating__in_t;

    typedef struct {
        embnic_csr__STATUS__idle__in_t idle;
        embnic_csr__STATUS__flush_busy__in_t flush_busy;
        embnic_csr__STATUS__drained__in_t drained;
        embnic_csr__STATUS__commit_busy__in_t commit_busy;
        embnic_csr__STATUS__reset_busy__in_t reset_busy;
        embnic_csr__STATUS__memory_stuck__in_t memory_stuck;
        embnic_csr__STATUS__generating__in_t generating;
    } embnic_csr__STATUS__in_t;

    typedef struct {
        logic [15:0] next;
    } embnic_csr__MEMORY_OWED__reads__in_t;

    typedef struct {
        logic next;
    } embnic_csr__MEMORY_OWED__write__in_t;

    typedef struct {
        embnic_csr__MEMORY_OWED__reads__in_t reads;
        embnic_csr__MEMORY_OWED__write__in_t write;
    } embnic_csr__MEMORY_OWED__in_t;

    typedef struct {
        logic [31:0] next;
    } embnic_csr__LATENCY_COUNT__value__in_t;

    typedef struct {
        embnic_csr__LATENCY_COUNT__value__in_t value;
    } embnic_csr__LATENCY_COUNT__in_t;

    typedef struct {
        logic [31:0] next;
    } embnic_csr__ERROR_TOTAL__value__in_t;

    typedef struct {
        embnic_csr__ERROR_TOTAL__value__in_t value;
    } embnic_csr__ERROR_TOTAL__in_t;

    typedef struct {
        logic [31:0] next;
    } embnic_csr__ERROR_WORD__value__in_t;

    typedef struct {
        embnic_csr__ERROR_WORD__value__in_t value;
    } embnic_csr__ERROR_WORD__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_51c18af1__LO__value__in_t;

    typedef struct {
        counter_rf_desc_51c18af1__LO__value__in_t value;
    } counter_rf_desc_51c18af1__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_51c18af1__HI__value__in_t;

    typedef struct {
        counter_rf_desc_51c18af1__HI__value__in_t value;
    } counter_rf_desc_51c18af1__HI__in_t;

    typedef struct {
        counter_rf_desc_51c18af1__LO__in_t LO;
        counter_rf_desc_51c18af1__HI__in_t HI;
    } counter_rf_desc_51c18af1__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_92df27e7__LO__value__in_t;

    typedef struct {
        counter_rf_desc_92df27e7__LO__value__in_t value;
    } counter_rf_desc_92df27e7__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_92df27e7__HI__value__in_t;

    typedef struct {
        counter_rf_desc_92df27e7__HI__value__in_t value;
    } counter_rf_desc_92df27e7__HI__in_t;

    typedef struct {
        counter_rf_desc_92df27e7__LO__in_t LO;
        counter_rf_desc_92df27e7__HI__in_t HI;
    } counter_rf_desc_92df27e7__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_79c336b8__LO__value__in_t;

    typedef struct {
        counter_rf_desc_79c336b8__LO__value__in_t value;
    } counter_rf_desc_79c336b8__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_79c336b8__HI__value__in_t;

    typedef struct {
        counter_rf_desc_79c336b8__HI__value__in_t value;
    } counter_rf_desc_79c336b8__HI__in_t;

    typedef struct {
        counter_rf_desc_79c336b8__LO__in_t LO;
        counter_rf_desc_79c336b8__HI__in_t HI;
    } counter_rf_desc_79c336b8__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fc27a537__LO__value__in_t;

    typedef struct {
        counter_rf_desc_fc27a537__LO__value__in_t value;
    } counter_rf_desc_fc27a537__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fc27a537__HI__value__in_t;

    typedef struct {
        counter_rf_desc_fc27a537__HI__value__in_t value;
    } counter_rf_desc_fc27a537__HI__in_t;

    typedef struct {
        counter_rf_desc_fc27a537__LO__in_t LO;
        counter_rf_desc_fc27a537__HI__in_t HI;
    } counter_rf_desc_fc27a537__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_eecc3b59__LO__value__in_t;

    typedef struct {
        counter_rf_desc_eecc3b59__LO__value__in_t value;
    } counter_rf_desc_eecc3b59__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_eecc3b59__HI__value__in_t;

    typedef struct {
        counter_rf_desc_eecc3b59__HI__value__in_t value;
    } counter_rf_desc_eecc3b59__HI__in_t;

    typedef struct {
        counter_rf_desc_eecc3b59__LO__in_t LO;
        counter_rf_desc_eecc3b59__HI__in_t HI;
    } counter_rf_desc_eecc3b59__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_ab024343__LO__value__in_t;

    typedef struct {
        counter_rf_desc_ab024343__LO__value__in_t value;
    } counter_rf_desc_ab024343__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_ab024343__HI__value__in_t;

    typedef struct {
        counter_rf_desc_ab024343__HI__value__in_t value;
    } counter_rf_desc_ab024343__HI__in_t;

    typedef struct {
        counter_rf_desc_ab024343__LO__in_t LO;
        counter_rf_desc_ab024343__HI__in_t HI;
    } counter_rf_desc_ab024343__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_82c48698__LO__value__in_t;

    typedef struct {
        counter_rf_desc_82c48698__LO__value__in_t value;
    } counter_rf_desc_82c48698__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_82c48698__HI__value__in_t;

    typedef struct {
        counter_rf_desc_82c48698__HI__value__in_t value;
    } counter_rf_desc_82c48698__HI__in_t;

    typedef struct {
        counter_rf_desc_82c48698__LO__in_t LO;
        counter_rf_desc_82c48698__HI__in_t HI;
    } counter_rf_desc_82c48698__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_6b3f9500__LO__value__in_t;

    typedef struct {
        counter_rf_desc_6b3f9500__LO__value__in_t value;
    } counter_rf_desc_6b3f9500__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_6b3f9500__HI__value__in_t;

    typedef struct {
        counter_rf_desc_6b3f9500__HI__value__in_t value;
    } counter_rf_desc_6b3f9500__HI__in_t;

    typedef struct {
        counter_rf_desc_6b3f9500__LO__in_t LO;
        counter_rf_desc_6b3f9500__HI__in_t HI;
    } counter_rf_desc_6b3f9500__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_62e69137__LO__value__in_t;

    typedef struct {
        counter_rf_desc_62e69137__LO__value__in_t value;
    } counter_rf_desc_62e69137__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_62e69137__HI__value__in_t;

    typedef struct {
        counter_rf_desc_62e69137__HI__value__in_t value;
    } counter_rf_desc_62e69137__HI__in_t;

    typedef struct {
        counter_rf_desc_62e69137__LO__in_t LO;
        counter_rf_desc_62e69137__HI__in_t HI;
    } counter_rf_desc_62e69137__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_2314ce18__LO__value__in_t;

    typedef struct {
        counter_rf_desc_2314ce18__LO__value__in_t value;
    } counter_rf_desc_2314ce18__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_2314ce18__HI__value__in_t;

    typedef struct {
        counter_rf_desc_2314ce18__HI__value__in_t value;
    } counter_rf_desc_2314ce18__HI__in_t;

    typedef struct {
        counter_rf_desc_2314ce18__LO__in_t LO;
        counter_rf_desc_2314ce18__HI__in_t HI;
    } counter_rf_desc_2314ce18__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_476bdb2e__LO__value__in_t;

    typedef struct {
        counter_rf_desc_476bdb2e__LO__value__in_t value;
    } counter_rf_desc_476bdb2e__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_476bdb2e__HI__value__in_t;

    typedef struct {
        counter_rf_desc_476bdb2e__HI__value__in_t value;
    } counter_rf_desc_476bdb2e__HI__in_t;

    typedef struct {
        counter_rf_desc_476bdb2e__LO__in_t LO;
        counter_rf_desc_476bdb2e__HI__in_t HI;
    } counter_rf_desc_476bdb2e__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_cd5b4f06__LO__value__in_t;

    typedef struct {
        counter_rf_desc_cd5b4f06__LO__value__in_t value;
    } counter_rf_desc_cd5b4f06__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_cd5b4f06__HI__value__in_t;

    typedef struct {
        counter_rf_desc_cd5b4f06__HI__value__in_t value;
    } counter_rf_desc_cd5b4f06__HI__in_t;

    typedef struct {
        counter_rf_desc_cd5b4f06__LO__in_t LO;
        counter_rf_desc_cd5b4f06__HI__in_t HI;
    } counter_rf_desc_cd5b4f06__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_feefaf0a__LO__value__in_t;

    typedef struct {
        counter_rf_desc_feefaf0a__LO__value__in_t value;
    } counter_rf_desc_feefaf0a__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_feefaf0a__HI__value__in_t;

    typedef struct {
        counter_rf_desc_feefaf0a__HI__value__in_t value;
    } counter_rf_desc_feefaf0a__HI__in_t;

    typedef struct {
        counter_rf_desc_feefaf0a__LO__in_t LO;
        counter_rf_desc_feefaf0a__HI__in_t HI;
    } counter_rf_desc_feefaf0a__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_00975785__LO__value__in_t;

    typedef struct {
        counter_rf_desc_00975785__LO__value__in_t value;
    } counter_rf_desc_00975785__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_00975785__HI__value__in_t;

    typedef struct {
        counter_rf_desc_00975785__HI__value__in_t value;
    } counter_rf_desc_00975785__HI__in_t;

    typedef struct {
        counter_rf_desc_00975785__LO__in_t LO;
        counter_rf_desc_00975785__HI__in_t HI;
    } counter_rf_desc_00975785__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_404e218d__LO__value__in_t;

    typedef struct {
        counter_rf_desc_404e218d__LO__value__in_t value;
    } counter_rf_desc_404e218d__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_404e218d__HI__value__in_t;

    typedef struct {
        counter_rf_desc_404e218d__HI__value__in_t value;
    } counter_rf_desc_404e218d__HI__in_t;

    typedef struct {
        counter_rf_desc_404e218d__LO__in_t LO;
        counter_rf_desc_404e218d__HI__in_t HI;
    } counter_rf_desc_404e218d__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fa1a6a08__LO__value__in_t;

    typedef struct {
        counter_rf_desc_fa1a6a08__LO__value__in_t value;
    } counter_rf_desc_fa1a6a08__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fa1a6a08__HI__value__in_t;

    typedef struct {
        counter_rf_desc_fa1a6a08__HI__value__in_t value;
    } counter_rf_desc_fa1a6a08__HI__in_t;

    typedef struct {
        counter_rf_desc_fa1a6a08__LO__in_t LO;
        counter_rf_desc_fa1a6a08__HI__in_t HI;
    } counter_rf_desc_fa1a6a08__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4d601076__LO__value__in_t;

    typedef struct {
        counter_rf_desc_4d601076__LO__value__in_t value;
    } counter_rf_desc_4d601076__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4d601076__HI__value__in_t;

    typedef struct {
        counter_rf_desc_4d601076__HI__value__in_t value;
    } counter_rf_desc_4d601076__HI__in_t;

    typedef struct {
        counter_rf_desc_4d601076__LO__in_t LO;
        counter_rf_desc_4d601076__HI__in_t HI;
    } counter_rf_desc_4d601076__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_08556626__LO__value__in_t;

    typedef struct {
        counter_rf_desc_08556626__LO__value__in_t value;
    } counter_rf_desc_08556626__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_08556626__HI__value__in_t;

    typedef struct {
        counter_rf_desc_08556626__HI__value__in_t value;
    } counter_rf_desc_08556626__HI__in_t;

    typedef struct {
        counter_rf_desc_08556626__LO__in_t LO;
        counter_rf_desc_08556626__HI__in_t HI;
    } counter_rf_desc_08556626__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fb971a33__LO__value__in_t;

    typedef struct {
        counter_rf_desc_fb971a33__LO__value__in_t value;
    } counter_rf_desc_fb971a33__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fb971a33__HI__value__in_t;

    typedef struct {
        counter_rf_desc_fb971a33__HI__value__in_t value;
    } counter_rf_desc_fb971a33__HI__in_t;

    typedef struct {
        counter_rf_desc_fb971a33__LO__in_t LO;
        counter_rf_desc_fb971a33__HI__in_t HI;
    } counter_rf_desc_fb971a33__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fa6a1e51__LO__value__in_t;

    typedef struct {
        counter_rf_desc_fa6a1e51__LO__value__in_t value;
    } counter_rf_desc_fa6a1e51__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fa6a1e51__HI__value__in_t;

    typedef struct {
        counter_rf_desc_fa6a1e51__HI__value__in_t value;
    } counter_rf_desc_fa6a1e51__HI__in_t;

    typedef struct {
        counter_rf_desc_fa6a1e51__LO__in_t LO;
        counter_rf_desc_fa6a1e51__HI__in_t HI;
    } counter_rf_desc_fa6a1e51__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_e74448f1__LO__value__in_t;

    typedef struct {
        counter_rf_desc_e74448f1__LO__value__in_t value;
    } counter_rf_desc_e74448f1__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_e74448f1__HI__value__in_t;

    typedef struct {
        counter_rf_desc_e74448f1__HI__value__in_t value;
    } counter_rf_desc_e74448f1__HI__in_t;

    typedef struct {
        counter_rf_desc_e74448f1__LO__in_t LO;
        counter_rf_desc_e74448f1__HI__in_t HI;
    } counter_rf_desc_e74448f1__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_3a6fdc25__LO__value__in_t;

    typedef struct {
        counter_rf_desc_3a6fdc25__LO__value__in_t value;
    } counter_rf_desc_3a6fdc25__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_3a6fdc25__HI__value__in_t;

    typedef struct {
        counter_rf_desc_3a6fdc25__HI__value__in_t value;
    } counter_rf_desc_3a6fdc25__HI__in_t;

    typedef struct {
        counter_rf_desc_3a6fdc25__LO__in_t LO;
        counter_rf_desc_3a6fdc25__HI__in_t HI;
    } counter_rf_desc_3a6fdc25__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_8155cb2a__LO__value__in_t;

    typedef struct {
        counter_rf_desc_8155cb2a__LO__value__in_t value;
    } counter_rf_desc_8155cb2a__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_8155cb2a__HI__value__in_t;

    typedef struct {
        counter_rf_desc_8155cb2a__HI__value__in_t value;
    } counter_rf_desc_8155cb2a__HI__in_t;

    typedef struct {
        counter_rf_desc_8155cb2a__LO__in_t LO;
        counter_rf_desc_8155cb2a__HI__in_t HI;
    } counter_rf_desc_8155cb2a__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b407e3d2__LO__value__in_t;

    typedef struct {
        counter_rf_desc_b407e3d2__LO__value__in_t value;
    } counter_rf_desc_b407e3d2__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b407e3d2__HI__value__in_t;

    typedef struct {
        counter_rf_desc_b407e3d2__HI__value__in_t value;
    } counter_rf_desc_b407e3d2__HI__in_t;

    typedef struct {
        counter_rf_desc_b407e3d2__LO__in_t LO;
        counter_rf_desc_b407e3d2__HI__in_t HI;
    } counter_rf_desc_b407e3d2__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_c7fffe12__LO__value__in_t;

    typedef struct {
        counter_rf_desc_c7fffe12__LO__value__in_t value;
    } counter_rf_desc_c7fffe12__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_c7fffe12__HI__value__in_t;

    typedef struct {
        counter_rf_desc_c7fffe12__HI__value__in_t value;
    } counter_rf_desc_c7fffe12__HI__in_t;

    typedef struct {
        counter_rf_desc_c7fffe12__LO__in_t LO;
        counter_rf_desc_c7fffe12__HI__in_t HI;
    } counter_rf_desc_c7fffe12__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_93fe82b3__LO__value__in_t;

    typedef struct {
        counter_rf_desc_93fe82b3__LO__value__in_t value;
    } counter_rf_desc_93fe82b3__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_93fe82b3__HI__value__in_t;

    typedef struct {
        counter_rf_desc_93fe82b3__HI__value__in_t value;
    } counter_rf_desc_93fe82b3__HI__in_t;

    typedef struct {
        counter_rf_desc_93fe82b3__LO__in_t LO;
        counter_rf_desc_93fe82b3__HI__in_t HI;
    } counter_rf_desc_93fe82b3__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_416addab__LO__value__in_t;

    typedef struct {
        counter_rf_desc_416addab__LO__value__in_t value;
    } counter_rf_desc_416addab__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_416addab__HI__value__in_t;

    typedef struct {
        counter_rf_desc_416addab__HI__value__in_t value;
    } counter_rf_desc_416addab__HI__in_t;

    typedef struct {
        counter_rf_desc_416addab__LO__in_t LO;
        counter_rf_desc_416addab__HI__in_t HI;
    } counter_rf_desc_416addab__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_61d33bae__LO__value__in_t;

    typedef struct {
        counter_rf_desc_61d33bae__LO__value__in_t value;
    } counter_rf_desc_61d33bae__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_61d33bae__HI__value__in_t;

    typedef struct {
        counter_rf_desc_61d33bae__HI__value__in_t value;
    } counter_rf_desc_61d33bae__HI__in_t;

    typedef struct {
        counter_rf_desc_61d33bae__LO__in_t LO;
        counter_rf_desc_61d33bae__HI__in_t HI;
    } counter_rf_desc_61d33bae__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_9d966743__LO__value__in_t;

    typedef struct {
        counter_rf_desc_9d966743__LO__value__in_t value;
    } counter_rf_desc_9d966743__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_9d966743__HI__value__in_t;

    typedef struct {
        counter_rf_desc_9d966743__HI__value__in_t value;
    } counter_rf_desc_9d966743__HI__in_t;

    typedef struct {
        counter_rf_desc_9d966743__LO__in_t LO;
        counter_rf_desc_9d966743__HI__in_t HI;
    } counter_rf_desc_9d966743__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b034f7e9__LO__value__in_t;

    typedef struct {
        counter_rf_desc_b034f7e9__LO__value__in_t value;
    } counter_rf_desc_b034f7e9__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b034f7e9__HI__value__in_t;

    typedef struct {
        counter_rf_desc_b034f7e9__HI__value__in_t value;
    } counter_rf_desc_b034f7e9__HI__in_t;

    typedef struct {
        counter_rf_desc_b034f7e9__LO__in_t LO;
        counter_rf_desc_b034f7e9__HI__in_t HI;
    } counter_rf_desc_b034f7e9__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_bbc76d5e__LO__value__in_t;

    typedef struct {
        counter_rf_desc_bbc76d5e__LO__value__in_t value;
    } counter_rf_desc_bbc76d5e__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_bbc76d5e__HI__value__in_t;

    typedef struct {
        counter_rf_desc_bbc76d5e__HI__value__in_t value;
    } counter_rf_desc_bbc76d5e__HI__in_t;

    typedef struct {
        counter_rf_desc_bbc76d5e__LO__in_t LO;
        counter_rf_desc_bbc76d5e__HI__in_t HI;
    } counter_rf_desc_bbc76d5e__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_45ceda30__LO__value__in_t;

    typedef struct {
        counter_rf_desc_45ceda30__LO__value__in_t value;
    } counter_rf_desc_45ceda30__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_45ceda30__HI__value__in_t;

    typedef struct {
        counter_rf_desc_45ceda30__HI__value__in_t value;
    } counter_rf_desc_45ceda30__HI__in_t;

    typedef struct {
        counter_rf_desc_45ceda30__LO__in_t LO;
        counter_rf_desc_45ceda30__HI__in_t HI;
    } counter_rf_desc_45ceda30__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4530a76c__LO__value__in_t;

    typedef struct {
        counter_rf_desc_4530a76c__LO__value__in_t value;
    } counter_rf_desc_4530a76c__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4530a76c__HI__value__in_t;

    typedef struct {
        counter_rf_desc_4530a76c__HI__value__in_t value;
    } counter_rf_desc_4530a76c__HI__in_t;

    typedef struct {
        counter_rf_desc_4530a76c__LO__in_t LO;
        counter_rf_desc_4530a76c__HI__in_t HI;
    } counter_rf_desc_4530a76c__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_2fa0f633__LO__value__in_t;

    typedef struct {
        counter_rf_desc_2fa0f633__LO__value__in_t value;
    } counter_rf_desc_2fa0f633__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_2fa0f633__HI__value__in_t;

    typedef struct {
        counter_rf_desc_2fa0f633__HI__value__in_t value;
    } counter_rf_desc_2fa0f633__HI__in_t;

    typedef struct {
        counter_rf_desc_2fa0f633__LO__in_t LO;
        counter_rf_desc_2fa0f633__HI__in_t HI;
    } counter_rf_desc_2fa0f633__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_5256eab4__LO__value__in_t;

    typedef struct {
        counter_rf_desc_5256eab4__LO__value__in_t value;
    } counter_rf_desc_5256eab4__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_5256eab4__HI__value__in_t;

    typedef struct {
        counter_rf_desc_5256eab4__HI__value__in_t value;
    } counter_rf_desc_5256eab4__HI__in_t;

    typedef struct {
        counter_rf_desc_5256eab4__LO__in_t LO;
        counter_rf_desc_5256eab4__HI__in_t HI;
    } counter_rf_desc_5256eab4__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_5b0208cc__LO__value__in_t;

    typedef struct {
        counter_rf_desc_5b0208cc__LO__value__in_t value;
    } counter_rf_desc_5b0208cc__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_5b0208cc__HI__value__in_t;

    typedef struct {
        counter_rf_desc_5b0208cc__HI__value__in_t value;
    } counter_rf_desc_5b0208cc__HI__in_t;

    typedef struct {
        counter_rf_desc_5b0208cc__LO__in_t LO;
        counter_rf_desc_5b0208cc__HI__in_t HI;
    } counter_rf_desc_5b0208cc__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_ce8e4e27__LO__value__in_t;

    typedef struct {
        counter_rf_desc_ce8e4e27__LO__value__in_t value;
    } counter_rf_desc_ce8e4e27__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_ce8e4e27__HI__value__in_t;

    typedef struct {
        counter_rf_desc_ce8e4e27__HI__value__in_t value;
    } counter_rf_desc_ce8e4e27__HI__in_t;

    typedef struct {
        counter_rf_desc_ce8e4e27__LO__in_t LO;
        counter_rf_desc_ce8e4e27__HI__in_t HI;
    } counter_rf_desc_ce8e4e27__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_7fd37cef__LO__value__in_t;

    typedef struct {
        counter_rf_desc_7fd37cef__LO__value__in_t value;
    } counter_rf_desc_7fd37cef__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_7fd37cef__HI__value__in_t;

    typedef struct {
        counter_rf_desc_7fd37cef__HI__value__in_t value;
    } counter_rf_desc_7fd37cef__HI__in_t;

    typedef struct {
        counter_rf_desc_7fd37cef__LO__in_t LO;
        counter_rf_desc_7fd37cef__HI__in_t HI;
    } counter_rf_desc_7fd37cef__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_84712249__LO__value__in_t;

    typedef struct {
        counter_rf_desc_84712249__LO__value__in_t value;
    } counter_rf_desc_84712249__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_84712249__HI__value__in_t;

    typedef struct {
        counter_rf_desc_84712249__HI__value__in_t value;
    } counter_rf_desc_84712249__HI__in_t;

    typedef struct {
        counter_rf_desc_84712249__LO__in_t LO;
        counter_rf_desc_84712249__HI__in_t HI;
    } counter_rf_desc_84712249__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4712237a__LO__value__in_t;

    typedef struct {
        counter_rf_desc_4712237a__LO__value__in_t value;
    } counter_rf_desc_4712237a__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4712237a__HI__value__in_t;

    typedef struct {
        counter_rf_desc_4712237a__HI__value__in_t value;
    } counter_rf_desc_4712237a__HI__in_t;

    typedef struct {
        counter_rf_desc_4712237a__LO__in_t LO;
        counter_rf_desc_4712237a__HI__in_t HI;
    } counter_rf_desc_4712237a__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b560e64d__LO__value__in_t;

    typedef struct {
        counter_rf_desc_b560e64d__LO__value__in_t value;
    } counter_rf_desc_b560e64d__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b560e64d__HI__value__in_t;

    typedef struct {
        counter_rf_desc_b560e64d__HI__value__in_t value;
    } counter_rf_desc_b560e64d__HI__in_t;

    typedef struct {
        counter_rf_desc_b560e64d__LO__in_t LO;
        counter_rf_desc_b560e64d__HI__in_t HI;
    } counter_rf_desc_b560e64d__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_cb4d8c6c__LO__value__in_t;

    typedef struct {
        counter_rf_desc_cb4d8c6c__LO__value__in_t value;
    } counter_rf_desc_cb4d8c6c__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_cb4d8c6c__HI__value__in_t;

    typedef struct {
        counter_rf_desc_cb4d8c6c__HI__value__in_t value;
    } counter_rf_desc_cb4d8c6c__HI__in_t;

    typedef struct {
        counter_rf_desc_cb4d8c6c__LO__in_t LO;
        counter_rf_desc_cb4d8c6c__HI__in_t HI;
    } counter_rf_desc_cb4d8c6c__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_77f8d0de__LO__value__in_t;

    typedef struct {
        counter_rf_desc_77f8d0de__LO__value__in_t value;
    } counter_rf_desc_77f8d0de__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_77f8d0de__HI__value__in_t;

    typedef struct {
        counter_rf_desc_77f8d0de__HI__value__in_t value;
    } counter_rf_desc_77f8d0de__HI__in_t;

    typedef struct {
        counter_rf_desc_77f8d0de__LO__in_t LO;
        counter_rf_desc_77f8d0de__HI__in_t HI;
    } counter_rf_desc_77f8d0de__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_3a311147__LO__value__in_t;

    typedef struct {
        counter_rf_desc_3a311147__LO__value__in_t value;
    } counter_rf_desc_3a311147__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_3a311147__HI__value__in_t;

    typedef struct {
        counter_rf_desc_3a311147__HI__value__in_t value;
    } counter_rf_desc_3a311147__HI__in_t;

    typedef struct {
        counter_rf_desc_3a311147__LO__in_t LO;
        counter_rf_desc_3a311147__HI__in_t HI;
    } counter_rf_desc_3a311147__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_ff10eff4__LO__value__in_t;

    typedef struct {
        counter_rf_desc_ff10eff4__LO__value__in_t value;
    } counter_rf_desc_ff10eff4__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_ff10eff4__HI__value__in_t;

    typedef struct {
        counter_rf_desc_ff10eff4__HI__value__in_t value;
    } counter_rf_desc_ff10eff4__HI__in_t;

    typedef struct {
        counter_rf_desc_ff10eff4__LO__in_t LO;
        counter_rf_desc_ff10eff4__HI__in_t HI;
    } counter_rf_desc_ff10eff4__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_f02e4487__LO__value__in_t;

    typedef struct {
        counter_rf_desc_f02e4487__LO__value__in_t value;
    } counter_rf_desc_f02e4487__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_f02e4487__HI__value__in_t;

    typedef struct {
        counter_rf_desc_f02e4487__HI__value__in_t value;
    } counter_rf_desc_f02e4487__HI__in_t;

    typedef struct {
        counter_rf_desc_f02e4487__LO__in_t LO;
        counter_rf_desc_f02e4487__HI__in_t HI;
    } counter_rf_desc_f02e4487__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b9da32cf__LO__value__in_t;

    typedef struct {
        counter_rf_desc_b9da32cf__LO__value__in_t value;
    } counter_rf_desc_b9da32cf__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b9da32cf__HI__value__in_t;

    typedef struct {
        counter_rf_desc_b9da32cf__HI__value__in_t value;
    } counter_rf_desc_b9da32cf__HI__in_t;

    typedef struct {
        counter_rf_desc_b9da32cf__LO__in_t LO;
        counter_rf_desc_b9da32cf__HI__in_t HI;
    } counter_rf_desc_b9da32cf__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_9829c69f__LO__value__in_t;

    typedef struct {
        counter_rf_desc_9829c69f__LO__value__in_t value;
    } counter_rf_desc_9829c69f__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_9829c69f__HI__value__in_t;

    typedef struct {
        counter_rf_desc_9829c69f__HI__value__in_t value;
    } counter_rf_desc_9829c69f__HI__in_t;

    typedef struct {
        counter_rf_desc_9829c69f__LO__in_t LO;
        counter_rf_desc_9829c69f__HI__in_t HI;
    } counter_rf_desc_9829c69f__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_e3b3460a__LO__value__in_t;

    typedef struct {
        counter_rf_desc_e3b3460a__LO__value__in_t value;
    } counter_rf_desc_e3b3460a__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_e3b3460a__HI__value__in_t;

    typedef struct {
        counter_rf_desc_e3b3460a__HI__value__in_t value;
    } counter_rf_desc_e3b3460a__HI__in_t;

    typedef struct {
        counter_rf_desc_e3b3460a__LO__in_t LO;
        counter_rf_desc_e3b3460a__HI__in_t HI;
    } counter_rf_desc_e3b3460a__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_8e41621e__LO__value__in_t;

    typedef struct {
        counter_rf_desc_8e41621e__LO__value__in_t value;
    } counter_rf_desc_8e41621e__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_8e41621e__HI__value__in_t;

    typedef struct {
        counter_rf_desc_8e41621e__HI__value__in_t value;
    } counter_rf_desc_8e41621e__HI__in_t;

    typedef struct {
        counter_rf_desc_8e41621e__LO__in_t LO;
        counter_rf_desc_8e41621e__HI__in_t HI;
    } counter_rf_desc_8e41621e__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_858a6d3f__LO__value__in_t;

    typedef struct {
        counter_rf_desc_858a6d3f__LO__value__in_t value;
    } counter_rf_desc_858a6d3f__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_858a6d3f__HI__value__in_t;

    typedef struct {
        counter_rf_desc_858a6d3f__HI__value__in_t value;
    } counter_rf_desc_858a6d3f__HI__in_t;

    typedef struct {
        counter_rf_desc_858a6d3f__LO__in_t LO;
        counter_rf_desc_858a6d3f__HI__in_t HI;
    } counter_rf_desc_858a6d3f__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_20854744__LO__value__in_t;

    typedef struct {
        counter_rf_desc_20854744__LO__value__in_t value;
    } counter_rf_desc_20854744__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_20854744__HI__value__in_t;

    typedef struct {
        counter_rf_desc_20854744__HI__value__in_t value;
    } counter_rf_desc_20854744__HI__in_t;

    typedef struct {
        counter_rf_desc_20854744__LO__in_t LO;
        counter_rf_desc_20854744__HI__in_t HI;
    } counter_rf_desc_20854744__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_9e17206e__LO__value__in_t;

    typedef struct {
        counter_rf_desc_9e17206e__LO__value__in_t value;
    } counter_rf_desc_9e17206e__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_9e17206e__HI__value__in_t;

    typedef struct {
        counter_rf_desc_9e17206e__HI__value__in_t value;
    } counter_rf_desc_9e17206e__HI__in_t;

    typedef struct {
        counter_rf_desc_9e17206e__LO__in_t LO;
        counter_rf_desc_9e17206e__HI__in_t HI;
    } counter_rf_desc_9e17206e__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b7e2b08d__LO__value__in_t;

    typedef struct {
        counter_rf_desc_b7e2b08d__LO__value__in_t value;
    } counter_rf_desc_b7e2b08d__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b7e2b08d__HI__value__in_t;

    typedef struct {
        counter_rf_desc_b7e2b08d__HI__value__in_t value;
    } counter_rf_desc_b7e2b08d__HI__in_t;

    typedef struct {
        counter_rf_desc_b7e2b08d__LO__in_t LO;
        counter_rf_desc_b7e2b08d__HI__in_t HI;
    } counter_rf_desc_b7e2b08d__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_96db8978__LO__value__in_t;

    typedef struct {
        counter_rf_desc_96db8978__LO__value__in_t value;
    } counter_rf_desc_96db8978__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_96db8978__HI__value__in_t;

    typedef struct {
        counter_rf_desc_96db8978__HI__value__in_t value;
    } counter_rf_desc_96db8978__HI__in_t;

    typedef struct {
        counter_rf_desc_96db8978__LO__in_t LO;
        counter_rf_desc_96db8978__HI__in_t HI;
    } counter_rf_desc_96db8978__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_735d0a4f__LO__value__in_t;

    typedef struct {
        counter_rf_desc_735d0a4f__LO__value__in_t value;
    } counter_rf_desc_735d0a4f__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_735d0a4f__HI__value__in_t;

    typedef struct {
        counter_rf_desc_735d0a4f__HI__value__in_t value;
    } counter_rf_desc_735d0a4f__HI__in_t;

    typedef struct {
        counter_rf_desc_735d0a4f__LO__in_t LO;
        counter_rf_desc_735d0a4f__HI__in_t HI;
    } counter_rf_desc_735d0a4f__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_8ad1011d__LO__value__in_t;

    typedef struct {
        counter_rf_desc_8ad1011d__LO__value__in_t value;
    } counter_rf_desc_8ad1011d__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_8ad1011d__HI__value__in_t;

    typedef struct {
        counter_rf_desc_8ad1011d__HI__value__in_t value;
    } counter_rf_desc_8ad1011d__HI__in_t;

    typedef struct {
        counter_rf_desc_8ad1011d__LO__in_t LO;
        counter_rf_desc_8ad1011d__HI__in_t HI;
    } counter_rf_desc_8ad1011d__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fa09d427__LO__value__in_t;

    typedef struct {
        counter_rf_desc_fa09d427__LO__value__in_t value;
    } counter_rf_desc_fa09d427__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_fa09d427__HI__value__in_t;

    typedef struct {
        counter_rf_desc_fa09d427__HI__value__in_t value;
    } counter_rf_desc_fa09d427__HI__in_t;

    typedef struct {
        counter_rf_desc_fa09d427__LO__in_t LO;
        counter_rf_desc_fa09d427__HI__in_t HI;
    } counter_rf_desc_fa09d427__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_50ead3ed__LO__value__in_t;

    typedef struct {
        counter_rf_desc_50ead3ed__LO__value__in_t value;
    } counter_rf_desc_50ead3ed__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_50ead3ed__HI__value__in_t;

    typedef struct {
        counter_rf_desc_50ead3ed__HI__value__in_t value;
    } counter_rf_desc_50ead3ed__HI__in_t;

    typedef struct {
        counter_rf_desc_50ead3ed__LO__in_t LO;
        counter_rf_desc_50ead3ed__HI__in_t HI;
    } counter_rf_desc_50ead3ed__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_a890ca23__LO__value__in_t;

    typedef struct {
        counter_rf_desc_a890ca23__LO__value__in_t value;
    } counter_rf_desc_a890ca23__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_a890ca23__HI__value__in_t;

    typedef struct {
        counter_rf_desc_a890ca23__HI__value__in_t value;
    } counter_rf_desc_a890ca23__HI__in_t;

    typedef struct {
        counter_rf_desc_a890ca23__LO__in_t LO;
        counter_rf_desc_a890ca23__HI__in_t HI;
    } counter_rf_desc_a890ca23__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b295ee46__LO__value__in_t;

    typedef struct {
        counter_rf_desc_b295ee46__LO__value__in_t value;
    } counter_rf_desc_b295ee46__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_b295ee46__HI__value__in_t;

    typedef struct {
        counter_rf_desc_b295ee46__HI__value__in_t value;
    } counter_rf_desc_b295ee46__HI__in_t;

    typedef struct {
        counter_rf_desc_b295ee46__LO__in_t LO;
        counter_rf_desc_b295ee46__HI__in_t HI;
    } counter_rf_desc_b295ee46__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_d0066944__LO__value__in_t;

    typedef struct {
        counter_rf_desc_d0066944__LO__value__in_t value;
    } counter_rf_desc_d0066944__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_d0066944__HI__value__in_t;

    typedef struct {
        counter_rf_desc_d0066944__HI__value__in_t value;
    } counter_rf_desc_d0066944__HI__in_t;

    typedef struct {
        counter_rf_desc_d0066944__LO__in_t LO;
        counter_rf_desc_d0066944__HI__in_t HI;
    } counter_rf_desc_d0066944__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_84543325__LO__value__in_t;

    typedef struct {
        counter_rf_desc_84543325__LO__value__in_t value;
    } counter_rf_desc_84543325__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_84543325__HI__value__in_t;

    typedef struct {
        counter_rf_desc_84543325__HI__value__in_t value;
    } counter_rf_desc_84543325__HI__in_t;

    typedef struct {
        counter_rf_desc_84543325__LO__in_t LO;
        counter_rf_desc_84543325__HI__in_t HI;
    } counter_rf_desc_84543325__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_76de8e40__LO__value__in_t;

    typedef struct {
        counter_rf_desc_76de8e40__LO__value__in_t value;
    } counter_rf_desc_76de8e40__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_76de8e40__HI__value__in_t;

    typedef struct {
        counter_rf_desc_76de8e40__HI__value__in_t value;
    } counter_rf_desc_76de8e40__HI__in_t;

    typedef struct {
        counter_rf_desc_76de8e40__LO__in_t LO;
        counter_rf_desc_76de8e40__HI__in_t HI;
    } counter_rf_desc_76de8e40__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_18c483fe__LO__value__in_t;

    typedef struct {
        counter_rf_desc_18c483fe__LO__value__in_t value;
    } counter_rf_desc_18c483fe__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_18c483fe__HI__value__in_t;

    typedef struct {
        counter_rf_desc_18c483fe__HI__value__in_t value;
    } counter_rf_desc_18c483fe__HI__in_t;

    typedef struct {
        counter_rf_desc_18c483fe__LO__in_t LO;
        counter_rf_desc_18c483fe__HI__in_t HI;
    } counter_rf_desc_18c483fe__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_670ab7bf__LO__value__in_t;

    typedef struct {
        counter_rf_desc_670ab7bf__LO__value__in_t value;
    } counter_rf_desc_670ab7bf__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_670ab7bf__HI__value__in_t;

    typedef struct {
        counter_rf_desc_670ab7bf__HI__value__in_t value;
    } counter_rf_desc_670ab7bf__HI__in_t;

    typedef struct {
        counter_rf_desc_670ab7bf__LO__in_t LO;
        counter_rf_desc_670ab7bf__HI__in_t HI;
    } counter_rf_desc_670ab7bf__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_cc88a070__LO__value__in_t;

    typedef struct {
        counter_rf_desc_cc88a070__LO__value__in_t value;
    } counter_rf_desc_cc88a070__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_cc88a070__HI__value__in_t;

    typedef struct {
        counter_rf_desc_cc88a070__HI__value__in_t value;
    } counter_rf_desc_cc88a070__HI__in_t;

    typedef struct {
        counter_rf_desc_cc88a070__LO__in_t LO;
        counter_rf_desc_cc88a070__HI__in_t HI;
    } counter_rf_desc_cc88a070__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_3f6e2a9e__LO__value__in_t;

    typedef struct {
        counter_rf_desc_3f6e2a9e__LO__value__in_t value;
    } counter_rf_desc_3f6e2a9e__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_3f6e2a9e__HI__value__in_t;

    typedef struct {
        counter_rf_desc_3f6e2a9e__HI__value__in_t value;
    } counter_rf_desc_3f6e2a9e__HI__in_t;

    typedef struct {
        counter_rf_desc_3f6e2a9e__LO__in_t LO;
        counter_rf_desc_3f6e2a9e__HI__in_t HI;
    } counter_rf_desc_3f6e2a9e__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_e5903445__LO__value__in_t;

    typedef struct {
        counter_rf_desc_e5903445__LO__value__in_t value;
    } counter_rf_desc_e5903445__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_e5903445__HI__value__in_t;

    typedef struct {
        counter_rf_desc_e5903445__HI__value__in_t value;
    } counter_rf_desc_e5903445__HI__in_t;

    typedef struct {
        counter_rf_desc_e5903445__LO__in_t LO;
        counter_rf_desc_e5903445__HI__in_t HI;
    } counter_rf_desc_e5903445__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_22e1a607__LO__value__in_t;

    typedef struct {
        counter_rf_desc_22e1a607__LO__value__in_t value;
    } counter_rf_desc_22e1a607__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_22e1a607__HI__value__in_t;

    typedef struct {
        counter_rf_desc_22e1a607__HI__value__in_t value;
    } counter_rf_desc_22e1a607__HI__in_t;

    typedef struct {
        counter_rf_desc_22e1a607__LO__in_t LO;
        counter_rf_desc_22e1a607__HI__in_t HI;
    } counter_rf_desc_22e1a607__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_852ea014__LO__value__in_t;

    typedef struct {
        counter_rf_desc_852ea014__LO__value__in_t value;
    } counter_rf_desc_852ea014__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_852ea014__HI__value__in_t;

    typedef struct {
        counter_rf_desc_852ea014__HI__value__in_t value;
    } counter_rf_desc_852ea014__HI__in_t;

    typedef struct {
        counter_rf_desc_852ea014__LO__in_t LO;
        counter_rf_desc_852ea014__HI__in_t HI;
    } counter_rf_desc_852ea014__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4b5aa252__LO__value__in_t;

    typedef struct {
        counter_rf_desc_4b5aa252__LO__value__in_t value;
    } counter_rf_desc_4b5aa252__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_4b5aa252__HI__value__in_t;

    typedef struct {
        counter_rf_desc_4b5aa252__HI__value__in_t value;
    } counter_rf_desc_4b5aa252__HI__in_t;

    typedef struct {
        counter_rf_desc_4b5aa252__LO__in_t LO;
        counter_rf_desc_4b5aa252__HI__in_t HI;
    } counter_rf_desc_4b5aa252__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_d008ea6f__LO__value__in_t;

    typedef struct {
        counter_rf_desc_d008ea6f__LO__value__in_t value;
    } counter_rf_desc_d008ea6f__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_d008ea6f__HI__value__in_t;

    typedef struct {
        counter_rf_desc_d008ea6f__HI__value__in_t value;
    } counter_rf_desc_d008ea6f__HI__in_t;

    typedef struct {
        counter_rf_desc_d008ea6f__LO__in_t LO;
        counter_rf_desc_d008ea6f__HI__in_t HI;
    } counter_rf_desc_d008ea6f__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_94bd1098__LO__value__in_t;

    typedef struct {
        counter_rf_desc_94bd1098__LO__value__in_t value;
    } counter_rf_desc_94bd1098__LO__in_t;

    typedef struct {
        logic [31:0] next;
    } counter_rf_desc_94bd1098__HI__value__in_t;

    typedef struct {
        counter_rf_desc_94bd1098__HI__value__in_t value;
    } counter_rf_desc_94bd1098__HI__in_t;

    typedef struct {
        counter_rf_desc_94bd1098__LO__in_t LO;
        counter_rf_desc_94bd1098__HI__in_t HI;
    } counter_rf_desc_94bd1098__in_t;

    typedef struct {
        embnic_csr__CONTRACT_HASH__in_t CONTRACT_HASH;
        embnic_csr__CONFIG_ID__in_t CONFIG_ID;
        embnic_csr__GIT_HASH__in_t GIT_HASH;
        embnic_csr__REMOTE_WAITING__in_t REMOTE_WAITING;
        capability_reg_desc_d5b508dd__in_t CAP_DATA_W;
        capability_reg_desc_f7815b5b__in_t CAP_SLOTS;
        capability_reg_desc_b960f668__in_t CAP_MAX_VEC64;
        capability_reg_desc_9772e9e5__in_t CAP_LINE_BYTES;
        capability_reg_desc_279bd4c5__in_t CAP_WAYS;
        capability_reg_desc_00db52ba__in_t CAP_SETS;
        capability_reg_desc_91142ea0__in_t CAP_FETCHES;
        capability_reg_desc_caf323f8__in_t CAP_TABLES;
        capability_reg_desc_f62b4c96__in_t CAP_KS_BYTES;
        capability_reg_desc_ec16475d__in_t CAP_REPLY_VEC64;
        capability_reg_desc_ba61c875__in_t CAP_CTXS;
        capability_reg_desc_29eb4b30__in_t CAP_CLIENTS;
        embnic_csr__CHANNEL_READS__in_t CHANNEL_READS;
        capability_reg_desc_718ce038__in_t CAP_CHANNELS;
        capability_reg_desc_883121fb__in_t CAP_REMOTE_FETCHES;
        capability_reg_desc_22855810__in_t CAP_MERGE_UNITS;
        capability_reg_desc_4dcd487a__in_t CAP_TREE_K;
        capability_reg_desc_26f0fba6__in_t CAP_FEATURES;
        capability_reg_desc_71bd2ec5__in_t CAP_BUCKETS;
        capability_reg_desc_01b7ca06__in_t CAP_ERROR_LOG;
        embnic_csr__STATUS__in_t STATUS;
        embnic_csr__MEMORY_OWED__in_t MEMORY_OWED;
        embnic_csr__LATENCY_COUNT__in_t LATENCY_COUNT[4];
        embnic_csr__ERROR_TOTAL__in_t ERROR_TOTAL;
        embnic_csr__ERROR_WORD__in_t ERROR_WORD[5];
        counter_rf_desc_51c18af1__in_t CYCLES;
        counter_rf_desc_92df27e7__in_t RX_FRAMES;
        counter_rf_desc_79c336b8__in_t RX_BYTES;
        counter_rf_desc_fc27a537__in_t RX_ACCEPTED;
        counter_rf_desc_eecc3b59__in_t DROP_NOT_OURS;
        counter_rf_desc_ab024343__in_t DROP_MAC_ERROR;
        counter_rf_desc_82c48698__in_t DROP_LENGTH;
        counter_rf_desc_6b3f9500__in_t DROP_IP_CHECKSUM;
        counter_rf_desc_62e69137__in_t DROP_VERSION;
        counter_rf_desc_2314ce18__in_t DROP_HEADER;
        counter_rf_desc_476bdb2e__in_t DROP_CRC;
        counter_rf_desc_cd5b4f06__in_t DROP_OVERLOAD;
        counter_rf_desc_feefaf0a__in_t DROP_TAG;
        counter_rf_desc_00975785__in_t REQUESTS;
        counter_rf_desc_404e218d__in_t BAGS;
        counter_rf_desc_fa1a6a08__in_t KEYS;
        counter_rf_desc_4d601076__in_t KEYS_NULL;
        counter_rf_desc_08556626__in_t KEYS_PADDING;
        counter_rf_desc_fb971a33__in_t ROW_HITS;
        counter_rf_desc_fa6a1e51__in_t ROW_MISSES;
        counter_rf_desc_e74448f1__in_t LINE_HITS;
        counter_rf_desc_3a6fdc25__in_t LINE_MISSES;
        counter_rf_desc_8155cb2a__in_t EVICTIONS;
        counter_rf_desc_b407e3d2__in_t FETCH_BEATS;
        counter_rf_desc_c7fffe12__in_t EXEC_BEATS;
        counter_rf_desc_93fe82b3__in_t EXEC_EMPTY;
        counter_rf_desc_416addab__in_t EXEC_FETCH;
        counter_rf_desc_61d33bae__in_t EXEC_HAZARD;
        counter_rf_desc_9d966743__in_t STALL_REPLY_SPACE;
        counter_rf_desc_b034f7e9__in_t TX_FRAMES;
        counter_rf_desc_bbc76d5e__in_t TX_BYTES;
        counter_rf_desc_45ceda30__in_t REPLIES;
        counter_rf_desc_4530a76c__in_t PARTIALS;
        counter_rf_desc_2fa0f633__in_t ERRORS;
        counter_rf_desc_5256eab4__in_t ACKS;
        counter_rf_desc_5b0208cc__in_t UPDATES;
        counter_rf_desc_ce8e4e27__in_t UPDATE_ROWS;
        counter_rf_desc_7fd37cef__in_t UPDATE_DUPLICATES;
        counter_rf_desc_84712249__in_t MEMORY_ERRORS;
        counter_rf_desc_4712237a__in_t KEYS_REFUSED;
        counter_rf_desc_b560e64d__in_t ERRORS_BUSY;
        counter_rf_desc_cb4d8c6c__in_t ABANDONED;
        counter_rf_desc_77f8d0de__in_t SOFT_RESETS;
        counter_rf_desc_3a311147__in_t RESET_TIMEOUTS;
        counter_rf_desc_ff10eff4__in_t TABLE_COMMITS;
        counter_rf_desc_f02e4487__in_t GEN_SENT;
        counter_rf_desc_b9da32cf__in_t GEN_REPLIES;
        counter_rf_desc_9829c69f__in_t GEN_ERRORS;
        counter_rf_desc_e3b3460a__in_t GEN_BAD;
        counter_rf_desc_8e41621e__in_t KEYS_ABANDONED;
        counter_rf_desc_858a6d3f__in_t SATURATIONS;
        counter_rf_desc_20854744__in_t PINNED_HITS;
        counter_rf_desc_9e17206e__in_t JOINS;
        counter_rf_desc_b7e2b08d__in_t FETCHES;
        counter_rf_desc_96db8978__in_t NO_FREE_WAY;
        counter_rf_desc_735d0a4f__in_t NOT_ADMITTED;
        counter_rf_desc_8ad1011d__in_t PREFETCHES;
        counter_rf_desc_fa09d427__in_t PREFETCH_ROWS;
        counter_rf_desc_50ead3ed__in_t MEMORY_TIMEOUTS;
        counter_rf_desc_a890ca23__in_t MEMORY_LATE;
        counter_rf_desc_b295ee46__in_t PARITY_ROWS;
        counter_rf_desc_d0066944__in_t PARITY_TAGS;
        counter_rf_desc_84543325__in_t PARITY_KEYS;
        counter_rf_desc_76de8e40__in_t PARITY_REPLIES;
        counter_rf_desc_18c483fe__in_t INJECTED;
        counter_rf_desc_670ab7bf__in_t REMOTE_FETCHES;
        counter_rf_desc_cc88a070__in_t REMOTE_ANSWERS;
        counter_rf_desc_3f6e2a9e__in_t REMOTE_BEATS;
        counter_rf_desc_e5903445__in_t REMOTE_TIMEOUTS;
        counter_rf_desc_22e1a607__in_t REMOTE_BROKEN;
        counter_rf_desc_852ea014__in_t REMOTE_STRAYS;
        counter_rf_desc_4b5aa252__in_t COMPUTE_FRAMES;
        counter_rf_desc_d008ea6f__in_t COMPUTE_JOBS;
        counter_rf_desc_94bd1098__in_t COMPUTE_ABANDONED;
    } embnic_csr__in_t;

    typedef struct {
        logic [15:0] value;
    } embnic_csr__REMOTE_TIMEOUT__kilocycles__out_t;

    typedef struct {
        embnic_csr__REMOTE_TIMEOUT__kilocycles__out_t kilocycles;
    } embnic_csr__REMOTE_TIMEOUT__out_t;

    typedef struct {
        logic [2:0] value;
    } embnic_csr__INJECT__memory__out_t;

    typedef struct {
        logic [2:0] value;
    } embnic_csr__INJECT__place__out_t;

    typedef struct {
        logic value;
    } embnic_csr__INJECT__arm__out_t;

    typedef struct {
        embnic_csr__INJECT__memory__out_t memory;
        embnic_csr__INJECT__place__out_t place;
        embnic_csr__INJECT__arm__out_t arm;
    } embnic_csr__INJECT__out_t;

    typedef struct {
        logic [4:0] value;
    } embnic_csr__CHANNEL_SEL__channel__out_t;

    typedef struct {
        embnic_csr__CHANNEL_SEL__channel__out_t channel;
    } embnic_csr__CHANNEL_SEL__out_t;

    typedef struct {
        logic [3:0] value;
    } embnic_csr__CACHE__cached_ways__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CACHE__admission__out_t;

    typedef struct {
        embnic_csr__CACHE__cached_ways__out_t cached_ways;
        embnic_csr__CACHE__admission__out_t admission;
    } embnic_csr__CACHE__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__enable__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__flush__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__snapshot__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__quiesce__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__soft_reset__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__generator__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__latency_clear__out_t;

    typedef struct {
        logic value;
    } embnic_csr__CONTROL__errors_clear__out_t;

    typedef struct {
        embnic_csr__CONTROL__enable__out_t enable;
        embnic_csr__CONTROL__flush__out_t flush;
        embnic_csr__CONTROL__snapshot__out_t snapshot;
        embnic_csr__CONTROL__quiesce__out_t quiesce;
        embnic_csr__CONTROL__soft_reset__out_t soft_reset;
        embnic_csr__CONTROL__generator__out_t generator;
        embnic_csr__CONTROL__latency_clear__out_t latency_clear;
        embnic_csr__CONTROL__errors_clear__out_t errors_clear;
    } embnic_csr__CONTROL__out_t;

    typedef struct {
        logic [15:0] value;
    } embnic_csr__UDP_PORT__port__out_t;

    typedef struct {
        embnic_csr__UDP_PORT__port__out_t port;
    } embnic_csr__UDP_PORT__out_t;

    typedef struct {
        logic [7:0] value;
    } embnic_csr__REPLY_BEATS64__units__out_t;

    typedef struct {
        embnic_csr__REPLY_BEATS64__units__out_t units;
    } embnic_csr__REPLY_BEATS64__out_t;

    typedef struct {
        logic [14:0] value;
    } embnic_csr__GEN_TABLE__table_number__out_t;

    typedef struct {
        embnic_csr__GEN_TABLE__table_number__out_t table_number;
    } embnic_csr__GEN_TABLE__out_t;

    typedef struct {
        logic [31:0] value;
    } embnic_csr__GEN_ROW_MASK__value__out_t;

    typedef struct {
        embnic_csr__GEN_ROW_MASK__value__out_t value;
    } embnic_csr__GEN_ROW_MASK__out_t;

    typedef struct {
        logic [15:0] value;
    } embnic_csr__GEN_SHAPE__dim__out_t;

    typedef struct {
        logic [7:0] value;
    } embnic_csr__GEN_SHAPE__beats__out_t;

    typedef struct {
        logic [3:0] value;
    } embnic_csr__GEN_SHAPE__length_log2__out_t;

    typedef struct {
        logic [3:0] value;
    } embnic_csr__GEN_SHAPE__window__out_t;

    typedef struct {
        embnic_csr__GEN_SHAPE__dim__out_t dim;
        embnic_csr__GEN_SHAPE__beats__out_t beats;
        embnic_csr__GEN_SHAPE__length_log2__out_t length_log2;
        embnic_csr__GEN_SHAPE__window__out_t window;
    } embnic_csr__GEN_SHAPE__out_t;

    typedef struct {
        logic [31:0] value;
    } embnic_csr__GEN_FRAMES__value__out_t;

    typedef struct {
        embnic_csr__GEN_FRAMES__value__out_t value;
    } embnic_csr__GEN_FRAMES__out_t;

    typedef struct {
        logic [31:0] value;
    } embnic_csr__TABLE_SEL__table_number__out_t;

    typedef struct {
        embnic_csr__TABLE_SEL__table_number__out_t table_number;
    } embnic_csr__TABLE_SEL__out_t;

    typedef struct {
        logic [31:0] value;
    } embnic_csr__TABLE_WORD__value__out_t;

    typedef struct {
        embnic_csr__TABLE_WORD__value__out_t value;
    } embnic_csr__TABLE_WORD__out_t;

    typedef struct {
        logic value;
    } embnic_csr__TABLE_COMMIT__commit__out_t;

    typedef struct {
        embnic_csr__TABLE_COMMIT__commit__out_t commit;
    } embnic_csr__TABLE_COMMIT__out_t;

    typedef struct {
        logic [15:0] value;
    } embnic_csr__MEMORY_TIMEOUT__kilocycles__out_t;

    typedef struct {
        embnic_csr__MEMORY_TIMEOUT__kilocycles__out_t kilocycles;
    } embnic_csr__MEMORY_TIMEOUT__out_t;

    typedef struct {
        logic [7:0] value;
    } embnic_csr__LATENCY_BUCKET__bucket__out_t;

    typedef struct {
        embnic_csr__LATENCY_BUCKET__bucket__out_t bucket;
    } embnic_csr__LATENCY_BUCKET__out_t;

    typedef struct {
        logic [7:0] value;
    } embnic_csr__ERROR_SEL__entry__out_t;

    typedef struct {
        embnic_csr__ERROR_SEL__entry__out_t entry;
    } embnic_csr__ERROR_SEL__out_t;

    typedef struct {
        embnic_csr__REMOTE_TIMEOUT__out_t REMOTE_TIMEOUT;
        embnic_csr__INJECT__out_t INJECT;
        embnic_csr__CHANNEL_SEL__out_t CHANNEL_SEL;
        embnic_csr__CACHE__out_t CACHE;
        embnic_csr__CONTROL__out_t CONTROL;
        embnic_csr__UDP_PORT__out_t UDP_PORT;
        embnic_csr__REPLY_BEATS64__out_t REPLY_BEATS64;
        embnic_csr__GEN_TABLE__out_t GEN_TABLE;
        embnic_csr__GEN_ROW_MASK__out_t GEN_ROW_MASK;
        embnic_csr__GEN_SHAPE__out_t GEN_SHAPE;
        embnic_csr__GEN_FRAMES__out_t GEN_FRAMES;
        embnic_csr__TABLE_SEL__out_t TABLE_SEL;
        embnic_csr__TABLE_WORD__out_t TABLE_WORD[8];
        embnic_csr__TABLE_COMMIT__out_t TABLE_COMMIT;
        embnic_csr__MEMORY_TIMEOUT__out_t MEMORY_TIMEOUT;
        embnic_csr__LATENCY_BUCKET__out_t LATENCY_BUCKET;
        embnic_csr__ERROR_SEL__out_t ERROR_SEL;
    } embnic_csr__out_t;
endpackage
