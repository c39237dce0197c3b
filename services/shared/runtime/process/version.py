"""The version of what is installed: said in pyproject.toml, kept by the distribution.

Importing this fails where Tolqyn lies about without being installed: such a tree has no version that could be told.
"""

from importlib.metadata import version

VERSION = version("tolqyn")
