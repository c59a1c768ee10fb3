gen/embnic_wire_pkg.sv
