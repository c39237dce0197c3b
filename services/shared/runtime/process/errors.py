"""What can go wrong, as a tree: the type says whom it concerns and whether to try again.

TolqynError
├── UsageError          the caller's words are off (command line exit 2)
└── Failure             the work could not be done (command line exit 1)
    ├── ConfigurationError   a setting, key or topic is not as it must be: stop, do not retry (exit 78 in a service)
    ├── Unavailable          bad luck: a broker, database or service does not answer now; trying again is right
    └── Refused              the other side said no for good: trying again unchanged is pointless

Bad records are not errors: they are values (`services.shared.ingest`). Bugs are assertions and stop the process.
"""


class TolqynError(Exception):
    """Base of all errors that a person should read as one line, without a traceback."""


class UsageError(TolqynError):
    """The command or its arguments are wrong."""


class Failure(TolqynError):
    """The work could not be done."""


class ConfigurationError(Failure):
    """A setting, key file, topic or database is not as this service needs it."""


class Unavailable(Failure):
    """Something outside does not answer now; retry with limits."""


class Refused(Failure):
    """The other side refused for good."""
