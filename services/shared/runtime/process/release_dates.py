"""The calendar of releases as a stack has it: the bundled one, or the file that TOLQYN_RELEASES names."""

from importlib.resources import files

from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.publication.release import CalendarError, ReleaseCalendar, parse_calendar

BUNDLED = "releases.toml"


def release_calendar(settings: Settings) -> ReleaseCalendar:
    """Raises ConfigurationError, which names the file, the field and what it must be."""
    path = settings.releases_file
    try:
        text = (files("schemas") / BUNDLED).read_text("utf-8") if path is None else path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"TOLQYN_RELEASES: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"TOLQYN_RELEASES: {path}: it is not UTF-8") from None
    try:
        return parse_calendar(text)
    except CalendarError as error:
        raise ConfigurationError(f"TOLQYN_RELEASES: {path or BUNDLED}: {error}") from None
