"""Says which copy of the engine Python finds."""

import services.shared

print(services.shared.__path__[0])
