# SPDX-License-Identifier: Apache-2.0
"""Write the metadata that PYNQ reads beside a bitstream (`.hwh`), from the register map and a configuration.

Vivado writes such a file for its block designs. This one names what the driver uses and nothing else: the core with its
registers, the AXI DMA that carries its frames, and the processing system whose buses they hang on. PYNQ's two parsers
(`pynq.pl_server.hwh_parser` and `RuntimeMetadataParser`) read the same from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from .errors import ConfigError
from .gen.configs import CONFIGS
from .gen.registers import ADDRESS_BYTES, COUNTERS, REGISTERS

__all__ = ["CORE_ADDRESS", "CORE_VLNV", "DMA_ADDRESS", "DMA_VLNV", "hwh"]

CORE_VLNV = "embnic.org:smartnic:embnic_core:1.0"
DMA_VLNV = "xilinx.com:ip:axi_dma:7.1"
CORE_ADDRESS = 0xA000_0000
DMA_ADDRESS = 0xA001_0000
_DMA_BYTES = 0x1_0000
IOPLL_MHZ = (
    1500.0  # of the processing system on the boards here; the clocks of the PL are divided from it
)
_ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only"}
_PORT = "M_AXI_HPM0_FPD"


def hwh(config: str) -> str:
    """Return the `.hwh` text of a block design with the core as `config` and one AXI DMA in simple mode."""
    if config not in CONFIGS:
        raise ConfigError(
            f"The configuration is {config!r}.",
            allowed=f"{', '.join(CONFIGS)}.",
            do="Choose one of these.",
        )
    core = CONFIGS[config]
    system = ElementTree.Element("EDKSYSTEM", EDWVERSION="1.2", TIMESTAMP="", VIVADOVERSION="")
    ElementTree.SubElement(
        system, "SYSTEMINFO", ARCH="zynquplus", DEVICE="", NAME=f"embnic_{config}"
    )
    ElementTree.SubElement(system, "EXTERNALPORTS")
    ElementTree.SubElement(system, "EXTERNALINTERFACES")
    modules = ElementTree.SubElement(system, "MODULES")
    _processing_system(modules, core.clock_mhz)
    registers = _module(modules, "embnic_0", CORE_VLNV, "s_axil")
    described = ElementTree.SubElement(
        ElementTree.SubElement(
            ElementTree.SubElement(registers, "ADDRESSBLOCKS"),
            "ADDRESSBLOCK",
            ACCESS="",
            INTERFACE="s_axil",
            NAME="Reg",
            RANGE=str(ADDRESS_BYTES),
            USAGE="register",
        ),
        "REGISTERS",
    )
    for name, offset, access, fields in _registers():
        _register(described, name, offset, access, fields)
    dma = _module(modules, "axi_dma_0", DMA_VLNV, "S_AXI_LITE")
    parameters = dma.find("PARAMETERS")
    assert parameters is not None
    for name, value in {
        "c_include_mm2s": 1,
        "c_include_s2mm": 1,
        "c_include_sg": 0,
        "c_micro_dma": 0,
        "c_sg_length_width": 26,
        "c_m_axi_mm2s_data_width": core.data_w,
        "c_m_axi_s2mm_data_width": core.data_w,
        "c_m_axis_mm2s_tdata_width": core.data_w,
        "c_s_axis_s2mm_tdata_width": core.data_w,
        "c_include_mm2s_dre": 0,
        "c_include_s2mm_dre": 0,
    }.items():
        ElementTree.SubElement(parameters, "PARAMETER", NAME=name, VALUE=str(value))
    ElementTree.indent(system)
    return ElementTree.tostring(system, encoding="unicode", xml_declaration=True) + "\n"


def _registers() -> Iterator[tuple[str, int, str, dict[str, tuple[int, int]]]]:
    for name, register in REGISTERS.items():
        fields = {field: (bits.low, bits.width) for field, bits in register.fields.items()}
        for index in range(register.count):
            suffix = f"_{index}" if register.count > 1 else ""
            yield f"{name}{suffix}", register.offset + 4 * index, _ACCESS[register.access], fields
    for counter in COUNTERS:
        for half, offset in (("LOW", counter.offset), ("HIGH", counter.offset + 4)):
            yield f"{counter.name}_{half}", offset, "read-only", {"value": (0, 32)}


def _module(
    modules: ElementTree.Element, instance: str, vlnv: str, port: str
) -> ElementTree.Element:
    module = ElementTree.SubElement(
        modules, "MODULE", FULLNAME=f"/{instance}", INSTANCE=instance, IPTYPE="PERIPHERAL",
        MODCLASS="PERIPHERAL", MODTYPE=vlnv.split(":")[2], VLNV=vlnv,
    )  # fmt: skip
    ElementTree.SubElement(module, "PARAMETERS")
    ElementTree.SubElement(module, "PORTS")
    buses = ElementTree.SubElement(module, "BUSINTERFACES")
    ElementTree.SubElement(
        buses, "BUSINTERFACE", NAME=port, TYPE="SLAVE", BUSNAME=f"{instance}_{port}",
        VLNV="xilinx.com:interface:aximm:1.0",
    )  # fmt: skip
    return module


def _register(
    parent: ElementTree.Element,
    name: str,
    offset: int,
    access: str,
    fields: dict[str, tuple[int, int]],
) -> None:
    register = ElementTree.SubElement(parent, "REGISTER", NAME=name)
    for key, value in {
        "DESCRIPTION": name,
        "ADDRESS_OFFSET": str(offset),
        "SIZE": "32",
        "ACCESS": access,
    }.items():
        ElementTree.SubElement(register, "PROPERTY", NAME=key, VALUE=value)
    below = ElementTree.SubElement(register, "FIELDS")
    for field, (low, width) in fields.items():
        made = ElementTree.SubElement(below, "FIELD", NAME=field)
        for key, value in {
            "DESCRIPTION": field,
            "BIT_OFFSET": str(low),
            "BIT_WIDTH": str(width),
            "ACCESS": access,
        }.items():
            ElementTree.SubElement(made, "PROPERTY", NAME=key, VALUE=value)


def _processing_system(modules: ElementTree.Element, clock_mhz: float) -> None:
    module = ElementTree.SubElement(
        modules, "MODULE", FULLNAME="/zynq_ultra_ps_e_0", INSTANCE="zynq_ultra_ps_e_0", IPTYPE="PROCESSOR",
        MODCLASS="PROCESSOR", MODTYPE="zynq_ultra_ps_e", VLNV="xilinx.com:ip:zynq_ultra_ps_e:3.5",
    )  # fmt: skip
    parameters = ElementTree.SubElement(module, "PARAMETERS")
    divisor = int(
        IOPLL_MHZ / clock_mhz
    )  # PYNQ sets the clock by it: the next one that is no slower
    for clock in range(4):
        prefix = f"PSU__CRL_APB__PL{clock}_REF_CTRL__"
        for name, value in {
            f"{prefix}DIVISOR0": str(divisor),
            f"{prefix}DIVISOR1": "1",
            f"{prefix}ACT_FREQMHZ": f"{IOPLL_MHZ / divisor:g}",
            f"{prefix}SRCSEL": "IOPLL",
            f"PSU__FPGA_PL{clock}_ENABLE": str(int(clock == 0)),
        }.items():
            ElementTree.SubElement(parameters, "PARAMETER", NAME=name, VALUE=value)
    ElementTree.SubElement(module, "PORTS")
    buses = ElementTree.SubElement(module, "BUSINTERFACES")
    ElementTree.SubElement(
        buses, "BUSINTERFACE", NAME=_PORT, TYPE="MASTER", BUSNAME=_PORT, VLNV="xilinx.com:interface:aximm:1.0"
    )  # fmt: skip
    memory = ElementTree.SubElement(module, "MEMORYMAP")
    for instance, base, size, port in (
        ("embnic_0", CORE_ADDRESS, ADDRESS_BYTES, "s_axil"),
        ("axi_dma_0", DMA_ADDRESS, _DMA_BYTES, "S_AXI_LITE"),
    ):
        ElementTree.SubElement(
            memory, "MEMRANGE", ADDRESSBLOCK="Reg", BASENAME="C_BASEADDR", BASEVALUE=f"0x{base:08X}",
            HIGHNAME="C_HIGHADDR", HIGHVALUE=f"0x{base + size - 1:08X}", INSTANCE=instance, IS_DATA="TRUE",
            IS_INSTRUCTION="TRUE", MASTERBUSINTERFACE=_PORT, MEMTYPE="REGISTER", SLAVEBUSINTERFACE=port,
        )  # fmt: skip
