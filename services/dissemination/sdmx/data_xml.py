"""SDMX-ML 3.0 data messages, structure-specific: components are XML attributes of the series and of its observations."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from xml.sax.saxutils import quoteattr

from schemas.sdmx.structures import AGENCY, FLOW_URN, MEASURE, TIME
from services.dissemination.sdmx.message import DELETE, KEY_IDS, DataSet, Message
from services.dissemination.sdmx.structure_xml import NAMESPACES
from services.shared.runtime.postgres.store import Published
from services.shared.statistics.publication.sdmx_csv import COLUMNS, fields, instant

SPECIFIC = "http://www.sdmx.org/resources/sdmxml/schemas/v3_0/data/structurespecific"
STRUCTURE_ID = "KZ_MIG_1_0"
PLACES = {name: place for place, name in enumerate(COLUMNS)}


def write(message: Message) -> bytes:
    """The message as XML."""
    return "".join(_parts(message)).encode()


def _parts(message: Message) -> Iterator[str]:
    at = message.query.dimension_at_observation
    namespace = f"{FLOW_URN}:ObsLevelDim:{at}"
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<mes:StructureSpecificData xmlns:mes="{NAMESPACES["mes"]}" xmlns:com="{NAMESPACES["com"]}" xmlns:ss="{SPECIFIC}" '
    yield f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:ns1="{namespace}">\n<mes:Header>'
    yield f"<mes:ID>{message.identity}</mes:ID><mes:Test>false</mes:Test><mes:Prepared>{instant(message.prepared)}</mes:Prepared>"
    yield f'<mes:Sender id="{AGENCY}"/><mes:Structure structureID="{STRUCTURE_ID}" namespace="{namespace}" '
    yield f'dimensionAtObservation="{at}"><com:StructureUsage>{FLOW_URN}</com:StructureUsage></mes:Structure></mes:Header>\n'
    for data_set in message.data_sets:
        yield f'<mes:DataSet xsi:type="ns1:DataSetType" ss:structureRef="{STRUCTURE_ID}" ss:action="{data_set.action}"'
        for name, moment in (("validFromDate", data_set.valid_from), ("validToDate", data_set.valid_to)):
            yield f' ss:{name}="{instant(moment)}"' if moment is not None else ""
        yield ">\n"
        yield from _series(message, data_set) if message.series_dimensions else _flat(message, data_set)
        yield "</mes:DataSet>\n"
    yield "</mes:StructureSpecificData>\n"


def _flat(message: Message, data_set: DataSet) -> Iterator[str]:
    for row in data_set.rows:
        yield f"<Obs{_attributes(row, _of_observation(message, data_set))}/>\n"


def _series(message: Message, data_set: DataSet) -> Iterator[str]:
    @cache  # as many as there are series, or sections
    def of(series: str, period: str) -> tuple[str, ...]:
        key = dict(zip(KEY_IDS, (*series.split("."), period), strict=True))
        return tuple(key[name] for name in message.series_dimensions)

    def series_key(row: Published) -> tuple[str, ...]:
        return of(row.series, row.period if TIME in message.series_dimensions else "")

    of_series = (*message.series_dimensions, *(() if data_set.action == DELETE else message.series_attributes))
    of_observation = _of_observation(message, data_set)
    # Sorted by series and period already; another layout brings together other rows.
    for _, rows in groupby(sorted(data_set.rows, key=series_key), key=series_key):
        first, *others = rows
        yield f"<Series{_attributes(first, of_series)}>\n"
        for row in (first, *others):
            yield f"<Obs{_attributes(row, of_observation)}/>\n"
        yield "</Series>\n"


def _of_observation(message: Message, data_set: DataSet) -> tuple[str, ...]:
    """The components that stand with an observation; of one to be deleted the dimensions alone."""
    if data_set.action == DELETE:
        return message.observation_dimensions
    value = (MEASURE,) if MEASURE in message.query.measures else ()
    return (*message.observation_dimensions, *value, *message.observation_attributes)


def _attributes(row: Published, names: Sequence[str]) -> str:
    """XML attributes of the components that have a value."""
    values = fields(row)
    made = []
    for name in names:
        value = values[PLACES[name]]
        if value is not None:
            # Only texts may hold what XML does not take as it is.
            made.append(f" {name}={quoteattr(value)}" if isinstance(value, str) else f' {name}="{value}"')
    return "".join(made)
